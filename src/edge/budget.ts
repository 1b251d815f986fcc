import { budgetObject } from "../../durable-objects/budget.do";
import { MINUTE } from "../kernel/clock";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import type { ListenerState } from "../listeners";
import type { BudgetPayload } from "../notify";
import { type BudgetState, reconcile } from "../reason";
import type { EdgeEnv } from "./env";

/** Shares with a notice of their own; 75 and 100 % open and raise the incident of rule `cost_ladder`. */
const OWN = [50, 90];

/**
 * The spent share of the month's pool for rule `cost_ladder` (1 = all), or null while there is nothing to judge: no engine and
 * no call this month, or a budget that can't be read. Tells on the way which shares were reached.
 */
export async function judgeBudget(
  env: EdgeEnv,
  runtime: Runtime,
  states: ReadonlyMap<string, ListenerState>,
): Promise<number | null> {
  const now = runtime.clock.now();
  const budget = budgetObject(env.BUDGET);
  try {
    const state = await budget.state(now);
    if (state.calls === 0 && engineless(states.get("reasoning_engine"))) return null;
    const crossed = await budget.crossed(now);
    const own = crossed.filter((t) => OWN.includes(t)).at(-1);
    // 90 % together with 75 % is one story, and the incident that opens tells it.
    if (own !== undefined && !(own === 90 && crossed.includes(75))) await tell(env, state, own);
    for (const threshold of crossed) await budget.told(now, threshold);
    return state.share;
  } catch (error) {
    runtime.log("error", "budget.unreadable", { error: describe(error) });
    return null;
  }
}

/** Listener `cost_telemetry`: calls that a crash cut off between their row and their settle. */
export async function settleLeftovers(env: EdgeEnv, now: number): Promise<string | null> {
  const n = await reconcile(env.DB, budgetObject(env.BUDGET), now);
  return n > 0 ? `${n} calls set right after a crash` : null;
}

/** What the consumer said of its engine; silence counts as none. */
const engineless = (state: ListenerState | undefined): boolean =>
  !state || (state.consecutive_errors === 0 && (state.note === null || state.note.startsWith("none ")));

/** One wake a share and month; its key makes a second one harmless. */
async function tell(env: EdgeEnv, state: BudgetState, threshold: number): Promise<void> {
  const wake_id = `budget-${state.month}-${threshold}`;
  const payload: BudgetPayload = { threshold, spent: state.spent, pool: state.pool, resets_at: state.resets_at };
  const severity = threshold >= 90 ? "warning" : "info";
  const made = await env.DB.prepare(
    `INSERT INTO wake (wake_id, kind, event, severity, payload, created_at, next_at) VALUES (?, 'incident', 'budget', ?, ?, ?, ?)
     ON CONFLICT (wake_id) DO NOTHING`,
  )
    .bind(wake_id, severity, JSON.stringify(payload), state.at, state.at + MINUTE)
    .run();
  if (made.meta.changes > 0) await env.WAKE_QUEUE.send({ wake_id, kind: "incident" });
}
