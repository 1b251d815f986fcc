import { auditStatement } from "../audit";
import { iso } from "../kernel/clock";
import { newId } from "../kernel/ids";
import type { Redactor } from "../kernel/redact";
import type { Effect, Machine, OpenIncident } from "./incident";
import type { Severity, Snapshot, Target } from "./types";

/** The words of a fault, from `classify.ts`. */
export interface Issue {
  severity: Severity;
  title: string;
  detail: string;
}

/** Everything the statements of one commit need beside the effects themselves. */
export interface CommitContext {
  db: D1Database;
  target: Target;
  /** Reveille time of the commit, ms. */
  at: number;
  /** The look that caused it, if a look did. */
  snapshot: Snapshot | null;
  issue: Issue | null;
  /** Who acted, if a person did. */
  by: string | null;
  envelope: { enabled: boolean; fix_name: string };
  redact: Redactor;
  machine: Machine;
}

/** A wake is resent by the sweeper when it is not done this long after it was due (Reveille ms). */
export const RESEND_AFTER = 60_000;

/** The session id the original system used; joins go by incident and wake id (`kora-watch.md` §5). */
export const sessionId = (kind: string, category: string): string => `probe:${kind}:${category}`;

export interface Planned {
  statements: D1PreparedStatement[];
  /** Wakes to send once the batch is committed. */
  wakes: { wake_id: string; event: string; incident_id: string | null }[];
}

/** Turns the effects of one step into the statements of one D1 batch: incident, wake (outbox) and audit rows together. */
export function plan(effects: Effect[], c: CommitContext): Planned {
  const out: Planned = { statements: [], wakes: [] };
  const incident = findIncident(effects, c.machine);
  const audit = (
    seam: Parameters<typeof auditStatement>[1]["seam"],
    details: Record<string, unknown>,
    wake_id?: string,
  ) =>
    out.statements.push(
      auditStatement(c.db, {
        at: c.at,
        seam,
        source: c.by ? "operator" : "cron",
        session_id: incident ? sessionId(c.target.kind, incident.category) : null,
        incident_id: incident?.id ?? null,
        wake_id: wake_id ?? null,
        details: c.redact.json({ target: c.target.id, ...details }),
      }),
    );
  for (const effect of effects) apply(effect, c, incident, out, audit);
  return out;
}

function findIncident(effects: Effect[], m: Machine): OpenIncident | null {
  if (m.incident) return m.incident;
  for (const e of effects) if (e.type === "wake" || e.type === "open") return e.incident;
  for (const e of effects) if (e.type === "resolve") return e.incident;
  return null;
}

type Audit = (
  seam: Parameters<typeof auditStatement>[1]["seam"],
  details: Record<string, unknown>,
  wake_id?: string,
) => void;

function apply(effect: Effect, c: CommitContext, incident: OpenIncident | null, out: Planned, audit: Audit): void {
  const run = (sql: string, ...values: unknown[]): void => {
    out.statements.push(c.db.prepare(sql).bind(...values));
  };
  switch (effect.type) {
    case "changed":
      audit("probe.state_changed", {
        from: effect.from,
        to: effect.to,
        reason: effect.reason,
        error: c.snapshot?.error ?? null,
        rehearsal: c.snapshot?.rehearsal === true,
      });
      if (c.machine.incident && c.snapshot)
        run("UPDATE incident SET last_snapshot = ? WHERE id = ?", snapshotText(c), c.machine.incident.id);
      break;
    case "open":
      insertIncident(effect, c, run);
      audit("incident.opened", {
        severity: effect.incident.severity,
        category: effect.incident.category,
        confirmed_by: effect.confirmed_by,
        first_bad_at: iso(effect.incident.first_bad_at),
        rehearsal: effect.incident.rehearsal,
      });
      break;
    case "raise":
      run(
        "UPDATE incident SET severity = ?, title = ?, detail = ?, last_snapshot = ?, version = version + 1 WHERE id = ?",
        effect.to,
        c.redact.text(c.issue?.title ?? c.target.name),
        c.redact.text(c.issue?.detail ?? ""),
        snapshotText(c),
        incident?.id,
      );
      audit("incident.raised", { from: effect.from, to: effect.to });
      break;
    case "flag_flapping":
      run(
        "UPDATE incident SET flapping = ?1, flaps = flaps + ?1, version = version + 1 WHERE id = ?2",
        effect.on ? 1 : 0,
        incident?.id,
      );
      audit("probe.flapping", { on: effect.on });
      break;
    case "ack":
      run(
        "UPDATE incident SET acked_at = ?, acked_by = ?, version = version + 1 WHERE id = ?",
        effect.on ? c.at : null,
        effect.on ? c.by : null,
        incident?.id,
      );
      audit("incident.acked", { on: effect.on, by: c.by });
      break;
    case "snooze":
      run("UPDATE incident SET snooze_until = ?, version = version + 1 WHERE id = ?", effect.until, incident?.id);
      audit("incident.snoozed", { until: iso(effect.until), by: c.by });
      break;
    case "resolve":
      run(
        "UPDATE incident SET resolved_at = ?, resolution = ?, flapping = 0, version = version + 1 WHERE id = ?",
        effect.at,
        effect.resolution,
        effect.incident.id,
      );
      audit("probe.recovered", {
        downtime_ms: effect.downtime_ms,
        resolution: effect.resolution,
        silent: effect.silent,
      });
      break;
    case "wake":
      if (!effect.silent) insertWake(effect.event, effect.incident, c, out, run, audit);
      break;
    case "blind":
      insertWake("blind", null, c, out, run, audit, effect.since);
      break;
    default:
      effect satisfies never;
  }
}

const snapshotText = (c: CommitContext): string => JSON.stringify(c.redact.json(c.snapshot));

function insertIncident(
  effect: Extract<Effect, { type: "open" }>,
  c: CommitContext,
  run: (sql: string, ...values: unknown[]) => void,
): void {
  const i = effect.incident;
  run(
    `INSERT INTO incident (id, target_id, target_name, kind, category, signal, severity, title, detail, rehearsal,
       first_bad_at, opened_at, confirmed_by, first_snapshot, last_snapshot, version)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    i.id,
    c.target.id,
    c.target.name,
    c.target.kind,
    i.category,
    c.snapshot?.signal ?? null,
    i.severity,
    c.redact.text(c.issue?.title ?? c.target.name),
    c.redact.text(c.issue?.detail ?? ""),
    i.rehearsal ? 1 : 0,
    i.first_bad_at,
    i.opened_at,
    effect.confirmed_by,
    snapshotText(c),
    snapshotText(c),
    1,
  );
}

function insertWake(
  event: string,
  incident: OpenIncident | null,
  c: CommitContext,
  out: Planned,
  run: (sql: string, ...values: unknown[]) => void,
  audit: Audit,
  since?: number,
): void {
  const wake_id = newId(c.at);
  const category = incident?.category ?? c.snapshot?.reason ?? c.machine.reason;
  const severity = incident?.severity ?? "info";
  // The payload of `kora-watch.md` §5, word for word, then what Reveille adds.
  const payload = c.redact.json({
    probe: c.target.kind,
    severity,
    category,
    title: c.issue?.title ?? c.target.name,
    detail: c.issue?.detail ?? "",
    snapshot_details: c.snapshot?.details ?? {},
    envelope_enabled: c.envelope.enabled,
    envelope_fix_name: c.envelope.fix_name,
    target: c.target.id,
    target_name: c.target.name,
    event,
    at: c.at,
    by: c.by,
    error: c.snapshot?.error ?? null,
    rehearsal: incident?.rehearsal === true || c.snapshot?.rehearsal === true,
    ...(since === undefined ? {} : { since }),
  });
  run(
    `INSERT INTO wake (wake_id, kind, event, incident_id, target_id, category, severity, incident_version, payload, created_at, next_at)
     VALUES (?, 'incident', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    wake_id,
    event,
    incident?.id ?? null,
    c.target.id,
    category,
    severity,
    incident?.version ?? null,
    JSON.stringify(payload),
    c.at,
    c.at + RESEND_AFTER,
  );
  audit("probe.wake_requested", payload, wake_id);
  out.wakes.push({ wake_id, event, incident_id: incident?.id ?? null });
}
