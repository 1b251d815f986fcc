import type { ObjectEnv, ProbeMessage } from "../../durable-objects/env";
import type { SloMessage } from "../hooks";

/** Bindings of the edge Worker. Variables are read by name through `kernel/config.ts`, never as typed properties. */
export interface EdgeEnv extends ObjectEnv {
  PROBE_QUEUE: Queue<ProbeMessage>;
  /** Wake probes for the responder. */
  SLO_QUEUE: Queue<SloMessage>;
  /** How many requests the wake hooks take. */
  HOOK_GATE: DurableObjectNamespace;
  BEAT_LIMIT: RateLimit;
}
