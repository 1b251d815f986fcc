import { all, marks } from "../kernel/d1";
import { fresh, type Machine } from "./incident";
import type { Kind, Reason, Status, Target, Thresholds } from "./types";

interface TargetRow {
  num: number;
  id: string;
  name: string;
  kind: string;
  every_s: number;
  config: string;
  credentials: string;
  thresholds: string;
  paused: number;
  muted_until: number | null;
  source: string;
  created_at: number;
  updated_at: number;
}

const toTarget = (r: TargetRow): Target => ({
  num: r.num,
  id: r.id,
  name: r.name,
  kind: r.kind as Kind,
  every_s: r.every_s,
  config: JSON.parse(r.config),
  credentials: JSON.parse(r.credentials),
  thresholds: JSON.parse(r.thresholds) as Thresholds,
  paused: r.paused === 1,
  muted_until: r.muted_until,
  source: r.source as Target["source"],
  created_at: r.created_at,
  updated_at: r.updated_at,
});

/** What the cycle needs of every target to pick the due ones, and nothing more. */
export interface DueRow {
  num: number;
  id: string;
  kind: Kind;
  every_s: number;
  paused: number;
  phase: Machine["phase"];
  status: Status;
  reason: Reason;
  not_before: number | null;
  next_look_at: number | null;
}

export async function readTarget(db: D1Database, id: string): Promise<Target | null> {
  const row = await db.prepare("SELECT * FROM target WHERE id = ?").bind(id).first<TargetRow>();
  return row ? toTarget(row) : null;
}

export async function readTargets(db: D1Database, after = "", limit = 200): Promise<Target[]> {
  const rows = await all<TargetRow>(
    db.prepare("SELECT * FROM target WHERE id > ? ORDER BY id LIMIT ?").bind(after, limit),
  );
  return rows.map(toTarget);
}

/** Targets by number; at most 100 (one statement's parameters). */
export async function readTargetsByNum(db: D1Database, nums: number[]): Promise<Target[]> {
  if (nums.length === 0) return [];
  const rows = await all<TargetRow>(
    db.prepare(`SELECT * FROM target WHERE num IN (${marks(nums.length)})`).bind(...nums),
  );
  return rows.map(toTarget);
}

export function readDueRows(db: D1Database): Promise<DueRow[]> {
  return all<DueRow>(
    db.prepare(
      `SELECT t.num, t.id, t.kind, t.every_s, t.paused, s.phase, s.status, s.reason, s.not_before, s.next_look_at
       FROM target t JOIN target_state s ON s.target_id = t.id WHERE t.paused = 0 AND t.kind <> 'internal'`,
    ),
  );
}

export type NewTarget = Omit<Target, "num" | "muted_until" | "created_at" | "updated_at">;

/** Inserts a target with its fresh state; a taken id fails the batch on the unique index. */
export function insertTarget(db: D1Database, t: NewTarget, at: number): D1PreparedStatement[] {
  const machine = fresh(at);
  return [
    db
      .prepare(
        `INSERT INTO target (id, name, kind, every_s, config, credentials, thresholds, paused, source, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .bind(
        t.id,
        t.name,
        t.kind,
        t.every_s,
        JSON.stringify(t.config),
        JSON.stringify(t.credentials),
        JSON.stringify(t.thresholds),
        t.paused ? 1 : 0,
        t.source,
        at,
        at,
      ),
    db
      .prepare(
        `INSERT INTO target_state (target_id, version, phase, status, reason, since, machine) VALUES (?, 0, ?, ?, ?, ?, ?)`,
      )
      .bind(t.id, machine.phase, machine.status, machine.reason, machine.since, JSON.stringify(machine)),
  ];
}

export function updateTarget(db: D1Database, id: string, t: NewTarget, at: number): D1PreparedStatement {
  return db
    .prepare(
      `UPDATE target SET name = ?, every_s = ?, config = ?, credentials = ?, thresholds = ?, paused = ?, source = ?, updated_at = ?
       WHERE id = ?`,
    )
    .bind(
      t.name,
      t.every_s,
      JSON.stringify(t.config),
      JSON.stringify(t.credentials),
      JSON.stringify(t.thresholds),
      t.paused ? 1 : 0,
      t.source,
      at,
      id,
    );
}

/** Stops all looks at a target; its object ignores those under way. */
export const pauseTarget = (db: D1Database, id: string): D1PreparedStatement =>
  db.prepare("UPDATE target SET paused = 1 WHERE id = ?").bind(id);

export const muteTarget = (db: D1Database, id: string, until: number | null): D1PreparedStatement =>
  db.prepare("UPDATE target SET muted_until = ? WHERE id = ?").bind(until, id);

/** Removes a target and its state. Incidents, notices and audit rows stay: they are history. */
export const deleteTarget = (db: D1Database, t: Target): D1PreparedStatement[] => [
  db.prepare("DELETE FROM target_state WHERE target_id = ?").bind(t.id),
  db.prepare("DELETE FROM heartbeat WHERE num = ?").bind(t.num),
  db.prepare("DELETE FROM probe_memory WHERE num = ?").bind(t.num),
  // A target made again under this id is another one: it is told at once.
  db.prepare("DELETE FROM wake_debounce WHERE target_id = ?").bind(t.id),
  db.prepare("DELETE FROM target WHERE id = ?").bind(t.id),
];

export interface StateRow {
  target_id: string;
  version: number;
  phase: Machine["phase"];
  status: Status;
  reason: Reason;
  since: number;
  next_look_at: number | null;
  not_before: number | null;
  incident_id: string | null;
  machine: string;
}

export async function readState(db: D1Database, id: string): Promise<{ version: number; machine: Machine } | null> {
  const row = await db
    .prepare("SELECT version, machine FROM target_state WHERE target_id = ?")
    .bind(id)
    .first<{ version: number; machine: string }>();
  return row ? { version: row.version, machine: JSON.parse(row.machine) as Machine } : null;
}

export async function readStates(db: D1Database, ids: string[]): Promise<Map<string, StateRow>> {
  const out = new Map<string, StateRow>();
  for (let i = 0; i < ids.length; i += 100) {
    const part = ids.slice(i, i + 100);
    const rows = await all<StateRow>(
      db.prepare(`SELECT * FROM target_state WHERE target_id IN (${marks(part.length)})`).bind(...part),
    );
    for (const row of rows) out.set(row.target_id, row);
  }
  return out;
}

/**
 * Saves a machine under its optimistic lock: a version that moved on sets NULL, which NOT NULL refuses, which aborts the
 * whole batch. So an incident, its wake and the machine are written together or not at all.
 */
export function saveState(db: D1Database, id: string, version: number, m: Machine): D1PreparedStatement {
  return db
    .prepare(
      `UPDATE target_state SET version = CASE WHEN version = ?1 THEN ?1 + 1 ELSE NULL END,
         phase = ?2, status = ?3, reason = ?4, since = ?5, next_look_at = ?6, not_before = ?7, incident_id = ?8, machine = ?9
       WHERE target_id = ?10`,
    )
    .bind(
      version,
      m.phase,
      m.status,
      m.reason,
      m.since,
      m.next_look_at,
      m.not_before,
      m.incident?.id ?? null,
      JSON.stringify(m),
      id,
    );
}

/**
 * The states after the very first looks of targets, when those were healthy: written by the cycle beside its pack, so that a
 * healthy target never needs an object. One statement for all (queries of an invocation are counted); it writes nothing where
 * an object (or another cycle) has.
 */
export function saveFirstLooks(db: D1Database, looks: { id: string; machine: Machine }[]): D1PreparedStatement {
  const rows = looks.map(({ id, machine: m }) => [id, m.status, m.reason, m.since, JSON.stringify(m)]);
  return db
    .prepare(
      `UPDATE target_state SET version = 1, status = v.value ->> 1, reason = v.value ->> 2, since = v.value ->> 3, machine = v.value ->> 4
       FROM json_each(?) v WHERE target_state.target_id = v.value ->> 0 AND target_state.version = 0`,
    )
    .bind(JSON.stringify(rows));
}

/** True for the error that a lost optimistic lock raises. */
export const lostRace = (error: unknown): boolean => String(error).includes("target_state.version");
