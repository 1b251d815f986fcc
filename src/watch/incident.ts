import {
  BLIND_AFTER,
  CLOCK_BACK,
  type Effect,
  FLAP_EDGES,
  FLAP_STABLE,
  FLAP_WINDOW,
  INTERMITTENT_RUNS,
  type Input,
  MAX_WIDEN,
  type Machine,
  type Policy,
  type Step,
  verdict,
  type WakeEvent,
} from "./machine";
import type { Reason, Severity, Snapshot, Status } from "./types";

export * from "./machine";

/**
 * The state machine of one target (`kora-watch.md` §3): pure, driven by the Target object, stored whole in `target_state`.
 *
 *   steady --bad--> suspect --N bad--> open --M good--> steady
 *                      \--good--> steady        \--flapping: 30 min stable--> steady
 *
 * `step` never reads a clock and never makes an id; both come in with the input.
 */

const RANK: Record<Severity, number> = { info: 0, warning: 1, critical: 2 };

const needed = (reason: Reason, p: Policy): number => {
  if (reason === "unreachable") return p.confirm_unreachable;
  // A heartbeat's grace time is its confirmation, and a job that says "failed" needs no second opinion.
  if (reason === "missed_beat" || reason === "job_failed") return 1;
  return p.confirm;
};

const recent = (times: number[], now: number): number[] => times.filter((t) => t <= now && now - t < FLAP_WINDOW);

/** Times that lie ahead of a clock that was set back would hold the machine until they come again. */
function setBack(m: Machine, at: number): void {
  m.last_at = at - 1;
  m.not_before = null;
  m.since = Math.min(m.since, at);
  if (m.flap) m.flap.changed_at = Math.min(m.flap.changed_at, at);
}

export function step(before: Machine, input: Input, policy: Policy): Step {
  const m: Machine = structuredClone(before);
  const effects: Effect[] = [];
  switch (input.type) {
    case "look":
      look(m, effects, input, policy);
      break;
    case "ack":
    case "unack":
      if (m.incident && m.incident.acked !== (input.type === "ack")) {
        m.incident.acked = input.type === "ack";
        m.incident.version++;
        effects.push({ type: "ack", on: m.incident.acked });
        wake(m, effects, "acked", false);
      }
      break;
    case "snooze":
      if (m.incident && m.incident.snooze_until !== input.until) {
        m.incident.snooze_until = input.until;
        m.incident.version++;
        effects.push({ type: "snooze", until: input.until });
        wake(m, effects, "snoozed", false);
      }
      break;
    case "rehearse":
      if (m.phase === "steady" && !m.rehearsal) {
        // Enough bad looks to confirm at any threshold, then enough good ones to resolve.
        m.rehearsal = { bad_left: Math.max(policy.confirm, 1), good_left: Math.max(policy.recover, 1) };
        m.next_look_at = input.at;
      }
      break;
    case "close":
      if (m.incident) resolve(m, effects, input.at, "closed", true);
      m.phase = "steady";
      m.rehearsal = null;
      m.next_look_at = null;
      break;
  }
  if (input.type === "look") schedule(m, input.snapshot.at, policy);
  return { machine: m, effects };
}

/** A snoozed incident that is still bad when the snooze ends speaks up again. */
function remind(m: Machine, effects: Effect[], at: number): void {
  if (!m.incident?.snooze_until || at < m.incident.snooze_until) return;
  m.incident.snooze_until = null;
  m.incident.version++;
  effects.push({ type: "snooze", until: null });
  wake(m, effects, "reminder", m.incident.acked);
}

function wake(m: Machine, effects: Effect[], event: WakeEvent, silent: boolean): void {
  if (m.incident) effects.push({ type: "wake", event, silent, incident: { ...m.incident } });
}

function look(m: Machine, effects: Effect[], input: Extract<Input, { type: "look" }>, policy: Policy): void {
  const s = input.snapshot;
  if (s.at < m.last_at - CLOCK_BACK) setBack(m, s.at);
  if (s.at <= m.last_at) return;
  m.last_at = s.at;
  m.edges = recent(m.edges, s.at);
  m.runs = recent(m.runs, s.at);

  const kind = verdict(s);
  // In maintenance nothing is said and nothing is forgotten: what is still so afterwards is told then.
  if (kind === "bad" && !input.maintenance) remind(m, effects, s.at);
  limit(m, effects, s, policy);
  if (m.rehearsal && s.rehearsal) {
    if (kind === "bad") m.rehearsal.bad_left--;
    else m.rehearsal.good_left--;
    if (m.rehearsal.good_left <= 0) m.rehearsal = null;
  }
  if (input.maintenance && m.phase !== "open") {
    // Planned silence: nothing is counted, and what was suspected before starts over afterwards.
    Object.assign(m, { phase: "steady", bad: 0, good: 0, first_bad_at: null });
    show(m, effects, s);
    return;
  }
  if (kind === "bad") bad(m, effects, input, policy);
  else if (kind === "good") good(m, effects, input, policy);
  else if (m.phase === "suspect") Object.assign(m, { phase: "steady", bad: 0, first_bad_at: null });
  // A blind look says nothing about an open incident; it stays open and shown as it was.
  if (!(kind === "blind" && m.phase === "open")) show(m, effects, s);
}

/** The shown status changes when it is known: a suspect target keeps its old face with "checking 1 of 2". */
function show(m: Machine, effects: Effect[], s: Snapshot): void {
  if (m.phase === "suspect") return;
  if (m.phase === "open" && verdict(s) === "good") return;
  // N unreachable looks are an outage (§1.6): from then on the target is down, not unknown.
  const status: Status = m.phase === "open" && s.reason === "unreachable" ? "unhealthy" : s.status;
  if (status === m.status && s.reason === m.reason) return;
  const since = m.phase === "open" && m.incident && status !== m.status ? Math.min(s.at, m.first_bad_at ?? s.at) : s.at;
  effects.push({ type: "changed", from: m.status, to: status, reason: s.reason });
  if (status !== m.status) m.since = since;
  m.status = status;
  m.reason = s.reason;
}

/** 429: look less often (×2 to 30 min), never count it; after three in a row say so once. */
function limit(m: Machine, effects: Effect[], s: Snapshot, policy: Policy): void {
  if (s.reason !== "rate_limited") {
    m.limited = 0;
    m.limited_since = null;
    m.not_before = null;
    return;
  }
  m.limited++;
  m.limited_since ??= s.at;
  const widened = Math.min(MAX_WIDEN, policy.every_ms * 2 ** Math.min(m.limited, 20));
  m.not_before = s.at + Math.max(widened, Math.min(s.retry_after_ms ?? 0, MAX_WIDEN));
  if (m.limited === BLIND_AFTER) effects.push({ type: "blind", since: m.limited_since });
}

function bad(m: Machine, effects: Effect[], input: Extract<Input, { type: "look" }>, policy: Policy): void {
  const s = input.snapshot;
  if (m.bad === 0) {
    m.first_bad_at = m.phase === "open" ? m.first_bad_at : s.at;
    if (!s.rehearsal) m.runs.push(s.at);
  }
  m.bad++;
  m.good = 0;
  if (m.phase !== "open") {
    // A rehearsal proves the plain path; what the target did before must not bend it.
    const intermittent = !s.rehearsal && m.runs.length >= INTERMITTENT_RUNS;
    if (m.bad >= needed(s.reason, policy) || intermittent) open(m, effects, input, policy, intermittent);
    else m.phase = "suspect";
    return;
  }
  if (m.flap && !m.flap.bad) m.flap = { changed_at: s.at, bad: true };
  if (input.maintenance) {
    m.higher = 0;
    return;
  }
  if (m.flap && s.at - m.flap.changed_at >= FLAP_STABLE) settle(m, effects);
  raise(m, effects, input, policy);
}

function good(m: Machine, effects: Effect[], input: Extract<Input, { type: "look" }>, policy: Policy): void {
  const s = input.snapshot;
  m.bad = 0;
  m.higher = 0;
  m.good++;
  if (m.phase === "suspect") {
    m.phase = "steady";
    m.first_bad_at = null;
    return;
  }
  if (m.phase !== "open") return;
  if (m.flap) {
    if (m.flap.bad) m.flap = { changed_at: s.at, bad: false };
    if (s.at - m.flap.changed_at < FLAP_STABLE) return;
    resolve(m, effects, s.at, "recovered", input.maintenance);
    return;
  }
  if (m.good < policy.recover) return;
  const edges = [...m.edges, s.at];
  if (edges.length >= FLAP_EDGES && !m.incident?.rehearsal) {
    // The fourth edge within the hour: say "flapping" once and stay open until it is stable.
    m.edges = edges;
    startFlap(m, effects, s.at, false, input.maintenance);
    return;
  }
  resolve(m, effects, s.at, m.incident?.rehearsal ? "rehearsed" : "recovered", input.maintenance);
}

function open(
  m: Machine,
  effects: Effect[],
  input: Extract<Input, { type: "look" }>,
  policy: Policy,
  intermittent: boolean,
): void {
  const s = input.snapshot;
  m.phase = "open";
  if (!s.rehearsal) m.edges.push(s.at);
  m.incident = {
    id: input.new_id,
    category: s.reason,
    severity: input.severity,
    opened_at: s.at,
    first_bad_at: m.first_bad_at ?? s.at,
    acked: false,
    snooze_until: null,
    flapping: false,
    rehearsal: s.rehearsal === true,
    version: 1,
  };
  const confirmed_by =
    m.bad >= needed(s.reason, policy)
      ? `${m.bad} of ${needed(s.reason, policy)} looks`
      : `${m.runs.length} faults within an hour`;
  effects.push({ type: "open", incident: { ...m.incident }, confirmed_by });
  if ((!s.rehearsal && m.edges.length >= FLAP_EDGES) || (intermittent && m.bad < needed(s.reason, policy)))
    startFlap(m, effects, s.at, true, false);
  else wake(m, effects, "opened", false);
}

function startFlap(m: Machine, effects: Effect[], at: number, isBad: boolean, silent: boolean): void {
  m.flap = { changed_at: at, bad: isBad };
  if (!m.incident) return;
  m.incident.flapping = true;
  m.incident.version++;
  effects.push({ type: "flag_flapping", on: true });
  wake(m, effects, "flapping", silent || quiet(m, at));
}

/** Bad for 30 minutes without a change: no longer flapping, simply down. */
function settle(m: Machine, effects: Effect[]): void {
  m.flap = null;
  if (!m.incident) return;
  m.incident.flapping = false;
  m.incident.version++;
  effects.push({ type: "flag_flapping", on: false });
  wake(m, effects, "settled", quiet(m, m.last_at));
}

/** A worse severity is its own transition and passes ack, snooze and debounce; it needs the same confirmation as an open. */
function raise(m: Machine, effects: Effect[], input: Extract<Input, { type: "look" }>, policy: Policy): void {
  if (!m.incident || RANK[input.severity] <= RANK[m.incident.severity]) {
    m.higher = 0;
    return;
  }
  m.higher++;
  if (m.higher < needed(input.snapshot.reason, policy)) return;
  const from = m.incident.severity;
  m.incident.severity = input.severity;
  m.incident.version++;
  m.higher = 0;
  effects.push({ type: "raise", from, to: input.severity });
  wake(m, effects, "raised", false);
}

function resolve(
  m: Machine,
  effects: Effect[],
  at: number,
  resolution: Extract<Effect, { type: "resolve" }>["resolution"],
  silent: boolean,
): void {
  if (!m.incident) return;
  m.incident.version++;
  if (!m.incident.rehearsal && resolution === "recovered") m.edges.push(at);
  const downtime_ms = at - m.incident.first_bad_at;
  effects.push({ type: "resolve", at, downtime_ms, resolution, silent, incident: { ...m.incident } });
  if (resolution !== "closed") wake(m, effects, "recovered", silent);
  Object.assign(m, { phase: "steady", incident: null, flap: null, bad: 0, higher: 0, first_bad_at: null });
}

const quiet = (m: Machine, at: number): boolean =>
  m.incident !== null && (m.incident.acked || (m.incident.snooze_until ?? 0) > at);

function schedule(m: Machine, now: number, policy: Policy): void {
  if (!policy.self_looks) {
    m.next_look_at = null;
    return;
  }
  const base =
    m.phase === "suspect" || (m.phase === "open" && (m.good > 0 || m.higher > 0) && !m.flap)
      ? policy.recheck_ms
      : m.phase === "open"
        ? Math.max(policy.recheck_ms, Math.min(policy.every_ms, 60_000))
        : null;
  if (m.rehearsal) {
    m.next_look_at = now + policy.recheck_ms;
    return;
  }
  m.next_look_at = base === null ? null : Math.max(now + base, m.not_before ?? 0);
}
