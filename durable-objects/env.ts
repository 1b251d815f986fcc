/** What a wake message carries: never more than ids (128 KB a message, and rows are the truth). */
export interface WakeMessage {
  wake_id: string;
  kind: "incident" | "message" | "autofix";
}

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
}
