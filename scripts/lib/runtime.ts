import { join } from "node:path";
import type { D1Database } from "@cloudflare/workers-types/2023-07-01";
import type { WorkerOptions } from "miniflare";
import { bundleWorker } from "./bundle";
import { type LogEvent, readLogEvent } from "./log-event";
import { applyMigrations } from "./migrate";
import { WORKERS } from "./paths";
import { childrenNamed } from "./processes";
import { splitVars, type Vars } from "./vars";
import { readWorkerConfig } from "./worker-options";

export interface RuntimeOptions {
  /** Port on 127.0.0.1; 0 takes a free one. */
  port: number;
  /** Where D1, objects and R2 live. State is kept over restarts; queues are in memory, as in wrangler. */
  dataDir: string;
  /** Variables by any of their names; each Worker gets only what it may hold. */
  vars: Vars;
  /** Speed of Reveille time (kernel/clock.ts); 1 unless a demo, drill or test says so. */
  clockRate?: number;
  /** Other Workers for the same runtime: what a bench measures beside ours. Their sockets are direct. */
  beside?: WorkerOptions[];
  /** The edge's entry point in place of the shipped one, relative to the root; a bench that counts wraps it. */
  edgeEntry?: string;
  /** The same for the consumer. */
  consumerEntry?: string;
  /** Every JSON log line of the Workers. */
  onLog?: (event: LogEvent) => void;
  /** Every other line the runtime writes. */
  onText?: (line: string) => void;
}

/** Both Workers running in workerd on this machine. */
export interface LocalRuntime {
  url: string;
  port: number;
  d1: D1Database;
  /** Names of the migrations applied by this start, and how long it took (ms). */
  migrated: { names: string[]; ms: number };
  /** The workerd process, for drills that kill it. */
  workerdPid: number;
  /** A Worker's own socket, without Miniflare's entry Worker before it. Only with `beside`. No slash at its end. */
  direct(worker: string): Promise<string>;
  /** A request to the edge: `path` starts with a slash. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Runs the edge's cron handler, and waits for it. `at` is wall time, ms. @throws when the handler failed. */
  tick(at?: number): Promise<void>;
  /** The same for the consumer's cron. */
  consumerTick(at?: number): Promise<void>;
  /** And for its second one, which runs its listeners. */
  consumerTasks(at?: number): Promise<void>;
  /** The third: wake probes. It lasts as long as they do. */
  consumerProber(at?: number): Promise<void>;
  /** Stops workerd; data stays. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Bundles both Workers and starts them in Miniflare without wrangler's dev proxy (a tenth of the speed), offline.
 * @throws esbuild's error with file and line, Miniflare's when the port is taken, D1's when a migration fails.
 */
export async function startRuntime(options: RuntimeOptions): Promise<LocalRuntime> {
  process.env["CLOUDFLARE_CF_FETCH_ENABLED"] = "false";
  // esbuild works in its own process while the two large packages load here.
  const codes = Promise.all(
    WORKERS.map((w, i) => bundleWorker([options.edgeEntry, options.consumerEntry][i] ?? w.entry)),
  );
  codes.catch(() => {});
  const { Miniflare, Log, LogLevel } = await import("miniflare");
  const configs = await Promise.all(WORKERS.map((w) => readWorkerConfig(w.config)));
  const { edge, consumer } = splitVars({
    ...options.vars,
    ...(options.clockRate === undefined ? {} : { REVEILLE_CLOCK_RATE: String(options.clockRate) }),
  });
  const vars = [edge, consumer];
  const workers: WorkerOptions[] = (await codes).map((code, i) => ({
    ...configs[i]!.options,
    name: WORKERS[i]!.name,
    modules: [{ type: "ESModule", path: "index.mjs", contents: code }],
    bindings: { ...configs[i]!.options.bindings, ...vars[i] },
  }));
  if (options.beside) {
    workers.push(...options.beside);
    for (const worker of workers) worker.unsafeDirectSockets = [{ host: "127.0.0.1", port: 0 }];
  }

  const before = new Set(childrenNamed(process.pid, "workerd"));
  const mf = new Miniflare({
    host: "127.0.0.1",
    port: options.port,
    cf: false,
    log: new Log(LogLevel.NONE),
    // The layout of `wrangler dev --persist-to`, so that its commands find the same database.
    defaultPersistRoot: join(options.dataDir, "v3"),
    structuredWorkerdLogs: true,
    handleStructuredLogs: ({ message }: { message: string }) => {
      const event = readLogEvent(message);
      if (event) options.onLog?.(event);
      else options.onText?.(message);
    },
    workers,
  });
  try {
    const url = await mf.ready;
    const d1 = (await mf.getD1Database("DB", WORKERS[0].name)) as unknown as D1Database;
    const started = performance.now();
    const names = await applyMigrations(d1);
    const migrated = { names, ms: performance.now() - started };
    const workerdPid = childrenNamed(process.pid, "workerd").find((pid) => !before.has(pid)) ?? 0;
    const cron = async (index: 0 | 1, at = Date.now(), nth = 0): Promise<void> => {
      const worker = await mf.getWorker(WORKERS[index].name);
      const crons = configs[index]!.crons;
      const result = await worker.scheduled({ scheduledTime: new Date(at), cron: crons[nth] ?? "* * * * *" });
      if (result.outcome !== "ok")
        throw new Error(`The cron handler of ${WORKERS[index].name} ended with "${result.outcome}".`);
    };
    let stopping: Promise<void> | null = null;
    const base = `http://127.0.0.1:${url.port}`;
    return {
      url: base,
      port: Number(url.port),
      d1,
      migrated,
      workerdPid,
      direct: async (worker) => (await mf.unsafeGetDirectURL(worker)).href.replace(/\/$/, ""),
      fetch: (path, init) => fetch(base + path, init),
      tick: (at) => cron(0, at),
      consumerTick: (at) => cron(1, at),
      consumerTasks: (at) => cron(1, at, 1),
      consumerProber: (at) => cron(1, at, 2),
      stop: () => (stopping ??= mf.dispose()),
    };
  } catch (error) {
    await mf.dispose().catch(() => {});
    throw error;
  }
}
