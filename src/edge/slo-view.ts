import { DAY, HOUR, iso } from "../kernel/clock";
import {
  type DirectionRow,
  type Judged,
  judgeDirections,
  type ProbeRow,
  REASONS,
  readDirections,
  readTally,
  type Summary,
  sampleOf,
  summarise,
  TARGET_24H,
  TARGET_28D,
  tally,
} from "../slo";

/** What API, pages and /metrics say of the wake SLO. */

export interface DirectionView {
  row: DirectionRow;
  coverage: number | null;
  windows: { "6h": Summary; "24h": Summary; "28d": Summary };
  breaches: { reason: string; severity: string; text: string }[];
  last: ProbeRow | null;
  /** The newest failure of each class in 24 h, newest first. */
  failures: ProbeRow[];
}

export async function sloView(db: D1Database, now: number): Promise<DirectionView[]> {
  const rows = await readDirections(db);
  const judged = await judgeDirections(db, rows, now);
  return Promise.all(rows.map((row, i) => viewOf(db, row, judged[i]!, now)));
}

const newest = (by: Map<string, ProbeRow>, r: ProbeRow): Map<string, ProbeRow> =>
  r.error_class === null ? by : by.set(r.error_class, r);

async function viewOf(db: D1Database, row: DirectionRow, judged: Judged, now: number): Promise<DirectionView> {
  const done = judged.rows.filter((r) => r.status !== "running").map(sampleOf);
  const month = await readTally(db, row.code, now - 28 * DAY, now);
  return {
    row,
    coverage: judged.coverage,
    windows: {
      "6h": summarise(tally(done.filter((s) => s.at > now - 6 * HOUR)), TARGET_24H),
      "24h": summarise(tally(done), TARGET_24H),
      "28d": summarise(month, TARGET_28D),
    },
    breaches: REASONS.flatMap((reason) => {
      const { bad, severity, text } = judged.breaches[reason];
      return bad ? [{ reason, severity, text }] : [];
    }),
    last: judged.rows[0] ?? null,
    failures: [...judged.rows.reduceRight(newest, new Map()).values()].sort(
      (a, b) => b.started_at_ms - a.started_at_ms,
    ),
  };
}

/** The columns of the original's table (wake-slo §6.3), for whoever moves from it. */
export const COMPAT = [
  "probe_id",
  "direction",
  "started_at",
  "wake_attempted",
  "wake_ok",
  "delivery_latency_ms",
  "reply_latency_ms",
  "status",
  "error_class",
  "session_id",
] as const;

export const compatRow = (r: ProbeRow): (string | number | null)[] => [
  ...[r.id, r.direction, iso(r.started_at_ms), r.wake_attempted, r.wake_ok, r.l1_ms, r.l3_ms, r.status],
  ...[r.error_class, r.session_id],
];

/** CSV of RFC 4180; no field of ours begins like a formula, but a peer's session id might. */
export const csvLine = (cells: readonly (string | number | null)[]): string =>
  `${cells
    .map((c) => {
      const text = c === null ? "" : String(c);
      const safe = /^[=+\-@\t\r]/.test(text) && typeof c === "string" ? `'${text}` : text;
      return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    })
    .join(",")}\r\n`;
