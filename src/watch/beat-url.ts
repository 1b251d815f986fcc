import { hmacSha256, sameSecret, toBase64Url } from "../kernel/crypto";

/** What a heartbeat URL is derived from: nothing secret is stored, and a target made anew under its old id gets a new URL. */
export interface BeatTokenTarget {
  id: string;
  created_at: number;
}

/** 144 bits of the HMAC: 24 characters of base64url. */
const MAC_BYTES = 18;
const TOKEN = /^([a-z0-9][a-z0-9-]{0,62})\.([A-Za-z0-9_-]{24})$/;

async function mac(key: string, target: BeatTokenTarget): Promise<string> {
  const whole = await hmacSha256(key, `reveille beat v1\n${target.id}\n${target.created_at}`);
  return toBase64Url(whole.subarray(0, MAC_BYTES));
}

/** The token of a target's heartbeat URL, `<id>.<mac>`. `key` is REVEILLE_BEAT_KEY; changing it changes every URL. */
export async function beatToken(key: string, target: BeatTokenTarget): Promise<string> {
  return `${target.id}.${await mac(key, target)}`;
}

/**
 * The target that a token belongs to, or null: not a token, no such target, or a wrong mac. All three take the same path once
 * the shape is right, and the macs are compared in constant time.
 */
export async function readBeatToken<T extends BeatTokenTarget>(
  key: string,
  token: string,
  loadTarget: (id: string) => Promise<T | null>,
): Promise<T | null> {
  const parts = TOKEN.exec(token);
  if (!parts) return null;
  const target = await loadTarget(parts[1]!);
  const expected = await mac(key, target ?? { id: parts[1]!, created_at: 0 });
  const same = await sameSecret(expected, parts[2]!);
  return target !== null && same ? target : null;
}
