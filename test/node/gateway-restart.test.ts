import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";
import { type ScriptedGateway, scriptedGateway, upgradeToken } from "../support/gateway";
import { startPlatforms } from "../support/platforms";

/**
 * A signed webhook to a gateway on a real socket and its answer back to the platform, in a running Reveille that is killed in between.
 * Judged by what the gateway and the platform's stand-in wrote down.
 */

const OPERATOR = "gateway-test-operator-token-55cd";
const SIGNING = "gateway-test-slack-signing-secret-01";
const BOT = "xoxb-gateway-test-bot-token-0001";
const TEAM = "T0GATE";
const USER = "U0GATE";
const DM = "D0GATE";

let dataDir: string;
let runtime: LocalRuntime;
let platforms: Awaited<ReturnType<typeof startPlatforms>>;
let credentials: { id: string; secret: string };
const gateways: ScriptedGateway[] = [];

const start = (port: number): Promise<LocalRuntime> =>
  startRuntime({
    port,
    dataDir,
    vars: {
      OPERATOR_TOKEN: OPERATOR,
      REVEILLE_SESSION_KEY: "k".repeat(32),
      REVEILLE_BEAT_KEY: "b".repeat(32),
      REVEILLE_VAULT_KEY: "5a".repeat(32),
      REVEILLE_GATEWAY_KEY: "6b".repeat(32),
      REVEILLE_SLACK_SIGNING_SECRET: SIGNING,
      REVEILLE_SLACK_BOT_TOKEN: BOT,
      REVEILLE_SLACK_API_URL: `${platforms.url}/slack/api`,
      REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*",
    },
  });

async function api<T>(path: string, body: unknown): Promise<T> {
  const response = await runtime.fetch(`/api/v1${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${OPERATOR}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.status, await response.clone().text()).toBeLessThan(300);
  return (await response.json()) as T;
}

let serial = 0;
/** A person's direct message, signed as Slack signs it. */
async function slack(text: string, eventId: string = randomUUID()): Promise<number> {
  const ts = String(Math.floor(Date.now() / 1000));
  const body = JSON.stringify({
    type: "event_callback",
    team_id: TEAM,
    api_app_id: "A0GATE",
    event_id: eventId,
    event: {
      type: "message",
      channel: DM,
      channel_type: "im",
      user: USER,
      ts: `1790.${String(++serial).padStart(6, "0")}`,
      text,
    },
  });
  const mac = createHmac("sha256", SIGNING).update(`v0:${ts}:${body}`).digest("hex");
  const response = await runtime.fetch("/webhooks/slack/app/events", {
    method: "POST",
    headers: { "content-type": "application/json", "x-slack-request-timestamp": ts, "x-slack-signature": `v0=${mac}` },
    body,
  });
  await response.text();
  return response.status;
}

function gateway(options: Partial<ScriptedGateway["options"]> = {}): ScriptedGateway {
  const g = scriptedGateway(runtime.url, {
    ...credentials,
    identities: [{ platform: "slack" }],
    build: "old",
    secondMs: 20,
    ...options,
  });
  gateways.push(g);
  return g;
}

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "reveille-gateway-"));
  platforms = await startPlatforms(0, { slackToken: BOT });
  runtime = await start(0);
  await api("/tenants", { id: "acme" });
  const made = await api<{ gateway: { id: string }; secret: string }>("/gateways", {
    tenant: "acme",
    instance: "one",
    identities: [{ platform: "slack", bot_id: "" }],
  });
  credentials = { id: made.gateway.id, secret: made.secret };
  await api("/bindings", { tenant: "acme", instance: "one", platform: "slack", user_id: USER, scope_id: TEAM });
}, 60_000);
afterAll(async () => {
  for (const g of gateways) g.stop();
  await runtime.stop();
  await platforms.close();
  rmSync(dataDir, { recursive: true, force: true });
});

it("a person's message reaches the gateway; its reply reaches the person", async () => {
  const g = gateway();
  await g.connect();
  expect(await slack("hello there")).toBe(200);
  await g.until("handled", () => g.handled.length === 1);
  expect(g.handled[0]).toMatchObject({ text: "hello there", platform: "slack", chat_id: DM });
  const result = await g.outbound({ op: "send", chat_id: DM, content: "hello *back*", reply_to: null, metadata: {} });
  expect(result).toMatchObject({ success: true, message_id: expect.any(String) });
  expect(platforms.ledger().slack).toMatchObject([{ channel: DM, text: expect.stringContaining("back") }]);
  expect(JSON.stringify(g.frames)).not.toContain(BOT);
  g.stop();
});

it("a socket that drops while its op is under way: the platform's call is finished, its result is never replayed", async () => {
  const g = gateway({ reconnect: false });
  await g.connect();
  platforms.control({ slack: { mode: "ok", delay: 300 } });
  const before = platforms.ledger().slack.length;
  const result = g.outbound({ op: "send", chat_id: DM, content: "said anyway", reply_to: null, metadata: {} });
  await g.until("the call", () => platforms.ledger().calls.at(-1)?.method === "chat.postMessage");
  g.kill();
  const next = gateway();
  await next.connect();
  await next.until("posted", () => platforms.ledger().slack.length === before + 1);
  expect(await slack("go on")).toBe(200);
  await next.until("handled", () => next.handled.length === 1);
  expect(next.frames.filter((f) => f["type"] === "outbound_result")).toEqual([]);
  platforms.control({ slack: { mode: "ok" } });
  next.stop();
  void result;
});

it("kill -9: nothing acked is lost, nothing is out of order, a repeat only where the ack was lost", async () => {
  const g = gateway();
  await g.connect();
  // Handled and not acked yet when the runtime dies: that ack is lost, and that event alone may come again.
  g.holdAcks = true;
  const texts = Array.from({ length: 12 }, (_, i) => `kill ${i}`);
  for (const text of texts) expect(await slack(text, `Ev-${text}`)).toBe(200);
  await g.until("first", () => g.handled.length === 1);
  process.kill(runtime.workerdPid, "SIGKILL");
  await runtime.stop();
  g.holdAcks = false;
  g.held.splice(0);
  runtime = await start(runtime.port);
  await g.until("all", () => g.handled.length === 13, 20_000);
  expect(g.handled.map((h) => h.text)).toEqual(["kill 0", ...texts]);
  // The platform repeats what it was told was taken, for it saw the connection break.
  expect(await slack("kill 3", "Ev-kill 3")).toBe(200);
  expect(await slack("after")).toBe(200);
  await g.until("after", () => g.handled.some((h) => h.text === "after"));
  expect(g.handled).toHaveLength(14);
  g.stop();
});

it("half-open: its process is gone without a word; the next one takes over at the first unacked event", async () => {
  const dead = gateway({ reconnect: false });
  await dead.connect();
  dead.holdAcks = true;
  expect(await slack("stuck")).toBe(200);
  await dead.until("stuck", () => dead.handled.length === 1);
  dead.freeze();
  const next = gateway();
  await next.connect();
  await next.until("stuck", () => next.handled.length === 1);
  expect(await slack("then")).toBe(200);
  await next.until("then", () => next.handled.length === 2);
  expect(next.handled.map((h) => h.text)).toEqual(["stuck", "then"]);
});

it("frames of a socket are taken in the order they were sent, each in a message of its own", async () => {
  const g = gateway({ reconnect: false });
  await g.connect();
  const sent = Array.from({ length: 60 }, (_, i) => ["slack", "telegram", "discord"][(i * 7) % 3]!);
  for (const platform of sent) g.send({ type: "hello", platform, botId: "" });
  await g.until("all described", () => g.descriptors.length === 61);
  expect(g.descriptors.slice(1).map((d) => d["platform"])).toEqual(sent);
  g.stop();
});

it("over the wire: 401 for an expired token, 4401 for a bad one, 426 and 400 without a place", async () => {
  const bad = gateway({ secret: "0".repeat(64), reconnect: false });
  bad.connect().catch(() => {});
  await bad.until("refused", () => bad.closes.length === 1);
  expect(bad.closes).toEqual([{ code: 4401, reason: "unauthorized" }]);
  const late = gateway({ skewS: -1_000, reconnect: false });
  late.connect().catch(() => {});
  await late.until("refused", () => late.refusals.length === 1);
  expect(late.refusals).toEqual([401]);
  expect(late.closes).toEqual([]);
  expect((await runtime.fetch("/relay")).status).toBe(426);
  const token = await upgradeToken(credentials.id, credentials.secret, 0);
  expect((await runtime.fetch("/relay", { headers: { authorization: `Bearer ${token}` } })).status).toBe(426);
});
