import { HOUR, MINUTE } from "../kernel/clock";
import { hash32 } from "../kernel/ids";
import { MAX_WIDEN, verdict } from "./incident";
import type { DueRow } from "./target.store";
import type { Snapshot } from "./types";

/** Above this many due targets the cycle hands shards of it to queue `probe`. */
export const SHARD_SIZE = 100;

/** The slot number of a target at a time: it changes once an interval, at a moment spread by the target's hash. */
export function slotNumber(id: string, every_s: number, at: number): number {
  const every = every_s * 1000;
  return Math.floor((at - (hash32(id) % every_s) * 1000) / every);
}

/** When the cycle looks at a steady target next: the first whole minute of its next slot, not before `not_before`. ms. */
export function nextDue(id: string, every_s: number, not_before: number | null, now: number): number {
  const start = (slotNumber(id, every_s, now) + 1) * every_s * 1000 + (hash32(id) % every_s) * 1000;
  return Math.ceil(Math.max(start, not_before ?? 0) / MINUTE) * MINUTE;
}

/**
 * The targets to look at in the tick at `at`, when the last one was at `previous`. A slot that passed during missed ticks
 * counts once: one look is made now, none is invented for the past. `previous` 0 = first tick ever: everything is due.
 */
export function dueTargets(rows: DueRow[], previous: number, at: number): DueRow[] {
  return rows.filter((r) => {
    if (r.paused || r.phase !== "steady") return false;
    // Further ahead than a widened interval reaches: set before the clock was set back.
    if (r.not_before !== null && r.not_before > at && r.not_before <= at + MAX_WIDEN) return false;
    if (previous === 0 || r.reason === "not_looked_yet") return true;
    // A widened interval that ended since the last tick is due even when its slot is not.
    if (r.not_before !== null && r.not_before > previous) return true;
    return slotNumber(r.id, r.every_s, at) > slotNumber(r.id, r.every_s, previous);
  });
}

/** Splits due target numbers into shards of `SHARD_SIZE`, in a stable order. */
export function shards(nums: number[]): number[][] {
  const sorted = [...nums].sort((a, b) => a - b);
  const out: number[][] = [];
  for (let i = 0; i < sorted.length; i += SHARD_SIZE) out.push(sorted.slice(i, i + SHARD_SIZE));
  return out;
}

/**
 * Does a look change anything about a steady target? Only then is its object called (a healthy cycle has no object traffic).
 * A bad look always does, save in maintenance: a target that went bad during planned silence is shown bad, and the first bad
 * look after it must count.
 */
export function isNews(
  state: Pick<DueRow, "status" | "reason" | "phase">,
  look: Pick<Snapshot, "status" | "reason">,
  maintenance: boolean,
): boolean {
  if (look.reason === "not_probed") return false;
  if (look.reason === "rate_limited" || (verdict(look) === "bad" && !maintenance)) return true;
  return state.phase !== "steady" || state.status !== look.status || state.reason !== look.reason;
}

/** No object plans its next look further ahead (a re-check may be configured up to an hour). */
export const FARTHEST_LOOK = 2 * HOUR;

/**
 * An object that should have looked by now and has not, or that has no look planned although nobody else looks, or one that
 * lies ahead of a clock that was set back: its alarm chain is lost.
 */
export function overdue(rows: DueRow[], at: number, grace: number): DueRow[] {
  return rows.filter((r) =>
    r.next_look_at === null ? r.phase !== "steady" : r.next_look_at < at - grace || r.next_look_at > at + FARTHEST_LOOK,
  );
}
