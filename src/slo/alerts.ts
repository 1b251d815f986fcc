import { DAY, HOUR } from "../kernel/clock";
import { all } from "../kernel/d1";
import { type Breach, coverageOf, judge, REASONS, type Reason, type Sample } from "./objectives";
import { type DirectionRow, type ProbeRow, readProbes, sampleOf } from "./probes.store";
import type { Direction } from "./types";

/** Every rule of every direction over the last 24 h, and which of them may speak (wake-slo §6.4). */

/** One message for each reason and direction in this time. */
const MUTE = 4 * HOUR;

export interface Judged {
  direction: Direction;
  n: number;
  coverage: number | null;
  breaches: Record<Reason, Breach>;
  /** Probes that a right pong answered under another name than the recipient's. */
  wrong_identity: string[];
  rows: ProbeRow[];
}

const finished = (rows: ProbeRow[]): (Sample & { id: string; responder_status: string | null })[] =>
  rows.filter((r) => r.status !== "running").map(sampleOf);

export async function judgeDirections(db: D1Database, directions: DirectionRow[], now: number): Promise<Judged[]> {
  return Promise.all(
    directions.map(async (d) => {
      const rows = await readProbes(db, d.code, now - DAY, now + 1);
      const samples = finished(rows);
      const schedule = { every_s: d.every_s, paused: d.paused === 1, since: d.updated_at };
      const starts = rows.map((r) => r.started_at_ms);
      const coverage = coverageOf(starts, schedule, now);
      return {
        direction: d.code,
        n: samples.length,
        coverage,
        breaches: judge(d.code, samples, coverage, now),
        wrong_identity: samples.filter((s) => s.responder_status === "wrong_identity_key").map((s) => s.id),
        rows,
      };
    }),
  );
}

export interface Fresh {
  direction: Direction;
  reason: Reason;
  breach: Breach;
}

/** Breaches that are not muted, muting them; a reason that is over loses its mute. Two callers never get the same one. */
export async function takeMutes(db: D1Database, judged: Judged[], now: number): Promise<Fresh[]> {
  const muted = await all<{ reason: string; direction: string }>(db.prepare("SELECT reason, direction FROM slo_mute"));
  const fresh: Fresh[] = [];
  for (const { direction, breaches } of judged)
    for (const reason of REASONS) {
      const breach = breaches[reason];
      if (breach.bad) {
        const { meta } = await db
          .prepare(
            `INSERT INTO slo_mute (reason, direction, muted_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (reason, direction) DO UPDATE SET muted_until = ?3 WHERE muted_until <= ?4`,
          )
          .bind(reason, direction, now + MUTE, now)
          .run();
        if (meta.changes > 0) fresh.push({ direction, reason, breach });
      } else if (muted.some((m) => m.reason === reason && m.direction === direction))
        await db.prepare("DELETE FROM slo_mute WHERE reason = ? AND direction = ?").bind(reason, direction).run();
    }
  return fresh;
}

/** What the rules of internal targets are told, by rule name; null = nothing to judge (paused, or no such direction). */
export async function sloFacts(
  db: D1Database,
  directions: DirectionRow[],
  now: number,
): Promise<Record<string, Breach | null>> {
  const judged = await judgeDirections(db, directions, now);
  const facts: Record<string, Breach | null> = {};
  for (const { direction, breaches, coverage } of judged) {
    const paused = directions.find((d) => d.code === direction)?.paused === 1;
    for (const reason of REASONS)
      facts[`slo_${reason}_${direction}`] =
        paused || (reason === "coverage" && coverage === null) ? null : breaches[reason];
  }
  const wrong = judged.flatMap((j) => j.wrong_identity.map((id) => id.slice(-8)));
  if (judged.length > 0)
    facts["wrong_identity_key"] = {
      bad: wrong.length > 0,
      severity: "critical",
      text: `${wrong.length} pong(s) in 24 h came under another identity than the probed agent's: its key is not its own`,
      details: { probes: wrong.slice(0, 5) },
    };
  return facts;
}
