import * as z from "zod";
import { DAY, MINUTE } from "../kernel/clock";
import type { IncidentView, Json, Snapshot } from "../watch";

/** Which fix may run, as a pure chain of gates in the order of `kora-watch.md` §4.3. No vendor is asked here. */

export const FIX_MODES = ["dry_run", "approve", "auto"] as const;
export type FixMode = (typeof FIX_MODES)[number];

export type FixState =
  | "planned"
  | "waiting"
  | "approved"
  | "denied"
  | "expired"
  | "running"
  | "done"
  | "failed"
  | "unknown_outcome";
export type FixOutcome = "recovered" | "no_change" | "worse";
export type FixVerb = "start" | "restart";

/** Attempts at most: per incident, per target and machine in 24 h, in the workspace in 24 h. All slide. */
export const CAPS = { incident: 1, target: 2, workspace: 3 } as const;
export const CAP_WINDOW = DAY;
/** How long an operator may answer, Reveille ms. */
export const APPROVAL_LIFE = 15 * MINUTE;

/** The one action that is declared; the others are names for the same thing, so all share one key and one attempt. */
export const FIX_ACTION = "restart_unhealthy_machine";
const ACTIONS: Record<string, readonly string[]> = { fly: [FIX_ACTION, "restart_machine", "start"] };

/** Action names that mean the declared fix of a probe. */
export const actionsOf = (probe: string): readonly string[] => ACTIONS[probe] ?? [];

export const FIX_CODES = [
  "kill_switch",
  "envelope_disabled",
  "capability_missing",
  "incident_not_open",
  "not_confirmed",
  "acked_or_snoozed",
  "auth_failed",
  "unknown_probe",
  "action_not_in_envelope",
  "target_id_invalid",
  "target_not_in_snapshot",
  "target_already_healthy",
  "attempts_incident",
  "attempts_target",
  "attempts_workspace",
  "fly_api_token_unset",
  "api_url_foreign",
] as const;
export type FixCode = (typeof FIX_CODES)[number];

/** Who calls the executor; the capability is checked, not assumed (`kora-watch.md` D10). */
export interface FixCaller {
  name: string;
  capabilities: readonly string[];
}
/** Reasoning holds the one capability and nothing else (`kora-watch.md` §4.2). */
export const REASONING: FixCaller = { name: "reasoning", capabilities: ["probe_autofix_fly_restart"] };
export const operatorCaller = (name: string): FixCaller => ({ name, capabilities: ["probe_autofix_fly_restart"] });

/** A machine as the incident's own looks name it. */
export interface SeenMachine {
  app: string;
  /** Fly's state word, when a look told it. */
  state: string | null;
  /** The newest look that can tell says that it is still unhealthy. */
  sick: boolean;
}

export interface FixFacts {
  /** Reveille ms. */
  now: number;
  killed: boolean;
  envelope_enabled: boolean;
  /** What the envelope demands of its caller. */
  capability: string | null;
  caller: FixCaller;
  /** Null when there is no such incident. */
  incident: {
    resolved: boolean;
    confirmed: boolean;
    rehearsal: boolean;
    acked: boolean;
    snooze_until: number | null;
    category: string;
    /** Reason of the newest look. */
    reason_now: string | null;
  } | null;
  probe: string;
  action: string;
  target_id: string;
  machine: SeenMachine | null;
  attempts: { incident: number; target: number; workspace: number };
  /** State of this very fix when it was asked for before and must not be asked again, else null. */
  asked_before: string | null;
  /** `elsewhere`: this Worker never holds it; the consumer checks again. */
  token: "set" | "unset" | "elsewhere";
  /** The write token may be sent to the target's `api_url`. */
  api_url_allowed: boolean;
}

export interface Refusal {
  code: FixCode;
  message: string;
}

export const TARGET_ID = /^[A-Za-z0-9_-]{1,64}$/;

type Gate = [FixCode, (f: FixFacts) => string | null];

const no = (refused: boolean, message: string): string | null => (refused ? message : null);

/** In this order; the first that refuses is the answer. */
const GATES: Gate[] = [
  ["kill_switch", (f) => no(f.killed, "Autofix is killed, or the switchboard can't be read.")],
  ["envelope_disabled", (f) => no(!f.envelope_enabled, `The fix envelope of ${f.probe} is off.`)],
  [
    "capability_missing",
    (f) =>
      no(
        f.capability === null || !f.caller.capabilities.includes(f.capability),
        `${f.caller.name} does not hold ${f.capability ?? "a capability for this"}.`,
      ),
  ],
  [
    "incident_not_open",
    (f) =>
      no(f.incident === null || f.incident.resolved, "The incident is not open (any more); there is nothing to fix."),
  ],
  [
    "not_confirmed",
    (f) =>
      f.incident?.rehearsal
        ? "This is a rehearsal, not a confirmed fault."
        : no(f.incident?.confirmed !== true, "The fault is not confirmed."),
  ],
  [
    "acked_or_snoozed",
    (f) =>
      f.incident?.acked
        ? "A person acknowledged the incident and has it in hand. Take the ack back first."
        : no((f.incident?.snooze_until ?? 0) > f.now, "The incident is snoozed. End the snooze first."),
  ],
  [
    "auth_failed",
    (f) =>
      no(
        f.incident?.category === "auth_failed" || f.incident?.reason_now === "auth_failed",
        "The vendor refuses our credential; no fix runs on what we can't see.",
      ),
  ],
  ["unknown_probe", (f) => no(actionsOf(f.probe).length === 0, `No fix is declared for ${f.probe}.`)],
  [
    "action_not_in_envelope",
    (f) => {
      if (!actionsOf(f.probe).includes(f.action)) return "The envelope does not hold this action.";
      const state = f.machine?.state ?? null;
      return no(
        f.action === "start" && state !== null && verbFor(state) !== "start",
        `A ${state} machine is not started.`,
      );
    },
  ],
  ["target_id_invalid", (f) => no(!TARGET_ID.test(f.target_id), "The target id has a form no machine has.")],
  [
    "target_not_in_snapshot",
    (f) => no(f.machine === null, "No look of this incident names that machine as unhealthy."),
  ],
  ["target_already_healthy", (f) => no(f.machine?.sick === false, "The machine is not unhealthy any more.")],
  [
    "attempts_incident",
    (f) =>
      f.asked_before !== null
        ? `This fix was asked for already; it is ${f.asked_before.replaceAll("_", " ")}.`
        : no(f.attempts.incident >= CAPS.incident, "This incident had its one attempt."),
  ],
  ["attempts_target", (f) => no(f.attempts.target >= CAPS.target, "This target had its two attempts in 24 h.")],
  ["attempts_workspace", (f) => no(f.attempts.workspace >= CAPS.workspace, "There were three attempts in 24 h.")],
  ["fly_api_token_unset", (f) => no(f.token === "unset", "REVEILLE_FLY_WRITE_TOKEN is not set.")],
  [
    "api_url_foreign",
    (f) => no(!f.api_url_allowed, "The write token goes to api.machines.dev or an allowed private address only."),
  ],
];

/** The first gate that refuses, or null: then the mode decides what happens. Pure. */
export function refusalOf(facts: FixFacts): Refusal | null {
  for (const [code, gate] of GATES) {
    const message = gate(facts);
    if (message !== null) return { code, message };
  }
  return null;
}

/** `start` for a machine that stands still, `restart` for one that failed or fails its checks. */
export const verbFor = (state: string | null): FixVerb =>
  state === "stopped" || state === "suspended" ? "start" : "restart";

const appFacts = z.object({
  unhealthy: z.array(z.string()).optional(),
  states: z.record(z.string(), z.string()).optional(),
});
const flyDetails = z.object({ apps: z.record(z.string(), z.unknown()) });

/** A look as far as this needs it. */
export interface SeenLook {
  at: number;
  reason: string;
  details: Record<string, Json>;
}

/** The app's facts in a look; null when the look could not see it. */
function factsOf(look: SeenLook, app: string): z.infer<typeof appFacts> | null {
  const apps = flyDetails.safeParse(look.details).data?.apps;
  return apps === undefined ? null : (appFacts.safeParse(apps[app]).data ?? null);
}

/** At most this many unhealthy ids stand in a look; a full list can't say who is well. */
const LIST_FULL = 10;

/** Is a machine among the app's unhealthy ones? Null: this look can't tell. */
export function sickIn(look: SeenLook, app: string, machine: string): boolean | null {
  const facts = factsOf(look, app);
  if (!facts?.unhealthy) return null;
  if (facts.unhealthy.includes(machine)) return true;
  return facts.unhealthy.length >= LIST_FULL || look.details["cut"] === true ? null : false;
}

/**
 * Finds a machine in the looks of one incident: a model or a person can name only what our own probe saw as unhealthy, in an
 * app the target watches. The newest look that can tell decides whether it still is.
 */
export function findMachine(looks: readonly SeenLook[], apps: readonly string[], machine: string): SeenMachine | null {
  const ordered = [...looks].sort((a, b) => a.at - b.at);
  let found: SeenMachine | null = null;
  for (const look of ordered)
    for (const app of apps) {
      const sick = sickIn(look, app, machine);
      if (sick === true) found = { app, sick, state: factsOf(look, app)?.states?.[machine] ?? null };
      else if (sick === false && found?.app === app) found.sick = false;
    }
  return found;
}

/** Machines that the newest look which can tell shows as unhealthy: what the operator's form offers. */
export function fixableMachines(
  looks: readonly SeenLook[],
  apps: readonly string[],
): { app: string; machine: string; state: string | null }[] {
  const ids = new Set(looks.flatMap((l) => apps.flatMap((app) => factsOf(l, app)?.unhealthy ?? [])));
  return [...ids].flatMap((machine) => {
    const seen = findMachine(looks, apps, machine);
    return seen?.sick && TARGET_ID.test(machine) ? [{ app: seen.app, machine, state: seen.state }] : [];
  });
}

/** The looks an incident row itself holds. */
export const looksOf = (incident: Pick<IncidentView, "first_snapshot" | "last_snapshot">): SeenLook[] =>
  [incident.first_snapshot, incident.last_snapshot].filter((s): s is Snapshot => s !== null && s.rehearsal !== true);

/** The request that would leave, word for word but for the credential and the lease's nonce. */
export interface FixRequest {
  method: "POST";
  url: string;
  headers: Record<string, string>;
  body: null;
  /** Taken before and released after it. */
  lease: { method: "POST"; url: string; body: { ttl: number } };
}
export const LEASE_TTL_S = 60;

export function requestFor(apiUrl: string, app: string, machine: string, verb: FixVerb): FixRequest {
  const base = `${apiUrl.replace(/\/+$/, "")}/v1/apps/${encodeURIComponent(app)}/machines/${encodeURIComponent(machine)}`;
  return {
    method: "POST",
    url: `${base}/${verb}`,
    headers: { accept: "application/json", "fly-machine-lease-nonce": "(from the lease)" },
    body: null,
    lease: { method: "POST", url: `${base}/lease`, body: { ttl: LEASE_TTL_S } },
  };
}

/** A dry run never takes the place of a real attempt. */
export const fixKey = (mode: FixMode, incident: string, machine: string): string =>
  `${mode === "dry_run" ? "dryrun" : "autofix"}:${incident}:${FIX_ACTION}:${machine}`;

const RANK: Record<string, number> = { healthy: 0, unknown: 0, degraded: 1, unhealthy: 2 };

/** What came of it: the vendor's own word on the machine, and our next look at the whole target. */
export function outcomeOf(seen: {
  /** The poll saw it serve. */
  serving: boolean;
  /** The machine ended in a state worse than the one it was in (failed, gone). */
  sank: boolean;
  before: { status: string } | null;
  /** The next look; null when it could not be made. */
  after: { status: string; sick: boolean | null } | null;
}): FixOutcome {
  const { before, after } = seen;
  if (seen.sank) return "worse";
  if (before && after && (RANK[after.status] ?? 0) > (RANK[before.status] ?? 0)) return "worse";
  return seen.serving && after?.sick !== true ? "recovered" : "no_change";
}
