import { budgetObject } from "../../durable-objects/budget.do";
import { switchboard } from "../../durable-objects/switchboard.do";
import { runtimeOf } from "../kernel/runtime";
import { abandonExplanation, type ExplainDeps, explainWake, proposeFix, spend } from "../reason";
import { makeEngine } from "../reason/engine";
import { fixDeps } from "./autofix";
import type { ConsumerEnv } from "./env";
import type { RunResult } from "./runs.consumer";

export async function explainDeps(env: ConsumerEnv): Promise<ExplainDeps> {
  const runtime = runtimeOf(env, "consumer");
  // An unreadable switchboard reads as paused: nothing is spent.
  const { paused, muted_until } = await switchboard(env.SWITCHBOARD).readOrStop();
  const deps = { db: env.DB, runtime, engine: makeEngine(runtime, env), budget: budgetObject(env.BUDGET), paused };
  return {
    db: env.DB,
    runtime,
    muted_until,
    spend: async (call) => {
      const result = await spend(deps, { ...call, route: "probe_investigation" });
      return { result, usd: result.usd };
    },
    // Read anew: the switches may have been changed while the model was thinking.
    propose: async (fix) => {
      await proposeFix(await fixDeps(env), fix);
    },
  };
}

/** Queue `runs`, kind `investigation`: one told wake to its explanation. */
export const runInvestigation = async (wakeId: string, env: ConsumerEnv): Promise<RunResult> =>
  explainWake(await explainDeps(env), wakeId);

/** Every try of its message failed: the wake ends with its reason, the plain notice stands. */
export const abandonInvestigation = async (wakeId: string, env: ConsumerEnv): Promise<boolean> =>
  abandonExplanation(await explainDeps(env), wakeId);
