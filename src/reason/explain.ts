import { type AuditRow, auditIfChanged } from "../audit";
import { describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import {
  claimWake,
  composeInvestigation,
  deliver,
  deliverInThread,
  finishWake,
  markInvestigated,
  markReserved,
  plainResult,
  readFacts,
  releaseWake,
  SWEEP_GRACE,
  tryWake,
  type WakeWork,
} from "../notify";
import { sessionId } from "../watch";
import { mutedUntil } from "./fix.words";
import { callId, failed, type InvestigateDeps, type Investigated, investigate } from "./investigation";
import {
  autofixAttempted,
  type InvestigationView,
  investigationStatements,
  readInvestigation,
} from "./investigation.store";
import type { Usage } from "./types";

/**
 * A told wake on its way to an explanation: `plain_noticed → reserved → investigated → noticed`, each a row before the next
 * (design §5). A crash anywhere goes on from the row: after `reserved` nobody calls again, after `investigated` nobody thinks
 * again, and the notice is sent once.
 */
export interface ExplainDeps extends InvestigateDeps {
  /** Switchboard's mute, Reveille ms. */
  muted_until?: number | null;
  /** Asks for a fix that survived the check; its own gates and keys decide. Absent: nothing can be asked for. */
  propose?(fix: {
    incident_id: string;
    wake_id: string;
    action: string;
    target_id: string;
    reason: string;
  }): Promise<void>;
}

export type ExplainResult = { done: true } | { done: false; retry_at: number };

/** One call of at most 60 s, its reads before and after, and a notice of at most three channels, wall ms. */
const LEASE_WALL = 150_000;

interface Run {
  deps: ExplainDeps;
  wake: WakeWork & { incident_id: string };
  claimant: string;
}

/** Explains one wake as far as it goes now. The same message twice is one call and one notice: the second finds no claim. */
export async function explainWake(deps: ExplainDeps, wakeId: string): Promise<ExplainResult> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const claimant = newId(now);
  const lease = LEASE_WALL * runtime.clock.rate;
  const wake = await claimWake(db, wakeId, claimant, now, lease);
  if (!wake) return { done: true };
  if (wake.incident_id === null || wake.stage === "claimed") {
    // Not told yet, or nothing to explain: this belongs to the queue `wake`, to which the sweeper gives it.
    await releaseWake(db, wakeId, claimant, now).run();
    return { done: true };
  }
  const run: Run = { deps, wake: { ...wake, incident_id: wake.incident_id }, claimant };
  return tryWake<ExplainResult>(deps, wake, claimant, { done: true }, () => goOn(run, now + lease));
}

async function goOn(run: Run, leaseUntil: number): Promise<ExplainResult> {
  if (run.wake.stage !== "investigated") {
    const skipped = await skipReason(run);
    if (skipped !== null) {
      await finish(run, null, null, skipped);
      return { done: true };
    }
    if (!(await think(run, leaseUntil))) return { done: true };
  }
  return tell(run);
}

/**
 * Ends a wake whose messages all failed: what is known stays, what is not is an error, and the plain notice stands. False: it
 * is done or in other hands.
 */
export async function abandonExplanation(deps: ExplainDeps, wakeId: string): Promise<boolean> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const claimant = newId(now);
  const wake = await claimWake(db, wakeId, claimant, now, LEASE_WALL * runtime.clock.rate);
  if (!wake) return false;
  if (wake.incident_id === null || wake.stage === "claimed") {
    await releaseWake(db, wakeId, claimant, now).run();
    return false;
  }
  const run: Run = { deps, wake: { ...wake, incident_id: wake.incident_id }, claimant };
  return tryWake(deps, wake, claimant, true, async () => {
    if (wake.stage !== "investigated") await store(run, await lost(db, wakeId));
    await finish(run, await readInvestigation(db, wakeId), null, null);
    return true;
  });
}

/** Why nothing is spent on it after all, or null. */
async function skipReason({ deps, wake }: Run): Promise<string | null> {
  if (wake.stage === "reserved") return null;
  const incident = await deps.db
    .prepare("SELECT resolved_at FROM incident WHERE id = ?")
    .bind(wake.incident_id)
    .first<{ resolved_at: number | null }>();
  if (!incident) return "incident_gone";
  return incident.resolved_at === null ? null : "incident_resolved";
}

/** `plain_noticed` → `reserved` → `investigated`. False: another run has the wake by now. */
async function think(run: Run, leaseUntil: number): Promise<boolean> {
  const { deps, wake, claimant } = run;
  const { db, runtime } = deps;
  if (wake.stage === "reserved") {
    // A run died between its reservation and its answer. Whether the model was called can't be known, so it is not called again.
    runtime.log("warn", "investigation.lost", { wake: wake.wake_id });
    return store(run, await lost(db, wake.wake_id));
  }
  if (!(await markReserved(db, wake.wake_id, claimant, runtime.clock.now(), leaseUntil))) return false;
  const payload = JSON.parse(wake.payload) as { envelope_enabled?: boolean };
  const facts = {
    wake_id: wake.wake_id,
    incident_id: wake.incident_id,
    envelope_enabled: payload.envelope_enabled === true,
  };
  const found = await investigate(deps, facts);
  return store(run, found ?? failed("sdk_transport"));
}

/** No answer, but perhaps a bill: the ledger's row is written before the answer is stored. */
async function lost(db: D1Database, wakeId: string): Promise<Investigated> {
  const row = await db
    .prepare("SELECT model, usd, ms FROM cost WHERE call_id = ?")
    .bind(callId(wakeId))
    .first<{ model: string; usd: number | null; ms: number }>();
  return failed("sdk_transport", row ?? {});
}

async function store({ deps, wake, claimant }: Run, x: Investigated): Promise<boolean> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const [moved] = await db.batch([
    markInvestigated(db, wake.wake_id, claimant, now, x.error),
    ...investigationStatements(db, wake, runtime.redact.json(x), now),
  ]);
  const stored = (moved?.meta.changes ?? 0) > 0;
  runtime.log(stored ? "info" : "warn", stored ? "investigation.stored" : "investigation.late", {
    wake: wake.wake_id,
    incident: wake.incident_id,
    model: x.model,
    usd: x.usd,
    ms: x.ms,
    error: x.error,
    evidence: x.result?.evidence.length ?? 0,
    dropped: x.dropped,
  });
  return stored;
}

/** `investigated` → the notice in the thread → a fix asked for, if one survived → `noticed`. */
async function tell(run: Run): Promise<ExplainResult> {
  const { deps, wake, claimant } = run;
  const { db, runtime } = deps;
  const found = await readInvestigation(db, wake.wake_id);
  const [facts] = await readFacts(db, [wake.incident_id]);
  const at = runtime.clock.now();
  let notice: string | null = null;
  if (found && facts) {
    const frame = { id: newId(at), at, publicUrl: runtime.config.publicUrl };
    const words = composeInvestigation({ ...frame, facts, explained: found });
    const opts = { wake_id: wake.wake_id, key: `${wake.wake_id}:why` };
    // Muted since the plain notice: what comes later stays in the inbox.
    const muted = Math.max(deps.muted_until ?? 0, (await mutedUntil(db, facts.target_id)) ?? 0) > at;
    const sent = muted
      ? await deliver({ db, runtime }, words, { ...opts, push: false, reason: "muted" })
      : await deliverInThread({ db, runtime }, words, opts);
    if (!sent.done) {
      await releaseWake(db, wake.wake_id, claimant, sent.retry_at + SWEEP_GRACE, {
        error: "a channel did not take the explanation yet",
      }).run();
      return { done: false, retry_at: sent.retry_at };
    }
    notice = sent.dm;
    const action = found.result?.proposed_action;
    if (action && facts.resolved_at === null && deps.propose) {
      try {
        await deps.propose({ incident_id: wake.incident_id, wake_id: wake.wake_id, ...action });
      } catch (error) {
        // The fix has its own rows and its own key; the wake must not hang on it.
        runtime.log("error", "fix.unproposed", { wake: wake.wake_id, error: describe(error) });
      }
    }
  }
  await finish(run, found, notice, null);
  return { done: true };
}

const EMPTY: Usage = { input: 0, output: 0, cache_write: 0, cache_read: 0 };

/** The end: the wake's last row and the proof of it, together or not at all. */
async function finish(
  { deps, wake, claimant }: Run,
  found: InvestigationView | null,
  notice: string | null,
  skipped: string | null,
): Promise<void> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const told = (await plainResult(db, wake.wake_id)).dm ?? "failed_send";
  const error = found?.error ?? null;
  const dm_status =
    error === null
      ? notice === "sent"
        ? "sent"
        : told
      : told === "failed_send"
        ? "engine_unavailable_failed_send"
        : "engine_unavailable_fallback";
  const usage = (await usageOf(db, wake.wake_id)) ?? EMPTY;
  const payload = JSON.parse(wake.payload) as { probe: string; rehearsal?: boolean };
  const proof: AuditRow = {
    at: now,
    seam: "probe.investigation_completed",
    source: "reasoning",
    session_id: sessionId(payload.probe, wake.category ?? "unknown"),
    incident_id: wake.incident_id,
    wake_id: wake.wake_id,
    details: runtime.redact.json({
      probe: payload.probe,
      issue_category: wake.category,
      severity: wake.severity,
      model_used: found?.model ?? null,
      input_tokens: usage.input,
      output_tokens: usage.output,
      cache_creation_input_tokens: usage.cache_write,
      cache_read_input_tokens: usage.cache_read,
      total_cost_usd: found?.usd ?? 0,
      investigation_duration_ms: found?.ms ?? 0,
      investigation_summary_text: found?.result?.summary ?? null,
      dm_status,
      autofix_attempted: await autofixAttempted(db, wake.wake_id),
      ...(payload.rehearsal === true ? { rehearsal: true } : {}),
      ...(error === null ? {} : { reasoning_error: error }),
      ...(skipped === null ? {} : { skipped }),
      ...(notice === null ? {} : { explanation_status: notice }),
      evidence: found?.result?.evidence ?? [],
      dropped_claims: found?.dropped ?? 0,
      guess: found?.guess ?? false,
      confidence: found?.result?.confidence ?? null,
      prompt_hash: found?.prompt_hash ?? null,
      identity_hash: found?.identity_hash ?? null,
    }),
  };
  await db.batch([
    finishWake(db, wake.wake_id, claimant, now, { stage: "noticed", dm_status, reasoning_error: error }),
    auditIfChanged(db, proof),
  ]);
  runtime.log("info", "wake.done", {
    wake: wake.wake_id,
    incident: wake.incident_id,
    event_name: wake.event,
    dm_status,
    ...(error === null ? {} : { reasoning_error: error }),
    ...(skipped === null ? {} : { skipped }),
  });
}

/** Tokens of the wake's call, from the ledger's row: a run that resumes has no other memory of them. */
async function usageOf(db: D1Database, wakeId: string): Promise<Usage | null> {
  const row = await db
    .prepare(
      `SELECT SUM(input_tokens) AS input, SUM(output_tokens) AS output, SUM(cache_write_tokens) AS cache_write,
         SUM(cache_read_tokens) AS cache_read FROM cost WHERE wake_id = ?`,
    )
    .bind(wakeId)
    .first<Record<keyof Usage, number | null>>();
  return row?.input === null || row === null
    ? null
    : { input: row.input, output: row.output ?? 0, cache_write: row.cache_write ?? 0, cache_read: row.cache_read ?? 0 };
}
