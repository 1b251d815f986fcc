import { describe, ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { sealKeys } from "../vault";
import { type LiveSecret, liveOf, openAll, type SealedSecret } from "./secrets";
import type { GatewayIdentity } from "./types";

/** Rows of `gateway`. Only this file reads their sealed secrets. */

export interface GatewayRow {
  id: string;
  tenant: string;
  instance: string;
  identities: [string, string][];
  secrets: SealedSecret[];
  created_at: number;
  revoked_at: number | null;
}

interface Raw extends Omit<GatewayRow, "identities" | "secrets"> {
  identities: string;
  secrets: string;
}

const fromRaw = (r: Raw): GatewayRow => ({
  ...r,
  identities: JSON.parse(r.identities) as [string, string][],
  secrets: JSON.parse(r.secrets) as SealedSecret[],
});

export async function readGateway(db: D1Database, id: string): Promise<GatewayRow | null> {
  const row = await db.prepare("SELECT * FROM gateway WHERE id = ?").bind(id).first<Raw>();
  return row && fromRaw(row);
}

/** Gateways in the order of their ids. */
export async function listGateways(
  db: D1Database,
  query: { tenant?: string | undefined; instance?: string | undefined; after?: string | undefined; limit: number },
): Promise<GatewayRow[]> {
  const { results } = await db
    .prepare(
      `SELECT * FROM gateway WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR instance = ?3)
       ORDER BY id LIMIT ?4`,
    )
    .bind(query.after ?? "", query.tenant ?? null, query.instance ?? null, query.limit)
    .all<Raw>();
  return results.map(fromRaw);
}

/** Puts a new list of secrets in the place of the one that was read; false when another writer was first. */
export const swapSecrets = (db: D1Database, row: GatewayRow, secrets: SealedSecret[]): D1PreparedStatement =>
  db
    .prepare("UPDATE gateway SET secrets = ? WHERE id = ? AND secrets = ? AND revoked_at IS NULL")
    .bind(JSON.stringify(secrets), row.id, JSON.stringify(row.secrets));

/** What a token is judged by: the stored record with its live secrets, newest first (hermes-relay §1.2). */
export interface GatewayRecord extends GatewayIdentity {
  secrets: LiveSecret[];
}

/** Wall ms that a record is believed in one isolate; revocation is enforced in the object as well. */
const LIFE_MS = 5_000;
const MAX_ENTRIES = 500;

const caches = new WeakMap<D1Database, Map<string, { record: GatewayRecord; until: number }>>();

/** After every write of a gateway, in the isolate that wrote. */
export function forgetGateways(db: D1Database): void {
  caches.delete(db);
}

/**
 * The record of a gateway id, or null when it is missing or revoked. `fresh`: read now, for calls that change
 * something.
 *
 * @throws ReveilleError 503 when the sealing key is missing or another one: a gateway must not be told that it is
 *   revoked (4401 ends an older build for good) because of our own configuration.
 */
export async function findGateway(
  db: D1Database,
  runtime: Runtime,
  id: string,
  options: { fresh?: boolean } = {},
): Promise<GatewayRecord | null> {
  const now = runtime.clock.now();
  const cache = caches.get(db) ?? new Map<string, { record: GatewayRecord; until: number }>();
  caches.set(db, cache);
  const found = options.fresh ? undefined : cache.get(id);
  if (found && found.until > runtime.clock.wall())
    return { ...found.record, secrets: liveOf(found.record.secrets, now) };
  const row = await readGateway(db, id);
  // Unknown ids are not kept: a caller could fill the cache with them.
  if (!row || row.revoked_at !== null) return null;
  const record = {
    gateway_id: row.id,
    tenant: row.tenant,
    instance: row.instance,
    identities: row.identities,
    secrets: await openSecrets(runtime, row),
  };
  if (cache.size >= MAX_ENTRIES) cache.clear();
  // A write may have emptied the cache while this was read; then this copy is not kept.
  if (caches.get(db) === cache) cache.set(id, { record, until: runtime.clock.wall() + LIFE_MS });
  return record;
}

/** The live secrets of a row. @throws ReveilleError 503. */
export async function openSecrets(runtime: Runtime, row: GatewayRow): Promise<LiveSecret[]> {
  const keys = await sealKeys(runtime.vars, "REVEILLE_GATEWAY_KEY");
  try {
    return await openAll(keys, row, row.secrets, runtime.clock.now());
  } catch (error) {
    runtime.log("error", "gateway.secret_unreadable", { gateway_id: row.id, error: describe(error) });
    throw new ReveilleError({
      status: 503,
      code: "unreadable_secret",
      message: `The secret of gateway ${row.id} was sealed with a key that is not configured.`,
      hint: "Set REVEILLE_GATEWAY_KEY_OLD to the key before, or rotate the gateway's secret.",
    });
  }
}
