import { type AuditRow, auditIfChanged, type Seam } from "../audit";
import { all } from "../kernel/d1";
import { badRequest, notFound, ReveilleError } from "../kernel/errors";
import { randomToken } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import { forgetFacts, readTexts } from "./facts.store";
import type { Principal } from "./gate";
import type { Destination } from "./types";

/** Tenants and instances: who there is, and the words that all acts on them share. */

/** What every act of management needs. `by` is who asked, as the audit row shows it. */
export interface ManageDeps {
  db: D1Database;
  runtime: Runtime;
  by: string;
}

export const conflict = (code: string, message: string, hint?: string): ReveilleError =>
  new ReveilleError({ status: 409, code, message, ...(hint ? { hint } : {}) });

export const isUnique = (error: unknown): boolean => /UNIQUE constraint failed/.test(String(error));

/** One audit row of management, for the batch of its change; written only when that changed a row. */
export function told(deps: ManageDeps, seam: Seam, details: Record<string, unknown>): D1PreparedStatement {
  const row: AuditRow = { at: deps.runtime.clock.now(), seam, source: "api", details: { ...details, by: deps.by } };
  return auditIfChanged(deps.db, { ...row, details: deps.runtime.redact.json(row.details) });
}

/**
 * Runs a change and its proof as one, then lets this isolate's gate read again. Returns the rows that the change
 * touched.
 */
export async function change(
  deps: ManageDeps,
  statement: D1PreparedStatement,
  details: Record<string, unknown>,
): Promise<number> {
  const [done] = await deps.db.batch([statement, told(deps, "connector.changed", details)]);
  forgetFacts(deps.db);
  return done?.meta.changes ?? 0;
}

export const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
/** An instance without a name of its own is called after its gateway, whose id is any text without spaces. */
export const INSTANCE = /^(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,127}|gw:[^\s\p{C}]{1,200})$/u;

export interface TenantRow {
  id: string;
  name: string;
  delivery_key: string;
  created_at: number;
}

export const readTenant = (db: D1Database, id: string): Promise<TenantRow | null> =>
  db.prepare("SELECT * FROM tenant WHERE id = ?").bind(id).first<TenantRow>();

export const listTenants = (db: D1Database, after: string, limit: number): Promise<TenantRow[]> =>
  all(db.prepare("SELECT * FROM tenant WHERE id > ? ORDER BY id LIMIT ?").bind(after, limit));

/** @throws ReveilleError 409 when there is one of this id. */
export async function createTenant(deps: ManageDeps, id: string, name: string): Promise<TenantRow> {
  const row = { id, name, delivery_key: randomToken(32), created_at: deps.runtime.clock.now() };
  const insert = deps.db
    .prepare("INSERT INTO tenant (id, name, delivery_key, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
    .bind(row.id, row.name, row.delivery_key, row.created_at);
  if ((await change(deps, insert, { action: "tenant.created", tenant: id })) === 0)
    throw conflict("exists", `There is a tenant ${id} already.`);
  return row;
}

/**
 * The tenant that is meant: the named one, or the only one. The first, `default`, is made here when there is none.
 *
 * @throws ReveilleError 404 for an unknown one, 400 when it must be named.
 */
export async function tenantOf(deps: ManageDeps, given?: string | undefined): Promise<TenantRow> {
  if (given !== undefined) {
    const named = await readTenant(deps.db, given);
    if (!named) throw notFound("tenant", given);
    return named;
  }
  const some = await listTenants(deps.db, "", 2);
  if (some.length > 1)
    throw badRequest("tenant_needed", "There are several tenants; say which one is meant.", "tenant");
  if (some[0]) return some[0];
  try {
    return await createTenant(deps, "default", "Default");
  } catch (error) {
    const made = await readTenant(deps.db, "default");
    if (made) return made;
    throw error;
  }
}

export interface InstanceRow extends Destination {
  name: string;
  principal: Principal;
  allow: string[];
  wake_url: string | null;
  created_at: number;
}

interface RawInstance {
  tenant: string;
  id: string;
  name: string;
  principal: Principal;
  allow: string;
  wake_url: string | null;
  created_at: number;
}

const fromRaw = ({ id, ...r }: RawInstance): InstanceRow => ({ ...r, instance: id, allow: readTexts(r.allow) });

export async function readInstance(db: D1Database, d: Destination): Promise<InstanceRow | null> {
  const row = await db
    .prepare("SELECT * FROM instance WHERE tenant = ? AND id = ?")
    .bind(d.tenant, d.instance)
    .first<RawInstance>();
  return row && fromRaw(row);
}

/** In the order of tenant and id. */
export async function listInstances(
  db: D1Database,
  query: { tenant?: string | undefined; after?: [string, string] | undefined; limit: number },
): Promise<InstanceRow[]> {
  const [tenant, id] = query.after ?? ["", ""];
  const rows = await all<RawInstance>(
    db
      .prepare(
        "SELECT * FROM instance WHERE (tenant, id) > (?1, ?2) AND (?3 IS NULL OR tenant = ?3) ORDER BY tenant, id LIMIT ?4",
      )
      .bind(tenant, id, query.tenant ?? null, query.limit),
  );
  return rows.map(fromRaw);
}

/** @throws ReveilleError 404. */
export async function mustInstance(db: D1Database, d: Destination): Promise<InstanceRow> {
  const row = await readInstance(db, d);
  if (!row) throw notFound("instance", d.instance);
  return row;
}

/** The insert of an instance unless it is there. */
export const insertInstance = (db: D1Database, d: Destination, name: string, at: number): D1PreparedStatement =>
  db
    .prepare("INSERT INTO instance (tenant, id, name, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
    .bind(d.tenant, d.instance, name, at);

/** Fields that are given are set; `wake_url` null takes it away. */
export interface InstancePatch {
  name?: string | undefined;
  principal?: Principal | undefined;
  allow?: string[] | undefined;
  wake_url?: string | null | undefined;
}

/** Changes an instance. @throws ReveilleError 404. */
export async function patchInstance(deps: ManageDeps, d: Destination, patch: InstancePatch): Promise<InstanceRow> {
  const values = {
    name: patch.name,
    principal: patch.principal,
    allow: patch.allow && JSON.stringify(patch.allow),
    wake_url: patch.wake_url,
  };
  const set = Object.entries(values).filter(([, value]) => value !== undefined);
  if (set.length === 0) return mustInstance(deps.db, d);
  const update = deps.db
    .prepare(`UPDATE instance SET ${set.map(([k]) => `${k} = ?`).join(", ")} WHERE tenant = ? AND id = ?`)
    .bind(...set.map(([, value]) => value), d.tenant, d.instance);
  // A wake URL may carry a key of its own: the row says that it changed, not what it is.
  const { wake_url, ...rest } = patch;
  const details = { ...rest, ...(wake_url === undefined ? {} : { wake_url: wake_url === null ? "removed" : "set" }) };
  if ((await change(deps, update, { action: "instance.changed", ...d, ...details })) === 0)
    throw notFound("instance", d.instance);
  return mustInstance(deps.db, d);
}
