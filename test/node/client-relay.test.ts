import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { memoryStore, type RunEvent, type Session } from "../../src/client";
import { freshName, type HostAgent, type LegacyAgent, startHostAgent, startLegacyAgent } from "../support/agents";
import { clientOf, collect, type Edge, startEdge, told, until } from "./client-kit";

/** The typed client and agents behind the relay: the oracle of "once" is what the agent itself ran. */

let edge: Edge;
const agents: (HostAgent | LegacyAgent)[] = [];
const sessions: Session[] = [];

beforeAll(async () => {
  edge = await startEdge();
}, 60_000);
afterEach(() => {
  for (const s of sessions.splice(0)) s.close();
  for (const a of agents.splice(0)) a.stop();
});
afterAll(() => edge?.close());

async function host(invite?: string): Promise<HostAgent> {
  const relay = edge.runtime.url.replace("http", "ws");
  const agent = await startHostAgent({ relay, name: freshName("agent"), ...(invite ? { invite } : {}) });
  agents.push(agent);
  return agent;
}

const to = async (agent: { address: string }, options: Parameters<typeof clientOf>[1] = {}): Promise<Session> => {
  const session = await clientOf(edge, { agent: agent.address, ...options });
  sessions.push(session);
  return session;
};

it("asks, and asks again over the same line", async () => {
  const agent = await host();
  const session = await to(agent);
  const stream = session.stream("stream 5");
  const tools = (await collect(stream)).filter((e) => e.type === "tool_result").map((e) => e.result);
  expect(tools).toEqual(["0", "1", "2", "3", "4"]);
  expect(await stream.answer).toMatchObject({ text: "streamed 5", session_id: session.id });
  expect((await session.ask("echo two")).text).toBe("two");
  expect(agent.received.filter((f) => f["type"] === "CONNECT")).toHaveLength(1);
  await expect(session.ask("fail")).rejects.toMatchObject({ code: "run_failed", message: "Unable to run agent" });
});

it("a line that is cut mid-run: every event once, one run, one answer", async () => {
  const agent = await host();
  const session = await to(agent);
  const news = told(session);
  const events: RunEvent[] = [];
  const stream = session.stream("count 12 60 tick");
  const all = collect(stream, events);
  await until(() => events.length >= 3);
  edge.net.cut();
  expect((await stream.answer).text).toBe("tick counted 12");
  await all;
  expect(events.map((e) => (e as { n?: number }).n)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  expect(news.map((n) => n.kind)).toEqual(["reconnecting", "connected"]);
  expect(agent.host.ran).toEqual(["count 12 60 tick"]);
});

it("a reload mid-run, and one after the end that nobody saw", async () => {
  const agent = await host();
  const store = memoryStore();
  const first = await to(agent, { store });
  void first.stream("slow 500 over the reload");
  await until(() => agent.host.ran.length === 1);
  first.close();
  const second = await to(agent, { store });
  expect(second.id).toBe(first.id);
  expect((await second.resume()!.answer).text).toBe("over the reload");
  void second.stream("slow 100 seen by nobody");
  await until(() => agent.host.ran.length === 2);
  second.close();
  await until(() => agent.host.answers.size === 2);
  const third = await to(agent, { store });
  expect((await third.resume()!.answer).text).toBe("seen by nobody");
  expect(agent.host.ran).toHaveLength(2);
});

it("an agent that loses its own line for a moment comes back with the run", async () => {
  const agent = await host();
  const session = await to(agent);
  const news = told(session);
  const stream = session.stream("slow 900 still here");
  await until(() => agent.host.ran.length === 1);
  agent.cut();
  await until(() => news.length > 0);
  await agent.again();
  expect((await stream.answer).text).toBe("still here");
  expect(agent.host.ran).toEqual(["slow 900 still here"]);
  expect(news[0]).toMatchObject({ kind: "reconnecting", reason: "agent disconnected" });
});

it("an agent that dies with the run: the run is told as interrupted, and the session goes on", async () => {
  const agent = await host();
  const session = await to(agent);
  const news = told(session);
  const lost = session.stream("slow 60000 never");
  await until(() => agent.host.ran.length === 1);
  agent.crash();
  // The relay has noticed; a same announcement over a second live line would be a replay.
  await until(() => news.length > 0);
  await agent.again();
  await expect(lost.answer).rejects.toMatchObject({ code: "run_interrupted" });
  expect((await session.ask("echo after")).text).toBe("after");
});

it("answers an approval, also one that was asked before a cut", async () => {
  const agent = await host();
  const session = await to(agent);
  const lunch = session.stream("approve lunch");
  for await (const event of lunch) if (event.type === "approval_needed") expect(session.approve()).toBe(true);
  expect((await lunch.answer).text).toBe("approved lunch");
  const dinner = session.stream("approve dinner");
  const asks: RunEvent[] = [];
  const all = collect(dinner, asks);
  await until(() => asks.length === 1);
  edge.net.cut();
  await until(() => asks.length === 2);
  expect(asks.map((e) => e.type)).toEqual(["approval_needed", "approval_needed"]);
  expect(session.reject("not today")).toBe(true);
  expect((await dinner.answer).text).toBe("rejected dinner");
  await all;
});

it("is let in by an invite code: a wrong one is asked for again, none ends it", async () => {
  const agent = await host("SESAME-1");
  await expect(to(agent)).rejects.toMatchObject({ code: "onboarding_required", retryable: false });
  const errors: (string | null)[] = [];
  const session = await to(agent, {
    onboard: async ({ methods, error }) => {
      errors.push(error);
      expect(methods).toEqual(["invite_code"]);
      return { inviteCode: error === null ? "WRONG" : "SESAME-1" };
    },
  });
  expect(errors).toEqual([null, "Invalid invite code"]);
  expect((await session.ask("echo welcome")).text).toBe("welcome");
  expect(agent.host.ran).toEqual(["echo welcome"]);
});

it("a 0.6.5 agent, whose host the relay is", async () => {
  const agent = await startLegacyAgent({
    relay: edge.runtime.url.replace("http", "ws"),
    name: freshName("legacy"),
  });
  agents.push(agent);
  const session = await to(agent);
  expect((await session.ask("one")).text).toBe("legacy: one");
  const stream = session.stream("slow 500 late");
  await until(() => agent.ran.length === 2);
  edge.net.cut();
  expect((await stream.answer).text).toBe("late");
});

it("the newer of two pages with one session and one key has it; the older one says so", async () => {
  const agent = await host();
  const store = memoryStore();
  const first = await to(agent, { store });
  await first.ask("echo here");
  const stream = first.stream("slow 400 there");
  await until(() => agent.host.ran.length === 2);
  const second = await to(agent, { store });
  await expect(stream.answer).rejects.toMatchObject({ code: "displaced", closeCode: 4410 });
  expect((await second.resume()!.answer).text).toBe("there");
});

it("kill -9 of the edge mid-run: the agent announces itself again, and the answer comes", {
  timeout: 60_000,
}, async () => {
  const agent = await host();
  const session = await to(agent, { reconnectAttempts: 60 });
  const stream = session.stream("slow 1500 through it all");
  await until(() => agent.host.ran.length === 1);
  await edge.restart();
  await agent.again();
  expect((await stream.answer).text).toBe("through it all");
  expect(agent.host.ran).toHaveLength(1);
});
