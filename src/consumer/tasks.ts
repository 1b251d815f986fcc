import { describe } from "../kernel/errors";
import { type Runtime, runtimeOf } from "../kernel/runtime";
import { type Body, LISTENERS, runDue } from "../listeners";
import { promoteBodies } from "../reason";
import { checkMcpServers } from "../reason/mcp";
import type { ConsumerEnv } from "./env";

/** The bodies of the consumer's periodic listeners, by name. */
function bodies(env: ConsumerEnv, runtime: Runtime): Record<string, Body> {
  return {
    mcp_consumption: () => checkMcpServers({ db: env.DB, runtime }),
    ...promoteBodies(env.DB, runtime),
  };
}

/** Runs what is due, each on its own. Never throws: what the consumer says about itself must not hang on it. */
export async function runTasks(env: ConsumerEnv): Promise<void> {
  const runtime = runtimeOf(env, "consumer");
  try {
    await runDue(LISTENERS, bodies(env, runtime), runtime.clock.now(), { db: env.DB, runtime, home: "consumer" });
  } catch (error) {
    runtime.log("error", "tasks.failed", { error: describe(error) });
  }
}
