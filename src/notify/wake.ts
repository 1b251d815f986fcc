import { newId } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import { deliver } from "./deliver";
import { BURST_WINDOW, type Gate, gate } from "./gate";
import { close, resumeTold } from "./wake.close";
import { compose, fold } from "./wake.compose";
import { tryWake } from "./wake.dead";
import {
  claim,
  earlierWakes,
  finish,
  gateRows,
  markPlainNoticed,
  noteSent,
  release,
  type WakeWork,
} from "./wake.store";

/** One wake on its way to the operator: claim, gate, plain notice, done; each stage is a row before the next (design §5). */

export interface WakeDeps {
  db: D1Database;
  runtime: Runtime;
  /** Switchboard's mute, Reveille ms. */
  muted_until: number | null;
  /** Queues a wake made here (a summary). */
  send(wakeId: string, delayMs: number): Promise<void>;
  /** The queue of what may wait for a model. */
  reasoning: {
    /** An engine is configured: told wakes that are worth it go there. */
    configured: boolean;
    send(wakeId: string): Promise<void>;
  };
}

/** What the queue consumer does with the message. `retry_at` is Reveille time. */
export type WakeResult = { done: true } | { done: false; retry_at: number };

/** A claimant that died is replaced after this; a channel may take 10 s of wall time and three may be tried. Wall ms. */
const LEASE_WALL = 45_000;
/** Beyond the planned try, before the sweeper steps in (Reveille ms). */
export const SWEEP_GRACE = 60_000;
/** A recovery waits this long for the wake it follows when that one is in other hands. */
const BEHIND = 5_000;
/** Events that start the cooldown of their target and category. */
const COOLS = ["opened", "raised", "flapping", "settled", "reminder"];

export const leaseOf = (runtime: Runtime): number => LEASE_WALL * runtime.clock.rate;

/** Processes one wake as far as it goes now. The same message twice is one notice: the second finds no claim. */
export async function processWake(deps: WakeDeps, wakeId: string, depth = 0): Promise<WakeResult> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const claimant = newId(now);
  const wake = await claim(db, wakeId, claimant, now, leaseOf(runtime));
  if (!wake) return { done: true };
  return tryWake<WakeResult>(deps, wake, claimant, { done: true }, () => step(deps, wake, claimant, depth));
}

async function step(deps: WakeDeps, wake: WakeWork, claimant: string, depth: number): Promise<WakeResult> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  if (wake.stage !== "claimed") {
    await resumeTold(deps, wake, claimant);
    return { done: true };
  }
  const before = depth === 0 ? await tellEarlier(deps, wake) : null;
  if (before !== null) return giveBack(deps, wake, claimant, before, "waits for an earlier wake of this incident");
  const rows = await gateRows(db, wake, Math.floor(wake.created_at / BURST_WINDOW) * BURST_WINDOW);
  const payload = JSON.parse(wake.payload) as { rehearsal?: boolean };
  const decision = gate({
    event: wake.event,
    severity: wake.severity,
    rehearsal: payload.rehearsal === true,
    now,
    resolved: rows.resolved,
    muted_until: Math.max(deps.muted_until ?? 0, rows.target_muted_until ?? 0) || null,
    digest: runtime.config.digest,
    last_sent_at: rows.last_sent_at,
    debounce_ms: runtime.config.debounceMs,
    bypass_critical: runtime.config.bypassCritical,
    earlier_in_burst: rows.earlier_in_burst,
    deferred: wake.deferred_until !== null,
    incident_was_pushed: rows.incident_was_pushed,
  });
  if (decision.type === "defer") {
    await release(db, wake.wake_id, claimant, decision.until + SWEEP_GRACE, {
      error: "held back by the debounce",
      deferred_until: decision.until,
    }).run();
    runtime.log("info", "wake.deferred", { wake: wake.wake_id, until: decision.until });
    return { done: false, retry_at: decision.until };
  }
  return tell(deps, wake, claimant, decision);
}

/**
 * Queues keep no order: what came first is told first. An earlier wake that is held back by the debounce is worked on here,
 * where it ends in the inbox because its incident moved on. Null = nothing left in front.
 */
async function tellEarlier(deps: WakeDeps, wake: WakeWork): Promise<number | null> {
  if (wake.incident_id === null || wake.incident_version === null) return null;
  let behind: number | null = null;
  for (const earlier of await earlierWakes(deps.db, wake.incident_id, wake.incident_version)) {
    const result = await processWake(deps, earlier.wake_id, 1);
    const left = await deps.db
      .prepare("SELECT deferred_until FROM wake WHERE wake_id = ? AND done_at IS NULL AND plain_noticed_at IS NULL")
      .bind(earlier.wake_id)
      .first<{ deferred_until: number | null }>();
    // A deferred page does not hold up a raise: that one passes every cooldown.
    if (left && (left.deferred_until === null || wake.event === "recovered"))
      behind = Math.max(behind ?? 0, result.done ? deps.runtime.clock.now() + BEHIND : result.retry_at);
  }
  return behind;
}

async function giveBack(
  deps: WakeDeps,
  wake: WakeWork,
  claimant: string,
  retryAt: number,
  error: string,
): Promise<WakeResult> {
  await release(deps.db, wake.wake_id, claimant, retryAt + SWEEP_GRACE, { error }).run();
  return { done: false, retry_at: retryAt };
}

/** Why something stays in the inbox, in the words of the inbox page. */
const WHY: Record<Extract<Gate, { type: "inbox" }>["why"], string> = {
  muted: "muted",
  digest: "kept for the daily digest",
  debounced: "told a short while ago, and over since",
  quiet_event: "the first message of the thread shows it",
  never_pushed: "its fault was not pushed either",
};

async function tell(deps: WakeDeps, wake: WakeWork, claimant: string, decision: Gate): Promise<WakeResult> {
  const { db, runtime } = deps;
  const folded = decision.type === "fold" ? await fold(deps, wake) : null;
  const push = decision.type === "push" || (decision.type === "fold" && folded === null);
  const why = decision.type === "inbox" ? WHY[decision.why] : folded !== null ? "told in a summary" : undefined;
  const notice = await compose(deps, wake, push);
  const now = runtime.clock.now();
  if (notice === null) {
    // Its incident or target is gone (deleted meanwhile): there is nothing true left to say.
    await finish(db, wake.wake_id, claimant, now, { stage: "noticed", dm_status: "suppressed" }).run();
    return { done: true };
  }
  const result = await deliver({ db, runtime }, notice, {
    wake_id: wake.wake_id,
    push,
    ...(why === undefined ? {} : { reason: why }),
  });
  if (!result.done) return giveBack(deps, wake, claimant, result.retry_at, "a channel did not take it yet");
  const cools = push && result.dm === "sent" && COOLS.includes(wake.event);
  await db.batch([
    markPlainNoticed(db, wake.wake_id, claimant, runtime.clock.now()),
    ...(cools ? [noteSent(db, wake, runtime.clock.now())] : []),
  ]);
  await close(deps, wake, claimant, { dm: result.dm, channel: result.channel, skipped: why ?? null });
  return { done: true };
}
