import { fromHex, toHex } from "../kernel/crypto";

/** The host's own key: Ed25519 from a 32-byte seed (`connectonion.md` (a)). */

/** What stands before a raw Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = fromHex("302e020100300506032b657004220420")!;

export interface HostKey {
  /** `0x` and 64 lower-case hex digits. */
  address: string;
  /** Signs bytes; the signature is 64 bytes. */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

const keys = new Map<string, Promise<HostKey>>();

/** The key of a seed in hex (64 digits), made once an isolate. Null when the seed is unset or no seed. */
export function hostKey(seedHex: string): Promise<HostKey | null> {
  const seed = seedHex.length === 64 ? fromHex(seedHex) : null;
  if (!seed) return Promise.resolve(null);
  const found = keys.get(seedHex) ?? makeKey(seed);
  keys.set(seedHex, found);
  return found;
}

async function makeKey(seed: Uint8Array): Promise<HostKey> {
  const pkcs8 = new Uint8Array([...PKCS8_HEAD, ...seed]);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "Ed25519" }, true, ["sign"]);
  const jwk = (await crypto.subtle.exportKey("jwk", key)) as JsonWebKey;
  const raw = Uint8Array.from(atob(jwk.x!.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  return {
    address: `0x${toHex(raw)}`,
    sign: async (data) => new Uint8Array(await crypto.subtle.sign("Ed25519", key, data)),
  };
}
