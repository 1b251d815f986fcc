import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import type { WakeMessage } from "../../durable-objects/env";
import { app } from "../../src/edge/app";
import type { EdgeEnv } from "../../src/edge/env";
import type { SloMessage } from "../../src/hooks";
import { hmacSha256, toHex } from "../../src/kernel/crypto";

/** What tests of the hook receiver share: hooks made by the API, requests through the route, and what went into the queues. */

export const BASE = "http://reveille.test";
export const edge = env as unknown as EdgeEnv;
export const SECRET = "hook-secret-0001-abcdef";

type Loose = Record<string, unknown>;

export async function api<T = Loose>(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: T }> {
  const res = await exports.default.fetch(`${BASE}/api/v1${path}`, {
    method,
    headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: res.status, json: (await res.json()) as T };
}

let serial = 0;
export const fresh = (name: string): string => `${name}-${++serial}`;

/** Makes a hook by the API and returns its id. */
export async function makeHook(more: Loose = {}): Promise<string> {
  const made = await api("POST", "/hooks", {
    id: fresh("h"),
    title: "Test hook",
    agent_id: "01B",
    agent_name: "south",
    secret: SECRET,
    ...more,
  });
  if (made.status !== 201) throw new Error(JSON.stringify(made.json));
  return String(made.json["id"]);
}

export interface Sent {
  slo: SloMessage[];
  wake: WakeMessage[];
}
export interface Answer {
  status: number;
  json: Loose;
  headers: Headers;
  sent: Sent;
  ms: number;
}

/** A queue that fails, or that keeps what passes to the real one. */
function tap<T>(queue: Queue<T>, kept: T[], broken: boolean): Queue<T> {
  const fail = (): never => {
    throw new Error("queue send failed");
  };
  return {
    ...queue,
    send: async (body: T) => (broken ? fail() : void kept.push(body)),
    sendBatch: async (messages: Iterable<MessageSendRequest<T>>) =>
      broken ? fail() : void kept.push(...[...messages].map((m) => m.body)),
  } as unknown as Queue<T>;
}

export interface How {
  broken?: ("slo" | "wake" | "db")[];
  vars?: Record<string, string>;
  /** A window of its own for the limits. */
  window?: string;
}

/** One request through the whole app. What goes into the queues is kept here, so that no consumer takes it up. */
export async function hit(path: string, init: RequestInit, how: How = {}): Promise<Answer> {
  const sent: Sent = { slo: [], wake: [] };
  const broken = (name: "slo" | "wake" | "db"): boolean => how.broken?.includes(name) ?? false;
  const { HOOK_GATE } = edge;
  const window = how.window;
  const db = broken("db")
    ? ({
        prepare: (sql: string) => edge.DB.prepare(sql),
        batch: async () => {
          throw new Error("D1_ERROR: gone");
        },
      } as unknown as D1Database)
    : edge.DB;
  const bindings = {
    ...edge,
    ...how.vars,
    DB: db,
    SLO_QUEUE: tap(edge.SLO_QUEUE, sent.slo, broken("slo")),
    WAKE_QUEUE: tap(edge.WAKE_QUEUE, sent.wake, broken("wake")),
    ...(window === undefined
      ? {}
      : {
          HOOK_GATE: {
            idFromName: () => HOOK_GATE.idFromName(window),
            get: (id: DurableObjectId) => HOOK_GATE.get(id),
          },
        }),
  } as unknown as EdgeEnv;
  const ctx = createExecutionContext();
  const start = performance.now();
  const res = await app.fetch(new Request(BASE + path, { redirect: "manual", ...init }), bindings, ctx);
  const ms = performance.now() - start;
  const text = await res.text();
  await waitOnExecutionContext(ctx);
  return { status: res.status, json: text === "" ? {} : (JSON.parse(text) as Loose), headers: res.headers, sent, ms };
}

const asText = (body: unknown): string => (typeof body === "string" ? body : JSON.stringify(body));

/** A POST with the hook's bearer secret. */
export const post = (id: string, body: unknown, how: How = {}, headers: Record<string, string> = {}): Promise<Answer> =>
  hit(
    `/hooks/${id}`,
    {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${SECRET}`, ...headers },
      body: asText(body),
    },
    how,
  );

/** A POST signed as the senders of wake-slo §1.1 sign. */
export async function signed(id: string, body: unknown, secret = SECRET, prefix = ""): Promise<Answer> {
  const text = asText(body);
  const mac = toHex(await hmacSha256(secret, text));
  return hit(`/hooks/${id}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-webhook-signature": prefix + mac },
    body: text,
  });
}

export const TOPIC = "WAKE_SLO_PROBE_C2L_1790000000000";
export const PING = "WAKE_SLO_PING 2026-09-21T14:13:20.000Z";

/** A message of a sender. */
export const message = (id: string, more: Loose = {}): Loose => ({
  message_id: id,
  session_id: `s-${id}`,
  from_agent: "north",
  from_agent_id: "01A",
  topic: "lunch",
  kind: "request",
  body: `text of ${id}`,
  created_at: "2026-09-21T14:13:20Z",
  ...more,
});
export const probe = (id: string): Loose => message(id, { topic: TOPIC, body: PING });

/** A wake of the later era with these messages, the newest on top. */
export const wake = (...messages: Loose[]): Loose => ({
  event_type: "agentcomm_wake",
  ...messages.at(-1),
  to_agent: "south",
  to_agent_id: "01B",
  workspace_id: "01W",
  message_count: messages.length,
  messages,
  messages_text: "as sent",
});

export interface WakeRow {
  wake_id: string;
  payload: string;
  state: string;
  via: string;
}
export const rowsOf = async (hook: string): Promise<WakeRow[]> =>
  (
    await edge.DB.prepare("SELECT * FROM message_wake WHERE hook_id = ? ORDER BY received_at, wake_id")
      .bind(hook)
      .all<WakeRow>()
  ).results;

/** Every message id that lies in the hook's wakes. */
export const storedIds = async (hook: string): Promise<string[]> =>
  (await rowsOf(hook)).flatMap((r) =>
    ((JSON.parse(r.payload) as Loose)["messages"] as Loose[]).map((m) => String(m["message_id"])),
  );
