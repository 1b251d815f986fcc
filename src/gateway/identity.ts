import { readVar } from "../kernel/config";
import {
  fromBase64Url,
  hmacSha256,
  hmacSha256Verify,
  sameSecret,
  sha256Hex,
  toBase64Url,
  toHex,
  utf8,
} from "../kernel/crypto";
import { ReveilleError } from "../kernel/errors";
import { randomToken } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import { readJwt, verifyOidc } from "./oidc";
import { type ManageDeps, readTenant, told } from "./tenants.store";

/**
 * Which tenant is asking (hermes-relay §5.2)? Its proof is a token of our own token endpoint (client credentials,
 * HS256), or one of the configured OIDC issuer (RS256).
 */

/** Seconds that a token of ours lives. */
export const ACCESS_LIFE_S = 3_600;
const ISSUER = "reveille";
const AUDIENCE = "reveille:connector";

export interface Caller {
  tenant: string;
  /** The instance that the token names; null: it speaks for the tenant as a whole. */
  instance: string | null;
  by: string;
}

interface ClientRow {
  client_id: string;
  tenant: string;
  secret_hash: string;
  name: string;
  created_at: number;
  revoked_at: number | null;
}
export type ClientView = Omit<ClientRow, "secret_hash">;

const secretHash = (secret: string): Promise<string> => sha256Hex(`client:${secret}`);

/** A client of a tenant. Its secret is told this once; only its hash is kept. */
export async function createClient(
  deps: ManageDeps,
  tenant: string,
  name: string,
): Promise<{ client: ClientView; secret: string }> {
  const secret = randomToken(32);
  const client_id = `rc-${randomToken(12).replace(/[-_]/g, "x")}`;
  const created_at = deps.runtime.clock.now();
  await deps.db.batch([
    deps.db
      .prepare("INSERT INTO tenant_client (client_id, tenant, secret_hash, name, created_at) VALUES (?, ?, ?, ?, ?)")
      .bind(client_id, tenant, await secretHash(secret), name, created_at),
    told(deps, "connector.changed", { action: "client.created", client_id, tenant, name }),
  ]);
  return { client: { client_id, tenant, name, created_at, revoked_at: null }, secret };
}

export async function listClients(
  db: D1Database,
  query: { tenant?: string | undefined; after: string; limit: number },
): Promise<ClientView[]> {
  const { results } = await db
    .prepare(
      `SELECT client_id, tenant, name, created_at, revoked_at FROM tenant_client
       WHERE client_id > ?1 AND (?2 IS NULL OR tenant = ?2) ORDER BY client_id LIMIT ?3`,
    )
    .bind(query.after, query.tenant ?? null, query.limit)
    .all<ClientView>();
  return results;
}

/** Ends a client and, with it, every token it has. False when there is none that lives. */
export async function revokeClient(deps: ManageDeps, client_id: string): Promise<boolean> {
  const [done] = await deps.db.batch([
    deps.db
      .prepare("UPDATE tenant_client SET revoked_at = ? WHERE client_id = ? AND revoked_at IS NULL")
      .bind(deps.runtime.clock.now(), client_id),
    told(deps, "connector.changed", { action: "client.revoked", client_id }),
  ]);
  return (done?.meta.changes ?? 0) > 0;
}

const readClient = (db: D1Database, client_id: string): Promise<ClientRow | null> =>
  db.prepare("SELECT * FROM tenant_client WHERE client_id = ?").bind(client_id).first<ClientRow>();

/**
 * The key of our tokens, derived so that the sealing key itself signs nothing. @throws ReveilleError 503 when it is
 * unset.
 */
async function signingKey(runtime: Runtime, name: string): Promise<string> {
  const key = readVar(runtime.vars, name);
  if (key === "")
    throw new ReveilleError({
      status: 503,
      code: "unconfigured",
      message: `${name} is not set, so no token can be made or judged.`,
    });
  return toHex(await hmacSha256(key, "oauth access tokens"));
}

/**
 * A token for a client that proved itself, or null. `scope` may name one instance: `instance:<id>`.
 * Times are wall seconds: the token leaves the house.
 */
export async function issueToken(
  deps: { db: D1Database; runtime: Runtime },
  ask: { client_id: string; client_secret: string; scope: string },
): Promise<{ access_token: string; expires_in: number; scope: string } | null> {
  const { db, runtime } = deps;
  const client = await readClient(db, ask.client_id);
  // An unknown id takes as long as a wrong secret.
  const same = await sameSecret(await secretHash(ask.client_secret), client?.secret_hash ?? "");
  if (!client || !same || client.revoked_at !== null) return null;
  const named = ask.scope.split(/\s+/).find((s) => s.startsWith("instance:"));
  const iat = Math.floor(runtime.clock.wall() / 1000);
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: client.client_id,
    tid: client.tenant,
    ...(named ? { instance: named.slice("instance:".length) } : {}),
    iat,
    exp: iat + ACCESS_LIFE_S,
    jti: randomToken(9),
  };
  const part = (value: unknown): string => toBase64Url(utf8(JSON.stringify(value)));
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  const mac = await hmacSha256(await signingKey(runtime, "REVEILLE_GATEWAY_KEY"), signed);
  return { access_token: `${signed}.${toBase64Url(mac)}`, expires_in: ACCESS_LIFE_S, scope: named ?? "" };
}

/** Who a bearer token speaks for, or null when it proves nothing. @throws ReveilleError 503 when it can't be judged. */
export async function identify(
  deps: { db: D1Database; runtime: Runtime },
  authorization: string | undefined,
): Promise<Caller | null> {
  const token = /^Bearer\s+(\S{1,8192})$/i.exec(authorization?.trim() ?? "")?.[1];
  const jwt = token === undefined ? null : readJwt(token);
  if (!jwt) return null;
  // The algorithm chooses the door, and each door takes one: a public key is never used as an HMAC key.
  if (jwt.header.alg === "HS256") return ours(deps, jwt);
  if (jwt.header.alg === "RS256") return theirs(deps, jwt);
  return null;
}

type Jwt = NonNullable<ReturnType<typeof readJwt>>;
const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

async function ours({ db, runtime }: { db: D1Database; runtime: Runtime }, jwt: Jwt): Promise<Caller | null> {
  const names = ["REVEILLE_GATEWAY_KEY", "REVEILLE_GATEWAY_KEY_OLD"].filter(
    (n, i) => i === 0 || readVar(runtime.vars, n) !== "",
  );
  const mac = fromBase64Url(jwt.signature);
  if (!mac) return null;
  const good = await Promise.all(
    names.map(async (n) => hmacSha256Verify(await signingKey(runtime, n), mac, utf8(jwt.signed))),
  );
  const { iss, aud, sub, tid, exp, instance } = jwt.claims;
  if (!good.includes(true) || iss !== ISSUER || aud !== AUDIENCE) return null;
  if (typeof exp !== "number" || runtime.clock.wall() / 1000 > exp) return null;
  // A revoked client's tokens end at once.
  const client = text(sub) ? await readClient(db, text(sub)!) : null;
  if (!client || client.revoked_at !== null || client.tenant !== tid) return null;
  return { tenant: client.tenant, instance: text(instance), by: `client:${client.client_id}` };
}

async function theirs({ db, runtime }: { db: D1Database; runtime: Runtime }, jwt: Jwt): Promise<Caller | null> {
  if (!(await verifyOidc(runtime, jwt))) return null;
  const tenant = text(jwt.claims[readVar(runtime.vars, "REVEILLE_OIDC_TENANT_CLAIM")]);
  // A token makes no tenant: an issuer may know many that are not ours.
  if (tenant === null || !(await readTenant(db, tenant))) return null;
  return { tenant, instance: text(jwt.claims["instance"]), by: `oidc:${text(jwt.claims["sub"]) ?? "unnamed"}` };
}
