import { env, exports } from "cloudflare:workers";
import { inject } from "vitest";
import { switchboard } from "../../durable-objects/switchboard.do";
import { targetObject } from "../../durable-objects/target.do";
import { hmacSha256, toHex } from "../../src/kernel/crypto";
import { unwrap } from "../../src/kernel/errors";
import { newId } from "../../src/kernel/ids";
import { type Runtime, runtimeOf } from "../../src/kernel/runtime";
import { type FixRow, type RunDeps, readFix } from "../../src/reason";
import type { Ledger } from "../support/platforms.types";
import { FLY_WRITE_TOKEN } from "../support/test-vars";

/**
 * What tests of fixes share: a Fly target that is down, the executor with real D1, objects and a real vendor over HTTP, and the
 * ledgers of the stand-ins. The queue is the platform's: its messages are kept, so that a test decides when each is delivered.
 */

export const MACHINE = "148e21c9a45678";
export const vendors = inject("vendorsUrl");
export const platforms = inject("platformsUrl");
const OPERATOR = "test-operator-token-4f1c9b7e2a";

const post = async (url: string, body: unknown): Promise<void> => {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  await response.body?.cancel();
};
export const control = (change: unknown): Promise<void> => post(`${vendors}/_control`, change);
export const controlPlatforms = (change: unknown): Promise<void> => post(`${platforms}/_control`, change);

export interface Call {
  vendor: string;
  method: string;
  path: string;
  headers: string[];
  scheme: string | null;
}
/** Calls that could change something at Fly. */
export const flyWrites = async (): Promise<Call[]> =>
  ((await (await fetch(`${vendors}/_ledger`)).json()) as Call[]).filter(
    (r) => r.vendor === "fly" && r.method !== "GET",
  );
/** Starts and restarts alone. */
export const acts = async (): Promise<Call[]> => (await flyWrites()).filter((r) => /\/(start|restart)$/.test(r.path));
export const told = async (): Promise<Ledger> => (await fetch(`${platforms}/_ledger`)).json<Ledger>();

export async function api<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
  const res = await exports.default.fetch(`http://reveille.test/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${OPERATOR}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: res.status, body: (await res.json()) as T };
}

export const setMode = async (mode: "dry_run" | "approve" | "auto" | null): Promise<void> => {
  const fly = mode === null ? { enabled: false } : { enabled: true, mode };
  const { status } = await api("PATCH", "/switchboard", { killed: false, muted_until: null, envelopes: { fly } });
  if (status !== 200) throw new Error(`the switchboard answered ${status}`);
};

/** A Fly target that is down from its first look. Returns its id and its incident. */
export async function breakFly(
  mode = "stopped",
  more: Record<string, unknown> = {},
): Promise<{ target: string; incident: string }> {
  const target = `fly-${newId(Date.now()).toLowerCase()}`;
  await control({ fly: { mode, ...more } });
  const made = await api("POST", "/targets", {
    id: target,
    name: target,
    kind: "fly",
    every: "1m",
    config: { apps: ["web"], api_url: `${vendors}/fly` },
    credentials: { token: "WATCH_CANARY" },
    thresholds: { confirm: 1 },
  });
  if (made.status !== 201) throw new Error(`target: ${JSON.stringify(made.body)}`);
  const look = await api("POST", `/targets/${target}/look`);
  const row = await env.DB.prepare("SELECT id FROM incident WHERE target_id = ?").bind(target).first<{ id: string }>();
  if (!row) throw new Error(`no incident was opened: ${JSON.stringify(look.body)}`);
  return { target, incident: row.id };
}

export interface Fixer {
  deps: RunDeps;
  sent: { key: string; step: string }[];
}

/** The executor as the consumer builds it, with short waits. The switches are read now. */
export async function fixer(
  more: Partial<RunDeps> & { vars?: Record<string, unknown>; runtime?: Runtime } = {},
): Promise<Fixer> {
  const { vars, ...rest } = more;
  const bindings = {
    ...(env as unknown as Record<string, unknown>),
    REVEILLE_FLY_WRITE_TOKEN: FLY_WRITE_TOKEN,
    ...vars,
  };
  const sent: Fixer["sent"] = [];
  const deps: RunDeps = {
    db: env.DB,
    runtime: runtimeOf(bindings, "consumer"),
    switches: await switchboard(env.SWITCHBOARD).readOrStop(),
    token: bindings["REVEILLE_FLY_WRITE_TOKEN"] ? "set" : "unset",
    send: async (m) => void sent.push(m),
    write_token: String(bindings["REVEILLE_FLY_WRITE_TOKEN"] ?? ""),
    readSwitches: () => switchboard(env.SWITCHBOARD).readOrStop(),
    look: async (id) => unwrap(await targetObject(env.TARGET, id).look(id)).snapshot,
    call_ms: 800,
    poll_ms: 1_500,
    ...rest,
  };
  return { deps, sent };
}

export const attemptedRows = async (incident: string): Promise<Record<string, unknown>[]> => {
  const { results } = await env.DB.prepare(
    "SELECT details FROM audit WHERE incident_id = ? AND seam = 'tool.probe_autofix_attempted' ORDER BY id",
  )
    .bind(incident)
    .all<{ details: string }>();
  return results.map((r) => JSON.parse(r.details) as Record<string, unknown>);
};

export async function mustFix(key: string): Promise<FixRow> {
  const row = await readFix(env.DB, key);
  if (!row) throw new Error(`no fix ${key}`);
  return row;
}

/** The approval id of the question that waits. */
export async function questionOf(incident: string): Promise<string> {
  const row = await env.DB.prepare("SELECT id FROM approval WHERE incident_id = ? ORDER BY created_at DESC LIMIT 1")
    .bind(incident)
    .first<{ id: string }>();
  if (!row) throw new Error(`nothing was asked about ${incident}`);
  return row.id;
}

/** A press of a Slack button, signed with the live clock. */
export async function pressSlack(action_id: string, user = "U0OPERATOR"): Promise<number> {
  const payload = {
    type: "block_actions",
    user: { id: user, username: "ana" },
    actions: [{ action_id, type: "button" }],
  };
  const body = `payload=${encodeURIComponent(JSON.stringify(payload))}`;
  const ts = String(Math.floor(Date.now() / 1000));
  const mac = toHex(await hmacSha256("hermes_edge_test_signing_secret_0001", `v0:${ts}:${body}`));
  const response = await exports.default.fetch("http://reveille.test/webhooks/slack/app/interactions", {
    method: "POST",
    headers: { "x-slack-request-timestamp": ts, "x-slack-signature": `v0=${mac}` },
    body,
  });
  return response.status;
}

/** Waits until `good` holds, or says what was there instead. */
export async function until<T>(
  what: string,
  read: () => Promise<T>,
  good: (value: T) => boolean,
  ms = 10_000,
): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await read();
    if (good(value)) return value;
    if (Date.now() > end)
      throw new Error(`${what}: not seen within ${ms} ms; last ${JSON.stringify(value).slice(0, 600)}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

/** Each test begins without attempts: the caps count across incidents. */
export async function freshFixes(): Promise<void> {
  await control({ reset: true });
  await controlPlatforms({ reset: true });
  await env.DB.batch([
    env.DB.prepare("DELETE FROM autofix"),
    env.DB.prepare("DELETE FROM approval"),
    env.DB.prepare("UPDATE wake SET created_at = created_at - 600000"),
  ]);
}

export async function dropTargets(): Promise<void> {
  const { body } = await api<{ items: { id: string; source: string }[] }>("GET", "/targets?limit=200");
  for (const t of body.items) if (t.source !== "builtin") await api("DELETE", `/targets/${t.id}`);
}
