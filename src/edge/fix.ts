import { switchboard } from "../../durable-objects/switchboard.do";
import { notFound, ReveilleError } from "../kernel/errors";
import { utcMinute } from "../kernel/format";
import type { Runtime } from "../kernel/runtime";
import {
  answerFix,
  type FixDeps,
  type FixView,
  fixView,
  operatorCaller,
  proposeFix,
  readApproval,
  readFix,
  staleRun,
  stuckFixes,
  unwrapProposed,
} from "../reason";
import { readIncident } from "../watch";
import type { EdgeEnv } from "./env";

/** What an operator can do about fixes. The vendor is the consumer's matter: this Worker never holds a write token. */

const send =
  (env: EdgeEnv): FixDeps["send"] =>
  async (message) => {
    await env.RUNS_QUEUE.send(message);
  };

const viewOf = async (env: EdgeEnv, key: string): Promise<FixView> => {
  const row = await readFix(env.DB, key);
  if (!row) throw notFound("fix", key);
  return fixView(row, await readApproval(env.DB, key));
};

/** An operator asks for a fix: the same gates as for reasoning. @throws 404, 409 with the code of the gate that refused. */
export async function askForFix(
  env: EdgeEnv,
  runtime: Runtime,
  incidentId: string,
  ask: { action: string; target_id: string; reason: string },
  by: string,
): Promise<FixView> {
  if (!(await readIncident(env.DB, incidentId))) throw notFound("incident", incidentId);
  const deps: FixDeps = {
    db: env.DB,
    runtime,
    switches: await switchboard(env.SWITCHBOARD).readOrStop(),
    token: "elsewhere",
    send: send(env),
  };
  const asked = { incident_id: incidentId, wake_id: null, ...ask, caller: operatorCaller(by) };
  const { key } = unwrapProposed(await proposeFix(deps, asked));
  return viewOf(env, key);
}

const PAST = { approve: "Approved", deny: "Denied" };

/** An operator answers a question. @throws 404 for an unknown one, 409 `used`, `expired` or `gone`. */
export async function answerQuestion(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  answer: "approve" | "deny",
  by: string,
): Promise<FixView> {
  const said = await answerFix({ db: env.DB, runtime, send: send(env) }, id, answer, by);
  if (said.ok) return viewOf(env, said.key);
  if (said.why === "unknown") throw notFound("approval", id);
  const now = runtime.clock.now();
  const message =
    said.why === "used"
      ? `${PAST[said.answer]} by ${said.by} at ${utcMinute(said.at, now)}; it counts once.`
      : said.why === "expired"
        ? "The 15 minutes to answer are over; nothing was changed."
        : "The question does not wait any more.";
  throw new ReveilleError({ status: 409, code: said.why, message });
}

/** Sends fixes on that stand still (a lost message, a run that died, a question that ran out). */
export async function sweepFixes(env: EdgeEnv, runtime: Runtime): Promise<number> {
  const stuck = await stuckFixes(env.DB, runtime.clock.now(), staleRun(runtime.clock.rate));
  if (stuck.length > 0)
    await env.RUNS_QUEUE.sendBatch(stuck.map((s) => ({ body: { kind: "autofix" as const, ...s } })));
  return stuck.length;
}
