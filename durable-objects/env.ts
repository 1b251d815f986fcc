import type { TrustTierPort } from "../src/trust";

/** What a wake message carries: never more than ids (128 KB a message, and rows are the truth). */
export interface WakeMessage {
  wake_id: string;
  kind: "incident" | "message" | "autofix";
}

/**
 * Work that may wait for a model: an investigation of a wake, a question to the built-in agent, a fix to run or verify, or an input of
 * a session that the built-in agent answers.
 */
export type RunMessage =
  | { kind: "investigation"; wake_id: string }
  | { kind: "ask"; ask_id: string }
  | { kind: "autofix"; key: string; step: "run" | "verify" }
  | { kind: "session_run"; session_id: string; run_id: string };

/** Due targets of one shard of one cycle, by number. */
export interface ProbeMessage {
  cycle_at: number;
  shard: number;
  nums: number[];
}

/** Bindings the objects use; the edge Worker's environment extends it. */
export interface ObjectEnv {
  DB: D1Database;
  /** Files between platforms and gateways. */
  MEDIA: R2Bucket;
  WAKE_QUEUE: Queue<WakeMessage>;
  TARGET: DurableObjectNamespace;
  SWITCHBOARD: DurableObjectNamespace;
  BUDGET: DurableObjectNamespace;
  RUNS_QUEUE: Queue<RunMessage>;
  SESSION: DurableObjectNamespace;
  AGENT: DurableObjectNamespace;
  GATEWAY: DurableObjectNamespace;
  AGENT_LINE: DurableObjectNamespace;
  CLIENT_LINE: DurableObjectNamespace;
  /** Wrong or guessable secrets of one caller, by IP. */
  AUTH_LIMIT: RateLimit;
  WORKSPACE: DurableObjectNamespace;
  /** Connections of one caller, by address and by IP. */
  SESSION_LIMIT: RateLimit;
  /** Tier two of trust, in the consumer: nothing else of reasoning is reachable from the edge. */
  REASON: TrustTierPort;
}
