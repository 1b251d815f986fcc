import { DAY } from "../kernel/clock";
import { all, marks } from "../kernel/d1";
import type { BudgetPort, Usage } from "./types";

/** Rows of table `cost`: the record of every call. What may still be spent is the Budget object's to say. */

export interface CostRow {
  call_id: string;
  /** Reveille time, ms. */
  at: number;
  route: string;
  provider: string;
  model: string;
  usage: Usage;
  /** null = not priced. */
  usd: number | null;
  ms: number;
  error: string | null;
  escalated: string | null;
  incident_id: string | null;
  wake_id: string | null;
}

/** One row a call; the same call again changes nothing. */
export const insertCost = (db: D1Database, row: CostRow): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO cost (call_id, at, route, provider, model, input_tokens, output_tokens, cache_write_tokens, cache_read_tokens,
         usd, ms, error, escalated, incident_id, wake_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (call_id) DO NOTHING`,
    )
    .bind(
      row.call_id,
      row.at,
      row.route,
      row.provider,
      row.model,
      row.usage.input,
      row.usage.output,
      row.usage.cache_write,
      row.usage.cache_read,
      row.usd,
      row.ms,
      row.error,
      row.escalated,
      row.incident_id,
      row.wake_id,
    );

/** A call as the API and the page show it. */
export interface CostView {
  call_id: string;
  at: number;
  route: string;
  provider: string;
  model: string;
  input_tokens: number;
  output_tokens: number;
  cache_write_tokens: number;
  cache_read_tokens: number;
  usd: number | null;
  ms: number;
  error: string | null;
  escalated: string | null;
  incident_id: string | null;
  wake_id: string | null;
}

/** The last calls, newest first. */
export const readCalls = (db: D1Database, limit: number): Promise<CostView[]> =>
  all<CostView>(db.prepare("SELECT * FROM cost ORDER BY at DESC, call_id DESC LIMIT ?").bind(limit));

/** What each route cost on each UTC day from `from` on, oldest first. */
export interface DaySpend {
  /** Start of the day, ms. */
  day: number;
  route: string;
  usd: number;
  calls: number;
}

export async function readDays(db: D1Database, from: number): Promise<DaySpend[]> {
  const rows = await all<{ d: number; route: string; usd: number; calls: number }>(
    db
      .prepare(
        // The length of a day stands in the text: a bound number is a float, and days would have fractions.
        `SELECT at / ${DAY} AS d, route, SUM(COALESCE(usd, 0)) AS usd, COUNT(*) AS calls FROM cost WHERE at >= ?
         GROUP BY d, route ORDER BY d, route`,
      )
      .bind(from),
  );
  // Sums of floats lose their last digits; the budget counts whole nanodollars, and both must read the same.
  return rows.map(({ d, usd, ...row }) => ({ day: d * DAY, usd: Math.round(usd * 1e9) / 1e9, ...row }));
}

/**
 * Brings the budget and the rows together after crashes: a call whose row exists is settled from it; one that is lost for 24 h
 * gets the row that says so. Repeating it changes nothing. Returns how many were set right.
 */
export async function reconcile(db: D1Database, budget: BudgetPort, now: number): Promise<number> {
  const left = (await budget.leftovers(now)).slice(0, 90);
  if (left.length === 0) return 0;
  const rows = await all<{ call_id: string; usd: number | null }>(
    db
      .prepare(`SELECT call_id, usd FROM cost WHERE call_id IN (${marks(left.length)})`)
      .bind(...left.map((l) => l.call_id)),
  );
  const known = new Map(rows.map((r) => [r.call_id, r.usd]));
  let done = 0;
  for (const call of left) {
    const usd = known.get(call.call_id);
    if (usd === undefined && !call.lost) continue;
    if (usd === undefined)
      await insertCost(db, {
        call_id: call.call_id,
        at: call.at,
        route: call.route,
        provider: "",
        model: call.model,
        usage: { input: 0, output: 0, cache_write: 0, cache_read: 0 },
        usd: call.reserved_usd,
        ms: 0,
        error: "sdk_transport",
        escalated: null,
        incident_id: call.incident_id,
        wake_id: null,
      }).run();
    await budget.settle(call.call_id, usd ?? null, now);
    done++;
  }
  return done;
}
