import { DurableObject } from "cloudflare:workers";
import type { Reserved } from "../src/reason/types";
import type { ObjectEnv } from "./env";

/** What a caller asks before it spends. `worst_usd` is the price of the largest answer allowed; null = no known price. */
export interface Ask {
  call_id: string;
  route: string;
  model: string;
  worst_usd: number | null;
  incident_id: string | null;
  /** Reveille time, ms. */
  at: number;
}

/** The month's reasoning budget: reserve the worst case before a call, settle the real price after it; race-free. */
export class Budget extends DurableObject<ObjectEnv> {
  constructor(ctx: DurableObjectState, env: ObjectEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(
      `CREATE TABLE IF NOT EXISTS call (
         call_id TEXT PRIMARY KEY, at INTEGER NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, incident_id TEXT,
         reserved REAL NOT NULL, usd REAL, settled_at INTEGER
       ) WITHOUT ROWID`,
    );
  }

  /** Takes the worst case out of the pool; the same call twice is one reservation. */
  reserve(ask: Ask): Reserved {
    if (ask.worst_usd === null) return { ok: false, error: "unpriced_model", why: `${ask.model} has no price.` };
    const row = this.ctx.storage.sql
      .exec(
        "INSERT INTO call (call_id, at, route, model, incident_id, reserved) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING call_id",
        ask.call_id,
        ask.at,
        ask.route,
        ask.model,
        ask.incident_id,
        ask.worst_usd,
      )
      .toArray();
    return { ok: true, call_id: ask.call_id, rung: "normal", again: row.length === 0 };
  }
}

export type BudgetMethods = Pick<Budget, "reserve">;

/** The one budget of a workspace. */
export const budgetObject = (namespace: DurableObjectNamespace): BudgetMethods =>
  namespace.get(namespace.idFromName("budget")) as unknown as BudgetMethods;
