import { LINE_SCHEMA } from "./lending";
import { clearLog, LOG_SCHEMA } from "./log";
import type { SessionState } from "./merge";
import { JOINED_SCHEMA, RUN_SCHEMA } from "./run";

/** What a session's home remembers beside runs and log; one row, written when a run starts or ends. */
export interface HomeState {
  id: string;
  /** The address that ran it first. */
  owner: string | null;
  mode: string;
  /** The conversation as clients carry it. */
  session: SessionState;
  /** Questions answered "for this session": not asked again. */
  granted: Record<string, unknown>;
  created: number;
  /** The index row in D1 lags behind. */
  unindexed: boolean;
}

const SCHEMA = [
  "CREATE TABLE IF NOT EXISTS home (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL)",
  RUN_SCHEMA,
  JOINED_SCHEMA,
  LOG_SCHEMA,
  LINE_SCHEMA,
];

/** Creates what is missing. For the constructor. */
export function createHome(sql: SqlStorage): void {
  for (const statement of SCHEMA) sql.exec(statement);
}

export function readHome(sql: SqlStorage): HomeState | null {
  const row = sql.exec<{ json: string }>("SELECT json FROM home WHERE id = 1").toArray()[0];
  return row ? (JSON.parse(row.json) as HomeState) : null;
}

export const saveHome = (sql: SqlStorage, state: HomeState): unknown =>
  sql.exec("INSERT OR REPLACE INTO home (id, json) VALUES (1, ?)", JSON.stringify(state));

/** Forgets all that was said; who is connected stays. */
export function forgetHome(sql: SqlStorage): void {
  for (const table of ["home", "run", "joined"]) sql.exec(`DELETE FROM ${table}`);
  clearLog(sql);
}
