import { switchboard } from "../../durable-objects/switchboard.do";
import { targetObject } from "../../durable-objects/target.do";
import { readVar } from "../kernel/config";
import { unwrap } from "../kernel/errors";
import { runtimeOf } from "../kernel/runtime";
import { advanceFix, type FixDeps, type RunDeps } from "../reason";
import type { ConsumerEnv } from "./env";
import type { RunResult } from "./runs.consumer";

/** What asking for a fix needs here; the switchboard is read once for the batch. */
export async function fixDeps(env: ConsumerEnv): Promise<FixDeps> {
  const runtime = runtimeOf(env, "consumer");
  return {
    db: env.DB,
    runtime,
    switches: await switchboard(env.SWITCHBOARD).readOrStop(),
    token: readVar(runtime.vars, "REVEILLE_FLY_WRITE_TOKEN") === "" ? "unset" : "set",
    send: (message) => env.RUNS_QUEUE.send(message).then(() => undefined),
  };
}

/** What running one needs beside: the write token, which exists in this Worker only. */
export async function runDeps(env: ConsumerEnv): Promise<RunDeps> {
  const deps = await fixDeps(env);
  return {
    ...deps,
    write_token: readVar(deps.runtime.vars, "REVEILLE_FLY_WRITE_TOKEN"),
    readSwitches: () => switchboard(env.SWITCHBOARD).readOrStop(),
    look: async (id) => unwrap(await targetObject(env.TARGET, id).look(id)).snapshot,
  };
}

/** Queue `runs`, kind `autofix`: the next step of one fix. */
export const runAutofix = async (key: string, env: ConsumerEnv): Promise<RunResult> =>
  advanceFix(await runDeps(env), key);
