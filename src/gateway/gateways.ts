import { badRequest, notFound, ReveilleError } from "../kernel/errors";
import { newId } from "../kernel/ids";
import { PLATFORMS } from "../platform";
import { sealedWith, sealKeys } from "../vault";
import { forgetFacts } from "./facts.store";
import { forgetGateways, type GatewayRow, openSecrets, readGateway, swapSecrets } from "./gateways.store";
import { addIdentity, instanceOfGateway } from "./provision";
import { liveOf, newSecret, resealed, withSecret } from "./secrets";
import { conflict, INSTANCE, insertInstance, type ManageDeps, mustInstance, told } from "./tenants.store";
import type { Destination } from "./types";

/** What an operator does with gateways and with a whole instance. */

/** How a Gateway object is told to close, refuse and purge; given by the edge, which alone knows objects. */
export type Drop = (d: Destination, ask: { reason: string; gateway_id?: string }) => Promise<void>;

/** Gateway ids: any text without spaces or control characters; colons are known in the field (hermes-relay §1.2). */
export const GATEWAY_ID = /^[^\s\p{C}]{1,200}$/u;

export interface NewGateway {
  tenant: string;
  /** Default: a fresh one. */
  id?: string | undefined;
  /** Default: called after the gateway. */
  instance?: string | undefined;
  name?: string | undefined;
  /** `[platform, bot id]`; "" stands for whatever bot. Default: every platform. */
  identities?: [string, string][] | undefined;
}

/**
 * Makes a gateway. Its secret is told this once. @throws ReveilleError 400, 409 when there is one of this id in any
 * tenant.
 */
export async function createGateway(deps: ManageDeps, ask: NewGateway): Promise<{ row: GatewayRow; secret: string }> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const id = ask.id ?? `gw-${newId(now).toLowerCase()}`;
  const instance = ask.instance ?? `gw:${id}`;
  if (!GATEWAY_ID.test(id)) throw badRequest("bad_id", "A gateway id has 1 to 200 characters and no space.", "id");
  if (!INSTANCE.test(instance) || (instance.startsWith("gw:") && instance !== `gw:${id}`))
    throw badRequest("bad_instance", `"${instance}" is no instance id: letters, digits, "_", ".", "-".`, "instance");
  const secret = newSecret();
  const keys = await sealKeys(runtime.vars, "REVEILLE_GATEWAY_KEY");
  const secrets = await withSecret(keys, { tenant: ask.tenant, id }, [], secret, now);
  const identities = ask.identities ?? PLATFORMS.map((p): [string, string] => [p, ""]);
  const d = { tenant: ask.tenant, instance };
  const [made] = await db.batch([
    db
      .prepare(
        `INSERT INTO gateway (id, tenant, instance, identities, secrets, created_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING`,
      )
      .bind(id, ask.tenant, instance, JSON.stringify(identities), JSON.stringify(secrets), now),
    told(deps, "gateway.changed", { action: "created", gateway_id: id, ...d }),
    ask.name === undefined ? instanceOfGateway(db, id, now) : insertInstance(db, d, ask.name, now),
  ]);
  forgetGateways(db);
  forgetFacts(db);
  if ((made?.meta.changes ?? 0) === 0)
    throw conflict("exists", `There is a gateway ${id} already.`, "Rotate its secret, or choose another id.");
  return { row: { id, ...d, identities, secrets, created_at: now, revoked_at: null }, secret };
}

/** @throws ReveilleError 404, 409 when it is revoked: an id never comes back. */
async function mustLive(db: D1Database, id: string): Promise<GatewayRow> {
  const row = await readGateway(db, id);
  if (!row) throw notFound("gateway", id);
  if (row.revoked_at !== null) throw conflict("revoked", `Gateway ${id} is revoked.`, "Make a new one.");
  return row;
}

/** A new secret; the one before still works for 24 h. Told this once. @throws ReveilleError 404, 409. */
export async function rotateSecret(
  deps: ManageDeps,
  id: string,
): Promise<{ secret: string; retire_at: number | null }> {
  const { db, runtime } = deps;
  const row = await mustLive(db, id);
  const now = runtime.clock.now();
  const secret = newSecret();
  const keys = await sealKeys(runtime.vars, "REVEILLE_GATEWAY_KEY");
  const list = await withSecret(keys, row, row.secrets, secret, now);
  const [done] = await db.batch([
    swapSecrets(db, row, list),
    told(deps, "gateway.changed", { action: "rotated", gateway_id: id, tenant: row.tenant }),
  ]);
  forgetGateways(db);
  if ((done?.meta.changes ?? 0) === 0)
    throw conflict("changed", `Gateway ${id} was changed at the same moment.`, "Try again.");
  return { secret, retire_at: list[1]?.retire_at ?? null };
}

/**
 * Takes one gateway's secrets and closes its sockets with 4401. Again does the closing again. @throws ReveilleError
 * 404.
 */
export async function revokeGateway(deps: ManageDeps, id: string, drop: Drop): Promise<void> {
  const { db, runtime } = deps;
  const row = await readGateway(db, id);
  if (!row) throw notFound("gateway", id);
  await db.batch([
    db
      .prepare("UPDATE gateway SET revoked_at = ?, secrets = '[]' WHERE id = ? AND revoked_at IS NULL")
      .bind(runtime.clock.now(), id),
    told(deps, "gateway.changed", { action: "revoked", gateway_id: id, tenant: row.tenant }),
    db.prepare("DELETE FROM gateway_route WHERE gateway_id = ?").bind(id),
  ]);
  forgetGateways(db);
  await drop({ tenant: row.tenant, instance: row.instance }, { reason: "revoked", gateway_id: id });
}

/** Lets a gateway front one more bot. @throws ReveilleError 404, 409. */
export async function allowIdentity(deps: ManageDeps, id: string, platform: string, bot: string): Promise<GatewayRow> {
  await mustLive(deps.db, id);
  await deps.db.batch([
    addIdentity(deps.db, id, platform, bot),
    told(deps, "gateway.changed", { action: "identity added", gateway_id: id, platform, bot_id: bot }),
  ]);
  forgetGateways(deps.db);
  return mustLive(deps.db, id);
}

/**
 * Ends an instance: authors, channels, codes and rules go, every secret is revoked, and then its object closes its
 * sockets with 4401 and purges (hermes-relay §5.5, §9). D1 first, so that nothing gets in again while the object is
 * told; again is harmless.
 *
 * @throws ReveilleError 404; 503 when the object did not answer: what it holds is still to be purged, so call again.
 */
export async function deprovision(deps: ManageDeps, d: Destination, drop: Drop): Promise<{ gateways: string[] }> {
  const { db, runtime } = deps;
  await mustInstance(db, d);
  const now = runtime.clock.now();
  const of = (table: string) =>
    db.prepare(`DELETE FROM ${table} WHERE tenant = ? AND instance = ?`).bind(d.tenant, d.instance);
  const results = await db.batch<{ id: string }>([
    db.prepare("SELECT id FROM gateway WHERE tenant = ? AND instance = ?").bind(d.tenant, d.instance),
    ...["binding", "scope_grant", "link_code", "relevance", "prompt"].map(of),
    db
      .prepare(
        "DELETE FROM gateway_route WHERE gateway_id IN (SELECT id FROM gateway WHERE tenant = ? AND instance = ?)",
      )
      .bind(d.tenant, d.instance),
    db
      .prepare(
        "UPDATE gateway SET revoked_at = COALESCE(revoked_at, ?1), secrets = '[]' WHERE tenant = ?2 AND instance = ?3",
      )
      .bind(now, d.tenant, d.instance),
    // The row stays, closed to everybody: an instance that comes back begins with nothing.
    db
      .prepare(
        "UPDATE instance SET principal = 'owner-only', allow = '[]', wake_url = NULL WHERE tenant = ? AND id = ?",
      )
      .bind(d.tenant, d.instance),
    told(deps, "connector.changed", { action: "instance.deprovisioned", ...d }),
  ]);
  forgetGateways(db);
  forgetFacts(db);
  try {
    await drop(d, { reason: "deprovisioned" });
  } catch (error) {
    runtime.log("error", "gateway.drop_failed", { ...d, error: String(error) });
    throw new ReveilleError({
      status: 503,
      code: "purge_pending",
      message: `Instance ${d.instance} is revoked, but its buffer was not purged yet.`,
      hint: "Deprovision it again.",
    });
  }
  return { gateways: (results[0]?.results ?? []).map((r) => r.id) };
}

/** What lists may tell of a gateway's secrets. */
export interface SecretState {
  live: number;
  /** Reveille ms: when the last replaced one ends. */
  retiring_at: number | null;
  /** `old`: sealed with REVEILLE_GATEWAY_KEY_OLD; `unknown`: with a key that is gone. */
  sealed_with: "current" | "old" | "unknown" | "none";
}

export async function secretState(deps: Pick<ManageDeps, "runtime">, row: GatewayRow): Promise<SecretState> {
  const live = liveOf(row.secrets, deps.runtime.clock.now());
  const retiring = live.flatMap((s) => (s.retire_at === null ? [] : [s.retire_at]));
  const keys = await sealKeys(deps.runtime.vars, "REVEILLE_GATEWAY_KEY").catch(() => null);
  const seals = live.map((s) => (keys ? sealedWith(keys, s.sealed) : "unknown"));
  const sealed_with = (["unknown", "old", "current"] as const).find((k) => seals.includes(k)) ?? "none";
  return { live: live.length, retiring_at: retiring.length > 0 ? Math.max(...retiring) : null, sealed_with };
}

/**
 * Seals the secrets of every gateway with the current key, so that the old key may go. Returns how many rows changed.
 */
export async function resealAll(deps: ManageDeps): Promise<number> {
  const { db, runtime } = deps;
  const keys = await sealKeys(runtime.vars, "REVEILLE_GATEWAY_KEY");
  let changed = 0;
  for (let after = ""; ; ) {
    const { results } = await db
      .prepare("SELECT id FROM gateway WHERE id > ? AND revoked_at IS NULL ORDER BY id LIMIT 100")
      .bind(after)
      .all<{ id: string }>();
    for (const { id } of results) {
      const row = await readGateway(db, id);
      if (!row || row.revoked_at !== null) continue;
      await openSecrets(runtime, row);
      const list = await resealed(keys, row, row.secrets, runtime.clock.now());
      if (list) changed += (await swapSecrets(db, row, list).run()).meta.changes;
    }
    if (results.length < 100) break;
    after = results.at(-1)!.id;
  }
  forgetGateways(db);
  return changed;
}
