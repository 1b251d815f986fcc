import { MINUTE, SECOND } from "../kernel/clock";
import type { Attempt } from "./notice.store";
import type { SendResult } from "./types";

/** Tries per channel; then the next channel has its turn (`kora-watch.md` §8). */
export const MAX_TRIES = 3;
/** Pause after the first and the second try, Reveille ms. */
const PAUSES = [5 * SECOND, 30 * SECOND];
/** A row still `sending` after this long belongs to a run that died (a send takes at most 10 s), wall ms. */
export const LEASE = 30 * SECOND;
/** A vendor that asks for a longer pause than this loses its turn when another channel is left, wall ms. */
const PATIENCE = MINUTE;
const LONGEST_PAUSE = 15 * MINUTE;

const PERMANENT = "permanent: ";

/** What a failed try leaves in its row: enough for a later run to know whether, and when, to try again. */
export function errorText(result: Extract<SendResult, { ok: false }>): string {
  const wait =
    result.retry_after_ms === undefined ? "" : ` (retry after ${Math.ceil(result.retry_after_ms / SECOND)} s)`;
  return `${result.retryable ? "" : PERMANENT}${result.error}${wait}`;
}

const askedPause = (error: string | null): number | null => {
  const found = /\(retry after (\d{1,9}) s\)$/.exec(error ?? "");
  return found ? Number(found[1]) * SECOND : null;
};

export type Next = { do: "try"; n: number } | { do: "wait"; until: number } | { do: "give_up" };

/**
 * What comes next on one channel, from its rows alone. A try that is still `sending` is the caller's matter.
 *
 * @param rate Reveille ms per wall ms: a vendor's pause is wall time.
 * @param last no other channel comes after this one.
 */
export function nextOn(rows: readonly Attempt[], now: number, rate: number, last: boolean): Next {
  const tries = rows.filter((row) => row.state !== "suppressed");
  const newest = tries.at(-1);
  const n = rows.reduce((most, row) => Math.max(most, row.n), 0) + 1;
  if (!newest) return { do: "try", n };
  if (tries.length >= MAX_TRIES || newest.error?.startsWith(PERMANENT)) return { do: "give_up" };
  const asked = askedPause(newest.error);
  if (asked !== null && asked > PATIENCE && !last) return { do: "give_up" };
  const own = PAUSES[tries.length - 1] ?? PAUSES.at(-1)!;
  const pause = Math.max(own, asked === null ? 0 : Math.min(asked, LONGEST_PAUSE) * rate);
  const until = (newest.finished_at ?? newest.started_at) + pause;
  return now >= until ? { do: "try", n } : { do: "wait", until };
}
