import { iso } from "../kernel/clock";
import type { Investigated } from "./investigation";
import { type Evidence, type Investigation, investigationSchema } from "./types";

/** SQL of table `investigation`. One row an investigated wake, written in the batch that moves the wake on. */

/** Reasons for which nobody called a model, so that nothing was investigated. */
const NOT_CALLED = new Set(["cost_ladder_halted", "operational_state_paused", "unconfigured", "unpriced_model"]);

/**
 * The row and the incident's bill. Both hold only when the statement before them in the batch (the wake's stage) changed a row:
 * a run whose lease was taken over leaves nothing.
 */
export function investigationStatements(
  db: D1Database,
  wake: { wake_id: string; incident_id: string },
  x: Investigated,
  at: number,
): D1PreparedStatement[] {
  const called = x.error === null || !NOT_CALLED.has(x.error);
  return [
    db
      .prepare(
        `INSERT INTO investigation (wake_id, incident_id, at, result, error, evidence, dropped, guess, model, usd, ms, prompt_hash, identity_hash)
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE changes() > 0 ON CONFLICT (wake_id) DO NOTHING`,
      )
      .bind(
        wake.wake_id,
        wake.incident_id,
        at,
        x.result === null ? null : JSON.stringify(x.result),
        x.error,
        JSON.stringify(x.evidence),
        x.dropped,
        x.guess ? 1 : 0,
        x.model,
        x.usd,
        Math.round(x.ms),
        x.prompt_hash,
        x.identity_hash,
      ),
    db
      .prepare(
        "UPDATE incident SET cost_usd = cost_usd + ?, investigations = investigations + ? WHERE id = ? AND changes() > 0",
      )
      .bind(x.usd ?? 0, called ? 1 : 0, wake.incident_id),
  ];
}

interface Row {
  wake_id: string;
  incident_id: string;
  at: number;
  result: string | null;
  error: string | null;
  evidence: string;
  dropped: number;
  guess: number;
  model: string | null;
  usd: number | null;
  ms: number;
  prompt_hash: string | null;
  identity_hash: string | null;
}

/** An investigation as the API, the pages and the notice see it. */
export interface InvestigationView {
  wake_id: string;
  incident_id: string;
  at: string;
  result: Investigation | null;
  error: string | null;
  evidence: Evidence[];
  dropped: number;
  guess: boolean;
  model: string | null;
  usd: number | null;
  ms: number;
  prompt_hash: string | null;
  identity_hash: string | null;
}

function toView(r: Row): InvestigationView {
  const read = r.result === null ? null : investigationSchema.safeParse(JSON.parse(r.result));
  // A row of another form is told as no answer: a page, or a wake's end, must not hang on it.
  const error = read === null || read.success ? r.error : "invalid_output";
  const result = read?.data ?? null;
  return { ...r, at: iso(r.at), result, error, evidence: JSON.parse(r.evidence) as Evidence[], guess: r.guess === 1 };
}

/** The investigation of one wake, or null. */
export async function readInvestigation(db: D1Database, wakeId: string): Promise<InvestigationView | null> {
  const row = await db.prepare("SELECT * FROM investigation WHERE wake_id = ?").bind(wakeId).first<Row>();
  return row ? toView(row) : null;
}

/** The newest investigation of an incident that has an answer, else the newest at all, or null. */
export async function latestInvestigation(db: D1Database, incidentId: string): Promise<InvestigationView | null> {
  const row = await db
    .prepare("SELECT * FROM investigation WHERE incident_id = ? ORDER BY (result IS NULL), at DESC LIMIT 1")
    .bind(incidentId)
    .first<Row>();
  return row ? toView(row) : null;
}

/** Did this wake lead to a fix being asked for? Read from the rows, never from what a model says (`kora-watch.md` D12). */
export async function autofixAttempted(db: D1Database, wakeId: string): Promise<boolean> {
  const row = await db
    .prepare(
      "SELECT 1 AS n FROM audit WHERE wake_id = ? AND seam IN ('tool.probe_autofix_attempted', 'autofix.proposed') LIMIT 1",
    )
    .bind(wakeId)
    .first<{ n: number }>();
  return row !== null;
}
