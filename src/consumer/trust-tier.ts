import { WorkerEntrypoint } from "cloudflare:workers";
import { budgetObject } from "../../durable-objects/budget.do";
import { switchboard } from "../../durable-objects/switchboard.do";
import { runtimeOf } from "../kernel/runtime";
import type { SpendDeps } from "../reason";
import { makeEngine } from "../reason/engine";
import { judge } from "../trust/agent-tier";
import type { TierInput, TierVerdict } from "../trust/types";
import type { ConsumerEnv } from "./env";

/** What a judgement needs of this Worker: engine, budget, and whether reasoning is stopped. */
export async function tierDeps(env: ConsumerEnv): Promise<SpendDeps> {
  const runtime = runtimeOf(env, "consumer");
  const { paused } = await switchboard(env.SWITCHBOARD).readOrStop();
  return { db: env.DB, runtime, engine: makeEngine(runtime, env), budget: budgetObject(env.BUDGET), paused };
}

/** The edge's service binding `REASON` (design §2): one method, plain data in and out. */
export class TrustTier extends WorkerEntrypoint<ConsumerEnv> {
  /** Judges one client by the policy's text. Never throws; a failure is a denial with its code. */
  async judge(input: TierInput): Promise<TierVerdict> {
    try {
      return await judge(await tierDeps(this.env), input);
    } catch {
      return { allow: false, reason: "Trust could not be judged.", failed: "error" };
    }
  }
}
