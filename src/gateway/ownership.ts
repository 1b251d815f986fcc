import { all } from "../kernel/d1";
import { notFound } from "../kernel/errors";
import type { PlatformName } from "../platform";
import { change, conflict, type ManageDeps, mustInstance, readTenant } from "./tenants.store";
import type { Destination } from "./types";

/** Who owns what of a platform: scopes of tenants, channels and authors of instances (hermes-relay §5.5, §9). */

export interface ScopeRow {
  platform: PlatformName;
  scope_id: string;
  tenant: string;
  created_by: string;
  created_at: number;
}

/**
 * Gives a scope (Slack team, Discord guild, number, chat, or `bot:<app>`) to a tenant. @throws 404, 409 when another
 * has it.
 */
export async function routeScope(deps: ManageDeps, platform: PlatformName, scope_id: string, tenant: string) {
  if (!(await readTenant(deps.db, tenant))) throw notFound("tenant", tenant);
  const row = { platform, scope_id, tenant, created_by: deps.by, created_at: deps.runtime.clock.now() };
  const insert = deps.db
    .prepare(
      "INSERT INTO scope_route (platform, scope_id, tenant, created_by, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(platform, scope_id, tenant, row.created_by, row.created_at);
  if ((await change(deps, insert, { action: "scope.routed", platform, scope_id, tenant })) > 0) return row;
  const held = await deps.db
    .prepare("SELECT * FROM scope_route WHERE platform = ? AND scope_id = ?")
    .bind(platform, scope_id)
    .first<ScopeRow>();
  if (held?.tenant !== tenant)
    throw conflict("taken", `${platform} scope ${scope_id} belongs to another tenant.`, "Release it there first.");
  return held;
}

/** @throws ReveilleError 404 when the tenant does not have it. */
export async function unrouteScope(
  deps: ManageDeps,
  platform: PlatformName,
  scope_id: string,
  tenant: string,
): Promise<void> {
  const gone = deps.db
    .prepare("DELETE FROM scope_route WHERE platform = ? AND scope_id = ? AND tenant = ?")
    .bind(platform, scope_id, tenant);
  if ((await change(deps, gone, { action: "scope.released", platform, scope_id, tenant })) === 0)
    throw notFound("scope", scope_id);
}

export interface GrantRow extends Destination {
  platform: PlatformName;
  scope_id: string;
  channel_id: string;
  created_by: string;
  created_at: number;
}
export type Channel = Pick<GrantRow, "platform" | "scope_id" | "channel_id">;

/** Is the scope of this channel the tenant's: given to it, or given to nobody while it is the only tenant? */
async function tenantHasScope(db: D1Database, ch: Channel, tenant: string): Promise<boolean> {
  const scope = ch.scope_id || ch.channel_id;
  const routes = await all<{ scope_id: string; tenant: string }>(
    db
      .prepare(
        "SELECT scope_id, tenant FROM scope_route WHERE platform = ?1 AND (scope_id = ?2 OR (?3 = '' AND scope_id LIKE 'bot:%'))",
      )
      .bind(ch.platform, scope, ch.scope_id),
  );
  const exact = routes.find((r) => r.scope_id === scope);
  if (exact) return exact.tenant === tenant;
  if (routes.some((r) => r.tenant === tenant)) return true;
  const tenants = await all<{ id: string }>(db.prepare("SELECT id FROM tenant LIMIT 2"));
  return tenants.length === 1 && tenants[0]!.id === tenant;
}

/**
 * Lets an instance hold a channel for authors who are not linked. Again is no change. @throws 404, 409 when it is
 * held.
 */
export async function grantChannel(deps: ManageDeps, d: Destination, ch: Channel): Promise<GrantRow> {
  await mustInstance(deps.db, d);
  if (!(await tenantHasScope(deps.db, ch, d.tenant)))
    throw conflict(
      "foreign_scope",
      `${ch.platform} scope ${ch.scope_id || ch.channel_id} is not of tenant ${d.tenant}.`,
    );
  const row = { ...ch, ...d, created_by: deps.by, created_at: deps.runtime.clock.now() };
  const insert = deps.db
    .prepare(
      `INSERT INTO scope_grant (platform, scope_id, channel_id, tenant, instance, created_by, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    )
    .bind(ch.platform, ch.scope_id, ch.channel_id, d.tenant, d.instance, row.created_by, row.created_at);
  if ((await change(deps, insert, { action: "channel.granted", ...ch, ...d })) > 0) return row;
  const held = await deps.db
    .prepare("SELECT * FROM scope_grant WHERE platform = ? AND scope_id = ? AND channel_id = ?")
    .bind(ch.platform, ch.scope_id, ch.channel_id)
    .first<GrantRow>();
  if (held?.tenant !== d.tenant || held.instance !== d.instance)
    throw conflict("taken", "Another instance holds this channel.", "Release it there first.");
  return held;
}

/** @throws ReveilleError 404 when the instance does not hold it. */
export async function releaseChannel(deps: ManageDeps, d: Destination, ch: Channel): Promise<void> {
  const gone = deps.db
    .prepare(
      "DELETE FROM scope_grant WHERE platform = ? AND scope_id = ? AND channel_id = ? AND tenant = ? AND instance = ?",
    )
    .bind(ch.platform, ch.scope_id, ch.channel_id, d.tenant, d.instance);
  if ((await change(deps, gone, { action: "channel.released", ...ch, ...d })) === 0)
    throw notFound("grant", ch.channel_id);
}

export interface BindingRow extends Destination {
  platform: PlatformName;
  user_id: string;
  scope_id: string;
  dm_default: boolean;
  created_at: number;
}
export type Author = Pick<BindingRow, "platform" | "user_id">;

/** Binds an author by an operator's hand; `/link` does it by a code. Again is no change. @throws ReveilleError 404. */
export async function bindAuthor(deps: ManageDeps, d: Destination, author: Author, scope_id: string): Promise<void> {
  await mustInstance(deps.db, d);
  const insert = deps.db
    .prepare(
      `INSERT INTO binding (platform, user_id, tenant, instance, scope_id, created_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    )
    .bind(author.platform, author.user_id, d.tenant, d.instance, scope_id, deps.runtime.clock.now());
  await change(deps, insert, { action: "author.bound", ...author, ...d });
}

/** @throws ReveilleError 404 when they are not bound. */
export async function unbindAuthor(deps: ManageDeps, d: Destination, author: Author): Promise<void> {
  const gone = deps.db
    .prepare("DELETE FROM binding WHERE platform = ? AND user_id = ? AND tenant = ? AND instance = ?")
    .bind(author.platform, author.user_id, d.tenant, d.instance);
  if ((await change(deps, gone, { action: "author.unbound", ...author, ...d })) === 0)
    throw notFound("binding", author.user_id);
}

/** Sends an author's DMs to this one of their instances. @throws ReveilleError 404 when they are not bound to it. */
export async function setDmDefault(deps: ManageDeps, d: Destination, author: Author): Promise<void> {
  const update = deps.db
    .prepare(
      `UPDATE binding SET dm_default = (instance = ?4) WHERE platform = ?1 AND user_id = ?2 AND tenant = ?3
       AND EXISTS (SELECT 1 FROM binding WHERE platform = ?1 AND user_id = ?2 AND tenant = ?3 AND instance = ?4)`,
    )
    .bind(author.platform, author.user_id, d.tenant, d.instance);
  if ((await change(deps, update, { action: "author.dm_default", ...author, ...d })) === 0)
    throw notFound("binding", author.user_id);
}

/** What of it the API and the pages list; `after` is the last row's key. */
export interface OwnershipQuery {
  tenant?: string | undefined;
  instance?: string | undefined;
  after?: string[] | undefined;
  limit: number;
}

const TABLES = {
  binding: ["platform", "user_id", "tenant", "instance"],
  scope_grant: ["platform", "scope_id", "channel_id"],
  scope_route: ["platform", "scope_id"],
} as const;

async function list<T>(db: D1Database, table: keyof typeof TABLES, query: OwnershipQuery): Promise<T[]> {
  const keys = TABLES[table];
  const after = query.after?.length === keys.length ? query.after : keys.map(() => "");
  const where = [`(${keys.join(", ")}) > (${keys.map(() => "?").join(", ")})`];
  const values: unknown[] = [...after];
  for (const column of ["tenant", "instance"] as const)
    if (query[column] !== undefined && !(table === "scope_route" && column === "instance")) {
      where.push(`${column} = ?`);
      values.push(query[column]);
    }
  const sql = `SELECT * FROM ${table} WHERE ${where.join(" AND ")} ORDER BY ${keys.join(", ")} LIMIT ?`;
  return all<T>(db.prepare(sql).bind(...values, query.limit));
}

export const listScopes = (db: D1Database, query: OwnershipQuery): Promise<ScopeRow[]> =>
  list(db, "scope_route", query);
export const listGrants = (db: D1Database, query: OwnershipQuery): Promise<GrantRow[]> =>
  list(db, "scope_grant", query);
export const listBindings = async (db: D1Database, query: OwnershipQuery): Promise<BindingRow[]> =>
  (await list<Omit<BindingRow, "dm_default"> & { dm_default: number }>(db, "binding", query)).map((b) => ({
    ...b,
    dm_default: b.dm_default === 1,
  }));

/** The key of the last row of a page, as `after` of the next. */
export const ownershipKey = (table: keyof typeof TABLES, row: object): string[] =>
  TABLES[table].map((k) => String((row as Record<string, unknown>)[k]));
