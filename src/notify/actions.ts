import { DAY, HOUR } from "../kernel/clock";
import { commit } from "../kernel/d1";
import { randomToken } from "../kernel/ids";
import type { Notice } from "./types";

export type ActionName = "ack" | "snooze_1h";

/** How long the snooze button silences, Reveille ms. */
export const SNOOZE_MS = HOUR;
/** A button works for this long; older ones say so and the page does the rest. */
const LIFE = 7 * DAY;

const LABELS: Record<ActionName, string> = { ack: "Ack", snooze_1h: "Snooze 1 h" };

/** Makes one-use buttons for an incident. A button carries only an opaque id; what it does is in the row. */
export async function createActions(
  db: D1Database,
  incidentId: string,
  now: number,
  names: readonly ActionName[] = ["ack", "snooze_1h"],
): Promise<Notice["actions"]> {
  const made = names.map((action) => ({ action, id: randomToken(15) }));
  await commit(
    db,
    made.map(({ action, id }) =>
      db
        .prepare("INSERT INTO notice_action (id, incident_id, action, created_at, expires_at) VALUES (?, ?, ?, ?, ?)")
        .bind(id, incidentId, action, now, now + LIFE),
    ),
  );
  return made.map(({ action, id }) => ({ label: LABELS[action], id }));
}

export type Used =
  | { ok: true; action: ActionName; incident_id: string }
  | { ok: false; why: "unknown" | "expired" }
  | { ok: false; why: "used"; by: string; at: number };

interface Row {
  incident_id: string;
  action: ActionName;
  expires_at: number;
  used_at: number | null;
  used_by: string | null;
}

/** Takes a button: of any number of presses at once exactly one gets `ok`. */
export async function useAction(db: D1Database, id: string, by: string, now: number): Promise<Used> {
  const won = await db
    .prepare(
      `UPDATE notice_action SET used_at = ?1, used_by = ?2
       WHERE id = ?3 AND used_at IS NULL AND expires_at > ?1 RETURNING incident_id, action`,
    )
    .bind(now, by, id)
    .first<Pick<Row, "incident_id" | "action">>();
  if (won) return { ok: true, ...won };
  const row = await db.prepare("SELECT * FROM notice_action WHERE id = ?").bind(id).first<Row>();
  if (!row) return { ok: false, why: "unknown" };
  if (row.used_at !== null) return { ok: false, why: "used", by: row.used_by ?? "someone", at: row.used_at };
  return { ok: false, why: "expired" };
}

/** Gives a button back after its act failed without an effect, so that it can be pressed again. */
export async function giveBackAction(db: D1Database, id: string, by: string): Promise<void> {
  await db
    .prepare("UPDATE notice_action SET used_at = NULL, used_by = NULL WHERE id = ? AND used_by = ?")
    .bind(id, by)
    .run();
}
