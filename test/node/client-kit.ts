import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";
import { type ConnectOptions, connect, memoryStore, type RunEvent, type Session, type Store } from "../../src/client";
import { type CutProxy, startCutProxy } from "../support/cut-proxy";
import { type Llm, startLlm } from "../support/llm";

/** A running Reveille with a model, a network before it that can be cut, and typed clients. */

export const SLOW = "Tell me about the flux of the shop";

export interface Edge {
  runtime: LocalRuntime;
  llm: Llm;
  net: CutProxy;
  /** kill -9, and start again over the same data and port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startEdge(): Promise<Edge> {
  const dataDir = mkdtempSync(join(tmpdir(), "reveille-client-"));
  const llm = await startLlm();
  const vars = {
    OPERATOR_TOKEN: "client-test-operator-token-55d1",
    REVEILLE_SESSION_KEY: "k".repeat(32),
    REVEILLE_BEAT_KEY: "b".repeat(32),
    REVEILLE_AGENT_SEED: "3d".repeat(32),
    REVEILLE_TRUST_POLICY: "open",
    REVEILLE_ANTHROPIC_API_KEY: "sk-client-test-key-0001",
    REVEILLE_ANTHROPIC_BASE_URL: `${llm.url}/v1`,
    REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*",
  };
  const edge = { llm, runtime: await startRuntime({ port: 0, dataDir, vars }) } as Edge;
  edge.net = await startCutProxy(edge.runtime.port);
  edge.restart = async () => {
    const { port, workerdPid } = edge.runtime;
    process.kill(workerdPid, "SIGKILL");
    await edge.runtime.stop();
    edge.runtime = await startRuntime({ port, dataDir, vars });
  };
  edge.close = async () => {
    await edge.net.close();
    await edge.runtime.stop();
    await llm.close();
    rmSync(dataDir, { recursive: true, force: true });
  };
  return edge;
}

/** A client whose network can be cut. Without a store it is somebody new. */
export const clientOf = (edge: Edge, options: Partial<ConnectOptions> = {}): Promise<Session> =>
  connect({ url: edge.net.url, WebSocket, store: memoryStore(), pollIntervalMs: 100, ...options });

/** Everything a session told its listeners, in order. */
export function told(session: Session): { kind: string; [more: string]: unknown }[] {
  const all: { kind: string }[] = [];
  for (const kind of ["connected", "reconnecting", "polling", "gap", "refused"] as const)
    session.on(kind, (event) => all.push({ kind, ...event }));
  return all;
}

export async function collect(stream: AsyncIterable<RunEvent>, into: RunEvent[] = []): Promise<RunEvent[]> {
  for await (const event of stream) into.push(event);
  return into;
}

/** The numbers of events: each one once, and upwards. */
export const numbers = (events: RunEvent[]): number[] => events.map((e) => ("seq" in e ? e.seq! : 0));

/** What a page has after a reload: another copy of the same storage. */
export function copyOf(store: Store, keys: string[]): Store {
  const copy = memoryStore();
  for (const key of keys) {
    const value = store.getItem(key);
    if (value !== null) copy.setItem(key, value);
  }
  return copy;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function until<T>(
  look: () => T | Promise<T>,
  ms = 5_000,
): Promise<Exclude<T, null | undefined | false | 0>> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found as Exclude<T, null | undefined | false | 0>;
    if (Date.now() > end) throw new Error(`not so within ${ms} ms`);
    await sleep(20);
  }
}
