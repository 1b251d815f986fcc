import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Api, operatorApi } from "./api";
import type { LogEvent } from "./log-event";
import { type LocalRuntime, startRuntime } from "./runtime";
import type { Vars } from "./vars";

/** Reveille on a fresh data folder with throw-away secrets: what demo, drills and benches run against. */

export const SANDBOX_VARS: Vars = {
  REVEILLE_OPERATOR_TOKEN: "sandbox-operator-token-5d2f8c1e",
  REVEILLE_SESSION_KEY: "sandbox-session-key-6b1e0a94c7d3",
  REVEILLE_BEAT_KEY: "sandbox-beat-key-0f9d3c52a7e8",
  REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*",
};

export interface Sandbox {
  rt: LocalRuntime;
  api: Api;
  /** kill -9 of workerd; the data stays. */
  kill(): Promise<void>;
  /** Starts again on the same data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function openSandbox(options: {
  vars?: Vars;
  clockRate?: number;
  onLog?: (event: LogEvent) => void;
  /** Clients outside find it again: every start takes the port of the first. */
  samePort?: boolean;
}): Promise<Sandbox> {
  const dataDir = mkdtempSync(join(tmpdir(), "reveille-sandbox-"));
  const vars = { ...SANDBOX_VARS, ...options.vars };
  let port = 0;
  const start = (): Promise<LocalRuntime> =>
    startRuntime({
      port,
      dataDir,
      vars,
      ...(options.clockRate === undefined ? {} : { clockRate: options.clockRate }),
      ...(options.onLog ? { onLog: options.onLog } : {}),
    });
  const box = { rt: await start() } as Sandbox;
  if (options.samePort) port = box.rt.port;
  box.api = operatorApi(box.rt.url, vars["REVEILLE_OPERATOR_TOKEN"]!);
  box.kill = async () => {
    process.kill(box.rt.workerdPid, "SIGKILL");
    await box.rt.stop().catch(() => {});
  };
  box.restart = async () => {
    box.rt = await start();
    box.api = operatorApi(box.rt.url, vars["REVEILLE_OPERATOR_TOKEN"]!);
  };
  box.close = async () => {
    await box.rt.stop().catch(() => {});
    rmSync(dataDir, { recursive: true, force: true });
  };
  return box;
}

/** A local service with many addresses, each up or down as told; it keeps its own ledger of what it was asked. */
export interface Service {
  url: string;
  set(path: string, mode: "ok" | "503" | "hang" | "slow" | "flap"): void;
  hits(path: string): number;
  close(): Promise<void>;
}

export async function startService(): Promise<Service> {
  const modes = new Map<string, string>();
  const hits = new Map<string, number>();
  const server: Server = createServer((req, res) => {
    const path = (req.url ?? "/").slice(1);
    hits.set(path, (hits.get(path) ?? 0) + 1);
    const mode = modes.get(path) ?? "ok";
    if (mode === "hang") return;
    // Bad at every second request; 404, because a 5xx would be asked twice within one look.
    if (mode === "flap" && hits.get(path)! % 2 === 1) return void res.writeHead(404).end();
    const answer = (): void => {
      res.writeHead(mode === "503" ? 503 : 200, { "content-type": "text/plain" }).end(mode === "503" ? "down" : "ok");
    };
    if (mode === "slow") setTimeout(answer, 2_000);
    else answer();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set: (path, mode) => void modes.set(path, mode),
    hits: (path) => hits.get(path) ?? 0,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Random numbers from a seed (mulberry32): a drill can be repeated. */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function quantile(values: number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? Number.NaN;
}
