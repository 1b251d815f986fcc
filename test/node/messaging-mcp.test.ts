import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { operatorApi } from "../../scripts/lib/api";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";
import { startWakeReceiver, type WakeReceiver } from "../support/wake-receiver";
import type { Knock } from "../support/wake-receiver.types";

/** Two agents with nothing but this edge and the official MCP client: mail, a wake, an answer; and the operator's client. */

const TOKEN = "messaging-test-operator-token-31d8";
let runtime: LocalRuntime;
let wakes: WakeReceiver;
const dataDir = mkdtempSync(join(tmpdir(), "reveille-messaging-"));
const clients: Client[] = [];

beforeAll(async () => {
  wakes = await startWakeReceiver();
  runtime = await startRuntime({
    port: 0,
    dataDir,
    vars: {
      OPERATOR_TOKEN: TOKEN,
      REVEILLE_SESSION_KEY: "k".repeat(32),
      REVEILLE_BEAT_KEY: "b".repeat(32),
      REVEILLE_HOOK_KEY: "0f".repeat(32),
      REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*",
    },
  });
}, 60_000);
afterAll(async () => {
  for (const client of clients) await client.close();
  await runtime.stop();
  await wakes.close();
  rmSync(dataDir, { recursive: true, force: true });
});

async function connect(key: string): Promise<Client> {
  const client = new Client({ name: "test", version: "1.0.0" });
  const requestInit = { headers: { authorization: `Bearer ${key}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${runtime.url}/mcp`), { requestInit }));
  clients.push(client);
  return client;
}

interface Result {
  isError?: boolean;
  content: { text: string }[];
}

async function call(
  client: Client,
  name: string,
  args: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const result = (await client.callTool({ name, arguments: args })) as unknown as Result;
  const text = result.content[0]!.text;
  if (result.isError) throw new Error(text);
  return JSON.parse(text) as Record<string, unknown>;
}

interface Made {
  id: string;
  key: string;
}
const make = (name: string, wake?: object): Promise<Made> =>
  operatorApi(runtime.url, TOKEN).call("POST", "/api/v1/messaging/agents", { name, wake }) as Promise<Made>;

it("carries mail and a wake between two official clients, and refuses a key that is out", async () => {
  const [north, south] = [await make("north"), await make("south", { url: `${wakes.url}/wake/south` })];
  const [n, s] = [await connect(north.key), await connect(south.key)];
  expect(n.getServerVersion()?.name).toBe("reveille");
  expect((await n.listTools()).tools.map((t) => t.name)).toContain("agent_session_create");
  await n.ping();

  const session = await call(n, "agent_session_create", { topic: "plan", to_agent: "south", message: "are you up?" });
  let woken: Knock[] = [];
  for (const end = Date.now() + 5_000; woken.length === 0 && Date.now() < end; )
    woken = (await (await fetch(`${wakes.url}/_ledger/south`)).json()) as Knock[];
  expect(JSON.parse(woken[0]!.body)).toMatchObject({
    event_type: "agentcomm_wake",
    topic: "plan",
    body: "are you up?",
  });
  const { message_id } = JSON.parse(woken[0]!.body) as { message_id: string };

  await call(s, "agent_ack", { message_id, status: "auto_pong" });
  await call(s, "agent_reply", {
    session_id: session["id"],
    body: "I am",
    reply_to_message_id: message_id,
    close: true,
  });
  const box = await call(n, "agent_inbox");
  expect(box["items"]).toMatchObject([{ body: "I am", kind: "reply", session_status: "closed", from: "south" }]);
  await expect(call(n, "agent_send", { to_agent: "south", body: "x", session_id: session["id"] })).rejects.toThrow(
    "CONFLICT: agent session is closed",
  );

  await operatorApi(runtime.url, TOKEN).call("POST", `/api/v1/messaging/agents/${south.id}/deactivate`);
  await expect(call(s, "agent_inbox")).rejects.toThrow(/401|unauthorized/i);
});

it("wakes an agent through a hook of this same edge, as built and without its public address", async () => {
  const secret = "same-edge-hook-secret-0123456789";
  const { id } = await make("hooked");
  const api = operatorApi(runtime.url, TOKEN);
  const hook = (await api.call("POST", "/api/v1/hooks", {
    ...{ title: "hooked", agent_id: id, agent_name: "hooked", recipient: { kind: "builtin" } },
    ...{ auth_mode: "hmac", secret },
  })) as { id: string };
  await api.call("PUT", `/api/v1/messaging/agents/${id}/wake`, { wake: { url: `/hooks/${hook.id}`, secret } });
  const sender = await connect((await make("sender")).key);
  const message = { to_agent: "hooked", body: "by the front door", idempotency_key: "front" };
  let status: unknown = "queued";
  for (const end = Date.now() + 5_000; status === "queued" && Date.now() < end; )
    status = ((await call(sender, "agent_send", message))["wake"] as { status: string }).status;
  expect(status).toBe("delivered");
  const row = await runtime.d1.prepare("SELECT payload FROM message_wake WHERE hook_id = ?").bind(hook.id).first();
  expect(JSON.parse(String(row?.["payload"]))).toMatchObject({ to_agent_id: id, body: "by the front door" });
});

it("shows the operator's client what is watched", async () => {
  const client = await connect(TOKEN);
  expect((await client.listTools()).tools.map((t) => t.name)).toEqual([
    "targets",
    "incidents",
    "timeline",
    "budget",
    "slo",
  ]);
  expect((await call(client, "targets"))["items"]).toEqual(expect.any(Array));
});

it("keeps what it acknowledged over kill -9", async () => {
  const [a, b] = [await make("ann"), await make("ben")];
  const sent = await call(await connect(a.key), "agent_send", {
    to_agent: "ben",
    body: "keep me",
    idempotency_key: "k",
  });
  const { port, workerdPid } = runtime;
  const vars = { REVEILLE_SESSION_KEY: "k".repeat(32), REVEILLE_BEAT_KEY: "b".repeat(32), OPERATOR_TOKEN: TOKEN };
  process.kill(workerdPid, "SIGKILL");
  await runtime.stop();
  runtime = await startRuntime({ port, dataDir, vars });
  const again = { to_agent: "ben", body: "keep me", idempotency_key: "k" };
  expect(await call(await connect(a.key), "agent_send", again)).toMatchObject({ id: sent["id"], deduplicated: true });
  expect((await call(await connect(b.key), "agent_inbox"))["items"]).toMatchObject([
    { id: sent["id"], body: "keep me" },
  ]);
});
