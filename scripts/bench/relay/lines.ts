import { randomUUID } from "node:crypto";
import { once } from "node:events";
import WebSocket from "ws";
import { envelope, type Keys, keysOf, nowS, pyDumps, signText } from "../../../test/support/onion-keys";
import type { Done, Lanes } from "./load";

/** Lines of clients and agents as they are on the wire, and lanes made of them. */

const PONG = JSON.stringify({ type: "PONG" });
/** How many lines are opened at a time. */
const OPEN_WIDTH = 32;

/** A question of stock size; the answer comes back with the same text in it. */
const PROMPT = "What has changed since yesterday, and does any of it need me today?";

async function open(url: string): Promise<WebSocket> {
  const ws = new WebSocket(url.replace(/^http/, "ws"), { perMessageDeflate: false });
  await new Promise<void>((resolve, reject) => {
    ws.on("open", resolve);
    ws.on("error", reject);
    ws.on("unexpected-response", (_, { statusCode }) => reject(new Error(`${url} answered ${statusCode}.`)));
  });
  return ws;
}

/** Closes and waits until the other side has noticed, at most a second. */
async function leave(ws: WebSocket): Promise<void> {
  const closed = once(ws, "close");
  ws.close(1000);
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
}

async function inTurns<T>(n: number, make: (i: number) => Promise<T>): Promise<T[]> {
  const out: T[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    for (let i = next++; i < n; i = next++) out[i] = await make(i);
  };
  await Promise.all(Array.from({ length: Math.min(OPEN_WIDTH, n) }, one));
  return out;
}

/** An announced agent that answers each INPUT with one OUTPUT, after as many events as it is told to stream. */
export interface BenchAgent {
  address: string;
  /** Stream events before each OUTPUT, and how long a run takes with them, ms. */
  events: number;
  runMs: number;
  close(): Promise<void>;
}

export async function startAgent(url: string): Promise<BenchAgent> {
  const keys = keysOf(`bench-agent-${randomUUID()}`);
  const ws = await open(`${url}/ws/announce`);
  const agent: BenchAgent = { address: keys.address, events: 0, runMs: 0, close: () => leave(ws) };
  const announce = (): void => {
    const content = {
      type: "ANNOUNCE",
      address: keys.address,
      timestamp: nowS(),
      summary: "bench",
      endpoints: [],
      relay: url,
      profile: { alias: "bench", tools: [], model: "none", skills: [] },
      profile_signature: "00",
    };
    ws.send(JSON.stringify({ ...content, signature: signText(keys, pyDumps(content, true)) }));
  };
  const beat = setInterval(announce, 60_000);
  ws.on("close", () => clearInterval(beat));
  await new Promise<void>((resolve, reject) => {
    ws.on("message", (data) => {
      const text = data.toString();
      const id = /"session_id":"([^"]*)"/.exec(text)?.[1] ?? "";
      if (text.includes('"type":"INPUT"')) {
        const output = `{"type":"OUTPUT","session_id":"${id}","result":"${PROMPT}"}`;
        if (agent.events === 0) ws.send(output);
        else streamed(ws, id, agent, output);
      } else if (text.includes('"type":"CONNECT"'))
        ws.send(`{"type":"CONNECTED","session_id":"${id}","status":"connected"}`);
      else if (text.includes('"type":"ANNOUNCE_OK"')) resolve();
      else if (text.includes('"type":"ERROR"')) reject(new Error(`The relay refused the agent: ${text}`));
    });
    announce();
  });
  return agent;
}

/** A run with events, spread evenly over its time. */
function streamed(ws: WebSocket, session: string, agent: BenchAgent, output: string): void {
  const every = agent.runMs / (agent.events + 1);
  for (let i = 1; i <= agent.events; i++) {
    const event = { type: "assistant", id: randomUUID(), ts: nowS(), content: "Looking at it.", session_id: session };
    setTimeout(() => ws.send(JSON.stringify(event)), every * i);
  }
  setTimeout(() => ws.send(output), agent.runMs);
}

/** A client's line that has been CONNECTED; it answers each PING, as stock clients do. */
export interface ClientLine {
  ws: WebSocket;
  keys: Keys;
  session: string;
  /** Called once: with nothing on the next answer (OUTPUT, mode_changed), with an error when the line was refused or ended. */
  answered: Done | null;
  pings: number;
}

/** The relay puts its own keys before those of the agent. */
const TYPE = /"type":"([^"]*)"/;

function answer(line: ClientLine, error?: Error): void {
  const { answered } = line;
  line.answered = null;
  answered?.(error);
}

/** `path`: `/ws/input` (relay) or `/ws` (our own host). `session`: the one to resume, of the same `name`. */
export async function connectClient(
  url: string,
  path: string,
  to: string,
  name: string,
  session: string | null = null,
): Promise<ClientLine> {
  const ws = await open(url + path);
  const line: ClientLine = { ws, keys: keysOf(name), session: "", answered: null, pings: 0 };
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(error);
      answer(line, error);
    };
    ws.on("message", (data) => {
      const text = data.toString();
      switch (TYPE.exec(text)?.[1]) {
        case "OUTPUT":
        case "mode_changed":
          return answer(line);
        case "PING":
          line.pings++;
          return ws.send(PONG);
        case "CONNECTED":
          line.session = (JSON.parse(text) as { session_id: string }).session_id;
          return resolve();
        case "ERROR":
        case "gap":
          return fail(new Error(`A line of the bench was told: ${text}`));
      }
    });
    ws.on("close", (code) => fail(new Error(`A line of the bench was closed with ${code}.`)));
    const signed = envelope(line.keys, { to, timestamp: nowS() });
    ws.send(JSON.stringify({ type: "CONNECT", to, ...(session ? { session_id: session } : {}), ...signed }));
  });
  if (session !== null && line.session !== session)
    throw new Error(`The line asked for session ${session} and got ${line.session}.`);
  return line;
}

const input = (): string => JSON.stringify({ type: "INPUT", input_id: randomUUID(), prompt: PROMPT });

/** Opens lines; with `lent`, each resumes a session whose home is an object that holds no socket any more. */
export async function openLines(
  url: string,
  path: string,
  to: string,
  n: number,
  lent = false,
): Promise<{ lines: ClientLine[]; close(): Promise<void> }> {
  const lines = await inTurns(n, async () => {
    const name = `bench-${randomUUID()}`;
    const first = await connectClient(url, path, to, name);
    if (!lent) return first;
    // The home keeps a session from its first input on.
    await new Promise<void>((resolve, reject) => {
      first.answered = (error) => (error ? reject(error) : resolve());
      first.ws.send(path === "/ws" ? modeChange(0) : input());
    });
    await leave(first.ws);
    // A TypeScript or plain CONNECT signs whole seconds only: within the same one it would be the same signature.
    await new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000) + 5));
    return connectClient(url, path, to, name, first.session);
  });
  return { lines, close: async () => void (await inTurns(n, (i) => leave(lines[i]!.ws))) };
}

const MODES = ["safe", "plan"];
const modeChange = (i: number): string => JSON.stringify({ type: "mode_change", mode: MODES[i % 2] });

/** Questions to the agent behind the relay. */
export async function relayLanes(name: string, url: string, agent: string, n: number, lent: boolean): Promise<Lanes> {
  const { lines, close } = await openLines(url, "/ws/input", agent, n, lent);
  return { name, lines: n, ask: (i, done) => send(lines[i]!, input(), done), close };
}

/** A change that the session's home commits and tells to all lines of its owner. */
export async function hostLanes(name: string, url: string, host: string, n: number, lent: boolean): Promise<Lanes> {
  const { lines, close } = await openLines(url, "/ws", host, n, lent);
  let turn = 0;
  return { name, lines: n, ask: (i, done) => send(lines[i]!, modeChange(turn++), done), close };
}

function send(line: ClientLine, text: string, done: Done): void {
  line.answered = done;
  line.ws.send(text);
}

/** Sockets that get back what they send: the bare chain with its agent, or an echo. */
export async function plainLanes(name: string, url: string, path: string, n: number, agent?: string): Promise<Lanes> {
  const back = agent === undefined ? null : await open(url + agent);
  // The object's name stands before the text, both ways.
  back?.on("message", (data) => {
    const text = data.toString();
    back.send(`${text.slice(0, 36)}{"type":"OUTPUT","session_id":"${text.slice(0, 36)}","result":"${PROMPT}"}`);
  });
  const waiting: (Done | null)[] = [];
  const sockets = await inTurns(n, async (i) => {
    const ws = await open(url + path);
    ws.on("message", () => {
      const done = waiting[i];
      waiting[i] = null;
      done?.();
    });
    return ws;
  });
  return {
    name,
    lines: n,
    ask: (i, done) => {
      waiting[i] = done;
      sockets[i]!.send(input());
    },
    close: async () => {
      await inTurns(n, (i) => leave(sockets[i]!));
      if (back) await leave(back);
    },
  };
}
