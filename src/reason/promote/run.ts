import { HOUR } from "../../kernel/clock";
import { readVar, truthy } from "../../kernel/config";
import { all } from "../../kernel/d1";
import { ReveilleError } from "../../kernel/errors";
import type { Runtime } from "../../kernel/runtime";
import { emailIntent } from "./email-intent";
import { phrasebook } from "./phrasebook";
import { probeFixEnvelopes } from "./probe-fix-envelopes";
import { type Decision, decideProposal, expireProposals, type ProposalView, recordFindings } from "./proposal.store";
import { routerTuning } from "./router-tuning";
import { snapshotExpand } from "./snapshot-expand";
import { toolTrimming } from "./tool-trimming";
import type { PromoteLoop } from "./types";

/** Every loop, in the order of the listener table. */
export const PROMOTE_LOOPS: readonly PromoteLoop[] = [
  phrasebook,
  snapshotExpand,
  routerTuning,
  toolTrimming,
  probeFixEnvelopes,
  emailIntent,
];

const isOn = (runtime: Runtime, variable: string): boolean => truthy(readVar(runtime.vars, variable));

/** How long an operator can reject a proposal of low blast radius before the sweep, when it is on, approves it. */
const SWEEP_AFTER = HOUR;

/** One run of one loop; its answer is the note on the listeners page. Zero LLM. */
export async function runLoop(loop: PromoteLoop, db: D1Database, runtime: Runtime): Promise<string> {
  if (!isOn(runtime, loop.variable)) return `off (${loop.variable})`;
  const now = runtime.clock.now();
  const expired = await expireProposals(db, now);
  const findings = await loop.find(db, now);
  const { made, updated, remembered } = await recordFindings(db, loop, findings, now, runtime.redact);
  const swept = await applyUnasked(loop, db, runtime, now);
  return [
    `${made.length} proposed`,
    `${updated} seen again`,
    ...(remembered > 0 ? [`${remembered} decided before`] : []),
    ...(expired > 0 ? [`${expired} expired`] : []),
    ...(swept > 0 ? [`${swept} approved by setting`] : []),
  ].join(", ");
}

/** The two loops that may, when a variable says so (default off), approve by themselves. It still only adds vocabulary. */
async function applyUnasked(loop: PromoteLoop, db: D1Database, runtime: Runtime, now: number): Promise<number> {
  if (loop.name === "snapshot_expand" && isOn(runtime, "REVEILLE_PROMOTE_SNAPSHOT_EXPAND_AUTO_APPLY"))
    return approveAll(db, loop, "1", now, now, { answer: "approve", by: "auto_apply", source: "cron" });
  if (loop.name === "probe_fix_envelopes" && isOn(runtime, "REVEILLE_PROMOTE_PROBE_FIX_AUTO_APPROVE_LOW"))
    return approveAll(db, loop, "json_extract(body, '$.vocabulary.blast_radius') = 'low'", now, now - SWEEP_AFTER, {
      answer: "approve",
      by: "auto_approve_low",
      source: "cron",
      seam: "promotion.probe_envelope_action_auto_approved",
    });
  return 0;
}

async function approveAll(
  db: D1Database,
  loop: PromoteLoop,
  where: string,
  now: number,
  createdBefore: number,
  decision: Decision,
): Promise<number> {
  const rows = await all<{ key: string }>(
    db
      .prepare(`SELECT key FROM proposal WHERE loop = ? AND state = 'pending' AND created_at <= ? AND ${where}`)
      .bind(loop.name, createdBefore),
  );
  let approved = 0;
  for (const { key } of rows)
    try {
      await decideProposal(db, PROMOTE_LOOPS, key, decision, now);
      approved++;
    } catch (error) {
      // A person was quicker.
      if (!(error instanceof ReveilleError)) throw error;
    }
  return approved;
}

/** The bodies of the `promote_*` listeners, by name. */
export const promoteBodies = (db: D1Database, runtime: Runtime): Record<string, () => Promise<string>> =>
  Object.fromEntries(PROMOTE_LOOPS.map((loop) => [`promote_${loop.name}`, () => runLoop(loop, db, runtime)]));

/** A person's answer to a proposal. @throws ReveilleError 404, 409. */
export const answerProposal = (
  db: D1Database,
  runtime: Runtime,
  key: string,
  answer: "approve" | "reject",
  by: string,
): Promise<ProposalView> =>
  decideProposal(db, PROMOTE_LOOPS, key, { answer, by, source: "operator" }, runtime.clock.now());
