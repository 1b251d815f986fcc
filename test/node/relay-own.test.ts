import { connect } from "connectonion";
import { connect as connectG1 } from "connectonion-g1";
import { afterAll, beforeAll, expect, it } from "vitest";
import { keysOf } from "../support/onion-keys";
import { eventually, type Frame, RawClient, type Relay, startRelay } from "./relay-kit";

/**
 * The built-in agent over `/ws/input`: a client whose relay is this Reveille, and that asks for its own agent, gets the same
 * host as on `/ws`. With a `ws://` relay URL the published clients make no look-up, so this is the only way they have.
 */

let relay: Relay;
let address = "";

beforeAll(async () => {
  relay = await startRelay();
  address = ((await (await relay.runtime.fetch("/info")).json()) as { address: string }).address;
}, 60_000);
afterAll(() => relay?.close());

const overRelay = (name: string) => connect(address, { relayUrl: relay.ws, keys: keysOf(name) });
const record = async (id: string): Promise<Frame | null> => {
  const response = await relay.runtime.fetch(`/sessions/${id}`);
  return response.ok ? ((await response.json()) as Frame) : null;
};

it("0.1.4: asks, asks again, and finds its session after a cut", async () => {
  const agent = overRelay("by relay");
  const first = await agent.input("How much of the budget is left?");
  expect(first).toMatchObject({ done: true, text: expect.stringMatching(/\$/) });
  const id = agent.currentSession!.session_id!;
  expect(await record(id)).toMatchObject({ status: "done", result: first.text });

  (agent as unknown as { _ws: { terminate(): void } })._ws.terminate();
  await eventually(async () => (agent as unknown as { _ws: unknown })._ws === null);
  expect((await agent.input("What is down?")).text).not.toBe(first.text);
  expect(agent.currentSession).toMatchObject({ session_id: id, iteration: 2 });
  expect(await agent.checkSessionStatus(id)).toBe("connected");
  agent.reset();
});

it("0.1.4: one session over the relay and over `/ws`, another's stays another's", async () => {
  const direct = connect(address, { directUrl: relay.http, keys: keysOf("both ways") });
  await direct.input("What is down?");
  const id = direct.currentSession!.session_id!;
  direct.reset();
  const line = await RawClient.open(`${relay.ws}/ws/input`, "both ways");
  line.send(line.connectFrame(address, { session_id: id }));
  expect(await line.type("CONNECTED")).toMatchObject({ session_id: id, status: "connected", server_newer: true });
  const thief = await RawClient.open(`${relay.ws}/ws/input`, "thief");
  thief.send(thief.connectFrame(address, { session_id: id }));
  const connected = await thief.type("CONNECTED");
  expect(connected).toMatchObject({ status: "new" });
  expect(connected["session_id"]).not.toBe(id);
  expect(connected["chat_items"]).toBeUndefined();
  for (const c of [line, thief]) c.leave();
});

it("the first generation: a signed INPUT alone", async () => {
  // Over http 0.0.15 finds our address and goes to `/ws`; what it would send here is this one frame.
  const line = await RawClient.open(`${relay.ws}/ws/input`, "first generation");
  line.send({ ...line.command(address, "INPUT", { prompt: "How much of the budget is left?" }), input_id: "first" });
  expect(await line.type("OUTPUT")).toMatchObject({ input_id: "first", result: expect.stringMatching(/\$/) });
  line.leave();
  const agent = connectG1(address, { relayUrl: relay.http, keys: keysOf("old") });
  expect((await agent.input("How much of the budget is left?")).text).toMatch(/\$/);
});

it("a line hears of a run that another line of its owner starts", async () => {
  const line = await RawClient.open(`${relay.ws}/ws/input`, "watcher");
  line.send(line.connectFrame(address));
  const id = String((await line.type("CONNECTED"))["session_id"]);
  const other = await RawClient.open(`${relay.ws}/ws`, "watcher");
  other.send(other.connectFrame(address, { session_id: id }));
  await other.type("CONNECTED");
  other.send({ type: "INPUT", input_id: "i-1", prompt: "How much of the budget is left?" });
  expect(await line.type("OUTPUT")).toMatchObject({ input_id: "i-1", session_id: id });
  for (const c of [line, other]) c.leave();
});

it("refuses as `/ws` does: an unsigned CONNECT, a foreign recipient, a binary frame", async () => {
  const unsigned = await RawClient.open(`${relay.ws}/ws/input`, "nobody");
  unsigned.send({ type: "CONNECT", to: address });
  expect(await unsigned.type("ERROR")).toMatchObject({ message: "unauthorized: signed request required" });
  expect((await unsigned.close()).code).toBe(4401);

  const foreign = await RawClient.open(`${relay.ws}/ws/input`, "nobody");
  foreign.send({ ...foreign.connectFrame(keysOf("somebody").address), to: address });
  expect(await foreign.type("ERROR")).toMatchObject({ message: "unauthorized: wrong recipient" });
  expect((await foreign.close()).code).toBe(4401);

  const binary = await RawClient.open(`${relay.ws}/ws/input`, "nobody");
  binary.send(binary.connectFrame(address));
  await binary.type("CONNECTED");
  binary.send(new Uint8Array([1, 2]));
  expect((await binary.close()).code).toBe(1003);
});

it("a run goes on without its line, and its answer is there for the next one", async () => {
  const line = await RawClient.open(`${relay.ws}/ws/input`, "leaver");
  line.send(line.connectFrame(address));
  const id = String((await line.type("CONNECTED"))["session_id"]);
  line.send({ type: "INPUT", input_id: "i-1", prompt: "How much of the budget is left?" });
  await eventually(async () => (await record(id))?.["status"]);
  line.cut();
  await eventually(async () => (await record(id))?.["status"] === "done");
  const back = await RawClient.open(`${relay.ws}/ws/input`, "leaver");
  back.send(back.connectFrame(address, { session_id: id }));
  expect(await back.type("CONNECTED")).toMatchObject({ session_id: id, status: "connected", server_newer: true });
  back.leave();
});
