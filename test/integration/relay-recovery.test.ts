import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { keysOf, signAnnounce, signConnect } from "./onion-kit";
import { type Frame, Line, pair } from "./relay-kit";
import { signedGet } from "./session-kit";

/**
 * What owners can fetch of runs whose client, agent or relay was cut off. The agent is scripted as newest main behaves: it says
 * nothing to a stream that was closed, and tells at the next CONNECT what it knows. Many of these at once, with kill -9:
 * `npm run drill -- relay`.
 */

type Pair = Awaited<ReturnType<typeof pair>>;

async function running(name: string, prompt = "go"): Promise<Pair> {
  const p = await pair(name);
  p.client.send({ type: "INPUT", input_id: "1", prompt });
  await p.agent.type("INPUT");
  return p;
}

const record = async (p: Pick<Pair, "clientKeys" | "rid">): Promise<Frame> =>
  (await signedGet(p.clientKeys, `/sessions/${p.rid}`)).json();
const reads = (p: Pick<Pair, "clientKeys" | "rid">, fields: Frame): Promise<void> =>
  expect.poll(() => record(p), { timeout: 3_000 }).toMatchObject(fields);
const closes = (p: Pair): Frame[] => p.agent.frames.filter((f) => f["type"] === "close");
const held = (p: Pair): Promise<unknown> =>
  runInDurableObject(
    p.agentLine,
    (_o, { storage }) => storage.sql.exec("SELECT line, held FROM binding WHERE rid = ?", p.rid).toArray()[0],
  );

/** The client again, after its agent if that is gone; the agent answers CONNECT with `connected`. */
async function again(p: Pair, connected: Frame): Promise<Line> {
  let agent = p.agent;
  if (agent.closed !== null || agent.ws.readyState !== WebSocket.OPEN) {
    agent = await Line.open("/ws/announce");
    agent.ws.send(await signAnnounce(p.agentKeys));
    await agent.type("ANNOUNCE_OK");
  }
  const line = await Line.open("/ws/input");
  line.ws.send(await signConnect(p.clientKeys, p.agentKeys.address, { session_id: p.rid }));
  await expect.poll(() => agent.frames.at(-1)?.["type"]).toBe("CONNECT");
  agent.send({ type: "CONNECTED", session_id: p.rid, ...connected });
  await line.type("CONNECTED");
  p.agent = agent;
  return line;
}

const items = (...said: [string, string][]): Frame[] =>
  said.map(([type, content], i) => ({ id: String(i), type, content }));

describe("a client that left in the middle of a run", () => {
  it("finds the result by polling: its agent is told of the close when the run is over", async () => {
    const p = await running("poller");
    p.client.ws.close();
    await expect.poll(() => held(p)).toEqual({ line: null, held: 1 });
    // An agent gives a silent stream up after a while.
    p.agent.send({ type: "PING", session_id: p.rid });
    expect(await p.agent.type("PONG")).toMatchObject({ session_id: p.rid });
    expect(closes(p)).toEqual([]);
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "late" });
    await expect.poll(() => closes(p)).toEqual([{ type: "close", session_id: p.rid }]);
    await reads(p, { status: "done", result: "late" });
    p.agent.ws.close();
  });

  it("comes back to a stream of its own: the old one is closed before CONNECT", async () => {
    const p = await running("returner");
    p.client.ws.close();
    await expect.poll(() => held(p)).toEqual({ line: null, held: 1 });
    const line = await again(p, { status: "running" });
    expect(p.agent.frames.map((f) => f["type"]).slice(-2)).toEqual(["close", "CONNECT"]);
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "here" });
    expect(await line.type("OUTPUT")).toMatchObject({ result: "here" });
    line.ws.close();
    // Nothing runs now, so the agent hears at once.
    await expect.poll(() => closes(p)).toHaveLength(2);
    p.agent.ws.close();
  });
});

describe("a run that ended while its agent was out of reach", () => {
  it("has its answer for polling as soon as the agent says that it runs no more", async () => {
    const p = await running("away", "what is it?");
    p.agent.ws.close();
    await reads(p, { status: "interrupted", result: null });
    const said = items(["user", "before"], ["agent", "old"], ["user", "what is it?"], ["agent", "an onion"]);
    const line = await again(p, { status: "connected", server_newer: true, chat_items: said });
    expect(line.frames.map((f) => f["type"])).toEqual(["CONNECTED"]);
    expect(await record(p)).toMatchObject({ status: "done", result: "an onion" });
    line.ws.close();
    p.agent.ws.close();
  });

  it("takes no other question's answer, and does not hang when the agent never heard of it", async () => {
    const p = await running("unheard", "what is it?");
    p.client.ws.close();
    await expect.poll(() => held(p)).toEqual({ line: null, held: 1 });
    expect(await record(p)).toMatchObject({ status: "running" });
    const said = items(["user", "before"], ["agent", "old"]);
    const line = await again(p, { status: "connected", server_newer: true, chat_items: said });
    expect(await record(p)).toMatchObject({ status: "interrupted", result: null });
    line.ws.close();
    p.agent.ws.close();
  });
});

describe("a 0.6.5 agent that was cut off", () => {
  async function old(name: string) {
    const agentKeys = await keysOf(`${name}-agent`);
    const clientKeys = await keysOf(`${name}-client`);
    const announce = async (): Promise<Line> => {
      const agent = await Line.open("/ws/announce");
      agent.ws.send(await signAnnounce(agentKeys, true));
      await agent.type("ANNOUNCE_OK");
      return agent;
    };
    const connect = async (more: { session_id?: string } = {}): Promise<{ line: Line; connected: Frame }> => {
      const line = await Line.open("/ws/input");
      line.ws.send(await signConnect(clientKeys, agentKeys.address, more));
      return { line, connected: await line.type("CONNECTED") };
    };
    const agent = await announce();
    const { line, connected } = await connect();
    return { clientKeys, announce, connect, agent, line, rid: String(connected["session_id"]) };
  }
  const said = (connected: Frame): unknown =>
    (connected["chat_items"] as Frame[]).map((i) => [i["type"], i["content"]]);

  it("has each answer under its own question, also after one that was never answered", async () => {
    const p = await old("turns");
    p.line.send({ type: "INPUT", input_id: "1", prompt: "one" });
    await p.agent.type("INPUT");
    p.agent.ws.close();
    await reads(p, { status: "interrupted" });
    const agent = await p.announce();
    const two = await p.connect({ session_id: p.rid });
    two.line.send({ type: "INPUT", input_id: "2", prompt: "two" });
    const asked = await agent.type("INPUT");
    agent.send({ type: "OUTPUT", input_id: asked["input_id"], result: "the second" });
    await two.line.type("OUTPUT");
    two.line.ws.close();
    const three = await p.connect({ session_id: p.rid });
    expect(said(three.connected)).toEqual([
      ["user", "one"],
      ["user", "two"],
      ["agent", "the second"],
    ]);
    three.line.ws.close();
    agent.ws.close();
  });

  it("has not done two inputs when one of them is answered late", async () => {
    const p = await old("late-pair");
    p.line.send({ type: "INPUT", input_id: "1", prompt: "one" });
    await p.agent.type("INPUT");
    p.line.send({ type: "INPUT", input_id: "2", prompt: "two" });
    await p.line.type("RUNTIME_INPUT_ACK");
    await expect.poll(() => p.agent.frames.filter((f) => f["type"] === "INPUT").length).toBe(2);
    const [one, two] = p.agent.frames.filter((f) => f["type"] === "INPUT").map((f) => f["input_id"]);
    p.agent.ws.close();
    await reads(p, { status: "interrupted" });
    const agent = await p.announce();
    agent.send({ type: "OUTPUT", input_id: one, result: "first" });
    await reads(p, { result: "first" });
    expect(await record(p)).toMatchObject({ status: "interrupted" });
    agent.send({ type: "OUTPUT", input_id: two, result: "second" });
    await reads(p, { status: "done", result: "first\n\nsecond" });
    const again = await p.connect({ session_id: p.rid });
    expect(said(again.connected)).toEqual([
      ["user", "one"],
      ["agent", "first"],
      ["user", "two"],
      ["agent", "second"],
    ]);
    again.line.ws.close();
    agent.ws.close();
  });
});
