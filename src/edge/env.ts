import type { ObjectEnv, ProbeMessage } from "../../durable-objects/env";

/** Bindings of the edge Worker. Variables are read by name through `kernel/config.ts`, never as typed properties. */
export interface EdgeEnv extends ObjectEnv {
  PROBE_QUEUE: Queue<ProbeMessage>;
  BEAT_LIMIT: RateLimit;
}
