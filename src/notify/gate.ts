import type { NoticeEvent } from "./types";

/** Notices of one kind in one minute beyond which the rest becomes one summary (`kora-watch.md` §8). */
export const BURST = 5;
export const BURST_WINDOW = 60_000;

/** Facts the decision needs; all read from rows, none from memory, so a restart decides the same. */
export interface GateFacts {
  event: NoticeEvent;
  severity: "critical" | "warning" | "info";
  rehearsal: boolean;
  now: number;
  /** The incident has ended meanwhile. */
  resolved: boolean;
  /** Everything, or this target, is muted until then. */
  muted_until: number | null;
  digest: boolean;
  /** When the last notice of this target and category went out, or null. */
  last_sent_at: number | null;
  debounce_ms: number;
  bypass_critical: boolean;
  /** Wakes of the same event created before this one within its burst window. */
  earlier_in_burst: number;
  /** This wake was held back by the debounce before. */
  deferred: boolean;
  /** Any notice of this incident reached a push channel. */
  incident_was_pushed: boolean;
}

export type Gate =
  | { type: "push" }
  /** Inbox only, with the reason for the row. */
  | { type: "inbox"; why: "muted" | "digest" | "debounced" | "quiet_event" | "never_pushed" }
  | { type: "defer"; until: number }
  | { type: "fold" };

/** Events that tell of trouble; the debounce and the burst rule are about them. */
const TROUBLE: NoticeEvent[] = ["opened", "flapping", "settled", "reminder"];

/**
 * Who hears of it, and when? A raise passes every cooldown (`kora-watch.md` D6); what is held back stays in the inbox and,
 * when the cooldown ends with the incident still open, goes out (suppressed is not seen, D5).
 */
export function gate(f: GateFacts): Gate {
  if (f.event === "blind" || f.event === "acked" || f.event === "snoozed") return { type: "inbox", why: "quiet_event" };
  if (f.event === "budget" && f.severity === "info") return { type: "inbox", why: "quiet_event" };
  if (f.event === "test") return { type: "push" };
  if (f.muted_until !== null && f.muted_until > f.now) return { type: "inbox", why: "muted" };
  if (f.event === "summary" || f.event === "digest") return { type: "push" };
  if (f.event === "recovered" && !f.incident_was_pushed) return { type: "inbox", why: "never_pushed" };
  if (f.digest && f.severity !== "critical") return { type: "inbox", why: "digest" };
  if (f.event === "opened" && !f.rehearsal && f.last_sent_at !== null) {
    const until = f.last_sent_at + f.debounce_ms;
    const bypass = f.severity === "critical" && f.bypass_critical;
    if (until > f.now && !bypass) return f.resolved ? { type: "inbox", why: "debounced" } : { type: "defer", until };
    // The cooldown ended, but so did the fault: a page now would be about nothing.
    if (f.deferred && f.resolved) return { type: "inbox", why: "debounced" };
  }
  if ((TROUBLE.includes(f.event) || f.event === "recovered") && !f.rehearsal && f.earlier_in_burst >= BURST)
    return { type: "fold" };
  return { type: "push" };
}
