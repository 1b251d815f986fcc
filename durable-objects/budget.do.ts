import { DurableObject } from "cloudflare:workers";
import { DAY, MINUTE } from "../src/kernel/clock";
import { runtimeOf } from "../src/kernel/runtime";
import {
  type BudgetAsk,
  type BudgetPort,
  type BudgetState,
  type Leftover,
  monthOf,
  nextMonth,
  type Reserved,
  ROUTES,
  type Route,
  type RouteSpend,
  refusal,
  routeCap,
  rungOf,
  THRESHOLDS,
} from "../src/reason";
import type { ObjectEnv } from "./env";

/** Money is kept as whole nanodollars: sums of integers are exact. */
const NANO = 1e9;
const toNano = (usd: number): number => Math.round(usd * NANO);
const toUsd = (nano: number): number => nano / NANO;

/** A call takes a minute at most; what is open after this was cut off by a crash. */
const OVERDUE = 10 * MINUTE;

interface CallRow {
  [column: string]: SqlStorageValue;
  call_id: string;
  at: number;
  month: string;
  route: string;
  model: string;
  incident_id: string | null;
  reserved: number;
  spent: number | null;
  lost: number;
}

/**
 * The month's reasoning budget: reserve the worst case before a call, settle the real price after it. Each method is one
 * synchronous transaction over SQLite, so calls cannot interleave and nothing lives in memory. Sums per month and route are
 * kept, because adding up a month of calls before each one would grow with the month.
 */
export class Budget extends DurableObject<ObjectEnv> {
  private readonly sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: ObjectEnv) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(
      `CREATE TABLE IF NOT EXISTS call (
         call_id TEXT PRIMARY KEY, at INTEGER NOT NULL, month TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL,
         incident_id TEXT, reserved INTEGER NOT NULL, spent INTEGER, settled_at INTEGER, lost INTEGER NOT NULL DEFAULT 0
       ) WITHOUT ROWID;
       CREATE INDEX IF NOT EXISTS call_time ON call (at);
       CREATE INDEX IF NOT EXISTS call_open ON call (at) WHERE spent IS NULL OR lost = 1;
       CREATE TABLE IF NOT EXISTS total (
         month TEXT NOT NULL, route TEXT NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL, calls INTEGER NOT NULL,
         PRIMARY KEY (month, route)
       ) WITHOUT ROWID;
       CREATE TABLE IF NOT EXISTS month (month TEXT PRIMARY KEY, told TEXT NOT NULL, halted_pool INTEGER) WITHOUT ROWID;`,
    );
  }

  /** Takes the worst case out of the pool, or says why not. The same call twice is one reservation, told by `again`. */
  async reserve(ask: BudgetAsk): Promise<Reserved> {
    return this.ctx.storage.transactionSync(() => {
      this.release(ask.at);
      const { pool, cap } = this.limits(ask.route);
      const month = monthOf(ask.at);
      const before = this.sums(month);
      if (this.find(ask.call_id))
        return { ok: true, call_id: ask.call_id, rung: rungOf(before.spent + before.reserved, pool), again: true };
      const facts = {
        pool,
        month_used: before.spent + before.reserved,
        route_day_used: this.dayOf(ask.at, ask.route).usd,
        cap,
        incident_calls: ask.incident_id === null ? 0 : this.callsOf(ask.incident_id, ask.at),
      };
      const no = refusal(ask, facts);
      if (no) {
        // Open reservations may come back; only when the spent part alone leaves too little is the month over.
        const settled = { ...facts, month_used: before.spent, route_day_used: this.dayOf(ask.at, ask.route).settled };
        const still = refusal(ask, settled);
        if (still?.what === "pool") this.halt(month, pool);
        return { ok: false, error: no.error, why: no.why, busy: still === null };
      }
      const reserved = Math.ceil(ask.worst_usd! * NANO);
      this.sql.exec(
        "INSERT INTO call (call_id, at, month, route, model, incident_id, reserved) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ask.call_id,
        ask.at,
        month,
        ask.route,
        ask.model,
        ask.incident_id,
        reserved,
      );
      this.add(month, ask.route, 0, reserved, 1);
      this.halt(month, null);
      const used = before.spent + before.reserved + toUsd(reserved);
      return { ok: true, call_id: ask.call_id, rung: rungOf(used, pool), again: false };
    });
  }

  /**
   * Turns a reservation into what it cost; null (or a number that is none) keeps the reserved sum. A negative price counts as
   * 0, a second settle may raise the first and never lowers it, an unknown call is nothing.
   */
  async settle(call_id: string, usd: number | null, at: number): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      const row = this.find(call_id);
      if (!row) return;
      const said = usd === null || !Number.isFinite(usd) ? row.reserved : toNano(Math.max(0, usd));
      this.close(row, row.spent === null ? said : Math.max(row.spent, usd === null ? 0 : said), at, 0);
    });
  }

  /** Where the month stands at `at`. */
  async state(at: number): Promise<BudgetState> {
    return this.ctx.storage.transactionSync(() => {
      this.release(at);
      const { pool } = this.limits("unknown");
      const month = monthOf(at);
      const { spent, reserved, calls } = this.sums(month);
      const halted = this.sql
        .exec<{ halted_pool: number | null }>("SELECT halted_pool FROM month WHERE month = ?", month)
        .toArray()[0];
      // A pool that was raised since is not used up any more.
      const over = halted?.halted_pool === toNano(pool);
      const share = pool > 0 ? spent / pool : 0;
      return {
        at,
        month,
        resets_at: nextMonth(at),
        pool,
        spent,
        reserved,
        left: Math.max(0, pool - spent - reserved),
        share: over ? Math.max(1, share) : share,
        rung: rungOf(spent + reserved, pool),
        calls,
        by_route: this.routes(month, at),
      };
    });
  }

  /** Calls that were cut off: open for too long, or released as spent and not yet written down. Oldest first. */
  async leftovers(at: number): Promise<Leftover[]> {
    return this.ctx.storage.transactionSync(() => {
      this.release(at);
      return this.sql
        .exec<CallRow>(
          "SELECT * FROM call WHERE (spent IS NULL OR lost = 1) AND at <= ? ORDER BY at LIMIT 90",
          at - OVERDUE,
        )
        .toArray()
        .map((row) => ({
          call_id: row.call_id,
          at: row.at,
          route: row.route as Route,
          model: row.model,
          incident_id: row.incident_id,
          reserved_usd: toUsd(row.reserved),
          lost: row.lost === 1,
        }));
    });
  }

  async crossed(at: number): Promise<number[]> {
    const { share, pool } = await this.state(at);
    const told = this.toldOf(monthOf(at));
    return pool > 0 ? THRESHOLDS.filter((t) => share * 100 >= t && !told.includes(t)) : [];
  }

  async told(at: number, threshold: number): Promise<void> {
    const month = monthOf(at);
    const told = [...new Set([...this.toldOf(month), threshold])];
    this.sql.exec(
      "INSERT INTO month (month, told) VALUES (?1, ?2) ON CONFLICT (month) DO UPDATE SET told = ?2",
      month,
      JSON.stringify(told),
    );
  }

  private limits(route: Route): { pool: number; cap: number | null } {
    const { config } = runtimeOf(this.env, "budget");
    return { pool: config.poolUsd, cap: routeCap(route, config.investigationDailyUsd) };
  }

  private find(call_id: string): CallRow | undefined {
    return this.sql.exec<CallRow>("SELECT * FROM call WHERE call_id = ?", call_id).toArray()[0];
  }

  /** A reservation nobody settled within 24 h counts as spent: its call may have been made. */
  private release(at: number): void {
    const lost = this.sql.exec<CallRow>("SELECT * FROM call WHERE spent IS NULL AND at <= ?", at - DAY).toArray();
    for (const row of lost) this.close(row, row.reserved, at, 1);
  }

  private close(row: CallRow, spent: number, at: number, lost: 0 | 1): void {
    this.sql.exec(
      "UPDATE call SET spent = ?, settled_at = ?, lost = ? WHERE call_id = ?",
      spent,
      at,
      lost,
      row.call_id,
    );
    this.add(row.month, row.route, spent - (row.spent ?? 0), row.spent === null ? -row.reserved : 0, 0);
  }

  private add(month: string, route: string, spent: number, reserved: number, calls: number): void {
    this.sql.exec(
      `INSERT INTO total (month, route, spent, reserved, calls) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (month, route) DO UPDATE SET spent = spent + ?3, reserved = reserved + ?4, calls = calls + ?5`,
      month,
      route,
      spent,
      reserved,
      calls,
    );
  }

  private sums(month: string): { spent: number; reserved: number; calls: number } {
    const row = this.sql
      .exec<{ spent: number; reserved: number; calls: number }>(
        "SELECT TOTAL(spent) AS spent, TOTAL(reserved) AS reserved, TOTAL(calls) AS calls FROM total WHERE month = ?",
        month,
      )
      .one();
    return { spent: toUsd(row.spent), reserved: toUsd(row.reserved), calls: row.calls };
  }

  private dayOf(at: number, route: string): { usd: number; settled: number; calls: number } {
    const row = this.sql
      .exec<{ nano: number; settled: number; calls: number }>(
        `SELECT TOTAL(COALESCE(spent, reserved)) AS nano, TOTAL(spent) AS settled, COUNT(*) AS calls
         FROM call WHERE at > ? AND route = ?`,
        at - DAY,
        route,
      )
      .one();
    return { usd: toUsd(row.nano), settled: toUsd(row.settled), calls: row.calls };
  }

  private callsOf(incident: string, at: number): number {
    return this.sql
      .exec<{ n: number }>("SELECT COUNT(*) AS n FROM call WHERE at > ? AND incident_id = ?", at - DAY, incident)
      .one().n;
  }

  private routes(month: string, at: number): Partial<Record<Route, RouteSpend>> {
    const out: Partial<Record<Route, RouteSpend>> = {};
    const months = this.sql
      .exec<{ route: string; spent: number; calls: number }>(
        "SELECT route, spent, calls FROM total WHERE month = ?",
        month,
      )
      .toArray();
    for (const route of ROUTES) {
      const of = months.find((m) => m.route === route);
      const day = this.dayOf(at, route);
      if (!of && day.calls === 0) continue;
      out[route] = {
        day: { usd: day.usd, calls: day.calls },
        month: { usd: toUsd(of?.spent ?? 0), calls: of?.calls ?? 0 },
        cap_usd: this.limits(route).cap,
      };
    }
    return out;
  }

  private toldOf(month: string): number[] {
    const row = this.sql.exec<{ told: string }>("SELECT told FROM month WHERE month = ?", month).toArray()[0];
    return row ? (JSON.parse(row.told) as number[]) : [];
  }

  /** Notes that the month is over for this pool; null takes it back. */
  private halt(month: string, pool: number | null): void {
    if (pool === null)
      this.sql.exec("UPDATE month SET halted_pool = NULL WHERE month = ? AND halted_pool IS NOT NULL", month);
    else
      this.sql.exec(
        "INSERT INTO month (month, told, halted_pool) VALUES (?1, '[]', ?2) ON CONFLICT (month) DO UPDATE SET halted_pool = ?2",
        month,
        toNano(pool),
      );
  }
}

/** The one budget of a workspace. */
export const budgetObject = (namespace: DurableObjectNamespace): BudgetPort =>
  namespace.get(namespace.idFromName("budget")) as unknown as BudgetPort;
