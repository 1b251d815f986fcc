import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { ClientLine } from "../../durable-objects/client-line.do";
import { keysOf, signAnnounce, signConnect } from "./onion-kit";
import { type Frame, Line, pair, until } from "./relay-kit";
import { signedGet } from "./session-kit";

/**
 * The event log of an agent behind the relay: it outlives the client, the agent and the object, goes on after a cursor, and
 * says where it has a gap. The agent is scripted; whether stock clients live with it: test/node/relay*.test.ts.
 */

type Pair = Awaited<ReturnType<typeof pair>>;

const event = (p: Pair, id: string, more: Frame = {}): Frame => ({
  type: "assistant",
  session_id: p.rid,
  id,
  ts: 1,
  content: id,
  ...more,
});

async function running(name: string): Promise<Pair> {
  const p = await pair(name);
  p.client.send({ type: "INPUT", input_id: "1", prompt: "go" });
  await p.agent.type("INPUT");
  return p;
}

/** Sent by the agent, and heard: the test pool hands an object its socket events in any order (the runtime itself keeps it). */
async function heard(p: Pair, line: Line, frame: Frame): Promise<void> {
  p.agent.send(frame);
  await until(
    () => line.frames.find((f) => f["type"] === frame["type"] && f["id"] === frame["id"]),
    4_000,
    "the frame",
  );
}

/** The same client on a new line; what it is told after CONNECTED. */
async function back(p: Pair, more: Frame, status = "running", keys = p.clientKeys): Promise<Line> {
  const before = p.agent.frames.filter((f) => f["type"] === "CONNECT").length;
  const line = await Line.open("/ws/input");
  line.ws.send(await signConnect(keys, p.agentKeys.address, { session_id: p.rid, ...more }));
  const connect = await until(() => p.agent.frames.filter((f) => f["type"] === "CONNECT")[before], 4_000, "CONNECT");
  p.agent.send({ type: "CONNECTED", session_id: String(connect["session_id"]), status });
  await line.type("CONNECTED");
  return line;
}

const ids = (line: Line): unknown[] =>
  line.frames.filter((f) => "seq" in f).map((f) => [f["seq"], f["id"] ?? f["result"] ?? f["error"]]);

/** The events of `GET /sessions/{id}/events` until `last` has come. */
async function sse(p: Pair, query: string, last: string, keys = p.clientKeys): Promise<[string, string][]> {
  const response = await signedGet(keys, `/sessions/${p.rid}/events${query}`);
  expect(response.status).toBe(200);
  const reader = response.body!.getReader();
  let text = "";
  while (!text.includes(`event: ${last}\n`)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += new TextDecoder().decode(value);
  }
  await reader.cancel();
  return [...text.matchAll(/^(?:id: (\d+)\n)?event: (\w+)$/gm)].map((m) => [m[1] ?? "", m[2]!]);
}

const record = async (p: Pair): Promise<unknown> => (await signedGet(p.clientKeys, `/sessions/${p.rid}`)).json();

/** The agent's line knows that nobody listens; the agent is not told as long as its run goes on. */
const unheard = (p: Pair): Promise<unknown> =>
  expect
    .poll(() =>
      runInDurableObject(
        p.agentLine,
        (_o, { storage }) => storage.sql.exec("SELECT held FROM binding WHERE rid = ?", p.rid).one()["held"],
      ),
    )
    .toBe(1);

const leave = (...lines: Line[]): void => {
  for (const line of lines) line.ws.close();
};

describe("a client that comes back", () => {
  it("gets what it missed by its cursor, in order, each frame once, and the rest live", async () => {
    const p = await running("log-back");
    for (const id of ["e1", "e2"]) await heard(p, p.client, event(p, id));
    expect(ids(p.client)).toEqual([
      [1, "e1"],
      [2, "e2"],
    ]);
    leave(p.client);
    await unheard(p);
    // Nobody listens: it is kept all the same.
    p.agent.send(event(p, "e3", { n: 10.5, seq: 99 }));
    const again = await back(p, { last_msg_id: "e1" });
    // The agent tells its own events again, as the original does.
    for (const id of ["e1", "e2"]) p.agent.send(event(p, id));
    p.agent.send(event(p, "e3", { n: 10.5, seq: 99 }));
    await heard(p, again, event(p, "e4"));
    await heard(p, again, { type: "OUTPUT", session_id: p.rid, result: "end" });
    expect(ids(again)).toEqual([
      [2, "e2"],
      [3, "e3"],
      [4, "e4"],
      [5, "end"],
    ]);
    expect(again.frames.map((f) => f["type"])).not.toContain("gap");
    expect(again.frames[0]).toMatchObject({ type: "CONNECTED" });
    expect(await sse(p, "", "OUTPUT")).toEqual([
      ["1", "assistant"],
      ["2", "assistant"],
      ["3", "assistant"],
      ["4", "assistant"],
      ["5", "OUTPUT"],
    ]);
    expect(await sse(p, "?last_msg_id=4", "OUTPUT")).toEqual([["5", "OUTPUT"]]);
    expect(await sse(p, "?last_msg_id=e3", "OUTPUT")).toHaveLength(2);
    expect(await record(p)).toMatchObject({ status: "done", result: "end" });
    // A run that is over is in CONNECTED, never a second OUTPUT.
    const later = await back(p, { last_msg_id: "e1" }, "connected");
    await scheduler.wait(100);
    expect(later.frames.map((f) => f["type"])).toEqual(["CONNECTED"]);
    leave(again, later, p.agent);
  });

  it("gets it after the home's restart too, and a question that still waits", async () => {
    const p = await running("log-restart");
    await heard(p, p.client, event(p, "e1"));
    await heard(p, p.client, event(p, "q1", { type: "approval_needed", tool: "danger", arguments: {} }));
    leave(p.client);
    await unheard(p);
    await runInDurableObject(p.clientLine, (_o: ClientLine, state) => state.abort()).catch(() => {});
    const again = await back(p, { last_msg_id: "q1" });
    p.agent.send(event(p, "e1"));
    p.agent.send(event(p, "q1", { type: "approval_needed", tool: "danger", arguments: {} }));
    await again.type("approval_needed");
    expect(ids(again)).toEqual([[2, "q1"]]);
    again.send({ type: "APPROVAL_RESPONSE", approved: true, scope: "once" });
    expect(await p.agent.type("APPROVAL_RESPONSE")).toMatchObject({ approved: true });
    leave(again, p.agent);
  });

  it("is told of a gap: of a cursor nobody knows, and of frames the log could not keep", async () => {
    const p = await running("log-gap");
    p.agent.send(event(p, "e1"));
    await p.client.type("assistant");
    leave(p.client);
    await unheard(p);
    const lost = await back(p, { last_msg_id: "never" });
    expect(await lost.type("gap")).toMatchObject({ last_msg_id: "never", first_seq: 1, session_id: p.rid });
    expect(ids(lost)).toEqual([[1, "e1"]]);
    // 13 MB in frames of a megabyte: the oldest go.
    for (let i = 0; i < 13; i++) {
      p.agent.send(event(p, `big${i}`, { content: "x".repeat(1_000_000) }));
      await until(() => lost.frames.some((f) => f["id"] === `big${i}`), 4_000, `big${i}`);
    }
    leave(lost);
    const again = await back(p, { last_msg_id: 1 });
    const { first_seq } = await again.type("gap");
    expect(first_seq).toBeGreaterThan(2);
    await until(() => again.frames.some((f) => f["id"] === "big12"), 8_000, "what is left");
    expect(ids(again)[0]).toEqual([first_seq, `big${Number(first_seq) - 2}`]);
    const page = await sse(p, "?last_msg_id=1", "assistant");
    expect(page[0]).toEqual(["", "gap"]);
    leave(again, p.agent);
  });
});

describe("the log is its owner's", () => {
  it("another signer hears nothing of it and looks like somebody who asks for nothing", async () => {
    const p = await running("log-owner");
    p.agent.send(event(p, "secret"));
    await p.client.type("assistant");
    const mallory = await keysOf("log-mallory");
    const theirs = await back(p, { last_msg_id: 0 }, "new", mallory);
    await scheduler.wait(50);
    expect(theirs.frames.map((f) => f["type"])).toEqual(["CONNECTED"]);
    // Also of whoever gets as far as the session's home.
    for (const who of [mallory.address, null])
      expect(await p.clientLine.replay(who, null)).toMatchObject({ frames: [], gap: false });
    expect((await p.clientLine.replay(p.clientKeys.address, null)).frames).toHaveLength(1);
    expect((await signedGet(mallory, `/sessions/${p.rid}/events`)).status).toBe(404);
    expect((await signedGet(mallory, `/sessions/${crypto.randomUUID()}/events`)).status).toBe(404);
    leave(theirs, p.client, p.agent);
  });

  it("an agent writes to sessions of its own runs alone", async () => {
    const p = await running("log-mine");
    const other = await running("log-other");
    other.agent.send(event(p, "forged"));
    other.agent.send({ type: "OUTPUT", session_id: p.rid, result: "forged" });
    p.agent.send(event(p, "true"));
    await p.client.type("assistant");
    const forged = {
      ...event(p, "forged"),
      type: "assistant",
      text: "{}",
      id: "f",
      input_id: null,
      end: null,
      idle: null,
    };
    const from = { agent: other.agentKeys.address, session_id: p.rid, legacy: false, lost: false };
    expect(await p.clientLine.hear({ ...from, frames: [forged] })).toBeNull();
    expect(await sse(p, "", "assistant")).toEqual([["1", "assistant"]]);
    expect(ids(p.client)).toEqual([[1, "true"]]);
    leave(p.client, p.agent, other.client, other.agent);
  });
});

describe("a run whose agent dies", () => {
  it("ends in the log as interrupted, and a late answer is still the answer", async () => {
    const p = await running("log-dies");
    p.agent.send(event(p, "e1"));
    await p.client.type("assistant");
    leave(p.agent);
    await until(() => p.client.closed === 1012, 2_000, "1012");
    expect(await sse(p, "", "ERROR")).toEqual([
      ["1", "assistant"],
      ["2", "ERROR"],
    ]);
    expect(await record(p)).toMatchObject({ status: "interrupted" });
    await scheduler.wait(1_000);
    const agent = await Line.open("/ws/announce");
    agent.ws.send(await signAnnounce(p.agentKeys));
    await agent.type("ANNOUNCE_OK");
    agent.send({ type: "OUTPUT", session_id: p.rid, result: "late" });
    expect(await sse(p, "?last_msg_id=2", "OUTPUT")).toEqual([["3", "OUTPUT"]]);
    expect(await record(p)).toMatchObject({ status: "done", result: "late" });
    leave(agent);
  });
});

describe("a CONNECT under way", () => {
  it("neither loses the answer that comes before it is accepted, nor ends the run when it is refused", async () => {
    const p = await running("log-race");
    leave(p.client);
    await unheard(p);
    const first = await Line.open("/ws/input");
    first.ws.send(await signConnect(p.clientKeys, p.agentKeys.address, { session_id: p.rid }));
    await until(() => p.agent.frames.filter((f) => f["type"] === "CONNECT").length === 2, 2_000, "CONNECT");
    p.agent.send({ type: "ERROR", session_id: p.rid, message: "unauthorized: signature expired" });
    await until(() => first.closed === 4401, 2_000, "4401");
    expect(await record(p)).toMatchObject({ status: "running" });
    const second = await Line.open("/ws/input");
    second.ws.send(await signConnect(p.clientKeys, p.agentKeys.address, { session_id: p.rid, last_msg_id: "x" }));
    await until(() => p.agent.frames.filter((f) => f["type"] === "CONNECT").length === 3, 2_000, "CONNECT");
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "just now" });
    await until(async () => ((await record(p)) as Frame)["status"] === "done", 2_000, "the record");
    p.agent.send({ type: "CONNECTED", session_id: p.rid, status: "connected", server_newer: true });
    await second.type("CONNECTED");
    expect(second.frames.map((f) => f["type"])).toEqual(["CONNECTED"]);
    expect(await record(p)).toMatchObject({ status: "done", result: "just now" });
    leave(second, p.agent);
  });
});

it("an agent of 0.6.5 has a log too: the relay's own OUTPUT, once", async () => {
  const agentKeys = await keysOf("log-legacy-agent");
  const clientKeys = await keysOf("log-legacy-client");
  const agent = await Line.open("/ws/announce");
  agent.ws.send(await signAnnounce(agentKeys, true));
  await agent.type("ANNOUNCE_OK");
  const client = await Line.open("/ws/input");
  client.ws.send(await signConnect(clientKeys, agentKeys.address));
  const rid = String((await client.type("CONNECTED"))["session_id"]);
  client.send({ type: "INPUT", input_id: "mine", prompt: "hi" });
  const asked = await agent.type("INPUT");
  agent.send({ type: "OUTPUT", input_id: asked["input_id"], result: "old" });
  expect(await client.type("OUTPUT")).toMatchObject({ seq: 1, result: "old", input_id: "mine", session_id: rid });
  expect(await sse({ rid, clientKeys } as Pair, "", "OUTPUT")).toEqual([["1", "OUTPUT"]]);
  leave(client, agent);
});

it("is forgotten with its result", async () => {
  const p = await running("log-forget");
  await heard(p, p.client, event(p, "e1"));
  await heard(p, p.client, { type: "OUTPUT", session_id: p.rid, result: "x" });
  leave(p.client);
  await runInDurableObject(p.clientLine, (_o: ClientLine, state) => {
    const run = state.storage.kv.get<{ created: number; finished: number }>("run")!;
    state.storage.kv.put("run", { ...run, created: run.created - 86_500_000, finished: run.finished - 86_500_000 });
  });
  expect((await signedGet(p.clientKeys, `/sessions/${p.rid}/events`)).status).toBe(404);
  await runDurableObjectAlarm(p.clientLine);
  const rows = await runInDurableObject(p.clientLine, (_o: ClientLine, state) =>
    state.storage.sql.exec("SELECT COUNT(*) AS n FROM log").one(),
  );
  expect(rows).toEqual({ n: 0 });
  expect(await env.DB.prepare("SELECT 1 FROM session_index WHERE id = ?").bind(p.rid).first()).toBeNull();
  leave(p.agent);
});
