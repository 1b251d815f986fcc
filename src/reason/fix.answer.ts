import { type Approval, answerApproval, findApproval } from "./approval.store";
import { readFix } from "./autofix.store";
import { type FixDeps, fixAudit, hand, startBy } from "./fix.load";

/** The operator's answer to a fix: once, in time, from wherever it comes first. */

/** A button of a question carries `y_` or `n_` and the approval's id; null when it is another button. */
export function approvalOf(actionId: string): { id: string; answer: "approve" | "deny" } | null {
  const m = /^([yn])_([A-Za-z0-9_-]{28})$/.exec(actionId);
  return m ? { id: m[2]!, answer: m[1] === "y" ? "approve" : "deny" } : null;
}
export const approvalButtons = (id: string, verb: string): { label: string; id: string }[] => [
  { label: `Approve ${verb}`, id: `y_${id}` },
  { label: "Deny", id: `n_${id}` },
];

export type Answered =
  | { ok: true; key: string; incident_id: string; answer: "approve" | "deny" }
  | { ok: false; why: "unknown" | "expired" | "gone" }
  | { ok: false; why: "used"; answer: "approve" | "deny"; by: string; at: number };

/**
 * Takes an operator's answer: of any number of presses, wherever they come from, exactly one counts. The run itself is the
 * consumer's and passes every gate again. The caller has checked that `by` is an operator.
 */
export async function answerFix(
  deps: Pick<FixDeps, "db" | "runtime" | "send">,
  id: string,
  answer: "approve" | "deny",
  by: string,
): Promise<Answered> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const known = await findApproval(db, id);
  if (!known) return { ok: false, why: "unknown" };
  const row = await readFix(db, known.autofix_key);
  if (!row) return { ok: false, why: "unknown" };
  const about = { ...row, source: "operator" };
  const details = { key: row.key, action: row.action, target_id: row.machine, app: row.app, by };
  const proofs = [fixAudit(runtime, about, answer === "approve" ? "autofix.approved" : "autofix.denied", details)];
  if (answer === "deny") {
    const end = { ...details, status: "rejected", code: "denied", mode: row.mode, reason_from_reasoning: row.reason };
    const proof = { ...end, before: null, after: null, duration_ms: 0 };
    proofs.push(fixAudit(runtime, about, "tool.probe_autofix_attempted", proof));
  }
  const key = await answerApproval(db, id, { answer, by, now, until: startBy(runtime) }, proofs);
  if (key === null) return lost((await findApproval(db, id)) ?? known, now);
  await hand(deps, key);
  return { ok: true, key, incident_id: known.incident_id, answer };
}

function lost(a: Approval, now: number): Answered {
  if (a.used_at !== null)
    return { ok: false, why: "used", answer: a.answer ?? "approve", by: a.used_by ?? "someone", at: a.used_at };
  return { ok: false, why: a.expires_at <= now ? "expired" : "gone" };
}
