import { HOUR } from "../kernel/clock";
import type { VaultRow, WieldBy } from "./types";

/** The rules of a chat's vault (hermes-relay §6.6, §7): which credential is meant, how long it serves, who makes way. Pure. */

export const DISCORD = "discord.interaction_token";

/** Credentials of one kind that a session keeps, the newest included. */
export const KEEP = 5;
/** Its row tells of it this long after it came, without the credential. Wall ms. */
export const TOLD_MS = 24 * HOUR;

/**
 * The reply Discord shows as "thinking": `open` until somebody ends it, `taken` while that is under way, `answered` when the answer
 * went another way and it must go, `ended`.
 */
export type Deferred = "open" | "taken" | "answered" | "ended";

export interface Held {
  id: string;
  /** Name of the object it was sealed in. */
  home: string;
  tenant: string;
  app: string;
  kind: string;
  /** null: gone, its time or its uses are over. */
  sealed: string | null;
  meta: Record<string, string>;
  aliases: string[];
  sealed_at: number;
  expires_at: number;
  uses_left: number | null;
  wielded: number;
  deferred: Deferred | null;
  /** Messages made with it. */
  ids: string[];
}

/** Does a deferred reply wait behind it? A press is deferred in silence: nothing shows (hermes-relay §6.6). */
export const deferredOf = (kind: string, meta: Record<string, string>): Deferred | null =>
  kind === DISCORD && meta["deferred"] !== "update" ? "open" : null;

/** A key without its namespace: whose profile it is, the instance decides, and the instance is in the vault's name. */
const bare = (key: string): string => key.split(":").slice(2).join(":");

/** The session a credential belongs to. */
const sessionOf = (h: Held): string => bare(h.aliases[0] ?? "");

const newestFirst = (a: Held, b: Held): number => b.sealed_at - a.sealed_at || (a.id < b.id ? 1 : -1);

export const usable = (h: Held, uses: number, now: number): boolean =>
  h.sealed !== null && now < h.expires_at && (h.uses_left === null || h.uses_left >= uses);

/** The deferred replies that still wait for their end. */
export const openOf = (held: readonly Held[], now: number): Held[] =>
  held.filter((h) => (h.deferred === "open" || h.deferred === "answered") && usable(h, 0, now));

/** The one that is meant, if it is alive. A newer one of a session replaces the older, spent or not. */
export function resolve(held: readonly Held[], by: WieldBy, now: number): Held | null {
  let found: Held | undefined;
  if ("session_key" in by) {
    const key = bare(by.session_key);
    found = held.filter((h) => h.kind === by.kind && h.aliases.some((a) => bare(a) === key)).sort(newestFirst)[0];
  } else if ("message_id" in by) found = held.find((h) => h.ids.includes(by.message_id));
  else if (by.reply_to !== null)
    found = held.find((h) => h.kind === DISCORD && h.meta["interaction_id"] === by.reply_to && h.deferred !== "taken");
  else {
    const open = openOf(held, now);
    found = open.length === 1 ? open[0] : undefined;
  }
  return found && usable(found, 0, now) ? found : null;
}

/** Those that make way in their session: all but the newest five of a kind. */
export function surplus(held: readonly Held[]): Held[] {
  const seen = new Map<string, number>();
  return [...held].sort(newestFirst).filter((h) => {
    const group = JSON.stringify([h.kind, sessionOf(h)]);
    const n = (seen.get(group) ?? 0) + 1;
    seen.set(group, n);
    return n > KEEP;
  });
}

export function view(held: readonly Held[], now: number): VaultRow[] {
  return [...held].sort(newestFirst).map((h, _n, all) => {
    const newer = all.some(
      (o) => o.kind === h.kind && sessionOf(o) === sessionOf(h) && newestFirst(o, h) < 0 && o.id !== h.id,
    );
    const state = now >= h.expires_at ? "expired" : !usable(h, 1, now) ? "spent" : newer ? "replaced" : "live";
    const { id, kind, sealed_at, expires_at, uses_left, wielded } = h;
    return { id, kind, sealed_at, expires_at, uses_left, wielded, state };
  });
}

/** When something is to be done for it, wall ms: its end, then the end of its row. */
export const dueAt = (h: Held): number => (h.sealed === null ? h.sealed_at + TOLD_MS : h.expires_at);
