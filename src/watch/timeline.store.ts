import { MINUTE } from "../kernel/clock";
import { all } from "../kernel/d1";
import { type Look, readLooks } from "./look.store";
import { readPackedOf, type Sample } from "./sample.store";
import {
  type AttemptFact,
  type AuditFact,
  type LookFact,
  type TimelineRow,
  tellStory,
  type WakeFact,
} from "./timeline";

/** What is read around an incident: before the first bad look, and after recovery. */
const AROUND = 5 * MINUTE;
/** Bounds of one story; a day-long outage has thousands of looks, of which the first and the newest tell it. */
const MAX_LOOKS = 300;
const MAX_ROWS = 400;

interface Span {
  target_id: string;
  first_bad_at: number;
  opened_at: number;
  resolved_at: number | null;
}

/**
 * The story of one incident: audit rows, wakes, notice attempts and the looks of its target from 5 min before the first bad
 * look to 5 min after recovery, in order of time. Empty when there is no such incident. A deleted target has no looks left
 * to name, so its story is told without them.
 */
export async function incidentTimeline(db: D1Database, id: string): Promise<TimelineRow[]> {
  const span = await db
    .prepare("SELECT target_id, first_bad_at, opened_at, resolved_at FROM incident WHERE id = ?")
    .bind(id)
    .first<Span>();
  if (!span) return [];
  const [audit, wakes, attempts, looks] = await Promise.all([
    readAuditFacts(db, id),
    all<WakeFact>(
      db
        .prepare(
          `SELECT wake_id, event, stage, severity, created_at, claimed_at, plain_noticed_at, investigated_at, done_at, attempts,
             dm_status, reasoning_error, last_error
           FROM wake WHERE incident_id = ? ORDER BY created_at DESC LIMIT ?`,
        )
        .bind(id, MAX_ROWS),
    ),
    all<AttemptFact>(
      db
        .prepare(
          `SELECT a.id, a.channel, a.n, a.state, a.started_at, a.finished_at, a.error, n.event, n.title
           FROM notice_attempt a JOIN notice n ON n.id = a.notice_id WHERE a.incident_id = ? ORDER BY a.id DESC LIMIT ?`,
        )
        .bind(id, MAX_ROWS),
    ),
    readLookFacts(db, span),
  ]);
  return tellStory({ audit, wakes, attempts, looks });
}

async function readAuditFacts(db: D1Database, id: string): Promise<AuditFact[]> {
  const rows = await all<Omit<AuditFact, "details"> & { details: string }>(
    db
      .prepare("SELECT id, emitted_at, seam, source, details FROM audit WHERE incident_id = ? ORDER BY id DESC LIMIT ?")
      .bind(id, MAX_ROWS),
  );
  return rows.map((r) => ({ ...r, details: JSON.parse(r.details) as Record<string, unknown> }));
}

async function readLookFacts(db: D1Database, s: Span): Promise<LookFact[]> {
  const target = await db.prepare("SELECT num FROM target WHERE id = ?").bind(s.target_id).first<{ num: number }>();
  if (!target) return [];
  const from = s.first_bad_at - AROUND;
  const to = s.resolved_at === null ? Number.MAX_SAFE_INTEGER : s.resolved_at + AROUND;
  const [early, late, before, after] = await Promise.all([
    readLooks(db, target.num, from, Math.min(to, s.opened_at + AROUND), MAX_LOOKS),
    readLooks(db, target.num, from, to, MAX_LOOKS),
    // A suspect or open target leaves the cycle, so packs hold its looks only before and after.
    readPackedOf(db, target.num, from, Math.min(to, s.opened_at + AROUND)),
    s.resolved_at === null ? [] : readPackedOf(db, target.num, s.resolved_at, to),
  ]);
  const facts = new Map<number, LookFact>();
  for (const look of [...before, ...after, ...early, ...late]) facts.set(look.at, toFact(look));
  return [...facts.values()];
}

const toFact = (s: Sample | Look): LookFact => ({
  at: s.at,
  status: s.status,
  reason: s.reason,
  latency_ms: s.latency_ms,
  maintenance: s.maintenance,
  rehearsal: "rehearsal" in s && s.rehearsal,
  error: s.error ?? null,
  details: s.details ?? null,
});
