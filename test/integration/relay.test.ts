import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { describe, expect, it, onTestFinished } from "vitest";
import type { AgentLine } from "../../durable-objects/agent-line.do";
import { ClientLine } from "../../durable-objects/client-line.do";
import { runtimeOf } from "../../src/kernel/runtime";
import { createLoginCode } from "../../src/operator";
import { keysOf, signConnect } from "./onion-kit";
import { type Frame, Line, pair, until } from "./relay-kit";

/**
 * Objects of the relay in workerd: real hibernation, alarms, expiry, what is left in the rows. What it does not prove: stock
 * clients (test/node/relay*.test.ts).
 */

describe("hibernation", () => {
  it("lines, bindings and counters outlive the memory of both objects", { timeout: 40_000 }, async () => {
    const p = await pair("hibernate");
    const marks = [p.agentLine, p.clientLine].map((stub) => stub as DurableObjectStub<AgentLine>);
    for (const stub of marks) await runInDurableObject(stub, (o) => Object.assign(o, { mark: 1 }));
    // Real hibernation: idle for longer than the runtime keeps an object (cloudflare-platform.md §2).
    await scheduler.wait(13_000);
    p.client.send({ type: "INPUT", input_id: "1", prompt: "after sleep" });
    expect(await p.agent.type("INPUT")).toMatchObject({ prompt: "after sleep", session_id: p.rid });
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "awake" });
    expect(await p.client.type("OUTPUT")).toMatchObject({ result: "awake" });
    for (const stub of marks) expect(await runInDurableObject(stub, (o) => "mark" in o)).toBe(false);
    p.client.ws.close();
    p.agent.ws.close();
  });
});

describe("a slow client", () => {
  it("holds up nobody else of the same agent", async () => {
    const p = await pair("slow");
    const other = await Line.open("/ws/input");
    other.ws.send(await signConnect(await keysOf("slow-other"), p.agentKeys.address));
    const connect = await until(() => p.agent.frames.filter((f) => f["type"] === "CONNECT")[1], 4_000, "CONNECT");
    const rid = String(connect["session_id"]);
    // The object of the first client is busy for two seconds with whatever comes.
    const real = ClientLine.prototype.deliver;
    ClientLine.prototype.deliver = async function (d) {
      if (d.rid === p.rid) await scheduler.wait(2_000);
      return real.call(this, d);
    };
    onTestFinished(() => {
      ClientLine.prototype.deliver = real;
    });
    const started = Date.now();
    p.agent.send({ type: "thinking", session_id: p.rid, id: "e1", ts: 1 });
    p.agent.send({ type: "CONNECTED", session_id: rid, status: "new" });
    await other.type("CONNECTED");
    expect(Date.now() - started).toBeLessThan(1_000);
    expect(p.client.frames.map((f) => f["type"])).toEqual(["CONNECTED"]);
    // And the slow one gets all of it, in order.
    p.agent.send({ type: "assistant", session_id: p.rid, id: "e2", ts: 2, content: "x" });
    await p.client.type("assistant", 6_000);
    expect(p.client.frames.map((f) => f["type"])).toEqual(["CONNECTED", "thinking", "assistant"]);
    for (const line of [p.client, other, p.agent]) line.ws.close();
  });
});

describe("alarms", () => {
  it("PING every 30 s to an open line, by one alarm, without the agent", async () => {
    const p = await pair("ping");
    const due = await runInDurableObject(p.clientLine, (_o: ClientLine, state) => state.storage.getAlarm());
    expect(due! - Date.now()).toBeGreaterThan(25_000);
    expect(due! - Date.now()).toBeLessThanOrEqual(30_000);
    expect(await runDurableObjectAlarm(p.clientLine)).toBe(true);
    await p.client.type("PING");
    const next = await runInDurableObject(p.clientLine, (_o: ClientLine, state) => state.storage.getAlarm());
    expect(next! - Date.now()).toBeGreaterThan(25_000);
    expect(p.agent.frames.map((f) => f["type"])).toEqual(["ANNOUNCE_OK", "CONNECT"]);
    p.client.ws.close();
    p.agent.ws.close();
  });

  it("end an agent that is silent in every way for 120 s, and tell its clients; traffic keeps it", async () => {
    const p = await pair("silent");
    const age = (ms: number) =>
      runInDurableObject(p.agentLine, (_o: AgentLine, state) => {
        const [ws] = state.getWebSockets();
        const at = ws!.deserializeAttachment() as { heard: number };
        ws!.serializeAttachment({ ...at, heard: Date.now() - ms });
      });
    await age(60_000);
    expect(await runDurableObjectAlarm(p.agentLine)).toBe(true);
    expect(p.agent.closed).toBeNull();
    await age(200_000);
    // Any frame of it counts as life.
    p.agent.send({ type: "thinking", session_id: p.rid, id: "e1", ts: 1 });
    await p.client.type("thinking");
    expect(await runDurableObjectAlarm(p.agentLine)).toBe(true);
    expect(p.agent.closed).toBeNull();
    await age(200_000);
    expect(await runDurableObjectAlarm(p.agentLine)).toBe(true);
    await until(() => p.agent.closed === 4408, 2_000, "4408");
    expect(await p.client.type("ERROR")).toMatchObject({ error: "agent disconnected" });
    await until(() => p.client.closed === 1012, 2_000, "1012");
    const row = await env.DB.prepare("SELECT online FROM agent WHERE address = ?").bind(p.agentKeys.address).first();
    expect(row).toEqual({ online: 0 });
    const kept = await runInDurableObject(p.agentLine, (_o: AgentLine, state) => [...state.storage.kv.list()]);
    expect(kept).toEqual([]);
  });

  it("close a client line that never sends a frame", async () => {
    const line = await Line.open("/ws/input");
    const ids = await idsOfOpen();
    expect(ids).toHaveLength(1);
    await runInDurableObject(ids[0]!, (_o: ClientLine, state) => {
      const [ws] = state.getWebSockets();
      const at = ws!.deserializeAttachment() as { opened: number };
      ws!.serializeAttachment({ ...at, opened: Date.now() - 61_000 });
    });
    expect(await runDurableObjectAlarm(ids[0]!)).toBe(true);
    expect(await line.type("ERROR")).toMatchObject({ error: "no frame came" });
    await until(() => line.closed === 4408, 2_000, "4408");
  });

  async function idsOfOpen(): Promise<DurableObjectStub<ClientLine>[]> {
    const { listDurableObjectIds } = await import("cloudflare:test");
    const found: DurableObjectStub<ClientLine>[] = [];
    for (const id of await listDurableObjectIds(env.CLIENT_LINE)) {
      const stub = env.CLIENT_LINE.get(id) as unknown as DurableObjectStub<ClientLine>;
      const idle = await runInDurableObject(stub, (_o, state) =>
        state.getWebSockets().some((ws) => (ws.deserializeAttachment() as { bound: unknown } | null)?.bound === null),
      );
      if (idle) found.push(stub);
    }
    return found;
  }
});

describe("the record", () => {
  it("is indexed, kept for its time from completion, then deleted by alarm and unseen before", async () => {
    const p = await pair("record");
    p.client.send({ type: "INPUT", input_id: "1", prompt: "keep me" });
    await p.agent.type("INPUT");
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "kept" });
    await p.client.type("OUTPUT");
    await runDurableObjectAlarm(p.clientLine);
    const row = () => env.DB.prepare("SELECT owner, agent, status FROM session_index WHERE id = ?").bind(p.rid).first();
    expect(await row()).toEqual({ owner: p.clientKeys.address, agent: p.agentKeys.address, status: "done" });
    p.client.ws.close();
    await scheduler.wait(50);
    const read = async () => (await exports.default.fetch(`http://reveille.test/sessions/${p.rid}`)).json();
    expect(await read()).toMatchObject({ status: "done", result: "kept" });
    // A day passes: the stored times are moved, the rules are as shipped.
    await runInDurableObject(p.clientLine, (_o: ClientLine, state) => {
      const run = state.storage.kv.get<{ created: number; finished: number }>("run")!;
      state.storage.kv.put("run", { ...run, created: run.created - 86_500_000, finished: run.finished - 86_500_000 });
    });
    // Lazily first: nobody sees an expired record, however late the alarm.
    expect(await read()).toEqual({ error: "not found" });
    await runDurableObjectAlarm(p.clientLine);
    const kept = await runInDurableObject(p.clientLine, (_o: ClientLine, state) => [...state.storage.kv.list()]);
    expect(kept).toEqual([]);
    expect(await row()).toBeNull();
    p.agent.ws.close();
  });

  it("is ended by its own agent only", async () => {
    const p = await pair("mine");
    const other = await pair("other");
    p.client.send({ type: "INPUT", input_id: "1", prompt: "x" });
    await p.agent.type("INPUT");
    other.agent.send({ type: "OUTPUT", session_id: p.rid, result: "forged" });
    await scheduler.wait(100);
    const record = await (await exports.default.fetch(`http://reveille.test/sessions/${p.rid}`)).json();
    expect(record).toMatchObject({ status: "running", result: null });
    for (const line of [p.client, p.agent, other.client, other.agent]) line.ws.close();
  });
});

it("lists agents for the operator, online ones first, page by page", async () => {
  const authorization = `Bearer ${(env as unknown as Record<string, string>)["REVEILLE_OPERATOR_TOKEN"]}`;
  const gone = await pair("listed-gone");
  gone.client.ws.close();
  gone.agent.ws.close();
  const here = await pair("listed-here");
  const list = async (query: string) =>
    (await (
      await exports.default.fetch(`http://reveille.test/api/v1/agents${query}`, { headers: { authorization } })
    ).json()) as { items: Frame[]; next_cursor: string | null };
  await scheduler.wait(100);
  const all = await list("?limit=200");
  const addresses = all.items.map((a) => a["address"]);
  expect(addresses.indexOf(here.agentKeys.address)).toBeLessThan(addresses.indexOf(gone.agentKeys.address));
  expect(all.items[0]).toMatchObject({ online: true, shape: "host", alias: "listed-here" });
  const pages: unknown[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const page = await list(`?limit=1${cursor ? `&cursor=${cursor}` : ""}`);
    pages.push(...page.items.map((a) => a["address"]));
    cursor = page.next_cursor;
  }
  expect(pages).toEqual(addresses);
  here.client.ws.close();
  here.agent.ws.close();
});

it("shows both pages: what to paste while they are empty, then who is here", async () => {
  const page = async (path: string): Promise<string> => {
    const { code } = await createLoginCode(env.DB, runtimeOf(env, "edge").clock.now());
    const signed = await exports.default.fetch(`http://reveille.test/login?code=${code}`, { redirect: "manual" });
    const cookie = signed.headers.get("set-cookie")!.split(";")[0]!;
    const response = await exports.default.fetch(`http://reveille.test${path}`, { headers: { cookie } });
    expect(response.status).toBe(200);
    return response.text();
  };
  const empty = () => env.DB.batch(["session_index", "agent"].map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
  await empty();
  const p = await pair("paged");
  p.client.send({ type: "INPUT", input_id: "1", prompt: "x" });
  await p.agent.type("INPUT");
  await runDurableObjectAlarm(p.clientLine);
  const sessions = await page("/ui/sessions");
  expect(sessions).toContain(`title="${p.rid}"`);
  expect(sessions).toContain(`title="${p.clientKeys.address}"`);
  expect(sessions).toContain("1 running");
  const agents = await page("/ui/agents");
  expect(agents).toContain("<b>paged</b>");
  expect(agents).toContain(`title="${p.agentKeys.address}"`);
  p.client.ws.close();
  p.agent.ws.close();
  await empty();
  expect(await page("/ui/sessions")).toContain("import { connect } from &quot;connectonion&quot;");
  expect(await page("/ui/agents")).toContain("relay_url=");
});
