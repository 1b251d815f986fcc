import { MINUTE, SECOND } from "../kernel/clock";
import { ReveilleError } from "../kernel/errors";
import {
  composeFixAnswered,
  composeFixAsk,
  composeFixDryRun,
  composeFixResult,
  deliver,
  deliverInThread,
  editSent,
  type FixResult,
  type Notice,
} from "../notify";
import { readIncident, type Snapshot } from "../watch";
import { readApproval } from "./approval.store";
import { type FixOutcome, outcomeOf, sickIn } from "./autofix";
import { askedId, type FixRow, readFix, settleOutcome, toldId } from "./autofix.store";
import { approvalButtons } from "./fix.answer";
import { type FixDeps, fixAudit, type SwitchesNow } from "./fix.load";
import { mutedUntil, verbOf, wordsOf } from "./fix.words";
import { sunk } from "./fly";

/** What a fix tells and how its outcome is settled: the question, the dry run, the answer, the end. */

export interface RunDeps extends FixDeps {
  /** The write token; empty = unset. It goes into one header and nowhere else. */
  write_token: string;
  /** Read again right before the vendor write. */
  readSwitches(): Promise<SwitchesNow>;
  /** Asks the target's own object for a look. Null when it can't. */
  look(targetId: string): Promise<Snapshot | null>;
  /** Wall ms; for tests. */
  call_ms?: number;
  poll_ms?: number;
}

export type FixStep = { done: true } | { done: false; retry_at: number };
export const DONE: FixStep = { done: true };

const frameOf = (deps: RunDeps, id: string) => ({
  id,
  at: deps.runtime.clock.now(),
  publicUrl: deps.runtime.config.publicUrl,
});

const about = (row: FixRow, category: string | null = null) => ({
  incident_id: row.incident_id,
  wake_id: row.wake_id,
  probe: row.probe,
  category,
  source: row.by === "reasoning" || row.by === "auto" ? "reasoning" : "operator",
});

/** The one `tool.probe_autofix_attempted` row of a call, at its end. */
export const attempted = (deps: RunDeps, row: FixRow, category: string | null, end: Record<string, unknown>) =>
  fixAudit(deps.runtime, about(row, category), "tool.probe_autofix_attempted", {
    key: row.key,
    action: row.action,
    target_id: row.machine,
    app: row.app,
    mode: row.mode,
    by: row.by,
    reason_from_reasoning: row.reason,
    before: null,
    after: null,
    duration_ms: 0,
    ...end,
  });

/** Told where its incident was told, in that thread; what is muted stays in the inbox. */
async function say(deps: RunDeps, row: FixRow, notice: Notice): Promise<FixStep> {
  const opts = { wake_id: row.wake_id, key: notice.id };
  const muted = Math.max(deps.switches.muted_until ?? 0, (await mutedUntil(deps.db, row.target_id)) ?? 0);
  const result =
    muted > deps.runtime.clock.now()
      ? await deliver(deps, notice, { ...opts, push: false, reason: "muted" })
      : await deliverInThread(deps, notice, opts);
  return result.done ? DONE : { done: false, retry_at: result.retry_at };
}

export async function ask(deps: RunDeps, row: FixRow): Promise<FixStep> {
  const approval = await readApproval(deps.db, row.key);
  const buttons = approval && approval.used_at === null ? approvalButtons(approval.id, verbOf(row)) : [];
  const words = await wordsOf(deps.db, row);
  const notice = composeFixAsk(frameOf(deps, askedId(row)), words, buttons);
  return say(deps, row, notice);
}

export async function tell(deps: RunDeps, row: FixRow): Promise<FixStep> {
  const words = await wordsOf(deps.db, row);
  const frame = frameOf(deps, toldId(row));
  const notice =
    row.state === "planned" ? composeFixDryRun(frame, words) : composeFixResult(frame, words, resultOf(row));
  return say(deps, row, notice);
}

const stateIn = (json: string | null): string | null => {
  const state = json === null ? null : (JSON.parse(json) as { state?: unknown }).state;
  return typeof state === "string" ? state : null;
};

function resultOf(row: FixRow): FixResult {
  const ms = Math.max(0, (row.finished_at ?? 0) - (row.started_at ?? row.finished_at ?? 0));
  const state = stateIn(row.after_state);
  if (row.state === "unknown_outcome") return { kind: "unknown_outcome" };
  if (row.state === "failed")
    return { kind: "failed", sent: row.started_at !== null, error: row.error ?? "No reason kept." };
  if (row.outcome === "recovered") return { kind: "recovered", state: state ?? "started", ms };
  return row.outcome === "worse"
    ? { kind: "worse", state, error: row.error }
    : { kind: "no_change", state, ms, error: row.error };
}

export async function showAnswer(
  deps: RunDeps,
  row: FixRow,
  answer: "approved" | "denied" | "expired" | "refused",
  detail = "",
) {
  if (row.mode !== "approve") return;
  const id = askedId(row);
  await editSent(deps, id, composeFixAnswered(frameOf(deps, id), await wordsOf(deps.db, row), answer, detail));
}

/** An outcome is waited for this long when our own look can't see, wall ms. */
const LOOK_AGAIN = 30 * SECOND;
const LOOK_FOR = 3 * MINUTE;

/** Our own next look beside what the poll saw; then the outcome is settled once and told. */
export async function verify(deps: RunDeps, row: FixRow): Promise<FixStep> {
  const { db, runtime } = deps;
  const snapshot = await deps.look(row.target_id).catch((error: unknown) => {
    if (error instanceof ReveilleError) return null;
    throw error;
  });
  const now = runtime.clock.now();
  const blind = snapshot === null || snapshot.status === "unknown";
  if (blind && now - (row.finished_at ?? now) < LOOK_FOR * runtime.clock.rate)
    return { done: false, retry_at: now + LOOK_AGAIN * runtime.clock.rate };
  const before = JSON.parse(row.before_state ?? "{}") as { state?: string; target_status?: string | null };
  const after = JSON.parse(row.after_state ?? "{}") as { state?: string; checks?: string[] };
  const outcome: FixOutcome = outcomeOf({
    serving: after.state === "started" && (after.checks ?? []).every((c) => c === "passing"),
    sank: after.state !== undefined && sunk(after.state) && !sunk(before.state ?? ""),
    before: before.target_status ? { status: before.target_status } : null,
    after:
      blind || snapshot === null ? null : { status: snapshot.status, sick: sickIn(snapshot, row.app, row.machine) },
  });
  const incident = await readIncident(db, row.incident_id);
  const proof = fixAudit(runtime, about(row, incident?.category ?? null), "autofix.outcome", {
    key: row.key,
    target_id: row.machine,
    app: row.app,
    outcome,
    machine_state: after.state ?? null,
    target_status: snapshot?.status ?? null,
  });
  await settleOutcome(db, row.key, outcome, proof);
  const settled = await readFix(db, row.key);
  return settled?.outcome ? tell(deps, settled) : DONE;
}
