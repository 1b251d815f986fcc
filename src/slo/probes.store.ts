import { DAY, MINUTE } from "../kernel/clock";
import { all } from "../kernel/d1";
import type { Level, Sample } from "./objectives";
import type { Outcome, Reply } from "./prober";
import type { Direction } from "./types";

/** Rows of directions and probes. Times are Reveille ms. */

export interface DirectionRow {
  code: Direction;
  from_agent: string;
  to_agent: string;
  peer_kind: "qoopia" | "embedded";
  peer_url: string;
  key_ref: string | null;
  sealed_key: string | null;
  pong: "hook" | "inbox";
  every_s: number;
  offset_s: number;
  paused: 0 | 1;
  lease_until: number | null;
  last_slot: number | null;
  updated_at: number;
}

export interface ProbeRow extends Record<`${Level}_ms`, number | null> {
  id: string;
  direction: Direction;
  started_at_ms: number;
  topic: string;
  session_id: string | null;
  message_id: string | null;
  wake_attempted: 0 | 1;
  wake_ok: 0 | 1;
  l2_known: 0 | 1;
  level: number;
  status: "running" | "ok" | "failed";
  error_class: Sample["error_class"];
  attempts: number;
  peer_kind: string;
  responder_status: string | null;
  finished_at_ms: number | null;
}

/** A run is over by then, whatever became of it: two limits of 90 s together and the calls between them. */
export const RUN_LEASE = 4 * MINUTE;
/** `last_slot` of a direction that was asked to run at once. */
export const RUN_NOW = -1;
/** The place of a direction's sealed key. */
export const directionPlace = (code: Direction): string => `slo-direction:${code}`;

export const readDirections = (db: D1Database): Promise<DirectionRow[]> =>
  all<DirectionRow>(db.prepare("SELECT * FROM slo_direction ORDER BY code"));

/** A run as it begins. */
export interface NewRun {
  id: string;
  started_at: number;
  topic: string;
}

/**
 * Takes a slot and writes the run's row in one: whatever happens after it, the run has its one row. False when another run holds
 * the direction, or had this slot.
 */
export async function startRun(db: D1Database, d: DirectionRow, slot: number, run: NewRun): Promise<boolean> {
  const [claimed] = await db.batch([
    db
      .prepare(
        `UPDATE slo_direction SET last_slot = ?2, lease_until = ?3
         WHERE code = ?1 AND paused = 0 AND (lease_until IS NULL OR lease_until <= ?4) AND (last_slot IS NULL OR last_slot < ?2)`,
      )
      .bind(d.code, slot, run.started_at + RUN_LEASE, run.started_at),
    db
      .prepare(
        `INSERT INTO wake_slo_probes (id, direction, started_at_ms, topic, peer_kind, status)
         SELECT ?, ?, ?, ?, ?, 'running' WHERE changes() = 1`,
      )
      .bind(run.id, d.code, run.started_at, run.topic, d.peer_kind),
  ]);
  return (claimed?.meta.changes ?? 0) > 0;
}

export const noteProbe = (db: D1Database, id: string, session: string, message: string | null): D1PreparedStatement =>
  db.prepare("UPDATE wake_slo_probes SET session_id = ?2, message_id = ?3 WHERE id = ?1").bind(id, session, message);

const probeCount = (db: D1Database, name: string, now: number, where: string, ...args: unknown[]) =>
  db
    .prepare(
      `INSERT INTO slo_count (day, name, n) SELECT ?1, ?2, 1 WHERE ${where}
       ON CONFLICT (day, name) DO UPDATE SET n = n + 1`,
    )
    .bind(Math.floor(now / DAY), name, ...args);

/** Ends a run that is still `running`, counts it, and frees its direction. */
export function finishProbe(
  db: D1Database,
  id: string,
  direction: Direction,
  o: Outcome,
  now: number,
): D1PreparedStatement[] {
  return [
    probeCount(
      db,
      `probe:${direction}:${o.status}:${o.error_class ?? ""}`,
      now,
      "EXISTS (SELECT 1 FROM wake_slo_probes WHERE id = ?3 AND status = 'running')",
      id,
    ),
    db
      .prepare(
        `UPDATE wake_slo_probes SET session_id = ?, message_id = ?, wake_attempted = ?, wake_ok = ?, l1_ms = ?, l2_ms = ?, l3_ms = ?,
           l4_ms = ?, l2_known = ?, level = ?, status = ?, error_class = ?, responder_status = ?, finished_at_ms = ?
         WHERE id = ? AND status = 'running'`,
      )
      .bind(
        ...[
          o.session_id,
          o.message_id,
          Number(o.wake_attempted),
          Number(o.wake_ok),
          o.l1_ms,
          o.l2_ms,
          o.l3_ms,
          o.l4_ms,
        ],
        ...[Number(o.l2_known), o.level, o.status, o.error_class, o.responder_status, now, id],
      ),
    db.prepare("UPDATE slo_direction SET lease_until = NULL WHERE code = ?").bind(direction),
  ];
}

/** Runs whose Worker died: their rows are closed as what they are, a hang without a reason. Answers how many. */
export async function closeHangs(db: D1Database, now: number): Promise<number> {
  const stuck = await all<{ id: string; direction: Direction }>(
    db
      .prepare(
        `SELECT id, direction FROM wake_slo_probes WHERE direction IN ('C2L', 'L2C')
           AND started_at_ms BETWEEN ?1 AND ?2 AND status = 'running' LIMIT 50`,
      )
      .bind(now - DAY, now - RUN_LEASE),
  );
  if (stuck.length === 0) return 0;
  await db.batch(
    stuck.flatMap(({ id, direction }) => [
      probeCount(
        db,
        `probe:${direction}:failed:unexplained_hang`,
        now,
        "EXISTS (SELECT 1 FROM wake_slo_probes WHERE id = ?3 AND status = 'running')",
        id,
      ),
      db
        .prepare(
          `UPDATE wake_slo_probes SET status = 'failed', error_class = 'unexplained_hang', finished_at_ms = ?2
           WHERE id = ?1 AND status = 'running'`,
        )
        .bind(id, now),
    ]),
  );
  return stuck.length;
}

/** The pong a hook of ours took for this probe. The sink has judged whose it is. */
export async function readPong(db: D1Database, probe: string, to_agent: string): Promise<Reply | null> {
  const row = await db
    .prepare("SELECT message_id, body, seen_at FROM slo_pong WHERE probe_id = ? ORDER BY seen_at LIMIT 1")
    .bind(probe)
    .first<{ message_id: string; body: string; seen_at: number }>();
  return row && { id: row.message_id, body: row.body, from: [to_agent], error: false, seen_at: row.seen_at };
}

export type StoredSample = Sample & { id: string; responder_status: string | null };

export const sampleOf = (r: ProbeRow): StoredSample => ({
  id: r.id,
  at: r.started_at_ms,
  failed: r.status === "failed",
  error_class: r.error_class,
  l1: r.l1_ms,
  l2: r.l2_ms,
  l3: r.l3_ms,
  l4: r.l4_ms,
  l2_known: r.l2_known === 1,
  responder_status: r.responder_status,
});

/** Probes of a direction started in [from, to), newest first; running ones included. */
export const readProbes = (
  db: D1Database,
  direction: Direction,
  from: number,
  to: number,
  limit = 5_000,
): Promise<ProbeRow[]> =>
  all<ProbeRow>(
    db
      .prepare(
        `SELECT * FROM wake_slo_probes WHERE direction = ? AND started_at_ms >= ? AND started_at_ms < ?
         ORDER BY started_at_ms DESC LIMIT ?`,
      )
      .bind(direction, from, to, limit),
  );

/** Raw rows for 35 days, hours and counters for 400, pongs for 2. */
export async function expireSlo(db: D1Database, now: number): Promise<void> {
  await db.batch([
    db
      .prepare("DELETE FROM wake_slo_probes WHERE direction IN ('C2L', 'L2C') AND started_at_ms < ?")
      .bind(now - 35 * DAY),
    db
      .prepare("DELETE FROM wake_slo_hour WHERE direction IN ('C2L', 'L2C') AND hour < ?")
      .bind(Math.floor((now - 400 * DAY) / 3_600_000)),
    db.prepare("DELETE FROM slo_count WHERE day < ?").bind(Math.floor(now / DAY) - 400),
    db.prepare("DELETE FROM slo_pong WHERE seen_at < ?").bind(now - 2 * DAY),
    db.prepare("DELETE FROM slo_mute WHERE muted_until < ?").bind(now),
  ]);
}
