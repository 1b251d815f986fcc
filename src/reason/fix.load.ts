import type { RunMessage } from "../../durable-objects/env";
import type { AuditRow } from "../audit";
import { MINUTE } from "../kernel/clock";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import {
  envelopeOf,
  flyConfig,
  type IncidentView,
  isEnvelopeEnabled,
  readIncident,
  readLooks,
  readTarget,
  type Switches,
  sessionId,
  type Target,
} from "../watch";
import { type FixCaller, type FixFacts, type FixMode, findMachine, looksOf, type SeenLook } from "./autofix";
import { countAttempts } from "./autofix.store";
import { mayHoldToken } from "./fly";

/** What the gates of a fix judge, read from the rows; shared by asking and by running. */

export type SwitchesNow = Switches & { unreadable?: true };

export interface FixDeps {
  db: D1Database;
  runtime: Runtime;
  /** Read once for the batch; an unreadable switchboard reads as killed. */
  switches: SwitchesNow;
  token: FixFacts["token"];
  /** Queue `runs`. */
  send(message: Extract<RunMessage, { kind: "autofix" }>): Promise<void>;
}

/** An approved run begins within this or not at all (wall ms): nobody expects it an hour later. */
const START_WITHIN = 10 * MINUTE;
export const startBy = (runtime: Runtime): number => runtime.clock.now() + START_WITHIN * runtime.clock.rate;

const NEWEST_LOOKS = 3;

/** What the gates judge, with the rows it was read from. */
export interface LoadedFix {
  facts: FixFacts;
  incident: IncidentView | null;
  target: Target | null;
  looks: SeenLook[];
  api_url: string;
}

/** Reads everything the gates ask about. `switches` are the caller's, read just now or once for its batch. */
export async function loadFix(
  deps: Pick<FixDeps, "db" | "runtime" | "token">,
  switches: SwitchesNow,
  q: {
    incident_id: string;
    action: string;
    /** The machine. */
    target_id: string;
    caller: FixCaller;
    key: string;
    /** See `FixFacts.asked_before`. */
    asked_before: string | null;
  },
): Promise<LoadedFix> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const incident = await readIncident(db, q.incident_id);
  const target = incident ? await readTarget(db, incident.target_id) : null;
  const looks = incident ? await looksFor(db, incident, target, now) : [];
  const attempts = await countAttempts(db, {
    key: q.key,
    incident_id: q.incident_id,
    target_id: incident?.target_id ?? "",
    machine: q.target_id,
    now,
  });
  const probe = incident?.kind ?? "unknown";
  const config = target ? flyConfig.safeParse(target.config).data : undefined;
  const api_url = config?.api_url ?? "";
  const newest = looks.reduce<SeenLook | null>((a, b) => (a === null || b.at >= a.at ? b : a), null);
  const envelopes = Object.fromEntries(Object.entries(switches.envelopes).map(([k, v]) => [k, v.enabled]));
  const facts: FixFacts = {
    now,
    killed: switches.killed,
    envelope_enabled: isEnvelopeEnabled(probe, runtime.vars, { killed: switches.killed, envelopes }),
    capability: envelopeOf(probe).capability,
    caller: q.caller,
    incident:
      incident === null
        ? null
        : {
            // A deleted or paused target is not looked at: nothing could be verified.
            resolved: incident.resolved_at !== null || target === null || target.paused,
            confirmed: incident.confirmed_by !== "",
            rehearsal: incident.rehearsal,
            acked: incident.acked_at !== null,
            snooze_until: incident.snooze_until === null ? null : Date.parse(incident.snooze_until),
            category: incident.category,
            reason_now: newest?.reason ?? null,
          },
    probe,
    action: q.action,
    target_id: q.target_id,
    machine: config ? findMachine(looks, config.apps, q.target_id) : null,
    attempts,
    asked_before: q.asked_before,
    token: deps.token,
    api_url_allowed: mayHoldToken(api_url),
  };
  return { facts, incident, target, looks, api_url };
}

/** The looks of one incident: its first and last snapshot and the newest of its target's object. */
export async function looksFor(
  db: D1Database,
  incident: IncidentView,
  target: Target | null,
  now: number,
): Promise<SeenLook[]> {
  const own = target ? await readLooks(db, target.num, Date.parse(incident.first_bad_at), now + 1, NEWEST_LOOKS) : [];
  const seen = own.filter((l) => !l.rehearsal).map((l) => ({ at: l.at, reason: l.reason, details: l.details ?? {} }));
  return [...looksOf(incident), ...seen];
}

export const modeOf = (switches: SwitchesNow, probe: string): FixMode => switches.envelopes[probe]?.mode ?? "dry_run";

/** The one row of a call (`tool.probe_autofix_attempted`), or one of the rows around it. */
export function fixAudit(
  runtime: Runtime,
  f: { incident_id: string; wake_id: string | null; probe: string; category?: string | null; source: string | null },
  seam: "tool.probe_autofix_attempted" | "autofix.proposed" | "autofix.approved" | "autofix.denied" | "autofix.outcome",
  details: Record<string, unknown>,
): AuditRow {
  return {
    at: runtime.clock.now(),
    seam,
    source: f.source,
    session_id: f.category ? sessionId(f.probe, f.category) : null,
    incident_id: f.incident_id,
    wake_id: f.wake_id,
    details: runtime.redact.json({ probe: f.probe, ...details }),
  };
}

/** Hands a fix to the queue. Its row is committed, so a send that fails here is made good by the sweeper. */
export async function hand(deps: Pick<FixDeps, "runtime" | "send">, key: string): Promise<void> {
  try {
    await deps.send({ kind: "autofix", key, step: "run" });
  } catch (error) {
    deps.runtime.log("error", "autofix.send_failed", { key, error: describe(error) });
  }
}
