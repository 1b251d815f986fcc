/**
 * A sliding window of 60 s (wake-slo §1.3, row 1), kept as counts of quarter seconds: small enough to be one stored value at any
 * rate. What is refused is not counted, so a window holds at most its limit, and a sender that keeps on gets through again.
 */

export const WINDOW = 60_000;
const SLOT = 250;

/** Start of a slot in ms and what was counted in it, oldest first. */
export type Slots = [start: number, n: number][];

export interface Taken {
  ok: boolean;
  slots: Slots;
  /** When refused: ms until the oldest slot that stands in the way leaves. */
  wait: number;
}

/** Counts `weight` into the window at `now` when the limit leaves room for one; `force`: counts whatever the limit says. */
export function take(slots: Slots, now: number, limit: number, weight = 1, force = false): Taken {
  // A slot counts until its last moment has left the window; one from the future is of a clock that was set back.
  const live = slots.filter(([start]) => start + SLOT > now - WINDOW && start <= now);
  const used = live.reduce((n, [, count]) => n + count, 0);
  if (used >= limit && !force)
    return { ok: false, slots: live, wait: Math.max(1, (live[0]?.[0] ?? now) + SLOT + WINDOW - now) };
  const start = Math.floor(now / SLOT) * SLOT;
  const last = live.at(-1);
  if (last?.[0] === start) last[1] += weight;
  else live.push([start, weight]);
  return { ok: true, slots: live, wait: 0 };
}
