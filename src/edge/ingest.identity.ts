import type { BotIdentity, PlatformName } from "../platform";

/** Our own bots, as the set-up check stored them: read once a minute in an isolate, not once an event. */

const LIFE_MS = 60_000;
/** App names come from a URL; only verified calls get here, yet a map has an end. */
const MAX_ENTRIES = 500;

interface Entry {
  identity: BotIdentity | null;
  until: number;
}
const caches = new WeakMap<D1Database, Map<string, Entry>>();

/**
 * `wall`: ms of real time. Only what was read is shared, never a read under way: it would end with the request that began it. @throws
 * what D1 throws: without it an echo of ours could pass as a person's words.
 */
export async function botIdentity(
  db: D1Database,
  platform: PlatformName,
  app: string,
  wall: number,
): Promise<BotIdentity | null> {
  const cache = caches.get(db) ?? new Map<string, Entry>();
  caches.set(db, cache);
  const key = `${platform}:${app}`;
  const found = cache.get(key);
  if (found && found.until > wall) return found.identity;
  const identity = await load(db, platform, app);
  if (cache.size >= MAX_ENTRIES) cache.clear();
  cache.set(key, { identity, until: wall + LIFE_MS });
  return identity;
}

/** After a set-up check in this isolate. */
export const forgetIdentities = (db: D1Database): void => void caches.delete(db);

async function load(db: D1Database, platform: PlatformName, app: string): Promise<BotIdentity | null> {
  const row = await db
    .prepare("SELECT bot_id, bot_ref, username FROM platform_app WHERE platform = ? AND app = ?")
    .bind(platform, app)
    .first<{ bot_id: string | null; bot_ref: string | null; username: string | null }>();
  return row?.bot_id ? { bot_id: row.bot_id, bot_ref: row.bot_ref, username: row.username } : null;
}
