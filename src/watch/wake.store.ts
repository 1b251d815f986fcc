import { iso } from "../kernel/clock";
import { all } from "../kernel/d1";

/** A wake as the API and the pages show it. */
export interface WakeView {
  wake_id: string;
  kind: string;
  event: string;
  incident_id: string | null;
  target_id: string | null;
  category: string | null;
  severity: string | null;
  stage: string;
  attempts: number;
  created_at: string;
  claimed_at: string | null;
  plain_noticed_at: string | null;
  reserved_at: string | null;
  investigated_at: string | null;
  done_at: string | null;
  folded_into: string | null;
  dm_status: string | null;
  reasoning_error: string | null;
  last_error: string | null;
  payload: Record<string, unknown>;
}

type Times = "created_at" | "claimed_at" | "plain_noticed_at" | "reserved_at" | "investigated_at" | "done_at";
type WakeRow = Omit<WakeView, Times | "payload"> &
  Record<Times, number | null> & { created_at: number; payload: string };

const toView = (r: WakeRow): WakeView => ({
  wake_id: r.wake_id,
  kind: r.kind,
  event: r.event,
  incident_id: r.incident_id,
  target_id: r.target_id,
  category: r.category,
  severity: r.severity,
  stage: r.stage,
  attempts: r.attempts,
  created_at: iso(r.created_at),
  claimed_at: iso(r.claimed_at),
  plain_noticed_at: iso(r.plain_noticed_at),
  reserved_at: iso(r.reserved_at),
  investigated_at: iso(r.investigated_at),
  done_at: iso(r.done_at),
  folded_into: r.folded_into,
  dm_status: r.dm_status,
  reasoning_error: r.reasoning_error,
  last_error: r.last_error,
  payload: JSON.parse(r.payload),
});

/** Wakes, newest first; optionally of one incident. `before` pages by wake id. */
export async function readWakes(
  db: D1Database,
  q: { incident_id?: string | undefined; before?: string | undefined; limit: number },
): Promise<WakeView[]> {
  const where: string[] = [];
  const values: unknown[] = [];
  if (q.incident_id !== undefined) {
    where.push("incident_id = ?");
    values.push(q.incident_id);
  }
  if (q.before !== undefined) {
    where.push("wake_id < ?");
    values.push(q.before);
  }
  const rows = await all<WakeRow>(
    db
      .prepare(`SELECT * FROM wake ${where.length ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY wake_id DESC LIMIT ?`)
      .bind(...values, q.limit),
  );
  return rows.map(toView);
}
