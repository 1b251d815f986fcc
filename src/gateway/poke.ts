import { MINUTE, SECOND } from "../kernel/clock";
import { badRequest } from "../kernel/errors";
import { type AllowEntry, checkUrl, isPrivateHost } from "../kernel/net-guard";

/** Waking a gateway that sleeps while something waits for it (hermes-relay §4.5). Correctness rests on its reconnect alone. */

/** Reveille ms. At most one poke in this time, doubled with each one that did not help. */
const POKE_EVERY = MINUTE;
const POKE_LONGEST = 15 * MINUTE;
/** A socket that just dropped comes back by itself in a second. */
const POKE_AFTER_DROP = 5 * SECOND;
/** Wall ms. */
const POKE_TIMEOUT = 5_000;
const MAX_HOPS = 2;

export interface Poke {
  /** Reveille ms of the last one. */
  at: number;
  /** Pokes since the gateway last listened. */
  tries: number;
}

/** When to poke, Reveille ms; null: nothing waits, or somebody listens. `alone`: since when nobody does. */
export function pokeDue(
  last: Poke | null,
  s: { waiting: boolean; live: boolean; alone: number; now: number },
): number | null {
  if (!s.waiting || s.live) return null;
  const soonest = s.alone === 0 ? s.now : s.alone + POKE_AFTER_DROP;
  if (!last) return soonest;
  return Math.max(soonest, last.at + Math.min(POKE_EVERY * 2 ** Math.max(0, last.tries - 1), POKE_LONGEST));
}

/**
 * The URL of a wake poke. https only; http where the operator allowed that private host, for development.
 * @throws ReveilleError 400 saying what is wrong with it.
 */
export function checkWakeUrl(text: string, allow: AllowEntry[]): URL {
  const url = checkUrl(text, allow, "wakeUrl");
  if (url.protocol === "http:" && !isPrivateHost(url.hostname))
    throw badRequest("bad_url", "A wake URL must be https.", "wakeUrl");
  return url;
}

/** One unsigned GET with nothing in it. Status and body are ignored; redirects are followed on the same host alone. */
export async function poke(text: string, allow: AllowEntry[]): Promise<void> {
  const signal = AbortSignal.timeout(POKE_TIMEOUT);
  let url = checkWakeUrl(text, allow);
  for (let hop = 0; ; hop++) {
    const response = await fetch(url, { redirect: "manual", signal });
    const location = response.headers.get("location");
    await response.body?.cancel();
    if (response.status < 300 || response.status >= 400 || !location || hop === MAX_HOPS) return;
    const next = new URL(location, url);
    if (next.host !== url.host) return;
    url = checkWakeUrl(next.href, allow);
  }
}
