import { auditStatement } from "../audit";
import { all, marks } from "../kernel/d1";
import { RESEND_AFTER } from "./commit";

/** Messages in one `sendBatch` (queue limit), and the most a sweep resends: the rest is due a minute later. */
const BATCH = 100;

/**
 * The other half of the outbox: sends again every wake that is not done although its time has passed (never queued, lost
 * with a local queue, or its consumer died). The consumer's claim makes a second message harmless.
 */
export async function sweepWakes(
  db: D1Database,
  now: number,
  send: (wakes: { wake_id: string; kind: string }[]) => Promise<void>,
): Promise<number> {
  const due = await all<{ wake_id: string; kind: string }>(
    db
      .prepare("SELECT wake_id, kind FROM wake WHERE done_at IS NULL AND next_at <= ? ORDER BY next_at LIMIT ?")
      .bind(now, BATCH - 1),
  );
  if (due.length === 0) return 0;
  await send(due);
  await db.batch([
    db
      .prepare(`UPDATE wake SET next_at = ? WHERE done_at IS NULL AND wake_id IN (${marks(due.length)})`)
      .bind(now + 2 * RESEND_AFTER, ...due.map((w) => w.wake_id)),
    auditStatement(db, { at: now, seam: "wake.swept", source: "cron", details: { resent: due.map((w) => w.wake_id) } }),
  ]);
  return due.length;
}
