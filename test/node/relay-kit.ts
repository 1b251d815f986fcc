import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectG2 } from "connectonion";
import { connect as connectG1 } from "connectonion-g1";
import WebSocket from "ws";
import type { LogEvent } from "../../scripts/lib/log-event";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";
import { envelope, type Keys, keysOf, nowS } from "../support/onion-keys";

/** A running relay for the conformance tests, and the clients that meet it: the published ones, unmodified, and a signer. */

export interface Relay {
  runtime: LocalRuntime;
  http: string;
  ws: string;
  logs: LogEvent[];
  /** kill -9 and start again over the same data and port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

const VARS = {
  OPERATOR_TOKEN: "relay-test-operator-token-77aa",
  REVEILLE_SESSION_KEY: "k".repeat(32),
  REVEILLE_BEAT_KEY: "b".repeat(32),
  REVEILLE_AGENT_SEED: "5e".repeat(32),
  REVEILLE_TRUST_POLICY: "open",
};

export const OPERATOR_TOKEN = VARS.OPERATOR_TOKEN;

export async function startRelay(): Promise<Relay> {
  const dataDir = mkdtempSync(join(tmpdir(), "reveille-relay-"));
  const logs: LogEvent[] = [];
  const start = (port: number): Promise<LocalRuntime> =>
    startRuntime({ port, dataDir, vars: VARS, onLog: (event) => logs.push(event) });
  const relay: Relay = {
    runtime: await start(0),
    http: "",
    ws: "",
    logs,
    async restart() {
      const { port, workerdPid } = relay.runtime;
      process.kill(workerdPid, "SIGKILL");
      await relay.runtime.stop();
      relay.runtime = await start(port);
    },
    async close() {
      await relay.runtime.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  relay.http = relay.runtime.url;
  relay.ws = relay.http.replace("http", "ws");
  return relay;
}

/** The published client of the second generation. With http it looks the agent up first, as its `wss` URL would. */
export const client = (relay: Relay, agent: string, name: string) =>
  connectG2(agent, { relayUrl: relay.http, keys: keysOf(name) });

/** And of the first. */
export const oldClient = (relay: Relay, agent: string, name: string) =>
  connectG1(agent, { relayUrl: relay.http, keys: keysOf(name) });

export type Frame = Record<string, unknown>;

/** A client on the wire, for what the published ones can't do: the third generation, and bad input. */
export class RawClient {
  readonly frames: Frame[] = [];
  readonly keys: Keys;
  closed: { code: number; reason: string } | null = null;
  #ws: WebSocket;
  #waiters: (() => void)[] = [];

  private constructor(ws: WebSocket, name: string) {
    this.#ws = ws;
    this.keys = keysOf(name);
    const wake = (): void => {
      for (const waiter of this.#waiters.splice(0)) waiter();
    };
    ws.on("message", (data) => {
      this.frames.push(JSON.parse(data.toString()) as Frame);
      wake();
    });
    ws.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      wake();
    });
  }

  static async open(url: string, name: string): Promise<RawClient> {
    const ws = new WebSocket(url, { perMessageDeflate: false });
    const client = new RawClient(ws, name);
    await new Promise<void>((resolve, reject) => {
      ws.on("open", resolve);
      ws.on("error", reject);
    });
    return client;
  }

  send(frame: Frame | string | Uint8Array): void {
    this.#ws.send(typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame));
  }

  /** A CONNECT as the newest Python client signs it. */
  connectFrame(to: string, more: Frame = {}, payload: Frame = {}): Frame {
    return {
      type: "CONNECT",
      to,
      timestamp: nowS(),
      ...more,
      ...envelope(this.keys, { to, timestamp: nowS(), ...payload }),
    };
  }

  /** A signed command of the third generation: all of it is in the payload, and again beside it. */
  command(to: string, type: string, fields: Frame): Frame {
    const payload = { type, ...fields, to, timestamp: nowS(), nonce: crypto.randomUUID() };
    return { ...payload, ...envelope(this.keys, payload) };
  }

  /** The first frame that fits, waiting up to `ms`. */
  async frame(fits: (frame: Frame) => boolean, ms = 5_000): Promise<Frame> {
    return await this.until(() => this.frames.find(fits), ms, "frame");
  }

  type(type: string, ms?: number): Promise<Frame> {
    return this.frame((f) => f["type"] === type, ms);
  }

  async close(ms = 5_000): Promise<{ code: number; reason: string }> {
    return await this.until(() => this.closed ?? undefined, ms, "close");
  }

  async until<T>(look: () => T | undefined, ms: number, what: string): Promise<T> {
    const end = Date.now() + ms;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`no ${what} within ${ms} ms; had ${JSON.stringify(this.frames).slice(0, 2_000)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  leave(): void {
    this.#ws.close();
  }

  cut(): void {
    this.#ws.terminate();
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Looks until it is so, or fails after `ms`. */
export async function eventually<T>(look: () => Promise<T | null | undefined | false>, ms = 5_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not so within ${ms} ms`);
    await sleep(25);
  }
}

/** Closes what a published client left open: it keeps its line for the next input. */
export const drop = (c: ReturnType<typeof client>): void => c.reset();

/** A promise that is looked at later: its failure before that is no news. */
export function failing<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
