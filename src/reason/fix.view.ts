import { iso } from "../kernel/clock";
import { type Approval, readApproval } from "./approval.store";
import type { FixMode, FixOutcome, FixState, FixVerb } from "./autofix";
import { type FixRow, readFixes } from "./autofix.store";
import { verbOf } from "./fix.words";

/** A fix as the API and the pages show it. Times are ISO; the request is without its credential. */
export interface FixView {
  key: string;
  incident_id: string;
  wake_id: string | null;
  target_id: string;
  probe: string;
  action: string;
  verb: FixVerb;
  app: string;
  machine: string;
  mode: FixMode;
  state: FixState;
  request: Record<string, unknown>;
  before_state: Record<string, unknown> | null;
  after_state: Record<string, unknown> | null;
  outcome: FixOutcome | null;
  error: string | null;
  reason: string;
  by: string | null;
  /** The newest question, when it was asked. `id` is what an answer names. */
  approval: {
    id: string;
    expires_at: string;
    used_at: string | null;
    used_by: string | null;
    answer: string | null;
  } | null;
  created_at: string;
  expires_at: string | null;
  started_at: string | null;
  finished_at: string | null;
}

const object = (json: string | null): Record<string, unknown> | null =>
  json === null ? null : (JSON.parse(json) as Record<string, unknown>);

export function fixView(row: FixRow, approval: Approval | null): FixView {
  return {
    key: row.key,
    incident_id: row.incident_id,
    wake_id: row.wake_id,
    target_id: row.target_id,
    probe: row.probe,
    action: row.action,
    verb: verbOf(row),
    app: row.app,
    machine: row.machine,
    mode: row.mode,
    state: row.state,
    request: object(row.request) ?? {},
    before_state: object(row.before_state),
    after_state: object(row.after_state),
    outcome: row.outcome,
    error: row.error,
    reason: row.reason,
    by: row.by,
    approval: approval && {
      id: approval.id,
      expires_at: iso(approval.expires_at),
      used_at: iso(approval.used_at),
      used_by: approval.used_by,
      answer: approval.answer,
    },
    created_at: iso(row.created_at),
    expires_at: iso(row.expires_at),
    started_at: iso(row.started_at),
    finished_at: iso(row.finished_at),
  };
}

/** Fixes with their questions, newest first. */
export async function readFixViews(
  db: D1Database,
  q: { incident_id?: string; before?: number; limit: number },
): Promise<FixView[]> {
  const rows = await readFixes(db, q);
  return Promise.all(rows.map(async (r) => fixView(r, r.mode === "approve" ? await readApproval(db, r.key) : null)));
}
