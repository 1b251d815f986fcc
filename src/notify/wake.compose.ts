import { DAY } from "../kernel/clock";
import { all, marks } from "../kernel/d1";
import { newId } from "../kernel/ids";
import { createActions } from "./actions";
import { budgetPayload, composeBudget } from "./budget-notice";
import type { IncidentEvent } from "./facts";
import { BURST_WINDOW } from "./gate";
import { composeUndelivered, undeliveredPayload } from "./message-notice";
import { composeBlind, composeDigest, composeIncident, composeSummary } from "./notice";
import { readFacts } from "./notice.store";
import type { Notice, NoticeEvent } from "./types";
import { SWEEP_GRACE, type WakeDeps } from "./wake";
import { willInvestigate } from "./wake.close";
import type { WakeWork } from "./wake.store";

/** From a wake to its words, and from many wakes to one summary. */

/** Events whose notice carries Ack and Snooze. */
const ASKS: NoticeEvent[] = ["opened", "raised", "settled", "reminder", "flapping"];

/** The words for a wake, or null when nothing true is left to say (its incident or target is gone). */
export async function compose(deps: WakeDeps, wake: WakeWork, push: boolean): Promise<Notice | null> {
  const { db, runtime } = deps;
  const at = runtime.clock.now();
  const frame = { id: newId(at), at, publicUrl: runtime.config.publicUrl };
  if (wake.event === "summary") {
    return composeSummary({ ...frame, incidents: await readFacts(db, await foldedIncidents(db, wake.wake_id)) });
  }
  if (wake.event === "digest") {
    // From digest to digest, so that what came while this one was late is in the next one, and in no other.
    const before = await db
      .prepare(
        "SELECT MAX(created_at) AS at FROM wake WHERE event = 'digest' AND wake_id <> ? AND created_at BETWEEN ? AND ?",
      )
      .bind(wake.wake_id, wake.created_at - 2 * DAY, wake.created_at)
      .first<{ at: number | null }>();
    const since = before?.at ?? wake.created_at - DAY;
    const rows = await all<{ incident_id: string }>(
      db
        .prepare(
          `SELECT DISTINCT incident_id FROM wake
           WHERE created_at >= ? AND done_at >= ? AND done_at < ? AND event = 'opened' AND dm_status = 'suppressed' LIMIT 100`,
        )
        // Held back counts when it is decided, which may be after it was created.
        .bind(since - DAY, since, wake.created_at),
    );
    const facts = await readFacts(
      db,
      rows.map((r) => r.incident_id),
    );
    return facts.length > 0 ? composeDigest({ ...frame, incidents: facts, since }) : null;
  }
  if (wake.event === "blind") return composeBlindWake(deps, wake, frame);
  if (wake.event === "budget") return composeBudget({ ...frame, ...budgetPayload.parse(JSON.parse(wake.payload)) });
  if (wake.event === "undelivered")
    return composeUndelivered({ ...frame, ...undeliveredPayload.parse(JSON.parse(wake.payload)) });
  if (wake.incident_id === null) return null;
  const [facts] = await readFacts(db, [wake.incident_id]);
  if (!facts) return null;
  const asks = push && facts.resolved_at === null && ASKS.includes(wake.event);
  const actions = asks ? await createActions(db, wake.incident_id, at) : [];
  const investigating = push && facts.resolved_at === null && willInvestigate(deps, wake.event);
  return composeIncident({ ...frame, event: wake.event as IncidentEvent, facts, actions, investigating });
}

async function composeBlindWake(
  { db }: WakeDeps,
  wake: WakeWork,
  frame: { id: string; at: number; publicUrl: string },
): Promise<Notice | null> {
  const target = await db
    .prepare(
      "SELECT t.name, t.every_s, s.not_before FROM target t JOIN target_state s ON s.target_id = t.id WHERE t.id = ?",
    )
    .bind(wake.target_id)
    .first<{ name: string; every_s: number; not_before: number | null }>();
  if (!target || wake.target_id === null) return null;
  const { since, at } = JSON.parse(wake.payload) as { since?: number; at: number };
  return composeBlind({
    ...frame,
    target_id: wake.target_id,
    target_name: target.name,
    since: since ?? at,
    every_ms: target.every_s * 1000,
    ...(target.not_before === null ? {} : { widened_ms: target.not_before - at }),
  });
}

const foldedIncidents = async (db: D1Database, summaryId: string): Promise<string[]> =>
  (
    await all<{ incident_id: string }>(
      db
        .prepare("SELECT DISTINCT incident_id FROM wake WHERE folded_into = ? AND incident_id IS NOT NULL LIMIT 200")
        .bind(summaryId),
    )
  ).map((r) => r.incident_id);

/**
 * Puts a wake into its minute's summary. The summary is one row by its key; a wake that comes after it was claimed is told by
 * itself (null).
 */
export async function fold(deps: WakeDeps, wake: WakeWork): Promise<string | null> {
  const { db, runtime } = deps;
  const window = Math.floor(wake.created_at / BURST_WINDOW);
  const id = `summary-${wake.event}-${window}`;
  const due = (window + 1) * BURST_WINDOW;
  const now = runtime.clock.now();
  const [made, put] = await db.batch([
    db
      .prepare(
        `INSERT INTO wake (wake_id, kind, event, severity, payload, created_at, next_at) VALUES (?, 'incident', 'summary', ?, '{}', ?, ?)
         ON CONFLICT (wake_id) DO NOTHING`,
      )
      .bind(id, wake.severity, now, Math.max(due, now) + SWEEP_GRACE),
    db
      .prepare(
        "UPDATE wake SET folded_into = ?1 WHERE wake_id = ?2 AND EXISTS (SELECT 1 FROM wake s WHERE s.wake_id = ?1 AND s.stage = 'new')",
      )
      .bind(id, wake.wake_id),
  ]);
  if ((made?.meta.changes ?? 0) > 0) await deps.send(id, Math.max(0, due - now));
  return (put?.meta.changes ?? 0) > 0 ? id : null;
}

/** Threads of folded incidents start at the summary's message, so that their recoveries land under it. */
export async function shareThread(db: D1Database, summaryId: string): Promise<void> {
  const incidents = await foldedIncidents(db, summaryId);
  const sent = await db
    .prepare(
      `SELECT a.channel, a.external_ref FROM notice n JOIN notice_attempt a ON a.notice_id = n.id
       WHERE n.wake_id = ? AND a.state = 'sent' AND a.channel <> 'inbox' AND a.external_ref IS NOT NULL LIMIT 1`,
    )
    .bind(summaryId)
    .first<{ channel: string; external_ref: string }>();
  if (!sent || incidents.length === 0) return;
  for (let i = 0; i < incidents.length; i += 30) {
    const part = incidents.slice(i, i + 30);
    await db
      .prepare(
        `INSERT INTO notice_thread (incident_id, channel, ref, root) SELECT id, ?, ?, 'null' FROM incident WHERE id IN (${marks(part.length)})
         ON CONFLICT DO NOTHING`,
      )
      .bind(sent.channel, sent.external_ref, ...part)
      .run();
  }
}
