import { type Stage, say, step } from "./demo.stage";

/** The demo's third part: two agents write to each other, and a probe measures whether the one wakes the other. */

/** What the real message says; the model's stand-in tells by it whose prompt it was. */
const REAL = "Order 1042 is stuck, please look";
/** Finds in a prompt what it is about: the ping stands before the real message, so it would be found first. */
export const ABOUT = new RegExp(`(WAKE_SLO_PING|${REAL})`);
const WORKSPACE = "demo";
/** The edge's own address, as its variable says: its `/mcp` is answered without a network. */
export const PUBLIC_URL = "http://localhost:8787";

interface Agent {
  id: string;
  name: string;
  key: string;
}
interface Probe {
  id: string;
  status: string;
  level: number;
  error_class: string | null;
  l1_ms: number | null;
  l2_ms: number | null;
  l3_ms: number | null;
  l4_ms: number | null;
  message_id: string | null;
}

/** An agent with a key, a hook of its own, and that hook as the place where it is woken. */
async function agentWithHook(s: Stage, name: string): Promise<Agent> {
  const agent = await s.box.api.call<Agent>("POST", "/api/v1/messaging/agents", { workspace: WORKSPACE, name });
  const secret = `demo-hook-secret-${name}-0001`;
  await s.box.api.call("POST", "/api/v1/hooks", {
    ...{ id: name, title: `Messages for ${name}`, agent_id: agent.id, agent_name: name, secret, slo_key: agent.key },
    slo: { peer_url: PUBLIC_URL },
  });
  const wake = { url: `/hooks/${name}`, auth: "bearer", secret };
  await s.box.api.call("PUT", `/api/v1/messaging/agents/${agent.id}/wake`, { wake });
  return agent;
}

/** Calls a tool at /mcp as an agent's own client does. @throws when it was refused. */
async function tool(s: Stage, key: string, name: string, args: Record<string, unknown>): Promise<void> {
  const response = await s.box.rt.fetch("/mcp", {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } }),
  });
  const text = await response.text();
  if (!response.ok || text.includes('"isError":true'))
    throw new Error(`${name}: ${response.status} ${text.slice(0, 200)}`);
}

const newest = async (s: Stage): Promise<Probe | undefined> =>
  (await s.box.api.call<{ items: Probe[] }>("GET", "/api/v1/slo/probes?direction=C2L&limit=1")).items[0];
const taken = async (s: Stage, hook: string): Promise<number> =>
  (await s.box.api.call<{ trigger_count: number }>("GET", `/api/v1/hooks/${hook}`)).trigger_count;

const levels = (p: Probe): string =>
  [p.l1_ms, p.l2_ms, p.l3_ms, p.l4_ms].map((ms, i) => `L${i + 1} ${((ms ?? 0) / 1000).toFixed(1)}`).join(" ");
const answered = (p: Probe | undefined): p is Probe =>
  p?.status === "ok" && p.level === 4 && [p.l1_ms, p.l2_ms, p.l3_ms, p.l4_ms].every((ms) => ms !== null);

/** A ping as a message like any other, over the real wake, answered before any model. */
async function probed(s: Stage, north: Agent, south: Agent): Promise<void> {
  await s.box.api.call("PUT", "/api/v1/slo/directions/C2L", {
    from_agent: north.id,
    to_agent: south.id,
    peer_kind: "embedded",
  });
  const run = s.box.rt.consumerProber();
  await step(
    s,
    "probe",
    "north pings south",
    "its four levels",
    15_000,
    () => newest(s),
    (p) => (answered(p) ? `${levels(p)} s, no model` : null),
  );
  await run;
}

/**
 * South's hook is off for a moment, so that a ping and a real message wait together and come in one push: the ping is answered,
 * the message reaches the built-in agent, and neither hides the other.
 */
async function mixed(s: Stage, north: Agent, south: Agent): Promise<void> {
  const asked = s.llm.ledger().calls.length;
  const before = (await newest(s))?.id;
  await s.box.api.call("PATCH", "/api/v1/hooks/south", { enabled: false });
  await s.box.api.call("POST", "/api/v1/slo/directions/C2L/run");
  const run = s.box.rt.consumerProber();
  const waiting = await step(
    s,
    "hold",
    "south's hook is off",
    "a ping that waits",
    10_000,
    () => newest(s),
    (p) => (p && p.id !== before && p.message_id !== null ? "a second ping waits" : null),
  );
  await tool(s, north.key, "agent_send", { to_agent: south.id, topic: "orders", body: REAL });
  const count = await taken(s, "south");
  await s.box.api.call("PATCH", "/api/v1/hooks/south", { enabled: true });
  say(s, "mixed", "the hook is on again: one push carries the ping and a real message");
  const calls = () => s.llm.ledger().calls.slice(asked);
  await step(
    s,
    "message",
    "the real one",
    "a prompt with it and without the ping",
    15_000,
    async () => ({ about: calls().map((c) => c.about), pushes: (await taken(s, "south")) - count }),
    ({ about, pushes }) =>
      about.includes(REAL) && !about.includes("WAKE_SLO_PING") && pushes === 1 ? "with the built-in agent" : null,
  );
  await step(
    s,
    "probe",
    "the ping of the same push",
    "its four levels",
    15_000,
    () => newest(s),
    (p) => (waiting && p?.id === waiting.id && answered(p) ? `${levels(p)} s, no model` : null),
  );
  await run;
}

export async function wake(s: Stage): Promise<void> {
  const north = await agentWithHook(s, "north");
  const south = await agentWithHook(s, "south");
  await probed(s, north, south);
  await mixed(s, north, south);
}
