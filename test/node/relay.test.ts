import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freshName, type HostAgent, type LegacyAgent, startHostAgent, startLegacyAgent } from "../support/agents";
import { keysOf } from "../support/onion-keys";
import {
  client,
  drop,
  eventually,
  type Frame,
  failing,
  oldClient,
  RawClient,
  type Relay,
  sleep,
  startRelay,
} from "./relay-kit";

/**
 * The published clients, unmodified, over the running relay (connectonion.md (d), (h)). Both Workers are the real ones, in
 * workerd; the agents are scripted in the shapes of ConnectOnion's newest main and of 0.6.5. Clocks are real ones, so the
 * silent minute takes a minute: it runs beside the other tests.
 */

let relay: Relay;
const agents: (HostAgent | LegacyAgent)[] = [];
let silent: Promise<{ text: string; took: number; pings: number }>;

beforeAll(async () => {
  relay = await startRelay();
  silent = silentMinute();
  silent.catch(() => {});
}, 60_000);
afterEach(() => {
  for (const agent of agents.splice(0)) agent.stop();
});
afterAll(() => relay?.close());

async function host(invite?: string): Promise<HostAgent> {
  const agent = await startHostAgent({ relay: relay.ws, name: freshName("host"), ...(invite ? { invite } : {}) });
  agents.push(agent);
  return agent;
}

async function legacy(): Promise<LegacyAgent> {
  const agent = await startLegacyAgent({ relay: relay.ws, name: freshName("legacy") });
  agents.push(agent);
  return agent;
}

/** An agent that says nothing at all for 65 s: the client would hang up after 60 s without a PING. */
async function silentMinute(): Promise<{ text: string; took: number; pings: number }> {
  const agent = await startHostAgent({ relay: relay.ws, name: freshName("silent") });
  const c = client(relay, agent.address, freshName("patient"));
  const started = Date.now();
  const { text } = await c.input("slow 65000 still here");
  drop(c);
  agent.stop();
  return { text, took: Date.now() - started, pings: agent.received.filter((f) => f["type"] === "PONG").length };
}

const record = async (id: string): Promise<Frame | null> => {
  const response = await relay.runtime.fetch(`/sessions/${id}`);
  return response.ok ? ((await response.json()) as Frame) : null;
};

/** What the client's private state says its session is. */
const sessionOf = (c: { currentSession: unknown }): string => String((c.currentSession as Frame)["session_id"]);

describe("npm 0.1.4", () => {
  it("connects, asks, and asks again over the same line", async () => {
    const agent = await host();
    const c = client(relay, agent.address, freshName("client"));
    expect(await c.input("echo one")).toEqual({ text: "one", done: true });
    expect(await c.input("echo two")).toEqual({ text: "two", done: true });
    expect(agent.host.ran).toEqual(["echo one", "echo two"]);
    expect(agent.crashes).toEqual([]);
    expect(agent.received.filter((f) => f["type"] === "CONNECT")).toHaveLength(1);
    expect(await record(sessionOf(c))).toMatchObject({ status: "done", result: "two" });
    drop(c);
    await eventually(async () => agent.received.find((f) => f["type"] === "close"));
  });

  it("streams events in order", async () => {
    const agent = await host();
    const c = client(relay, agent.address, freshName("client"));
    expect((await c.input("stream 20")).text).toBe("streamed 20");
    const tools = c.ui.filter((item) => item.type === "tool_call");
    expect(tools.map((t) => [t.id, t.status, t.result])).toEqual(
      Array.from({ length: 20 }, (_, i) => [`tool-${i}`, "done", `${i}`]),
    );
    drop(c);
  });

  it("is told by the agent when a run fails", async () => {
    const agent = await host();
    const c = client(relay, agent.address, freshName("client"));
    await expect(c.input("fail")).rejects.toThrow("Agent error: Unable to run agent");
    expect(await record(sessionOf(c))).toMatchObject({ status: "failed", result: null });
  });

  it("gets a late result after a drop, over a new line", async () => {
    const agent = await host();
    const name = freshName("client");
    const c = client(relay, agent.address, name);
    await c.input("echo warm");
    const id = sessionOf(c);
    const lost = failing(c.input("slow 1200 late"));
    await eventually(async () => agent.host.sessions.get(id)?.running);
    // As a network does it: no close frame.
    (c as unknown as { _ws: { terminate(): void } })._ws.terminate();
    await expect(lost).rejects.toThrow("Connection closed before response");
    const again = client(relay, agent.address, name);
    expect(await again.reconnect(id)).toEqual({ text: "late", done: true });
    expect(agent.host.ran).toEqual(["echo warm", "slow 1200 late"]);
    drop(again);
  });

  it("gets a result that came while nobody was connected: by polling, and through CONNECTED", async () => {
    const agent = await host();
    const c = client(relay, agent.address, freshName("client"));
    await c.input("echo warm");
    const id = sessionOf(c);
    const lost = failing(c.input("slow 700 in between"));
    await eventually(async () => agent.host.sessions.get(id)?.running);
    (c as unknown as { _ws: { terminate(): void } })._ws.terminate();
    await expect(lost).rejects.toThrow();
    expect(await record(id)).toMatchObject({ status: "running", result: null, prompt: null });
    await eventually(async () => !agent.host.sessions.get(id)!.running);
    // The scripted agent says nothing to a stream that has ended, as the original: it tells at the next CONNECT.
    expect(await c.reconnect(id)).toEqual({ text: "", done: true });
    expect(c.ui.at(-1)).toMatchObject({ type: "agent", content: "in between" });
    // And the next input() after an idle loss connects by itself.
    (c as unknown as { _ws: { terminate(): void } })._ws.terminate();
    await sleep(100);
    expect((await c.input("echo back")).text).toBe("back");
    expect(sessionOf(c)).toBe(id);
    drop(c);
  });

  it("is let in by an invite code, and its empty INPUT runs nothing", async () => {
    const agent = await host("SESAME-1");
    const c = client(relay, agent.address, freshName("client"));
    const answer = c.input("echo welcome");
    await eventually(async () => c.ui.find((x) => x.type === "onboard_required"));
    c.send(c.signOnboard({ inviteCode: "SESAME-1" }));
    expect(await answer).toEqual({ text: "welcome", done: true });
    expect(agent.host.ran).toEqual(["echo welcome"]);
    drop(c);
  });

  it("answers an approval, also one that was asked before a drop", async () => {
    const agent = await host();
    const c = client(relay, agent.address, freshName("client"));
    const first = c.input("approve lunch");
    await eventually(async () => c.status === "waiting");
    c.send({ type: "APPROVAL_RESPONSE", approved: true, scope: "once" });
    expect((await first).text).toBe("approved lunch");

    const lost = failing(c.input("approve dinner"));
    await eventually(async () => c.status === "waiting");
    (c as unknown as { _ws: { terminate(): void } })._ws.terminate();
    await expect(lost).rejects.toThrow();
    const again = c.reconnect();
    await eventually(async () => c.ui.filter((x) => x.type === "approval_needed").length === 3);
    c.send({ type: "APPROVAL_RESPONSE", approved: false });
    expect((await again).text).toBe("rejected dinner");
    drop(c);
  });

  it("is told at once when the agent is offline or nobody knows it", async () => {
    const agent = await host();
    agent.stop();
    await eventually(async () => ((await lookup(agent.address)) as Frame)["online"] === false);
    for (const address of [agent.address, keysOf(freshName("nobody")).address]) {
      const raw = await RawClient.open(`${relay.ws}/ws/input`, freshName("client"));
      raw.send(raw.connectFrame(address));
      expect(await raw.type("ERROR", 1_000)).toMatchObject({ error: "agent offline" });
      expect((await raw.close(1_000)).code).toBe(4404);
    }
  });

  it("survives a restart of the agent", async () => {
    const agent = await host();
    const c = client(relay, agent.address, freshName("client"));
    await c.input("echo before");
    const lost = failing(c.input("slow 60000 never"));
    const id = sessionOf(c);
    await eventually(async () => (await record(id))?.["status"] === "running");
    agent.crash();
    await expect(lost).rejects.toThrow("Agent error: agent disconnected");
    expect(await record(id)).toMatchObject({ status: "interrupted", result: null });
    await sleep(1_100);
    await agent.again();
    expect((await c.input("echo after")).text).toBe("after");
    drop(c);
  });

  it("finds the built-in agent by the same look-up, and talks to it directly", async () => {
    const { address } = (await (await relay.runtime.fetch("/info")).json()) as { address: string };
    expect(await lookup(address)).toMatchObject({ online: true, endpoints: [relay.http, `${relay.ws}/ws`] });
    const c = client(relay, address, freshName("client"));
    const first = await c.input("is anything down?");
    expect(first.done).toBe(true);
    expect(first.text).not.toBe("");
    expect(await record(sessionOf(c))).toMatchObject({ status: "done", result: first.text });
    drop(c);
  });

  it("stays connected through a minute without a frame of the agent", { timeout: 90_000 }, async () => {
    const { text, took, pings } = await silent;
    expect(text).toBe("still here");
    expect(took).toBeGreaterThan(64_000);
    // Our PINGs are answered to us; the agent asked for none.
    expect(pings).toBe(0);
  });
});

const lookup = async (address: string, path = "/api/relay/agents"): Promise<unknown> =>
  (await relay.runtime.fetch(`${path}/${address}`)).json();

describe("npm 0.0.15", () => {
  it("talks to a 0.6.5 agent: its signed INPUT is its only frame", async () => {
    const agent = await legacy();
    const c = oldClient(relay, agent.address, freshName("old"));
    expect(await c.input("one")).toEqual({ text: "legacy: one", done: true });
    const id = sessionOf(c);
    expect(await c.input("two")).toEqual({ text: "legacy: two", done: true });
    expect(sessionOf(c)).toBe(id);
    expect(await record(id)).toMatchObject({ status: "done", result: "legacy: two", prompt: null });
    // A prompt whose canonical text Python would write differently: 0.6.5 itself refuses it.
    expect((await c.input("héllo 🧅 \u007f")).text).toBe("legacy: héllo 🧅 \u007f");
  });

  it("gets a clear error from an agent of the newer kind", async () => {
    const agent = await host();
    const c = oldClient(relay, agent.address, freshName("old"));
    await expect(c.input("echo no")).rejects.toThrow(/authenticate first \(send CONNECT\)/);
    expect(agent.received.filter((f) => f["type"] !== "ANNOUNCE_OK")).toEqual([]);
  });

  it("finds a result by polling after its line was cut", async () => {
    const agent = await legacy();
    const c = oldClient(relay, agent.address, freshName("old"));
    const lost = failing(c.input("slow 900 polled"));
    const raw = c as unknown as { _activeWs: { terminate(): void } | null };
    await eventually(async () => agent.received.some((f) => f["type"] === "INPUT"));
    const wire = String(agent.received.find((f) => f["type"] === "INPUT")?.["input_id"]);
    const id = wire.slice(0, wire.lastIndexOf(":"));
    raw._activeWs!.terminate();
    await expect(lost).rejects.toThrow("Connection closed before response");
    expect(await record(id)).toMatchObject({ status: "running" });
    await eventually(async () => (await record(id))?.["status"] === "done");
    expect(await record(id)).toMatchObject({ result: "polled" });
  });
});

describe("npm 0.1.4 with a 0.6.5 agent", () => {
  it("is answered by the relay as its host", async () => {
    const agent = await legacy();
    const name = freshName("client");
    const c = client(relay, agent.address, name);
    expect(await c.input("one")).toEqual({ text: "legacy: one", done: true });
    expect(await c.input("two")).toEqual({ text: "legacy: two", done: true });
    expect(agent.received.filter((f) => f["type"] === "INPUT").map((f) => Object.keys(f))).toEqual([
      ["type", "input_id", "prompt"],
      ["type", "input_id", "prompt"],
    ]);
    const id = sessionOf(c);
    const lost = failing(c.input("slow 1500 late"));
    await eventually(async () => (await record(id))?.["status"] === "running");
    (c as unknown as { _ws: { terminate(): void } })._ws.terminate();
    await expect(lost).rejects.toThrow();
    expect(await c.reconnect(id)).toEqual({ text: "late", done: true });
    drop(c);
  });

  it("gets what was finished while it was away through CONNECTED", async () => {
    const agent = await legacy();
    const c = client(relay, agent.address, freshName("client"));
    await c.input("one");
    const id = sessionOf(c);
    const lost = failing(c.input("slow 300 away, and back"));
    await eventually(async () => (await record(id))?.["status"] === "running");
    (c as unknown as { _ws: { terminate(): void } })._ws.terminate();
    await expect(lost).rejects.toThrow();
    await eventually(async () => (await record(id))?.["status"] === "done");
    await c.reconnect(id);
    expect(c.ui.at(-1)).toMatchObject({ type: "agent", content: "away, and back" });
    expect(c.ui.map((x) => x.type)).toEqual(["user", "agent", "user", "agent"]);
    drop(c);
  });
});

describe("the third generation", () => {
  it("passes untouched: every command is signed over its own text", async () => {
    const agent = await host();
    const c = await RawClient.open(`${relay.ws}/ws/input`, freshName("signer"));
    c.send(c.connectFrame(agent.address, {}, { signed_commands: 1 }));
    const connected = await c.type("CONNECTED");
    expect(connected["status"]).toBe("new");
    const prompt = "echo ünï 🧅 \u2028";
    const command = c.command(agent.address, "INPUT", { input_id: "i-1", prompt, files: [] });
    c.send(command);
    expect(await c.type("OUTPUT")).toMatchObject({ result: "ünï 🧅 \u2028", session_id: connected["session_id"] });
    c.send(command);
    expect(await c.type("ERROR")).toMatchObject({ message: "unauthorized: signed command already used" });
    c.send({ type: "INPUT", input_id: "i-2", prompt: "echo unsigned" });
    await c.frame((f) => f["message"] === "unauthorized: signed command required");
    expect(agent.host.ran).toEqual([prompt]);
    c.leave();
  });
});
