import { DAY, iso } from "../kernel/clock";
import { all } from "../kernel/d1";
import type { Announce } from "../session";

/** How an agent speaks: `host` indexes frames by session_id; `legacy` (0.6.5) knows INPUT and OUTPUT only. */
export type AgentShape = "host" | "legacy";

export interface AgentRow {
  address: string;
  shape: AgentShape;
  summary: string;
  endpoints: string[];
  relay: string | null;
  profile: Record<string, unknown> | null;
  online: boolean;
  /** Reveille ms. */
  first_seen: number;
  announced_at: number;
  last_seen: number;
}

interface Stored extends Omit<AgentRow, "endpoints" | "profile" | "online"> {
  endpoints: string;
  profile: string | null;
  online: number;
}

const view = (r: Stored): AgentRow => ({
  ...r,
  endpoints: JSON.parse(r.endpoints) as string[],
  profile: r.profile === null ? null : (JSON.parse(r.profile) as Record<string, unknown>),
  online: r.online === 1,
});

/** Largest profile that is kept, characters of JSON; a bigger one is dropped (the agent works without it). */
const MAX_PROFILE = 32_768;

/** Writes what an agent announced; `at` in Reveille ms. One row write, plus the index when last_seen moves. */
export async function saveAgent(
  db: D1Database,
  agent: { address: string; shape: AgentShape; announce: Announce },
  at: number,
): Promise<void> {
  const { announce, address, shape } = agent;
  const profile = announce.profile ? JSON.stringify(announce.profile) : null;
  await db
    .prepare(
      `INSERT INTO agent (address, shape, summary, endpoints, relay, profile, online, first_seen, announced_at, last_seen)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?7)
       ON CONFLICT (address) DO UPDATE SET shape = ?2, summary = ?3, endpoints = ?4, relay = ?5, profile = ?6, online = 1,
         announced_at = ?7, last_seen = ?7`,
    )
    .bind(
      address,
      shape,
      announce.summary,
      JSON.stringify(announce.endpoints),
      announce.relay ?? null,
      profile !== null && profile.length <= MAX_PROFILE ? profile : null,
      at,
    )
    .run();
}

/** The agent's line has ended at `at` (Reveille ms). */
export async function saveOffline(db: D1Database, address: string, at: number): Promise<void> {
  await db
    .prepare("UPDATE agent SET online = 0, last_seen = max(last_seen, ?2) WHERE address = ?1")
    .bind(address, at)
    .run();
}

/** An agent nobody has seen for this long is forgotten: whoever makes up a key can make a row. Reveille ms. */
const FORGET_AFTER = 30 * DAY;

/** Deletes agents that have not been seen for long. An online one is seen every few minutes. */
export const expireAgents = (db: D1Database, now: number): Promise<unknown> =>
  db
    .prepare("DELETE FROM agent WHERE last_seen < ?")
    .bind(now - FORGET_AFTER)
    .run();

export async function readAgent(db: D1Database, address: string): Promise<AgentRow | null> {
  const row = await db.prepare("SELECT * FROM agent WHERE address = ?").bind(address).first<Stored>();
  return row && view(row);
}

/** Agents, online ones first, then by last sight; `after` is the cursor of the page before. */
export async function readAgents(
  db: D1Database,
  page: { limit: number; after?: string | undefined },
): Promise<{ items: AgentRow[]; next: string | null }> {
  const at = /^([01])\.(\d{1,15})\.(0x[0-9a-f]{64})$/.exec(page.after ?? "");
  const rows = await all<Stored>(
    db
      .prepare(
        `SELECT * FROM agent WHERE ?1 IS NULL OR (-online, -last_seen, address) > (-?1, -?2, ?3)
         ORDER BY -online, -last_seen, address LIMIT ?4`,
      )
      .bind(at ? Number(at[1]) : null, at ? Number(at[2]) : null, at?.[3] ?? null, page.limit + 1),
  );
  const items = rows.slice(0, page.limit).map(view);
  const last = items.at(-1);
  const more = rows.length > page.limit && last;
  return { items, next: more ? `${last.online ? 1 : 0}.${last.last_seen}.${last.address}` : null };
}

/** The body both look-up paths answer with (connectonion.md (d)). `relay` is ours: truthy tells clients it is online. */
export function lookupBody(agent: AgentRow, relayUrl: string): Record<string, unknown> {
  return {
    address: agent.address,
    endpoints: agent.endpoints,
    relay: agent.online ? relayUrl : null,
    online: agent.online,
    last_seen: iso(agent.last_seen),
    summary: agent.summary,
    profile: agent.profile ?? {},
  };
}
