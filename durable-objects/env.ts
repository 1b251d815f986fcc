/** What a wake message carries: never more than ids (128 KB a message, and rows are the truth). */
export interface WakeMessage {
  wake_id: string;
  kind: "incident" | "message" | "autofix";
}

/** Work that may wait for a model: an investigation of a wake, a question to the built-in agent, or a fix to run or verify. */
export type RunMessage =
  | { kind: "investigation"; wake_id: string }
  | { kind: "ask"; ask_id: string }
  | { kind: "autofix"; key: string; step: "run" | "verify" };

/** Due targets of one shard of one cycle, by number. */
export interface ProbeMessage {
  cycle_at: number;
  shard: number;
  nums: number[];
}

/** Bindings the objects use; the edge Worker's environment extends it. */
export interface ObjectEnv {
  DB: D1Database;
  WAKE_QUEUE: Queue<WakeMessage>;
  TARGET: DurableObjectNamespace;
  SWITCHBOARD: DurableObjectNamespace;
  BUDGET: DurableObjectNamespace;
  RUNS_QUEUE: Queue<RunMessage>;
}
