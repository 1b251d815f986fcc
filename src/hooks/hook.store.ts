import * as z from "zod";
import { all } from "../kernel/d1";
import { notFound, ReveilleError } from "../kernel/errors";
import { type HookSettings, hookSettings } from "./hook.schema";
import type { HookSecret } from "./secrets";

/** The rows of hooks. A hook is changed by people only, but for its counts. */

export interface Hook extends HookSettings {
  id: string;
  secrets: HookSecret[];
  /** The agent's key at its peer, sealed (`sloKeyPlace`). */
  sealed_slo_key: string | null;
  created_at: number;
  updated_at: number;
  trigger_count: number;
  last_triggered_at: number | null;
  last_status: string | null;
  last_error: string | null;
}

type Row = Omit<Hook, "recipient" | "secrets" | "hmac" | "quiet" | "slo" | "limits" | "enabled" | "sealed_slo_key"> &
  Record<"recipient" | "secrets" | "hmac" | "quiet" | "slo" | "limits", string> & { enabled: number };

const secretsSchema = z.array(
  z.object({ sealed: z.string(), created_at: z.number(), retire_at: z.number().nullable() }),
);
const sloRow = z.looseObject({ sealed_key: z.string().nullable().default(null) });

function fromRow(row: Row): Hook {
  const { sealed_key, ...slo } = sloRow.parse(JSON.parse(row.slo));
  const { title, description, mode, template, agent_id, agent_name, auth_mode } = row;
  const quiet = JSON.parse(row.quiet) as { zone?: string };
  return {
    ...hookSettings.parse({
      ...{ title, description, mode, template, agent_id, agent_name, auth_mode },
      enabled: row.enabled === 1,
      recipient: JSON.parse(row.recipient),
      hmac: JSON.parse(row.hmac),
      quiet: Object.keys(quiet).length === 0 ? null : quiet,
      slo,
      limits: JSON.parse(row.limits),
    }),
    id: row.id,
    secrets: secretsSchema.parse(JSON.parse(row.secrets)),
    sealed_slo_key: sealed_key,
    created_at: row.created_at,
    updated_at: row.updated_at,
    trigger_count: row.trigger_count,
    last_triggered_at: row.last_triggered_at,
    last_status: row.last_status,
    last_error: row.last_error,
  };
}

/** One hook, or null. */
export async function readHook(db: D1Database, id: string): Promise<Hook | null> {
  const row = await db.prepare("SELECT * FROM hook WHERE id = ?").bind(id).first<Row>();
  return row ? fromRow(row) : null;
}

/** @throws ReveilleError 404. */
export async function mustReadHook(db: D1Database, id: string): Promise<Hook> {
  const hook = await readHook(db, id);
  if (!hook) throw notFound("hook", id);
  return hook;
}

/** Hooks by id, after `after`. */
export const listHooks = async (db: D1Database, after: string, limit: number): Promise<Hook[]> =>
  (await all<Row>(db.prepare("SELECT * FROM hook WHERE id > ? ORDER BY id LIMIT ?").bind(after, limit))).map(fromRow);

/** Every agent that a hook wakes. */
export const listAgents = (db: D1Database): Promise<{ agent_id: string; agent_name: string }[]> =>
  all(db.prepare("SELECT DISTINCT agent_id, agent_name FROM hook"));

const COLUMNS = [
  ...["title", "description", "mode", "template", "enabled", "agent_id", "agent_name", "recipient", "auth_mode"],
  ...["secrets", "hmac", "quiet", "slo", "limits", "updated_at"],
];

const values = (hook: Hook): (string | number)[] => [
  ...[hook.title, hook.description, hook.mode, hook.template, hook.enabled ? 1 : 0, hook.agent_id, hook.agent_name],
  ...[JSON.stringify(hook.recipient), hook.auth_mode, JSON.stringify(hook.secrets), JSON.stringify(hook.hmac)],
  ...[JSON.stringify(hook.quiet ?? {}), JSON.stringify({ ...hook.slo, sealed_key: hook.sealed_slo_key })],
  ...[JSON.stringify(hook.limits), hook.updated_at],
];

/** The insert of a hook with the audit row behind it, in one batch. @throws ReveilleError 409 when the id is taken. */
export async function insertHook(db: D1Database, hook: Hook, audit: D1PreparedStatement): Promise<void> {
  const insert = db
    .prepare(
      `INSERT INTO hook (id, created_at, ${COLUMNS.join(", ")}) VALUES (?, ?, ${COLUMNS.map(() => "?").join(", ")})`,
    )
    .bind(hook.id, hook.created_at, ...values(hook));
  try {
    await db.batch([insert, audit]);
  } catch (error) {
    if (!/UNIQUE constraint/.test(String(error))) throw error;
    throw new ReveilleError({ status: 409, code: "exists", message: `There is a hook ${hook.id}.`, field: "id" });
  }
}

/**
 * Writes a hook as it was read and changed; `audit` must be an insert that looks at `changes()`.
 * @throws ReveilleError 409 when somebody else changed it since: of two rotations at once both secrets would be told, and one lost.
 */
export async function updateHook(db: D1Database, before: Hook, after: Hook, audit: D1PreparedStatement): Promise<void> {
  const [done] = await db.batch([
    db
      .prepare(
        `UPDATE hook SET ${COLUMNS.map((c) => `${c} = ?`).join(", ")} WHERE id = ? AND updated_at = ? AND secrets = ?`,
      )
      .bind(...values(after), before.id, before.updated_at, JSON.stringify(before.secrets)),
    audit,
  ]);
  if (done!.meta.changes === 0)
    throw new ReveilleError({
      status: 409,
      code: "changed_meanwhile",
      message: `Hook ${before.id} was changed meanwhile.`,
      hint: "Read it again, then repeat the change.",
    });
}

/** Deletes a hook and what it knows of seen messages. Wakes it took stay until they are delivered or dead. */
export async function deleteHook(db: D1Database, id: string, audit: D1PreparedStatement): Promise<void> {
  const [done] = await db.batch([
    db.prepare("DELETE FROM hook WHERE id = ?").bind(id),
    audit,
    db.prepare("DELETE FROM hook_message WHERE hook_id = ?").bind(id),
  ]);
  if (done!.meta.changes === 0) throw notFound("hook", id);
}

/** One more request that the hook took. */
export const countTrigger = (db: D1Database, id: string, now: number): D1PreparedStatement =>
  db.prepare("UPDATE hook SET trigger_count = trigger_count + 1, last_triggered_at = ? WHERE id = ?").bind(now, id);

/**
 * What came of a request: `success`, `success:wake_slo_probe`, `skipped:quiet_hours` or `error:*` (wake-slo §1.3). Only an error
 * or a skip is kept as the last error.
 */
export const recordOutcome = (db: D1Database, id: string, status: string): D1PreparedStatement =>
  db
    .prepare("UPDATE hook SET last_status = ?, last_error = ? WHERE id = ?")
    .bind(status, status.startsWith("success") ? null : status, id);
