import * as z from "zod";
import { readVar } from "../kernel/config";
import { fromBase64Url, utf8 } from "../kernel/crypto";
import { describe, ReveilleError } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import { guardedFetch, isPrivateHost } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";

/**
 * Tokens of the operator's own identity provider: RS256 by its published keys, issuer, audience, expiry (hermes-relay
 * §5.2).
 */

export interface Jwt {
  header: { alg: string; kid?: string | undefined };
  claims: Record<string, unknown>;
  /** What the signature covers. */
  signed: string;
  signature: string;
}

/** `crit` names extensions that must be understood; none is. */
const headerSchema = z.object({ alg: z.string(), kid: z.string().max(200).optional(), crit: z.never().optional() });

function parse(part: string): unknown {
  const bytes = fromBase64Url(part);
  if (!bytes) return null;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return null;
  }
}

/** The parts of a token, unproven; null when it has not the form. */
export function readJwt(token: string): Jwt | null {
  const [head, body, signature, more] = token.split(".");
  if (!head || !body || !signature || more !== undefined) return null;
  const header = headerSchema.safeParse(parse(head));
  const claims = z.record(z.string(), z.unknown()).safeParse(parse(body));
  if (!header.success || !claims.success) return null;
  return { header: header.data, claims: claims.data, signed: `${head}.${body}`, signature };
}

/** Seconds that the issuer's clock may differ from ours. */
const SKEW_S = 60;
/** Wall ms that fetched keys are believed. */
const KEYS_LIFE = 3_600_000;
/** Wall ms before an unknown key id makes us ask again: a caller chooses the id. */
const KEYS_RETRY = 60_000;
const MAX_KEYS_BYTES = 256 * 1024;

interface Keys {
  at: number;
  keys: { kid: string | undefined; key: CryptoKey }[];
}
const cache = new Map<string, Keys>();

/** Is it a live token of the configured issuer for us? @throws ReveilleError 503 when its keys can't be read. */
export async function verifyOidc(runtime: Runtime, jwt: Jwt): Promise<boolean> {
  const issuer = readVar(runtime.vars, "REVEILLE_OIDC_ISSUER");
  const audience = readVar(runtime.vars, "REVEILLE_OIDC_AUDIENCE");
  // Without an audience any token of a shared issuer would do.
  if (issuer === "" || audience === "") return false;
  const { iss, aud, exp, nbf } = jwt.claims;
  const nowS = runtime.clock.wall() / 1000;
  if (iss !== issuer || !(Array.isArray(aud) ? aud.includes(audience) : aud === audience)) return false;
  if (typeof exp !== "number" || nowS > exp + SKEW_S) return false;
  if (nbf !== undefined && (typeof nbf !== "number" || nowS < nbf - SKEW_S)) return false;
  const signature = fromBase64Url(jwt.signature);
  if (!signature) return false;
  for (const { key } of await keysFor(runtime, issuer, jwt.header.kid))
    if (await crypto.subtle.verify("RSASSA-PKCS1-v1_5", key, signature, utf8(jwt.signed))) return true;
  return false;
}

const fits = (keys: Keys, kid: string | undefined): Keys["keys"] =>
  keys.keys.filter((k) => kid === undefined || k.kid === undefined || k.kid === kid);

async function keysFor(runtime: Runtime, issuer: string, kid: string | undefined): Promise<Keys["keys"]> {
  const url = readVar(runtime.vars, "REVEILLE_OIDC_JWKS_URL") || (await discover(runtime, issuer));
  const now = runtime.clock.wall();
  const held = cache.get(url);
  if (held) {
    const age = now - held.at;
    const found = fits(held, kid);
    if (age < KEYS_RETRY || (age < KEYS_LIFE && found.length > 0)) return found;
  }
  const fresh = { at: now, keys: await fetchKeys(runtime, url) };
  cache.set(url, fresh);
  return fits(fresh, kid);
}

const discovered = new Map<string, string>();

async function discover(runtime: Runtime, issuer: string): Promise<string> {
  const found = discovered.get(issuer);
  if (found) return found;
  const body = await getJson(runtime, `${issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`);
  const { data } = z.object({ jwks_uri: z.string() }).safeParse(body);
  if (!data) throw unreadable("its discovery document names no jwks_uri");
  discovered.set(issuer, data.jwks_uri);
  return data.jwks_uri;
}

const jwks = z.object({
  keys: z
    .array(
      z.object({
        kty: z.string(),
        kid: z.string().optional(),
        use: z.string().optional(),
        n: z.string().optional(),
        e: z.string().optional(),
      }),
    )
    .max(100),
});

async function fetchKeys(runtime: Runtime, url: string): Promise<Keys["keys"]> {
  const { data } = jwks.safeParse(await getJson(runtime, url));
  if (!data) throw unreadable("its key set has another form");
  const rsa = data.keys.filter((k) => k.kty === "RSA" && k.n && k.e && (k.use === undefined || k.use === "sig"));
  return Promise.all(
    rsa.map(async ({ kid, n, e }) => ({
      kid,
      key: await crypto.subtle.importKey(
        "jwk",
        { kty: "RSA", n: n!, e: e!, alg: "RS256", ext: true },
        { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
        false,
        ["verify"],
      ),
    })),
  );
}

async function getJson(runtime: Runtime, url: string): Promise<unknown> {
  try {
    const target = new URL(url);
    // Keys that came over plain http would be anybody's; a private host is the operator's own word.
    if (target.protocol !== "https:" && !isPrivateHost(target.hostname)) throw new Error("not https");
    const { response } = await guardedFetch(
      target,
      { headers: { accept: "application/json" }, signal: AbortSignal.timeout(5_000), follow: false },
      runtime.config.allowPrivate,
    );
    const { bytes, truncated } = await readCapped(response.body, MAX_KEYS_BYTES);
    if (response.status !== 200 || truncated) throw new Error(`HTTP ${response.status}`);
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    runtime.log("error", "oidc.unreadable", { error: describe(error) });
    throw unreadable("it did not answer");
  }
}

const unreadable = (why: string): ReveilleError =>
  new ReveilleError({
    status: 503,
    code: "issuer_unreadable",
    message: `the identity provider's keys can't be read: ${why}`,
  });
