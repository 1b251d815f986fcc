import type { Spoken } from "./memory.store";
import type { Destination } from "./types";

/**
 * May this instance write to this chat? (hermes-relay §8.0.) The chat's scope is the tenant's, and the instance holds the channel,
 * or an author of its own is in it, or it was given an event from there. What a gateway says of scope or user proves nothing.
 */

/** One reason to allow it; its scope still has to be the tenant's. */
export interface Claim {
  /** Null: the chat has none (Telegram, a DM on Discord). */
  scope: string | null;
  dm: boolean;
}

export interface ApprovalFacts {
  claims: Claim[];
  /** Scope, chat or `bot:app` -> tenant. */
  routes: { scope_id: string; tenant: string }[];
  /** The only tenant there is, which owns what nobody was given. */
  only_tenant: string | null;
}

/** Pure. The same rule as for what comes in: the narrower route wins, and a DM without a scope needs none. */
export function approve(facts: ApprovalFacts, tenant: string, chat: string, app: string): boolean {
  return facts.claims.some((claim) => {
    const keys = claim.scope === null ? [chat, `bot:${app}`] : [claim.scope];
    const routed = keys.flatMap((k) => facts.routes.filter((r) => r.scope_id === k))[0];
    const owner = routed?.tenant ?? facts.only_tenant;
    return owner === null ? claim.scope === null && claim.dm : owner === tenant;
  });
}

/** `spoken`: who spoke in the chat, of events delivered to this instance. @throws what D1 throws. */
export async function approvalFacts(
  db: D1Database,
  to: Destination,
  platform: string,
  chat: string,
  app: string,
  spoken: readonly Spoken[],
): Promise<ApprovalFacts> {
  const scopes = [...new Set(spoken.map((s) => s.scope))];
  const [grants, bindings, routes, tenants] = await db.batch([
    db
      .prepare("SELECT scope_id FROM scope_grant WHERE platform = ? AND channel_id = ? AND tenant = ? AND instance = ?")
      .bind(platform, chat, to.tenant, to.instance),
    // A DM may be named by its person: an author of this instance is in it.
    db
      .prepare("SELECT scope_id FROM binding WHERE platform = ? AND user_id = ? AND tenant = ? AND instance = ?")
      .bind(platform, chat, to.tenant, to.instance),
    db
      .prepare(
        `SELECT scope_id, tenant FROM scope_route WHERE platform = ?1 AND (
           scope_id IN (SELECT value FROM json_each(?2))
           OR scope_id IN (SELECT scope_id FROM scope_grant WHERE platform = ?1 AND channel_id = ?3 AND tenant = ?4 AND instance = ?5)
           OR scope_id IN (SELECT scope_id FROM binding WHERE platform = ?1 AND user_id = ?3 AND tenant = ?4 AND instance = ?5))`,
      )
      .bind(
        platform,
        JSON.stringify([...scopes.filter((s) => s !== null), chat, `bot:${app}`]),
        chat,
        to.tenant,
        to.instance,
      ),
    db.prepare("SELECT id FROM tenant LIMIT 2"),
  ]);
  const ids = (result: D1Result | undefined): (string | null)[] =>
    ((result?.results ?? []) as { scope_id: string }[]).map((r) => r.scope_id || null);
  const known = (tenants?.results ?? []) as { id: string }[];
  return {
    claims: [
      ...spoken.map((s) => ({ scope: s.scope, dm: s.type === "dm" })),
      ...ids(grants).map((scope) => ({ scope, dm: false })),
      ...ids(bindings).map((scope) => ({ scope, dm: true })),
    ],
    routes: (routes?.results ?? []) as { scope_id: string; tenant: string }[],
    only_tenant: known.length === 1 ? known[0]!.id : null,
  };
}
