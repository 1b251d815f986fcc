import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type GatewayMethods, gatewayObject } from "../../durable-objects/gateway.stub";
import worker from "../../src/edge";
import type { EdgeEnv } from "../../src/edge/env";
import type { DeliveryRow, Destination } from "../../src/gateway";
import { hmacSha256, toHex, utf8 } from "../../src/kernel/crypto";
import { vars } from "./notify-kit";

/** What the ingest tests share: webhooks signed as the platforms sign them, and an instance with people of its own. */

export const edge = env as unknown as EdgeEnv;
export const TEAM = "T0HERMES01";
const SECRET = String(vars()["REVEILLE_SLACK_SIGNING_SECRET"]);
const TELEGRAM = String(vars()["REVEILLE_TELEGRAM_SECRET_TOKEN"]);

export interface Reply {
  status: number;
  body: string;
  headers: [string, string][];
}

/** Through the Worker's own handler; what it does after its answer has ended when this returns. */
export async function through(request: Request, more: Record<string, unknown> = {}): Promise<Reply> {
  const ctx = createExecutionContext();
  const bindings = Object.keys(more).length > 0 ? { ...edge, ...more } : edge;
  const response = await worker.fetch(
    request as Request<unknown, IncomingRequestCfProperties>,
    bindings as EdgeEnv,
    ctx,
  );
  const reply = { status: response.status, body: await response.text(), headers: [...response.headers] };
  await waitOnExecutionContext(ctx);
  return reply as Reply;
}

interface Sent {
  app?: string;
  headers?: Record<string, string>;
  /** Bindings in place of the real ones: what a broken deploy looks like. */
  env?: Record<string, unknown>;
}

export async function slack(tail: string, body: string | Uint8Array, more: Sent = {}): Promise<Reply> {
  const ts = String(Math.floor(Date.now() / 1000));
  const bytes = typeof body === "string" ? utf8(body) : body;
  const mac = toHex(await hmacSha256(SECRET, new Uint8Array([...utf8(`v0:${ts}:`), ...bytes])));
  const type = tail === "events" ? "application/json" : "application/x-www-form-urlencoded";
  const headers = {
    "content-type": type,
    "x-slack-request-timestamp": ts,
    "x-slack-signature": `v0=${mac}`,
    ...more.headers,
  };
  const url = `http://reveille.test/webhooks/slack/${more.app ?? "app"}/${tail}`;
  return through(new Request(url, { method: "POST", headers, body: bytes as Uint8Array<ArrayBuffer> }), more.env);
}

export const slackEvent = (value: unknown, more: Sent = {}): Promise<Reply> =>
  slack("events", JSON.stringify(value), more);
export const slackForm = (tail: string, form: Record<string, string>, more: Sent = {}): Promise<Reply> =>
  slack(tail, new URLSearchParams(form).toString(), more);

export const telegram = (update: unknown, more: Sent = {}): Promise<Reply> =>
  through(
    new Request(`http://reveille.test/webhooks/telegram/${more.app ?? "app"}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-telegram-bot-api-secret-token": TELEGRAM,
        ...more.headers,
      },
      body: typeof update === "string" ? update : JSON.stringify(update),
    }),
    more.env,
  );

let serial = 0;
export const unique = (): number => ++serial;

/** A new instance of the tenant that has the team, and a person linked to it. */
export interface Home {
  to: Destination;
  user: string;
  /** The same person on Telegram. */
  telegramUser: number;
  dm: string;
  gateway: GatewayMethods;
  rows(): Promise<DeliveryRow[]>;
}

export async function makeHome(): Promise<Home> {
  const n = unique();
  const to = { tenant: "acme", instance: `ingest-${n}` };
  const user = `U0PERSON${String(n).padStart(3, "0")}`;
  const telegramUser = 770_000 + n;
  const now = Date.now();
  const add = (sql: string, ...values: unknown[]): D1PreparedStatement => edge.DB.prepare(sql).bind(...values);
  await edge.DB.batch([
    // A second tenant, so that nothing is anybody's by default.
    add("INSERT OR IGNORE INTO tenant VALUES ('acme', 'Acme', 'dk1', ?), ('other', 'Other', 'dk2', ?)", now, now),
    add("INSERT OR IGNORE INTO scope_route VALUES ('slack', ?, 'acme', 'test', ?)", TEAM, now),
    add("INSERT OR IGNORE INTO scope_route VALUES ('telegram', 'bot:app', 'acme', 'test', ?)", now),
    add(
      "INSERT INTO instance (tenant, id, name, created_at) VALUES (?, ?, ?, ?)",
      to.tenant,
      to.instance,
      to.instance,
      now,
    ),
    add("INSERT INTO binding VALUES ('slack', ?, ?, ?, ?, 0, ?)", user, to.tenant, to.instance, TEAM, now),
    add(
      "INSERT INTO binding VALUES ('telegram', ?, ?, ?, '', 0, ?)",
      String(telegramUser),
      to.tenant,
      to.instance,
      now,
    ),
  ]);
  const gateway = gatewayObject(edge.GATEWAY, to);
  return {
    to,
    user,
    telegramUser,
    dm: `D0PERSON${String(n).padStart(3, "0")}`,
    gateway,
    rows: async () => (await gateway.deliveries({ limit: 100 })).items.reverse(),
  };
}

/** A person's message as Slack sends it, with fresh ids. */
export function slackMessage(home: Home, more: Record<string, unknown> = {}, outer: Record<string, unknown> = {}) {
  const n = String(unique()).padStart(6, "0");
  return {
    token: "slack-legacy-verification-token",
    type: "event_callback",
    team_id: TEAM,
    api_app_id: "A0HERMES01",
    event_id: `Ev0INGEST${n}`,
    authorizations: [{ team_id: TEAM, user_id: "U0BOT00001", is_bot: true }],
    event: {
      type: "message",
      channel: home.dm,
      channel_type: "im",
      user: home.user,
      ts: `1790001000.${n}`,
      text: `message ${n}`,
      ...more,
    },
    ...outer,
  };
}

/** A person's message as Telegram sends it, with fresh ids. */
export function telegramMessage(home: Home, more: Record<string, unknown> = {}) {
  const n = unique();
  const from = { id: home.telegramUser, is_bot: false, first_name: "Ana" };
  return {
    update_id: 910_000_000 + n,
    message: {
      message_id: 1_000 + n,
      from,
      chat: { id: home.telegramUser, type: "private", first_name: "Ana" },
      date: 1_790_000_000,
      text: `message ${n}`,
      ...more,
    },
  };
}
