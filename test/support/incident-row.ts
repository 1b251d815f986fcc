/** One recorded incident as rows: what the watch would have stored, without the watch. Times are ms before now. */
export interface RecordedLook {
  ago: number;
  status: string;
  reason: string;
  latency_ms: number | null;
  error?: string | null;
  details?: Record<string, unknown>;
}

export interface RecordedIncident {
  id: string;
  target: { id: string; name: string; kind: string; config?: Record<string, unknown> };
  category: string;
  severity: "critical" | "warning" | "info";
  signal?: string | null;
  title: string;
  detail: string;
  /** First bad look, ms before now. */
  first_bad_ago: number;
  resolved?: boolean;
  rehearsal?: boolean;
  first: Omit<RecordedLook, "ago"> & { ago?: number };
  last?: Omit<RecordedLook, "ago"> & { ago?: number };
  looks?: RecordedLook[];
  others?: { id: string; name: string; kind: string; status: string; reason: string; ago: number }[];
  past?: { id: string; title: string; ago: number; lasted: number; severity?: string; category?: string }[];
  envelope_enabled?: boolean;
  event?: "opened" | "raised" | "settled";
}

type Statement = { sql: string; values: (string | number | null)[] };

const snapshot = (look: RecordedIncident["first"], at: number): string =>
  JSON.stringify({
    at,
    status: look.status,
    reason: look.reason,
    latency_ms: look.latency_ms,
    details: look.details ?? {},
    error: look.error ?? null,
  });

/** The inserts of a recording and of its wake (`wake_id` = `wake-{id}`), as it stands right after its commit. */
export function rowsOf(r: RecordedIncident, now: number): Statement[] {
  const out: Statement[] = [];
  const run = (sql: string, ...values: (string | number | null)[]): void => void out.push({ sql, values });
  const target = (
    id: string,
    name: string,
    kind: string,
    status: string,
    reason: string,
    since: number,
    config = {},
  ) => {
    run(
      `INSERT OR IGNORE INTO target (id, name, kind, every_s, config, credentials, thresholds, source, created_at, updated_at)
       VALUES (?, ?, ?, 60, ?, '{}', '{}', 'api', ?, ?)`,
      id,
      name,
      kind,
      JSON.stringify(config),
      now - 86_400_000,
      now - 86_400_000,
    );
    run(
      "INSERT OR IGNORE INTO target_state (target_id, version, phase, status, reason, since, machine) VALUES (?, 1, 'steady', ?, ?, ?, '{}')",
      id,
      status,
      reason,
      since,
    );
  };
  const zero = now - r.first_bad_ago;
  const last = r.last ?? r.first;
  target(r.target.id, r.target.name, r.target.kind, last.status, last.reason, zero, r.target.config);
  for (const o of r.others ?? []) target(o.id, o.name, o.kind, o.status, o.reason, now - o.ago);
  for (const l of r.looks ?? [])
    run(
      `INSERT OR REPLACE INTO watch_look (num, at, status, reason, latency_ms, details, error)
       VALUES ((SELECT num FROM target WHERE id = ?), ?, ?, ?, ?, ?, ?)`,
      r.target.id,
      now - l.ago,
      l.status,
      l.reason,
      l.latency_ms,
      l.details ? JSON.stringify(l.details) : null,
      l.error ?? null,
    );
  const incident = (
    id: string,
    title: string,
    detail: string,
    severity: string,
    category: string,
    first: number,
    resolved: number | null,
    a: string,
    b: string,
  ) =>
    run(
      `INSERT INTO incident (id, target_id, target_name, kind, category, signal, severity, title, detail, rehearsal, first_bad_at,
         opened_at, confirmed_by, resolved_at, resolution, first_snapshot, last_snapshot, version)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '2 of 2 looks', ?, ?, ?, ?, 1)`,
      id,
      r.target.id,
      r.target.name,
      r.target.kind,
      category,
      r.signal ?? null,
      severity,
      title,
      detail,
      r.rehearsal ? 1 : 0,
      first,
      first + 30_000,
      resolved,
      resolved === null ? null : "recovered",
      a,
      b,
    );
  for (const p of r.past ?? [])
    incident(
      p.id,
      p.title,
      "",
      p.severity ?? r.severity,
      p.category ?? r.category,
      now - p.ago,
      now - p.ago + p.lasted,
      snapshot(r.first, now - p.ago),
      snapshot(r.first, now - p.ago),
    );
  incident(
    r.id,
    r.title,
    r.detail,
    r.severity,
    r.category,
    zero,
    r.resolved ? now - 1_000 : null,
    snapshot(r.first, zero),
    snapshot(last, now - (last.ago ?? Math.max(0, r.first_bad_ago - 30_000))),
  );
  run(
    "INSERT INTO audit (emitted_at, seam, source, session_id, incident_id, details) VALUES (?, 'incident.opened', 'cron', ?, ?, ?)",
    zero + 30_000,
    `probe:${r.target.kind}:${r.category}`,
    r.id,
    JSON.stringify({ target: r.target.id, severity: r.severity, category: r.category, confirmed_by: "2 of 2 looks" }),
  );
  run(
    `INSERT INTO wake (wake_id, kind, event, incident_id, target_id, category, severity, incident_version, payload, created_at, next_at)
     VALUES (?, 'incident', ?, ?, ?, ?, ?, 1, ?, ?, ?)`,
    `wake-${r.id}`,
    r.event ?? "opened",
    r.id,
    r.target.id,
    r.category,
    r.severity,
    JSON.stringify({
      probe: r.target.kind,
      severity: r.severity,
      category: r.category,
      title: r.title,
      detail: r.detail,
      envelope_enabled: r.envelope_enabled === true,
      envelope_fix_name: r.target.kind === "fly" ? "restart_unhealthy_machine" : "(none)",
      rehearsal: r.rehearsal === true,
    }),
    now,
    now + 60_000,
  );
  return out;
}
