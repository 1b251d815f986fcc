import type { RunMessage, WakeMessage } from "../../durable-objects/env";
import type { AiBinding } from "../reason";

/** Bindings of the consumer Worker. Variables are read by name through `kernel/config.ts`. */
export interface ConsumerEnv {
  DB: D1Database;
  WAKE_QUEUE: Queue<WakeMessage>;
  TARGET: DurableObjectNamespace;
  SWITCHBOARD: DurableObjectNamespace;
  BUDGET: DurableObjectNamespace;
  SESSION: DurableObjectNamespace;
  AGENT: DurableObjectNamespace;
  WORKSPACE: DurableObjectNamespace;
  /** Instances of Hermes gateways. */
  GATEWAY: DurableObjectNamespace;
  RUNS_QUEUE: Queue<RunMessage>;
  EMAIL?: SendEmail;
  /** Workers AI; only the deployed Worker has it ([env.production]). */
  AI?: AiBinding;
}
