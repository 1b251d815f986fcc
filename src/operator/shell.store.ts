import { MINUTE } from "../kernel/clock";
import { all } from "../kernel/d1";
import { hash32 } from "../kernel/ids";

/** Two watch intervals (and half a one for a slow cycle) without a finished one: then the pages say that nobody looks (operator-experience §2). */
const BLIND_AFTER = 2.5 * MINUTE;

export interface ShellFacts {
  looked_at: number;
  blind: boolean;
  unread: number;
  open: number;
}

/** What the frame of every page shows, in one round trip. */
export async function readShell(db: D1Database, now: number): Promise<ShellFacts> {
  const [cycle, unread, open] = await db.batch<{ n: number }>([
    db.prepare("SELECT finished_at AS n FROM cycle WHERE id = 1"),
    // Bounded: the bar shows "99+" from there.
    db.prepare(
      "SELECT COUNT(*) AS n FROM (SELECT 1 FROM notice WHERE read_at IS NULL ORDER BY created_at DESC LIMIT 100)",
    ),
    db.prepare("SELECT COUNT(*) AS n FROM incident WHERE resolved_at IS NULL"),
  ]);
  const n = (r: D1Result<{ n: number }> | undefined): number => r?.results[0]?.n ?? 0;
  const looked_at = n(cycle);
  return {
    looked_at,
    blind: looked_at > 0 && now - looked_at > BLIND_AFTER,
    unread: n(unread),
    open: n(open),
  };
}

/**
 * A tag that changes whenever a row a page may show changes: one statement, no page read. Time alone changes a page too
 * (a snooze that ends), so the tag also turns every five minutes and when the watch goes blind.
 */
export async function versionTag(db: D1Database, now: number, seed: string): Promise<string> {
  const [row] = await all<Record<string, number | null>>(
    db.prepare(
      `SELECT (SELECT MAX(id) FROM audit) AS a, (SELECT finished_at FROM cycle WHERE id = 1) AS c,
         (SELECT MAX(id) FROM notice_attempt) AS n, (SELECT SUM(version) FROM target_state) AS s,
         (SELECT COUNT(*) FROM notice WHERE read_at IS NOT NULL) AS r, (SELECT SUM(updated_at % 1000003) FROM target) AS t,
         (SELECT COUNT(*) FROM wake WHERE done_at IS NULL) AS w, (SELECT MAX(last_at) FROM heartbeat) AS h,
         (SELECT MAX(at) FROM cost) AS b, (SELECT COUNT(*) FROM trust_proposal WHERE state = 'pending') AS p,
         (SELECT SUM(updated % 1000003) FROM session_index) AS i, (SELECT SUM((last_seen + online) % 1000003) FROM agent) AS g`,
    ),
  );
  const finished = row?.["c"] ?? 0;
  const blind = finished > 0 && now - finished > BLIND_AFTER;
  const text = `${JSON.stringify(row)}|${Math.floor(now / (5 * MINUTE))}|${blind}|${seed}`;
  return `W/"${hash32(text).toString(36)}${hash32(`${seed}${text}`).toString(36)}"`;
}
