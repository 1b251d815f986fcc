import { DAY } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { ReveilleError } from "../kernel/errors";
import { randomToken } from "../kernel/ids";
import type { PlatformName } from "../platform";
import { sealKeys } from "../vault";
import { forgetFacts } from "./facts.store";
import { forgetGateways, type GatewayRow, openSecrets, readGateway } from "./gateways.store";
import { newSecret, withSecret } from "./secrets";
import { isUnique, type ManageDeps, readTenant, type TenantRow, told } from "./tenants.store";

/**
 * How a gateway gets its secret without a hand: provision at every boot, enroll once by a token (hermes-relay §5.1,
 * §5.2).
 */

/** Reveille ms that an enrollment token can be used. */
export const ENROLL_LIFE = DAY;
/** Identities and route keys of one gateway. */
const MAX_IDENTITIES = 32;

export interface ProvisionAsk {
  gateway_id: string;
  /** Platform and bot id; "" stands for whatever bot. */
  identities: [PlatformName, string][];
  route_keys: string[];
  /** Undefined: leave as stored. */
  instance?: string | undefined;
  wake_url?: string | undefined;
}
export interface Provisioned {
  secret: string;
  deliveryKey: string;
  tenant: string;
  gatewayId: string;
  routeKeys: string[];
}

/** Told alike for another tenant's gateway and a revoked one of one's own: nothing about the record leaks. */
const unavailable = (): ReveilleError =>
  new ReveilleError({ status: 403, code: "forbidden", message: "this gatewayId is not available to this tenant" });

const taken = (): ReveilleError =>
  new ReveilleError({ status: 409, code: "taken", message: "a route key belongs to another tenant or gateway" });

/**
 * A row that no table takes, when `when` finds something: it undoes the whole batch, so that a refusal changes
 * nothing, whoever was first.
 */
const abortWhen = (db: D1Database, when: string, values: unknown[]): D1PreparedStatement =>
  db
    .prepare(`INSERT INTO gateway_route (route_key, platform, bot_id, tenant, gateway_id, created_at)
              SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE EXISTS (${when})`)
    .bind(...values);

const isAbort = (error: unknown): boolean => /NOT NULL constraint failed/.test(String(error)) || isUnique(error);

/** Unless it is there: with one secret and no identity. `instance` undefined: called after the gateway. */
async function insertGateway(
  deps: ManageDeps,
  tenant: string,
  id: string,
  instance: string,
  secret: string,
): Promise<D1PreparedStatement> {
  const now = deps.runtime.clock.now();
  const keys = await sealKeys(deps.runtime.vars, "REVEILLE_GATEWAY_KEY");
  const secrets = await withSecret(keys, { tenant, id }, [], secret, now);
  return deps.db
    .prepare(
      `INSERT INTO gateway (id, tenant, instance, identities, secrets, created_at) VALUES (?, ?, ?, '[]', ?, ?)
       ON CONFLICT DO NOTHING`,
    )
    .bind(id, tenant, instance, JSON.stringify(secrets), now);
}

/** Adds an identity unless the gateway has it. */
export const addIdentity = (db: D1Database, id: string, platform: string, bot: string): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE gateway SET identities = json_insert(identities, '$[#]', json_array(?1, ?2))
       WHERE id = ?3 AND json_array_length(identities) < ?4
         AND NOT EXISTS (SELECT 1 FROM json_each(gateway.identities)
                         WHERE json_extract(value, '$[0]') = ?1 AND json_extract(value, '$[1]') = ?2)`,
    )
    .bind(platform, bot, id, MAX_IDENTITIES);

/** The instance as the gateway's row has it now, unless it is there. */
export const instanceOfGateway = (db: D1Database, id: string, now: number): D1PreparedStatement =>
  db
    .prepare(
      `INSERT INTO instance (tenant, id, name, created_at) SELECT tenant, instance, instance, ?1 FROM gateway WHERE id = ?2
       ON CONFLICT DO NOTHING`,
    )
    .bind(now, id);

const FOREIGN = "SELECT 1 FROM gateway WHERE id = ? AND (tenant <> ? OR revoked_at IS NOT NULL)";

/**
 * The gateway's record as this call wants it, in one transaction; the secret is the one that is current, so that a
 * gateway which fronts three platforms and two processes that boot at once all get the same.
 *
 * @throws ReveilleError 403 when the id is another tenant's or revoked, 409 for a route key of somebody else, 503
 *   without the sealing key.
 */
export async function provision(deps: ManageDeps, tenant: TenantRow, ask: ProvisionAsk): Promise<Provisioned> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const id = ask.gateway_id;
  const keys = ask.route_keys;
  const [platform, bot] = ask.identities[0]!;
  const details = { gateway_id: id, tenant: tenant.id, platform };
  const proof = (action: string) => told(deps, "gateway.provisioned", { action, ...details });
  const statements = [
    await insertGateway(deps, tenant.id, id, ask.instance ?? `gw:${id}`, newSecret()),
    proof("created"),
    abortWhen(db, FOREIGN, [id, tenant.id]),
    ...ask.identities.flatMap(([p, b]) => [addIdentity(db, id, p, b), proof("identity added")]),
    ...(ask.instance === undefined
      ? []
      : [
          db.prepare("UPDATE gateway SET instance = ?1 WHERE id = ?2 AND instance <> ?1").bind(ask.instance, id),
          proof("instance changed"),
        ]),
    instanceOfGateway(db, id, now),
    ...(ask.wake_url === undefined
      ? []
      : [
          db
            .prepare(
              `UPDATE instance SET wake_url = ?1 WHERE tenant = ?2 AND id = (SELECT instance FROM gateway WHERE id = ?3)
               AND wake_url IS NOT ?1`,
            )
            .bind(ask.wake_url, tenant.id, id),
          proof("wake URL changed"),
        ]),
    ...keys.flatMap((key) => [
      abortWhen(db, "SELECT 1 FROM gateway_route WHERE route_key = ? AND tenant <> ?", [key, tenant.id]),
      db
        .prepare(
          `INSERT INTO gateway_route (route_key, platform, bot_id, tenant, gateway_id, created_at) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (route_key) DO UPDATE SET platform = excluded.platform, bot_id = excluded.bot_id,
             gateway_id = excluded.gateway_id`,
        )
        .bind(key, platform, bot, tenant.id, id, now),
    ]),
  ];
  try {
    await db.batch(statements);
  } catch (error) {
    if (!isAbort(error)) throw error;
    const row = await readGateway(db, id);
    throw row && (row.tenant !== tenant.id || row.revoked_at !== null) ? unavailable() : taken();
  }
  forgetGateways(db);
  forgetFacts(db);
  const row = await readGateway(db, id);
  if (!row || row.tenant !== tenant.id || row.revoked_at !== null) throw unavailable();
  if (!ask.identities.every(([p, b]) => row.identities.some((have) => have[0] === p && have[1] === b)))
    throw new ReveilleError({
      status: 409,
      code: "too_many_identities",
      message: `a gateway may front ${MAX_IDENTITIES} bots at most`,
    });
  return { ...(await answerOf(deps, tenant, row)), routeKeys: keys };
}

async function answerOf(deps: ManageDeps, tenant: TenantRow, row: GatewayRow) {
  const current = (await openSecrets(deps.runtime, row)).find((s) => s.retire_at === null);
  if (!current) throw unavailable();
  return { secret: current.secret, deliveryKey: tenant.delivery_key, tenant: tenant.id, gatewayId: row.id };
}

const tokenHash = (token: string): Promise<string> => sha256Hex(`enroll:${token}`);

/** A single-use token that makes one gateway of a tenant. Only its hash is kept. */
export async function createEnrollToken(
  deps: ManageDeps,
  tenant: string,
): Promise<{ token: string; expires_at: number }> {
  const now = deps.runtime.clock.now();
  const token = randomToken(24);
  const expires_at = now + ENROLL_LIFE;
  await deps.db.batch([
    deps.db.prepare("DELETE FROM enroll_token WHERE expires_at < ?").bind(now - 30 * DAY),
    deps.db
      .prepare("INSERT INTO enroll_token (hash, tenant, expires_at) VALUES (?, ?, ?)")
      .bind(await tokenHash(token), tenant, expires_at),
    told(deps, "connector.changed", { action: "enroll_token.created", tenant }),
  ]);
  return { token, expires_at };
}

export type Enrolled = Omit<Provisioned, "routeKeys">;

const BAD_TOKEN = "the enrollment token is invalid, expired or used";

/** A row may change between its read and its write; then all is read again. */
const ENROLL_ROUNDS = 4;

/**
 * Spends an enrollment token and makes the gateway, or gives the tenant's own one a new secret (the one before retires
 * in 24 h), as one.
 *
 * @param platforms  that a new gateway may front, with whatever bot: an enrolled one pins its secret and never
 *   provisions.
 * @throws ReveilleError 403 for a token that is unknown, used, expired or of another tenant, and for a gateway id that
 *   is not the tenant's.
 */
export async function enroll(
  deps: ManageDeps,
  tenant: TenantRow,
  gateway_id: string,
  token: string,
  platforms: readonly PlatformName[],
): Promise<Enrolled> {
  const { db, runtime } = deps;
  const hash = await tokenHash(token);
  const good = "hash = ?1 AND tenant = ?2 AND used_at IS NULL AND expires_at > ?3";
  for (let round = 0; round < ENROLL_ROUNDS; round++) {
    const now = runtime.clock.now();
    const live = await db.prepare(`SELECT 1 FROM enroll_token WHERE ${good}`).bind(hash, tenant.id, now).first();
    if (!live) throw new ReveilleError({ status: 403, code: "forbidden", message: BAD_TOKEN });
    const before = await readGateway(db, gateway_id);
    if (before && (before.tenant !== tenant.id || before.revoked_at !== null)) throw unavailable();
    const secret = newSecret();
    const keys = await sealKeys(runtime.vars, "REVEILLE_GATEWAY_KEY");
    const place = { tenant: tenant.id, id: gateway_id };
    const secrets = JSON.stringify(await withSecret(keys, place, before?.secrets ?? [], secret, now));
    const spend = db
      .prepare(`UPDATE enroll_token SET used_at = ?3, used_by = ?4 WHERE ${good}`)
      .bind(hash, tenant.id, now, gateway_id);
    const write = before
      ? db
          .prepare("UPDATE gateway SET secrets = ?1 WHERE id = ?2 AND secrets = ?3 AND revoked_at IS NULL")
          .bind(secrets, gateway_id, JSON.stringify(before.secrets))
      : db
          .prepare(
            `INSERT INTO gateway (id, tenant, instance, identities, secrets, created_at)
             VALUES (?1, ?2, 'gw:' || ?1, '[]', ?3, ?4) ON CONFLICT DO NOTHING`,
          )
          .bind(gateway_id, tenant.id, secrets, now);
    try {
      await db.batch([
        spend,
        abortWhen(db, "SELECT 1 WHERE changes() = 0", []),
        write,
        told(deps, "gateway.provisioned", { action: "enrolled", gateway_id, tenant: tenant.id }),
        abortWhen(db, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM gateway WHERE id = ? AND secrets = ?)", [
          gateway_id,
          secrets,
        ]),
        ...(before ? [] : platforms.map((p) => addIdentity(db, gateway_id, p, ""))),
        instanceOfGateway(db, gateway_id, now),
      ]);
    } catch (error) {
      if (!isAbort(error)) throw error;
      continue;
    }
    forgetGateways(db);
    forgetFacts(db);
    return { secret, deliveryKey: tenant.delivery_key, tenant: tenant.id, gatewayId: gateway_id };
  }
  throw new ReveilleError({ status: 503, code: "busy", message: "this gateway changes too often; try again" });
}

/**
 * The tenant of a proven identity. @throws ReveilleError 403 when there is none of that name: a token makes no tenant.
 */
export async function tenantOfToken(db: D1Database, id: string): Promise<TenantRow> {
  const row = await readTenant(db, id);
  if (!row) throw new ReveilleError({ status: 403, code: "forbidden", message: "this token names no known tenant" });
  return row;
}
