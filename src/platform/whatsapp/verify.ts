import { fromHex, hmacSha256Verify } from "../../kernel/crypto";
import type { Verdict } from "../verdict";

/** Is this request from Meta? HMAC-SHA256 of the raw bytes with the app secret; there is no timestamp (chat-platforms §4). */
export async function verifyWhatsApp(headers: Headers, body: Uint8Array, secret: string): Promise<Verdict> {
  if (secret === "") return "bad_key";
  const signature = headers.get("x-hub-signature-256");
  if (!signature) return "missing_header";
  const mac = /^sha256=[0-9a-f]{64}$/.test(signature) ? fromHex(signature.slice(7)) : null;
  if (!mac) return "bad_header";
  return (await hmacSha256Verify(secret, mac, body)) ? "ok" : "bad_signature";
}
