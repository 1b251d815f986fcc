import type { Runtime } from "../kernel/runtime";
import type { Json, Snapshot, Target } from "./types";

/** Wall time for one attempt and its one retry together (design §4.3), ms. */
export const LOOK_DEADLINE_MS = 8_000;

/** What a probe may use. It never throws for what the outside does: every outcome is a snapshot. */
export interface ProbeContext {
  target: Target;
  runtime: Runtime;
  db: D1Database;
  /** Reveille time when the look began, ms. */
  at: number;
  /** Aborts at the deadline. */
  signal: AbortSignal;
  /** What the probe kept from earlier looks (`probe_memory`), or null. */
  memory: Json | null;
  /** Keeps `data` for later looks; written only when it differs. */
  remember(data: Json): void;
}

/** The outcome of a look, before the runner adds `at`. */
export type Outcome = Omit<Snapshot, "at">;
export type Probe = (ctx: ProbeContext) => Promise<Outcome>;
