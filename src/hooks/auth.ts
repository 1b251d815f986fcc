import { concat, fromHex, sameSecret, utf8 } from "../kernel/crypto";
import { firstGroup } from "./regex";

/** Who may call a hook (wake-slo §1.3). Every comparison takes constant time; a wrong secret and no secret look the same. */

export interface HmacConfig {
  header: string;
  /** `sha256`, `sha1`, `sha512`; anything else counts as sha256. */
  algorithm: string;
  encoding: "hex" | "base64";
  /** Taken off the header's value where it stands there. */
  sig_prefix: string;
  /** Group 1 of it is the signature; wins over the prefix. */
  sig_regex?: string | undefined;
  /** Group 1 of it, a dot and the body are what is signed. */
  payload_prefix_regex?: string | undefined;
}

export const HMAC_DEFAULTS: HmacConfig = {
  header: "X-Webhook-Signature",
  algorithm: "sha256",
  encoding: "hex",
  sig_prefix: "sha256=",
};

const HASHES: Record<string, string> = { sha1: "SHA-1", sha256: "SHA-256", sha512: "SHA-512" };

/** `Authorization: Bearer <secret>`, the scheme's word exactly so. `secrets`: any of them will do. */
export async function bearerOk(headers: Headers, secrets: readonly string[]): Promise<boolean> {
  const given = headers.get("authorization");
  if (!given?.startsWith("Bearer ")) return false;
  const token = given.slice(7);
  if (token === "" || token.length > 1_024) return false;
  // All are compared, so that the time does not tell which one was right.
  const right = await Promise.all(secrets.filter((s) => s !== "").map((s) => sameSecret(token, s)));
  return right.some(Boolean);
}

/** Standard base64 in its one canonical form, or null. */
function fromBase64(text: string): Uint8Array | null {
  try {
    const raw = atob(text);
    return btoa(raw) === text ? Uint8Array.from(raw, (c) => c.charCodeAt(0)) : null;
  } catch {
    return null;
  }
}

/** Hex in lower case only, as the original compares texts. */
const decode = (text: string, encoding: HmacConfig["encoding"]): Uint8Array | null =>
  encoding === "base64" ? fromBase64(text) : /^[0-9a-f]+$/.test(text) ? fromHex(text) : null;

/** The HMAC of the exact bytes of the body, under any of the secrets. */
export async function hmacOk(
  headers: Headers,
  body: Uint8Array,
  secrets: readonly string[],
  config: HmacConfig,
): Promise<boolean> {
  const value = headers.get(config.header);
  if (value === null) return false;
  const cut = config.sig_prefix && value.startsWith(config.sig_prefix) ? value.slice(config.sig_prefix.length) : value;
  const written = config.sig_regex ? firstGroup(config.sig_regex, value) : cut;
  const mac = written === null || written.length > 256 ? null : decode(written, config.encoding);
  if (!mac) return false;
  let signed = body;
  if (config.payload_prefix_regex) {
    const prefix = firstGroup(config.payload_prefix_regex, value);
    if (prefix === null) return false;
    signed = concat(utf8(`${prefix}.`), body);
  }
  const hash = HASHES[config.algorithm.toLowerCase()] ?? "SHA-256";
  const right = await Promise.all(
    secrets
      .filter((s) => s !== "")
      .map(async (secret) => {
        const key = await crypto.subtle.importKey("raw", utf8(secret), { name: "HMAC", hash }, false, ["verify"]);
        return crypto.subtle.verify("HMAC", key, mac, signed);
      }),
  );
  return right.some(Boolean);
}
