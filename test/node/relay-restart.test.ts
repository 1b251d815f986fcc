import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { freshName, type HostAgent, type LegacyAgent, startHostAgent, startLegacyAgent } from "../support/agents";
import { client, drop, eventually, type Frame, failing, type Relay, sleep, startRelay } from "./relay-kit";

/** kill -9 of workerd under the published client and the agents: nothing that was accepted is lost, and the record says so. */

let relay: Relay;
const agents: (HostAgent | LegacyAgent)[] = [];

beforeAll(async () => {
  relay = await startRelay();
}, 60_000);
afterEach(() => {
  for (const agent of agents.splice(0)) agent.stop();
});
afterAll(() => relay?.close());

const record = async (id: string): Promise<Frame | null> => {
  const response = await relay.runtime.fetch(`/sessions/${id}`);
  return response.ok ? ((await response.json()) as Frame) : null;
};
const sessionOf = (c: { currentSession: unknown }): string => String((c.currentSession as Frame)["session_id"]);

it("survives kill -9 of the relay in the middle of a run", { timeout: 60_000 }, async () => {
  const agent = await startHostAgent({ relay: relay.ws, name: freshName("host") });
  agents.push(agent);
  const name = freshName("client");
  const c = client(relay, agent.address, name);
  await c.input("echo before");
  const id = sessionOf(c);
  const lost = failing(c.input("slow 4000 through it all"));
  await eventually(async () => agent.host.sessions.get(id)?.running);
  await relay.restart();
  await expect(lost).rejects.toThrow();
  // Nobody is left to say so, and still the record tells the truth: the line is gone.
  expect(await record(id)).toMatchObject({ status: "interrupted" });
  await agent.again();
  const late = await c.reconnect(id);
  expect([late.text, c.ui.at(-1)?.type === "agent" && c.ui.at(-1)]).toContainEqual(
    late.text === "" ? expect.objectContaining({ content: "through it all" }) : "through it all",
  );
  expect(agent.host.ran).toEqual(["echo before", "slow 4000 through it all"]);
  expect((await c.input("echo after")).text).toBe("after");
  drop(c);
});

it("keeps a result over kill -9, for its owner and for polling", { timeout: 60_000 }, async () => {
  const agent = await startLegacyAgent({ relay: relay.ws, name: freshName("legacy") });
  agents.push(agent);
  const name = freshName("client");
  const c = client(relay, agent.address, name);
  await c.input("remember me");
  const id = sessionOf(c);
  await relay.restart();
  expect(await record(id)).toMatchObject({ status: "done", result: "legacy: remember me" });
  await sleep(100);
  await agent.again();
  // The history is the relay's here, so a client without any gets it from us.
  const fresh = client(relay, agent.address, name);
  await fresh.reconnect(id);
  expect(fresh.ui.at(-1)).toMatchObject({ type: "agent", content: "legacy: remember me" });
  drop(fresh);
  drop(c);
});
