import WebSocket from "ws";
import { connect, type Session } from "../../src/client";
import { startHostAgent } from "../../test/support/agents";
import { startCutProxy } from "../../test/support/cut-proxy";
import { type Stage, say, step } from "./demo.stage";

/** The demo's second half: clients and agents. A client with the package's own typed client, over a network that is cut. */

const QUESTION = "Tell me about the flux of the shop";
const THOUGHT = "Nothing is on fire; the last incident closed itself.";

/** A client asks the built-in agent, its line is cut while the model thinks, and the answer comes by the cursor. */
async function cutMidRun(s: Stage, url: string, cut: () => void): Promise<void> {
  const session = await connect({ url, WebSocket });
  const seen: number[] = [];
  let cuts = 0;
  session.on("event", (event) => void seen.push(event.seq ?? 0));
  session.on("reconnecting", () => void cuts++);
  try {
    await step(
      s,
      "client",
      "connects to the built-in agent",
      "a session",
      5_000,
      async () => session.id,
      (id) => (id ? `session ${id.slice(0, 8)}…` : null),
    );
    s.llm.control({ queue: [{ mode: "good", text: THOUGHT, delay: 1_500 }] });
    const run = session.stream(QUESTION);
    await step(
      s,
      "client",
      "asks, and the model thinks",
      "a first event",
      10_000,
      async () => seen.length,
      (n) => (n > 0 ? `event ${seen[0]} seen` : null),
    );
    say(s, "cut", "the client's line is cut in the middle of the run");
    cut();
    let answer: string | null = null;
    void run.answer.then((a) => {
      answer = a.text;
    });
    await step(
      s,
      "resume",
      "a new line, after the cursor",
      "the answer, and each event once",
      20_000,
      async () => ({ answer, cuts, seen }),
      (r) =>
        r.answer?.includes(THOUGHT) && r.cuts > 0 && r.seen.every((n, i) => n === i + 1)
          ? `the answer, events 1 to ${r.seen.length} once`
          : null,
    );
  } finally {
    session.close();
  }
}

/** An agent announces itself behind the relay, and answers a client that knows only its address. */
async function behindTheRelay(s: Stage, url: string): Promise<void> {
  const agent = await startHostAgent({ relay: s.box.rt.url.replace("http", "ws"), name: `demo agent ${Date.now()}` });
  let session: Session | null = null;
  try {
    interface Agents {
      items: { address: string; online: boolean }[];
    }
    await step(
      s,
      "agent",
      "announces itself behind the relay",
      "it in the list of agents",
      10_000,
      () => s.box.api.call<Agents>("GET", "/api/v1/agents"),
      (list) =>
        list.items.some((a) => a.address === agent.address && a.online) ? `${agent.address.slice(0, 8)}… online` : null,
    );
    session = await connect({ url, WebSocket, agent: agent.address });
    let answer: string | null = null;
    void session.ask("echo hello from behind the relay").then((a) => {
      answer = a.text;
    });
    await step(
      s,
      "relay",
      "a client asks it by its address",
      "its answer",
      10_000,
      async () => answer,
      (text) => (text === "hello from behind the relay" && agent.host.ran.length === 1 ? `"${text}"` : null),
    );
  } finally {
    session?.close();
    agent.stop();
  }
}

export async function talk(s: Stage): Promise<void> {
  const net = await startCutProxy(s.box.rt.port);
  try {
    await cutMidRun(s, net.url, net.cut);
    await behindTheRelay(s, net.url);
  } finally {
    await net.close();
  }
}
