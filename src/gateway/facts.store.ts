import type { Inbound, SessionSource } from "../platform";
import type { GateFacts, Principal } from "./gate";
import type { Destination } from "./types";

/**
 * The gate's facts about one author in one chat: one D1 batch, kept per isolate for a few seconds (design §4.1). A
 * write in this isolate empties the cache; another isolate sees it when the entry ends. What must hold at once
 * (revocation) is enforced in the Gateway object.
 */

/** Wall ms that facts about a linked author, or a held channel, are believed. */
export const FACTS_LIFE_MS = 5_000;
/** And that "nobody" is believed: who was just linked writes at once. */
export const MISS_LIFE_MS = 1_000;
const MAX_ENTRIES = 2_000;

interface Entry {
  value: unknown;
  until: number;
}
interface Cache {
  entries: Map<string, Entry>;
}
const caches = new WeakMap<D1Database, Cache>();

const cacheOf = (db: D1Database): Cache => {
  const found = caches.get(db);
  if (found) return found;
  const made: Cache = { entries: new Map() };
  caches.set(db, made);
  return made;
};

/** After every write of what the gate reads. Loads under way finish for their callers and are not kept. */
export function forgetFacts(db: D1Database): void {
  caches.delete(db);
}

/** What of an event the facts depend on. */
export interface FactsAsk {
  platform: string;
  /** Whose it is: the scope of the event; without one the chat, then the whole bot. */
  scopes: string[];
  scope_id: string;
  channels: string[];
  user_id: string;
  prompt: { chat_id: string; prompt_id: string } | null;
}

/** Telegram and Discord DMs have no scope: a chat, or the bot of one app, may still be given to a tenant. */
export const scopesOf = (source: SessionSource, app: string): string[] =>
  source.scope_id ? [source.scope_id] : [source.chat_id, `bot:${app}`];

export function askOf(inbound: Inbound): FactsAsk {
  const { source, prompt_response: press } = inbound.event;
  return {
    platform: inbound.platform,
    scopes: scopesOf(source, inbound.app),
    scope_id: source.scope_id ?? "",
    channels: [source.chat_id, ...(source.parent_chat_id ? [source.parent_chat_id] : [])],
    user_id: source.user_id ?? "",
    prompt: press ? { chat_id: source.chat_id, prompt_id: press.prompt_id } : null,
  };
}

/**
 * What `load` tells, from the cache while it is believed. Only what was read is shared, never a read under way: that belongs to one
 * request, and with its end (a platform that hangs up) whoever shared it would wait for ever. `miss`: it told of nobody. `wall`: ms
 * of real time. @throws what `load` throws; a failed read is not kept.
 */
export async function believed<T>(
  db: D1Database,
  key: string,
  wall: number,
  load: () => Promise<T>,
  miss: (value: T) => boolean,
): Promise<T> {
  const { entries } = cacheOf(db);
  const found = entries.get(key);
  if (found && found.until > wall) return found.value as T;
  const value = await load();
  if (entries.size >= MAX_ENTRIES) entries.clear();
  entries.set(key, { value, until: wall + (miss(value) ? MISS_LIFE_MS : FACTS_LIFE_MS) });
  return value;
}

/** The gate's facts about one event. @throws what D1 throws. */
export const readFacts = (db: D1Database, ask: FactsAsk, wall: number): Promise<GateFacts> =>
  believed(
    db,
    `gate ${JSON.stringify(ask)}`,
    wall,
    () => loadFacts(db, ask),
    (f) => f.bindings.length === 0 && f.grants.length === 0,
  );

interface BindingRow extends Destination {
  dm_default: number;
  created_at: number;
}
interface GrantRow extends Destination {
  channel_id: string;
  principal: Principal | null;
  allow: string | null;
}
interface RelevanceRow extends Destination {
  require_address: number;
  free_response_scopes: string;
  allow_other_bots: number;
}

async function loadFacts(db: D1Database, ask: FactsAsk): Promise<GateFacts> {
  const [parent, chat] = [ask.channels[1] ?? ask.channels[0]!, ask.channels[0]!];
  const results = await db.batch([
    db
      .prepare("SELECT scope_id, tenant FROM scope_route WHERE platform = ? AND scope_id IN (?, ?)")
      .bind(ask.platform, ask.scopes[0]!, ask.scopes[1] ?? ask.scopes[0]!),
    db.prepare("SELECT id FROM tenant LIMIT 2"),
    db
      .prepare("SELECT tenant, instance, dm_default, created_at FROM binding WHERE platform = ? AND user_id = ?")
      .bind(ask.platform, ask.user_id),
    db
      .prepare(
        `SELECT g.tenant, g.instance, g.channel_id, i.principal, i.allow FROM scope_grant g
         LEFT JOIN instance i ON i.tenant = g.tenant AND i.id = g.instance
         WHERE g.platform = ? AND g.scope_id = ? AND g.channel_id IN (?, ?)`,
      )
      .bind(ask.platform, ask.scope_id, chat, parent),
    // Of the instances that the two statements above may name, and no other.
    db
      .prepare(
        `SELECT tenant, instance, require_address, free_response_scopes, allow_other_bots FROM relevance
         WHERE platform = ?1 AND (tenant, instance) IN (
           SELECT tenant, instance FROM binding WHERE platform = ?1 AND user_id = ?2
           UNION SELECT tenant, instance FROM scope_grant WHERE platform = ?1 AND scope_id = ?3 AND channel_id IN (?4, ?5))`,
      )
      .bind(ask.platform, ask.user_id, ask.scope_id, chat, parent),
    ...(ask.prompt
      ? [
          db
            .prepare("SELECT tenant, instance FROM prompt WHERE platform = ? AND chat_id = ? AND prompt_id = ?")
            .bind(ask.platform, ask.prompt.chat_id, ask.prompt.prompt_id),
        ]
      : []),
  ]);
  const rows = <T>(i: number): T[] => (results[i]?.results ?? []) as T[];
  const routes = rows<{ scope_id: string; tenant: string }>(0);
  const tenants = rows<{ id: string }>(1);
  const prompt = rows<Destination>(5)[0];
  return {
    // The narrower of two wins: a chat before the bot.
    scope_tenant: ask.scopes.flatMap((s) => routes.filter((r) => r.scope_id === s))[0]?.tenant ?? null,
    only_tenant: tenants.length === 1 ? tenants[0]!.id : null,
    bindings: rows<BindingRow>(2).map((b) => ({ ...b, dm_default: b.dm_default === 1 })),
    grants: rows<GrantRow>(3)
      .sort((a, b) => ask.channels.indexOf(a.channel_id) - ask.channels.indexOf(b.channel_id))
      // A grant whose instance has no row admits nobody.
      .map((g) => ({
        tenant: g.tenant,
        instance: g.instance,
        principal: g.principal ?? "owner-only",
        allow: readTexts(g.allow),
      })),
    relevance: rows<RelevanceRow>(4).map((r) => ({
      tenant: r.tenant,
      instance: r.instance,
      require_address: r.require_address === 1,
      free_response_scopes: readTexts(r.free_response_scopes),
      allow_other_bots: r.allow_other_bots === 1,
    })),
    prompt: prompt ?? null,
  };
}

/** A JSON array of texts; none when a row holds anything else. */
export function readTexts(json: string | null): string[] {
  try {
    const value: unknown = JSON.parse(json ?? "[]");
    return Array.isArray(value) ? value.filter((x): x is string => typeof x === "string") : [];
  } catch {
    return [];
  }
}
