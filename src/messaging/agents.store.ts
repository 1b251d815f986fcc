import { DAY, MINUTE } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { all } from "../kernel/d1";
import { ReveilleError } from "../kernel/errors";
import { isoSeconds } from "./rules";
import type { Caller, Profile, Recipient } from "./types";

/** Agents of the embedded messaging in D1 (wake-slo §7): who they are, the hash of their key, where they are woken. */

/** How agents' keys look: what peers know as theirs. */
const KEY = /^q_[A-Za-z0-9_-]{43}$/;
export const isAgentKey = (text: string): boolean => KEY.test(text);

export interface MsgAgent {
  id: string;
  workspace: string;
  name: string;
  owner: string;
  type: string;
  tool_profile: Profile;
  wake_url: string | null;
  wake_auth: "hmac" | "bearer";
  wake_secret: string | null;
  active: number;
  created_at: number;
  last_seen: number | null;
  old_key_until: number | null;
}

const COLUMNS =
  "id, workspace, name, owner, type, tool_profile, wake_url, wake_auth, wake_secret, active, created_at, last_seen, old_key_until";

/** When an agent was last seen is kept to five minutes: each call would be a row more. */
const SEEN_EVERY = 5 * MINUTE;

/**
 * Whose key this is, or null. Read at every call, so that a deactivated agent or an old key is out at once. `now` is Reveille ms.
 */
export async function agentOfKey(db: D1Database, key: string, now: number): Promise<Caller | null> {
  if (!isAgentKey(key)) return null;
  const row = await db
    .prepare(
      `SELECT id, workspace, name, tool_profile, last_seen FROM msg_agent
       WHERE active = 1 AND (key_hash = ?1 OR (old_key_hash = ?1 AND old_key_until > ?2))`,
    )
    .bind(await sha256Hex(key), now)
    .first<Pick<MsgAgent, "id" | "workspace" | "name" | "tool_profile" | "last_seen">>();
  if (!row) return null;
  if (row.last_seen === null || Math.abs(now - row.last_seen) > SEEN_EVERY)
    await db.prepare("UPDATE msg_agent SET last_seen = ? WHERE id = ?").bind(now, row.id).run();
  return { id: row.id, name: row.name, workspace: row.workspace, profile: row.tool_profile };
}

/** Active agents of a workspace with this id or name, whatever its case. */
export async function findRecipients(db: D1Database, workspace: string, asked: string): Promise<Recipient[]> {
  const rows = await all<{ id: string; name: string; wakes: number }>(
    db
      .prepare(
        `SELECT id, name, wake_url IS NOT NULL AS wakes FROM msg_agent
         WHERE workspace = ?1 AND active = 1 AND (id = ?2 OR lower(name) = lower(?2)) LIMIT 10`,
      )
      .bind(workspace, asked),
  );
  return rows.map((r) => ({ ...r, wakes: r.wakes === 1 }));
}

/** What a push needs to know of both ends, by id. */
export async function readEnds(db: D1Database, ids: string[]): Promise<Map<string, MsgAgent>> {
  const rows = await all<MsgAgent>(
    db
      .prepare(`SELECT ${COLUMNS} FROM msg_agent WHERE id IN (SELECT value FROM json_each(?))`)
      .bind(JSON.stringify(ids)),
  );
  return new Map(rows.map((r) => [r.id, r]));
}

/** The answer of agent_status: active agents by name, or those that one text means. */
export async function statusOf(
  db: D1Database,
  workspace: string,
  args: { agent?: string | undefined; limit?: number | undefined },
): Promise<Record<string, unknown>> {
  const rows = await all<MsgAgent>(
    db
      .prepare(
        `SELECT ${COLUMNS} FROM msg_agent WHERE workspace = ?1 AND active = 1
           AND (?2 IS NULL OR id = ?2 OR lower(name) = lower(?2)) ORDER BY name, id LIMIT ?3`,
      )
      .bind(workspace, args.agent ?? null, args.limit ?? 20),
  );
  return {
    agents: rows.map((r) => ({
      id: r.id,
      name: r.name,
      type: r.type,
      tool_profile: r.tool_profile,
      last_seen: r.last_seen === null ? null : isoSeconds(r.last_seen),
    })),
  };
}

export const readMsgAgent = (db: D1Database, id: string): Promise<MsgAgent | null> =>
  db.prepare(`SELECT ${COLUMNS} FROM msg_agent WHERE id = ?`).bind(id).first<MsgAgent>();

/** Agents in the order of their ids (of their making); `after` is the last id of the page before. */
export const listMsgAgents = (
  db: D1Database,
  page: { workspace?: string | undefined; after?: string | undefined; limit: number },
): Promise<MsgAgent[]> =>
  all<MsgAgent>(
    db
      .prepare(`SELECT ${COLUMNS} FROM msg_agent WHERE (?1 IS NULL OR workspace = ?1) AND id > ?2 ORDER BY id LIMIT ?3`)
      .bind(page.workspace ?? null, page.after ?? "", page.limit),
  );

/** Workspaces are where agents are: one exists with its first agent. */
export const listWorkspaces = (db: D1Database): Promise<{ id: string; agents: number; active: number }[]> =>
  all(
    db.prepare(
      "SELECT workspace AS id, count(*) AS agents, sum(active) AS active FROM msg_agent GROUP BY workspace ORDER BY workspace",
    ),
  );

export interface NewMsgAgent {
  id: string;
  workspace: string;
  name: string;
  owner: string;
  type: string;
  tool_profile: Profile;
  key_hash: string;
  wake_url: string | null;
  wake_auth: "hmac" | "bearer";
  wake_secret: string | null;
  now: number;
}

/** The insert of an agent, for a batch with its audit row. A name is one agent's in its workspace: see `insertOrTell`. */
export const insertMsgAgent = (db: D1Database, a: NewMsgAgent): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO msg_agent (id, workspace, name, owner, type, tool_profile, key_hash, wake_url, wake_auth, wake_secret, created_at)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
       WHERE NOT EXISTS (SELECT 1 FROM msg_agent WHERE workspace = ?2 AND active = 1 AND lower(name) = lower(?3))`,
    )
    .bind(
      a.id,
      a.workspace,
      a.name,
      a.owner,
      a.type,
      a.tool_profile,
      a.key_hash,
      a.wake_url,
      a.wake_auth,
      a.wake_secret,
      a.now,
    );

export const nameTaken = (name: string): ReveilleError =>
  new ReveilleError({
    status: 409,
    code: "name_taken",
    message: `This workspace has an active agent "${name}" already.`,
    field: "name",
    hint: "Take another name, or deactivate that one.",
  });

/** Puts a new key in force; the one before still lets in until `oldUntil` (Reveille ms). */
export const rotateKey = (db: D1Database, id: string, hash: string, oldUntil: number): D1PreparedStatement =>
  db
    .prepare("UPDATE msg_agent SET old_key_hash = key_hash, old_key_until = ?3, key_hash = ?2 WHERE id = ?1")
    .bind(id, hash, oldUntil);

/** Out at once, both keys; or back in, when nobody has taken the name. */
export const setActive = (db: D1Database, id: string, active: boolean): D1PreparedStatement =>
  active
    ? db
        .prepare(
          `UPDATE msg_agent SET active = 1 WHERE id = ?1 AND active = 0 AND NOT EXISTS
             (SELECT 1 FROM msg_agent o WHERE o.workspace = msg_agent.workspace AND o.active = 1 AND lower(o.name) = lower(msg_agent.name))`,
        )
        .bind(id)
    : db
        .prepare(
          "UPDATE msg_agent SET active = 0, old_key_hash = NULL, old_key_until = NULL WHERE id = ? AND active = 1",
        )
        .bind(id);

export const setWake = (
  db: D1Database,
  id: string,
  wake: Pick<MsgAgent, "wake_url" | "wake_auth" | "wake_secret">,
): D1PreparedStatement =>
  db
    .prepare("UPDATE msg_agent SET wake_url = ?2, wake_auth = ?3, wake_secret = ?4 WHERE id = ?1")
    .bind(id, wake.wake_url, wake.wake_auth, wake.wake_secret);

/** Counts how a push ended, for /metrics. `now` is Reveille ms. */
export async function countPush(db: D1Database, agent: string, result: string, now: number): Promise<void> {
  await db
    .prepare("INSERT INTO slo_count (day, name, n) VALUES (?, ?, 1) ON CONFLICT (day, name) DO UPDATE SET n = n + 1")
    .bind(Math.floor(now / DAY), `push:${agent}:${result}`)
    .run();
}
