import type { Reason, Severity, Snapshot, Status } from "./types";

/** What the state machine of one target knows, takes in and gives out; its rules are in `incident.ts`. */

export const HOUR = 3_600_000;
export const FLAP_EDGES = 4;
export const FLAP_WINDOW = HOUR;
export const FLAP_STABLE = 30 * 60_000;
/** Bad runs within an hour that confirm a fault which never stays bad for N looks in a row. */
export const INTERMITTENT_RUNS = 6;
export const MAX_WIDEN = 30 * 60_000;
/**
 * A look this much older than the newest one was not overtaken (a look ends in 8 s, a shard waits 5 min at most): the clock
 * was set back, and waiting for it to catch up would be blindness.
 */
export const CLOCK_BACK = 15 * 60_000;
/** 429s in a row after which the inbox says that we can't see. */
export const BLIND_AFTER = 3;

export interface OpenIncident {
  id: string;
  category: Reason;
  severity: Severity;
  opened_at: number;
  first_bad_at: number;
  acked: boolean;
  snooze_until: number | null;
  flapping: boolean;
  rehearsal: boolean;
  version: number;
}

export interface Machine {
  phase: "steady" | "suspect" | "open";
  status: Status;
  reason: Reason;
  /** When the shown status began. */
  since: number;
  /** Bad and good looks in a row. */
  bad: number;
  good: number;
  /** Looks in a row at a severity above the open incident's. */
  higher: number;
  /** 429s in a row, and since when. */
  limited: number;
  limited_since: number | null;
  first_bad_at: number | null;
  /** `at` of the newest look taken into account; older ones are ignored. */
  last_at: number;
  incident: OpenIncident | null;
  /** Times of opens and resolves in the last hour: the flap rule. */
  edges: number[];
  /** Starts of bad runs in the last hour: the intermittent rule. */
  runs: number[];
  /** While flapping: when the raw state last changed, and to what. */
  flap: { changed_at: number; bad: boolean } | null;
  rehearsal: { bad_left: number; good_left: number } | null;
  next_look_at: number | null;
  not_before: number | null;
}

export interface Policy {
  confirm: number;
  confirm_unreachable: number;
  recover: number;
  /** Ms between looks of a suspect target. */
  recheck_ms: number;
  /** The target's interval, ms. */
  every_ms: number;
  /** false for internal targets: their rule feeds them, their object never looks. */
  self_looks: boolean;
}

export type Input =
  | { type: "look"; snapshot: Snapshot; severity: Severity; maintenance: boolean; new_id: string }
  | { type: "ack"; at: number }
  | { type: "unack"; at: number }
  | { type: "snooze"; at: number; until: number | null }
  | { type: "rehearse"; at: number }
  | { type: "close"; at: number };

export type WakeEvent = "opened" | "raised" | "recovered" | "flapping" | "settled" | "reminder" | "acked" | "snoozed";

/** What the object must write, in order, in the same commit as the machine. */
export type Effect =
  | { type: "changed"; from: Status; to: Status; reason: Reason }
  | { type: "open"; incident: OpenIncident; confirmed_by: string }
  | { type: "raise"; from: Severity; to: Severity }
  | { type: "flag_flapping"; on: boolean }
  | { type: "ack"; on: boolean }
  | { type: "snooze"; until: number | null }
  | {
      type: "resolve";
      at: number;
      downtime_ms: number;
      resolution: "recovered" | "closed" | "rehearsed";
      silent: boolean;
      incident: OpenIncident;
    }
  /** `silent`: planned or acknowledged silence; the object writes the audit row and no wake. */
  | { type: "wake"; event: WakeEvent; silent: boolean; incident: OpenIncident }
  | { type: "blind"; since: number };

export interface Step {
  machine: Machine;
  effects: Effect[];
}

/** A target nobody has looked at yet. */
export function fresh(at: number): Machine {
  return {
    phase: "steady",
    status: "unknown",
    reason: "not_looked_yet",
    since: at,
    bad: 0,
    good: 0,
    higher: 0,
    limited: 0,
    limited_since: null,
    first_bad_at: null,
    last_at: 0,
    incident: null,
    edges: [],
    runs: [],
    flap: null,
    rehearsal: null,
    next_look_at: null,
    not_before: null,
  };
}

/** Does this look count as bad, as good, or as neither (we could not see)? */
export function verdict(s: Pick<Snapshot, "status" | "reason">): "bad" | "good" | "blind" {
  if (s.status === "healthy") return "good";
  if (s.status === "unknown") return s.reason === "unreachable" ? "bad" : "blind";
  return "bad";
}
