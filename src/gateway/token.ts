import { fromHex, hmacSha256, hmacSha256Verify, toBase64Url, toHex, utf8 } from "../kernel/crypto";
import type { GatewayRecord } from "./gateways.store";
import type { GatewayIdentity } from "./types";

/** Tokens of gateways, byte-exact (hermes-relay §1.2): upgrades, policy, media and manage calls carry the same form. */

export type TokenVerdict =
  | {
      ok: true;
      identity: GatewayIdentity /** When the secret that matched was made: what is older than a revocation is refused. */;
      proved_at: number;
    }
  | { ok: false; why: "unauthorized" | "expired" };

const MAX_TOKEN = 4096;
/** Seconds that a gateway's clock may be behind ours. */
const SKEW_S = 30;
/** Upgrade tokens live this long, seconds. */
export const TOKEN_TTL_S = 300;

const UNAUTHORIZED: TokenVerdict = { ok: false, why: "unauthorized" };

/** The three parts of a token, or null when it has not its form. */
export function readToken(authorization: string | null | undefined): { id: string; exp: string; sig: string } | null {
  const token = /^Bearer +(\S+)$/i.exec(authorization?.trim() ?? "")?.[1];
  if (!token || token.length > MAX_TOKEN || !/^[A-Za-z0-9_-]+={0,2}$/.test(token)) return null;
  let text: string;
  try {
    const raw = atob(token.replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0));
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
  // From the right: a gateway's id may hold colons.
  const m = /^([\s\S]+):([0-9]+):([0-9a-f]{64})$/.exec(text);
  return m ? { id: m[1]!, exp: m[2]!, sig: m[3]! } : null;
}

/**
 * Who is this? Identity, tenant and platforms come from the stored record alone. Expiry is told only to who has a good signature.
 *
 * @param nowS  wall time, Unix seconds.
 * @param now   Reveille ms, for the retirement of secrets.
 * @param find  the stored record with its live secrets, null when missing or revoked; its throw is the caller's (503, never
 *              a refusal: 4401 ends an older build for good).
 */
export async function verifyToken(
  authorization: string | null | undefined,
  nowS: number,
  now: number,
  find: (gatewayId: string) => Promise<GatewayRecord | null>,
): Promise<TokenVerdict> {
  const token = readToken(authorization);
  if (!token) return UNAUTHORIZED;
  const record = await find(token.id);
  if (!record) return UNAUTHORIZED;
  const live = record.secrets.filter((s) => s.secret !== "" && (s.retire_at === null || now < s.retire_at));
  const mac = fromHex(token.sig)!;
  const signed = utf8(`${token.id}:${token.exp}`);
  // Every secret is tried, so that the time taken does not tell which one matched.
  const matches = await Promise.all(live.map((s) => hmacSha256Verify(s.secret, mac, signed)));
  const matched = live.filter((_, i) => matches[i]);
  if (matched.length === 0) return UNAUTHORIZED;
  const exp = Number(token.exp);
  if (exp !== 0 && nowS > exp + SKEW_S) return { ok: false, why: "expired" };
  const { gateway_id, tenant, instance, identities } = record;
  return {
    ok: true,
    identity: { gateway_id, tenant, instance, identities },
    proved_at: Math.max(...matched.map((s) => s.created_at)),
  };
}

/** A token as a gateway mints it. `exp`: Unix seconds; 0 never expires. */
export async function mintToken(gatewayId: string, secret: string, exp: number): Promise<string> {
  const signed = `${gatewayId}:${exp}`;
  return toBase64Url(utf8(`${signed}:${toHex(await hmacSha256(secret, signed))}`));
}
