import { concat, fromHex, toHex, utf8 } from "../../kernel/crypto";
import type { Verdict } from "../verdict";

/** Seconds a request may be older or newer than our clock. Discord names none (chat-platforms §2.1). */
const WINDOW_S = 300;

/** Points of small order, sign bit cleared: under such a key a signature says nothing about who made it. */
const SMALL_ORDER = new Set([
  `00${"00".repeat(31)}`,
  `01${"00".repeat(31)}`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  `ec${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(30)}7f`,
]);

/** The application's public key, or null when it is none that proves anything: 64 hex digits of a proper point. */
export async function discordKey(hex: string): Promise<CryptoKey | null> {
  const bytes = /^[0-9a-fA-F]{64}$/.test(hex) ? fromHex(hex) : null;
  if (!bytes) return null;
  const positive = bytes.slice();
  positive[31]! &= 0x7f;
  if (SMALL_ORDER.has(toHex(positive))) return null;
  try {
    return await crypto.subtle.importKey("raw", bytes, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
}

/**
 * Is this request from Discord? Ed25519 over timestamp + raw bytes, with nothing between: the strict digits here and a body that
 * must be a JSON object are what keeps a byte from moving across.
 *
 * @param nowS wall time, Unix seconds.
 */
export async function verifyDiscord(
  headers: Headers,
  body: Uint8Array,
  publicKey: string,
  nowS: number,
): Promise<Verdict> {
  const key = await discordKey(publicKey);
  if (!key) return "bad_key";
  const timestamp = headers.get("x-signature-timestamp");
  const signature = headers.get("x-signature-ed25519");
  if (!timestamp || !signature) return "missing_header";
  const proof = /^[0-9a-fA-F]{128}$/.test(signature) ? fromHex(signature) : null;
  if (!proof || !/^[0-9]{1,12}$/.test(timestamp)) return "bad_header";
  if (Math.abs(nowS - Number(timestamp)) > WINDOW_S) return "stale_timestamp";
  const good = await crypto.subtle.verify({ name: "Ed25519" }, key, proof, concat(utf8(timestamp), body));
  return good ? "ok" : "bad_signature";
}
