import type { Reason, Status } from "../watch";

/** The five states a page can show (operator-experience §3). */
export type State = "ok" | "degraded" | "down" | "unknown" | "maintenance";

export const STATE_WORD: Record<State, string> = {
  ok: "OK",
  degraded: "Degraded",
  down: "Down",
  unknown: "Unknown",
  maintenance: "Maintenance",
};

/** Worst first. */
export const STATES: State[] = ["down", "degraded", "unknown", "maintenance", "ok"];

/** The order of the overview: what needs a person first. */
export const STATE_RANK = Object.fromEntries(STATES.map((s, i) => [s, i])) as Record<State, number>;

const FROM_STATUS: Record<Status, State> = {
  healthy: "ok",
  degraded: "degraded",
  unhealthy: "down",
  unknown: "unknown",
};

const REASON_WORD: Record<Reason, string> = {
  ok: "",
  not_configured: "not configured",
  unreachable: "no answer",
  service_unhealthy: "service unhealthy",
  auth_failed: "sign-in refused",
  misconfigured: "misconfigured",
  rate_limited: "rate limited",
  schema_drift: "answer has another shape",
  missed_beat: "beat missed",
  job_failed: "job failed",
  no_beat_yet: "no beat yet",
  not_probed: "not looked: cycle ran out of time",
  not_looked_yet: "not looked yet",
};

/** A reason in plain words; an unknown one is shown as stored. */
export const reasonWord = (reason: string): string => REASON_WORD[reason as Reason] ?? reason.replaceAll("_", " ");

/** What the state of a target is read from. */
export interface StateFacts {
  status: Status;
  reason: Reason;
  phase: "steady" | "suspect" | "open";
  paused: boolean;
  muted: boolean;
  maintenance: boolean;
  rehearsal: boolean;
  /** Bad looks in a row, and how many confirm. */
  bad: number;
  confirm: number;
  incident: { acked: boolean; snoozed_until: number | null; flapping: boolean } | null;
}

/** A state as shown: its shape, its reason in words, and modifiers that are words and never colours. */
export interface StateView {
  state: State;
  reason: string;
  /** The stored reason, for muted text. */
  code: string;
  modifiers: string[];
  /** When a snooze ends, ms; printed in the reader's zone. */
  snoozed_until: number | null;
}

export function stateView(f: StateFacts, now: number): StateView {
  const modifiers: string[] = [];
  if (f.phase === "suspect") modifiers.push(`checking ${f.bad} of ${f.confirm}`);
  if (f.incident?.flapping) modifiers.push("flapping");
  if (f.incident?.acked) modifiers.push("acked");
  if (f.rehearsal) modifiers.push("rehearsal");
  if (f.paused) modifiers.push("paused");
  if (f.muted) modifiers.push("muted");
  const snoozed = f.incident?.snoozed_until ?? null;
  return {
    state: f.maintenance ? "maintenance" : FROM_STATUS[f.status],
    reason: f.reason === "ok" ? "" : reasonWord(f.reason),
    code: f.reason,
    modifiers,
    snoozed_until: snoozed !== null && snoozed > now ? snoozed : null,
  };
}

/** The state of a span from its counted looks: the worst that was seen; never up or down when nothing was seen. */
export function stateOfCounts(c: {
  ok: number;
  degraded: number;
  bad: number;
  unknown: number;
  maintenance: number;
}): State | null {
  if (c.bad > 0) return "down";
  if (c.degraded > 0) return "degraded";
  if (c.ok > 0) return "ok";
  if (c.maintenance > 0) return "maintenance";
  return c.unknown > 0 ? "unknown" : null;
}

/** The shown state of a stored status. */
export const stateOfStatus = (status: Status): State => FROM_STATUS[status];
