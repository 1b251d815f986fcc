import type { PlatformName } from "../platform";
import { believed } from "./facts.store";
import type { Destination } from "./types";

/**
 * May this instance speak in this chat (hermes-relay §8.0)? Facts alone: what a gateway says about a chat proves
 * nothing.
 */

/** Who spoke in the chat to this instance, as its object stored it from verified events. */
export interface Heard {
  author: string;
  scope: string | null;
  /** Chat type. */
  type: string;
}

export interface EgressAsk {
  platform: PlatformName;
  chat_id: string;
  heard: readonly Heard[];
}

interface Facts {
  routes: { scope_id: string; tenant: string }[];
  tenants: string[];
  grants: { scope_id: string }[];
  bound: { user_id: string; scope_id: string }[];
}

/** Authors of one chat that are looked up: one bound among them is enough. */
const MAX_AUTHORS = 20;

/**
 * Yes when the chat's verified scope is routed to the tenant, and the instance holds the channel, or one of its
 * authors is in the chat, or an event of the chat was stored for it. A no is the same for another tenant's chat and
 * for nobody's.
 *
 * @param wall  ms of real time; facts are believed for a few seconds, a no for one.
 */
export async function approveDestination(
  db: D1Database,
  wall: number,
  d: Destination,
  ask: EgressAsk,
): Promise<boolean> {
  const authors = [...new Set([ask.chat_id, ...ask.heard.map((h) => h.author)])].slice(0, MAX_AUTHORS);
  const key = `egress ${JSON.stringify([d.tenant, d.instance, ask.platform, ask.chat_id, ask.heard])}`;
  return believed(
    db,
    key,
    wall,
    async () => judgeEgress(await load(db, d, ask, authors), d.tenant, ask.chat_id, ask.heard),
    (yes) => !yes,
  );
}

/** Pure: the facts above, and what the object heard in the chat. */
export function judgeEgress(f: Facts, tenant: string, chatId: string, heard: readonly Heard[]): boolean {
  const only = f.tenants.length === 1 && f.tenants[0] === tenant;
  const exact = (scope: string) => f.routes.find((r) => r.scope_id === (scope || chatId));
  const routed = (scope: string): boolean => {
    const route = exact(scope);
    if (route) return route.tenant === tenant;
    return only || (scope === "" && f.routes.some((r) => r.scope_id.startsWith("bot:") && r.tenant === tenant));
  };
  if (f.grants.some((g) => routed(g.scope_id))) return true;
  if (heard.some((h) => routed(h.scope ?? ""))) return true;
  // A DM without a scope is its author's, unless the chat itself was given to somebody.
  const authors = heard.filter((h) => !h.scope && h.type === "dm").map((h) => h.author);
  if (f.bound.some((b) => authors.includes(b.user_id)) && !exact("")) return true;
  // Platforms take a person's id for the DM with them.
  return f.bound.some((b) => b.user_id === chatId && (routed(b.scope_id) || (b.scope_id === "" && !exact(""))));
}

async function load(db: D1Database, d: Destination, ask: EgressAsk, authors: string[]): Promise<Facts> {
  const json = JSON.stringify;
  const [grants, bound, tenants] = await db.batch([
    db
      .prepare("SELECT scope_id FROM scope_grant WHERE platform = ? AND channel_id = ? AND tenant = ? AND instance = ?")
      .bind(ask.platform, ask.chat_id, d.tenant, d.instance),
    db
      .prepare(
        `SELECT user_id, scope_id FROM binding WHERE platform = ? AND tenant = ? AND instance = ?
         AND user_id IN (SELECT value FROM json_each(?))`,
      )
      .bind(ask.platform, d.tenant, d.instance, json(authors)),
    db.prepare("SELECT id FROM tenant LIMIT 2"),
  ]);
  const rows = <T>(r: D1Result | undefined): T[] => (r?.results ?? []) as T[];
  const facts = {
    grants: rows<Facts["grants"][number]>(grants),
    bound: rows<Facts["bound"][number]>(bound),
    tenants: rows<{ id: string }>(tenants).map((t) => t.id),
  };
  const scopes = [...facts.grants, ...facts.bound].map((x) => x.scope_id).concat(ask.heard.map((h) => h.scope ?? ""));
  const { results } = await db
    .prepare(
      `SELECT scope_id, tenant FROM scope_route WHERE platform = ?1
       AND (scope_id IN (SELECT value FROM json_each(?2)) OR (scope_id >= 'bot:' AND scope_id < 'bot;' AND tenant = ?3))`,
    )
    .bind(ask.platform, json([...new Set([ask.chat_id, ...scopes])]), d.tenant)
    .all<Facts["routes"][number]>();
  return { ...facts, routes: results };
}
