import { auditStatement } from "../audit";
import { clip, ReveilleError } from "../kernel/errors";
import { randomToken } from "../kernel/ids";
import type { IncidentView } from "../watch";
import {
  APPROVAL_LIFE,
  FIX_ACTION,
  type FixCaller,
  type FixCode,
  type FixMode,
  fixKey,
  REASONING,
  type Refusal,
  refusalOf,
  requestFor,
  verbFor,
} from "./autofix";
import { insertAttempt, insertDryRun, readFix } from "./autofix.store";
import { type FixDeps, fixAudit, hand, loadFix, modeOf, startBy } from "./fix.load";

/** Asking for a fix: everything before the vendor. Both Workers may ask; neither needs the token for it. */

export interface FixAsked {
  incident_id: string;
  wake_id: string | null;
  action: string;
  /** The machine. */
  target_id: string;
  /** Why, in the asker's own words. */
  reason: string;
  /** Default: reasoning. */
  caller?: FixCaller;
}

export type Proposed =
  | { ok: true; key: string; status: "dry_run" | "waiting" | "approved" }
  | { ok: false; code: FixCode; message: string };

const REASON_MAX = 400;

/** What is kept of a look beside a fix: what "worse" is measured against. */
const beforeOf = (incident: IncidentView, state: string | null): string =>
  JSON.stringify({ state, target_status: incident.last_snapshot?.status ?? null });

/**
 * Asks for one fix: every gate in order, then by mode. `dry_run` keeps the exact request and tells it; `approve` asks the
 * operator; `auto` goes on to run. Nothing is sent to the vendor here. Each call ends in exactly one
 * `tool.probe_autofix_attempted` row: now for a refusal or a dry run, else when its fate is known (`kora-watch.md` §4.3).
 */
export async function proposeFix(deps: FixDeps, asked: FixAsked): Promise<Proposed> {
  const { db, runtime, switches } = deps;
  const caller = asked.caller ?? REASONING;
  const source = caller === REASONING ? "reasoning" : "operator";
  const reason = clip(runtime.redact.text(asked.reason), REASON_MAX);
  const key = fixKey("auto", asked.incident_id, asked.target_id);
  const load = async () =>
    loadFix(deps, switches, { ...asked, caller, key, asked_before: blocking(await readFix(db, key), caller) });
  const before = await sameCall(db, asked);
  if (before) return before;
  let loaded = await load();
  const about = () => ({
    incident_id: asked.incident_id,
    wake_id: asked.wake_id,
    probe: loaded.facts.probe,
    category: loaded.incident?.category ?? null,
    source,
  });
  const details = {
    action: clip(asked.action, 64),
    target_id: clip(asked.target_id, 64),
    by: caller.name,
    reason_from_reasoning: reason,
  };
  const refuse = async (refusal: Refusal): Promise<Proposed> => {
    const proof = { ...details, status: "rejected", code: refusal.code, before: null, after: null, duration_ms: 0 };
    await auditStatement(db, fixAudit(runtime, about(), "tool.probe_autofix_attempted", proof)).run();
    runtime.log("info", "autofix.refused", { incident: asked.incident_id, code: refusal.code });
    return { ok: false, ...refusal };
  };
  const refusal = refusalOf(loaded.facts);
  if (refusal) return refuse(refusal);
  const { incident, facts, api_url } = loaded;
  const { machine } = facts;
  if (!incident || !machine) throw new Error("The gates passed without an incident or a machine.");
  const mode = modeOf(switches, facts.probe);
  const request = requestFor(api_url, machine.app, asked.target_id, verbFor(machine.state));
  const now = runtime.clock.now();
  const row = {
    key: fixKey(mode, asked.incident_id, asked.target_id),
    incident_id: incident.id,
    wake_id: asked.wake_id,
    target_id: incident.target_id,
    probe: facts.probe,
    action: FIX_ACTION,
    app: machine.app,
    machine: asked.target_id,
    mode,
    request: JSON.stringify(request),
    before_state: beforeOf(incident, machine.state),
    reason,
    now,
  };
  const shown = { ...details, mode, app: machine.app, request, key: row.key };
  if (mode === "dry_run") {
    const proof = { ...shown, status: "dry_run", before: machine.state, after: null, duration_ms: 0 };
    const audit = fixAudit(runtime, about(), "tool.probe_autofix_attempted", proof);
    await insertDryRun(db, { ...row, state: "planned", by: caller.name, expires_at: null }, audit);
    await hand(deps, row.key);
    return { ok: true, key: row.key, status: "dry_run" };
  }
  const auto = mode === "auto";
  const made = await insertAttempt(
    db,
    {
      ...row,
      state: auto ? "approved" : "waiting",
      by: auto ? "auto" : caller.name,
      expires_at: auto ? startBy(runtime) : now + APPROVAL_LIFE,
    },
    caller !== REASONING,
    // 28 characters: told apart from other buttons by its length (see `approvalOf`).
    auto ? null : randomToken(21),
    fixAudit(runtime, about(), "autofix.proposed", shown),
  );
  if (!made) {
    // Lost to a call at the same moment: the rows now say why.
    loaded = await load();
    return refuse(
      refusalOf(loaded.facts) ?? {
        code: "attempts_incident",
        message: "Another call took this incident's one attempt.",
      },
    );
  }
  await hand(deps, row.key);
  return { ok: true, key: row.key, status: auto ? "approved" : "waiting" };
}

/** What asking would come to now: the refusal's words, or the mode. Nothing is written. */
export async function preview(
  deps: Pick<FixDeps, "db" | "runtime" | "token" | "switches">,
  asked: FixAsked,
): Promise<{ refused: string } | { mode: FixMode }> {
  const caller = asked.caller ?? REASONING;
  const key = fixKey("auto", asked.incident_id, asked.target_id);
  const known = blocking(await readFix(deps.db, key), caller);
  const { facts } = await loadFix(deps, deps.switches, { ...asked, caller, key, asked_before: known });
  const refusal = refusalOf(facts);
  return refusal ? { refused: refusal.message } : { mode: modeOf(deps.switches, facts.probe) };
}

/** A wake that comes back asks again for what it asked already: that is the same call, with its row and its proof. */
async function sameCall(db: D1Database, asked: FixAsked): Promise<Proposed | null> {
  if (asked.wake_id === null) return null;
  for (const mode of ["auto", "dry_run"] as const) {
    const row = await readFix(db, fixKey(mode, asked.incident_id, asked.target_id));
    if (row?.wake_id !== asked.wake_id) continue;
    const status = row.mode === "dry_run" ? "dry_run" : row.mode === "auto" ? "approved" : "waiting";
    return { ok: true, key: row.key, status };
  }
  return null;
}

/** The same fix of the same incident is one row: what stands there refuses, unless a person asks anew. */
function blocking(row: { state: string; started_at: number | null } | null, caller: FixCaller): string | null {
  if (row === null) return null;
  const again = ["denied", "expired"].includes(row.state) || (row.state === "failed" && row.started_at === null);
  return again && caller !== REASONING ? null : row.state;
}

/** A refusal as the operator's API and pages tell it. */
export function unwrapProposed(p: Proposed): Extract<Proposed, { ok: true }> {
  if (p.ok) return p;
  throw new ReveilleError({ status: 409, code: p.code, message: p.message });
}
