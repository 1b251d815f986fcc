import { concat, fromHex, hmacSha256Verify, utf8 } from "../../kernel/crypto";
import type { Verdict } from "../verdict";

/** Seconds a request may be older or newer than our clock (chat-platforms §1.1). */
const WINDOW_S = 300;

/**
 * Is this request from Slack? HMAC-SHA256 over `v0:` + timestamp + `:` + the raw bytes; never over a decoded text, which
 * would drop a BOM and change bad UTF-8.
 *
 * @param secrets the live signing secrets, newest first: two while rotating. Empty ones are left out.
 * @param nowS    wall time, Unix seconds.
 */
export async function verifySlack(
  headers: Headers,
  body: Uint8Array,
  secrets: readonly string[],
  nowS: number,
): Promise<Verdict> {
  const live = secrets.filter((s) => s !== "");
  if (live.length === 0) return "bad_key";
  const timestamp = headers.get("x-slack-request-timestamp");
  const signature = headers.get("x-slack-signature");
  if (!timestamp || !signature) return "missing_header";
  // The strict forms come before any arithmetic: NaN would pass a test of the absolute difference.
  const mac = /^v0=[0-9a-f]{64}$/.test(signature) ? fromHex(signature.slice(3)) : null;
  if (!mac || !/^[0-9]{1,12}$/.test(timestamp)) return "bad_header";
  if (Math.abs(nowS - Number(timestamp)) > WINDOW_S) return "stale_timestamp";
  const signed = concat(utf8(`v0:${timestamp}:`), body);
  // Every secret is tried, so that the time taken does not tell which one matched.
  const matches = await Promise.all(live.map((secret) => hmacSha256Verify(secret, mac, signed)));
  return matches.includes(true) ? "ok" : "bad_signature";
}
