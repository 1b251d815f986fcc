import { budgetObject } from "../../durable-objects/budget.do";
import { switchboard } from "../../durable-objects/switchboard.do";
import { runtimeOf } from "../kernel/runtime";
import { makeEngine } from "../reason/engine";
import { remoteTools } from "../reason/mcp";
import { type AskDeps, type AskResult, giveUpAsk, processAsk } from "./ask.consumer";
import type { ConsumerEnv } from "./env";

/** Wiring of the built-in agent: engine, budget, switches and remote tools of this Worker. */
export function askDeps(env: ConsumerEnv): AskDeps {
  const runtime = runtimeOf(env, "consumer");
  return {
    db: env.DB,
    runtime,
    engine: makeEngine(runtime, env),
    budget: budgetObject(env.BUDGET),
    // An unreadable switchboard reads as paused: nothing is spent.
    switches: () => switchboard(env.SWITCHBOARD).readOrStop(),
    remote: () => remoteTools(env.DB, runtime),
  };
}

/** Queue `runs`, kind `ask`: one question to its sent answer. */
export const runAsk = (askId: string, env: ConsumerEnv): Promise<AskResult> => processAsk(askDeps(env), askId);

/** Every try of its message failed: the question ends with that answer, told where it came from. */
export const abandonAsk = (askId: string, env: ConsumerEnv): Promise<boolean> => giveUpAsk(askDeps(env), askId);
