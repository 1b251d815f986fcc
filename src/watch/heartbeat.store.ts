export type BeatKind = "success" | "start" | "fail";

/** The beats of one target, folded: a failure stays the last kind until a success, even while a new run is going on. */
export interface Beat {
  last_at: number | null;
  last_kind: BeatKind | null;
  /** When the run now going on began, or null. */
  started_at: number | null;
  ok_at: number | null;
  /** Of the last finished run that announced its start, ms. */
  duration_ms: number | null;
  note: string | null;
}

/**
 * Records one beat (one row written). `at` is Reveille time, ms; `note` must be redacted and short already. A beat older than
 * the newest one is dropped: deliveries may overtake each other.
 */
export async function recordBeat(
  db: D1Database,
  num: number,
  kind: BeatKind,
  at: number,
  note: string | null = null,
): Promise<void> {
  const ok = kind === "success" ? at : null;
  const started = kind === "start" ? at : null;
  await db
    .prepare(
      `INSERT INTO heartbeat (num, last_at, last_kind, started_at, ok_at, duration_ms, note)
       VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6)
       ON CONFLICT (num) DO UPDATE SET
         last_at = ?2,
         last_kind = CASE WHEN ?3 = 'start' AND last_kind = 'fail' THEN 'fail' ELSE ?3 END,
         duration_ms = CASE WHEN ?3 <> 'start' AND started_at IS NOT NULL THEN ?2 - started_at ELSE duration_ms END,
         started_at = ?4,
         ok_at = COALESCE(?5, ok_at),
         note = ?6
       WHERE last_at IS NULL OR last_at <= ?2`,
    )
    .bind(num, at, kind, started, ok, note)
    .run();
}

/** The folded beats of a target, or null when none came yet. */
export async function readBeat(db: D1Database, num: number): Promise<Beat | null> {
  return db
    .prepare("SELECT last_at, last_kind, started_at, ok_at, duration_ms, note FROM heartbeat WHERE num = ?")
    .bind(num)
    .first<Beat>();
}
