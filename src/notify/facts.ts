import type { NoticeEvent } from "./types";

/** What a notice may say about an incident: columns of table `incident`, times in Reveille ms. */
export interface IncidentFacts {
  id: string;
  target_id: string;
  target_name: string;
  kind: string;
  category: string;
  severity: "critical" | "warning" | "info";
  title: string;
  detail: string;
  rehearsal: boolean;
  first_bad_at: number;
  opened_at: number;
  confirmed_by: string;
  acked_at: number | null;
  acked_by: string | null;
  snooze_until: number | null;
  resolved_at: number | null;
  resolution: string | null;
  flapping: boolean;
  cost_usd: number;
  /** JSON `{url, by}` of the fix that was seen to work, if one was. */
  fix?: string | null;
  /** JSON text of the snapshots, as stored. */
  first_snapshot: string;
  last_snapshot: string;
}

/** Events of one incident; the others have their own composer. */
export type IncidentEvent = Extract<
  NoticeEvent,
  "opened" | "raised" | "recovered" | "flapping" | "settled" | "reminder" | "acked" | "snoozed"
>;

/** The state of an incident in one sign and one word (operator-experience §3; never more than one sign a notice). */
export interface StateWord {
  sign: "■" | "▲" | "?";
  word: string;
  /** For "down 6 min 12 s". */
  lasted: string;
}

interface Seen {
  status?: unknown;
  reason?: unknown;
  error?: unknown;
}

/** A stored snapshot; `{}` when it can't be read: a notice is never dropped for its decoration. */
export function seen(text: string): Seen {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" ? (value as Seen) : {};
  } catch {
    return {};
  }
}

export function stateOf(f: IncidentFacts): StateWord {
  if (f.kind === "internal")
    return { sign: f.severity === "critical" ? "■" : "▲", word: "Alert", lasted: "raised for" };
  // The last snapshot of a resolved incident is a good one; what it was is in the first.
  const { status } = seen(f.resolved_at === null ? f.last_snapshot : f.first_snapshot);
  if (status === "degraded") return { sign: "▲", word: "Degraded", lasted: "degraded" };
  // A confirmed "unreachable" is an outage (kora-watch §1.6), and so is a fault whose last look is good again.
  if (status === "unhealthy" || f.severity === "critical" || f.category === "unreachable")
    return { sign: "■", word: "Down", lasted: "down" };
  return status === "unknown"
    ? { sign: "?", word: "Can't see", lasted: "unseen" }
    : { sign: "▲", word: "Degraded", lasted: "degraded" };
}
