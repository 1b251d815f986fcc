import { sameSecret } from "../../kernel/crypto";
import type { Verdict } from "../verdict";

/** What setWebhook accepts as `secret_token` (chat-platforms §3.1). */
const SECRET_FORM = /^[A-Za-z0-9_-]{1,256}$/;

/**
 * Is this update from Telegram? It proves itself only by the secret we gave to setWebhook; the body is not signed and there
 * is no timestamp, so the secret is never optional.
 *
 * @param secrets the live secrets, newest first: two while rotating. Empty ones are left out.
 */
export async function verifyTelegram(headers: Headers, secrets: readonly string[]): Promise<Verdict> {
  const live = secrets.filter((s) => s !== "");
  if (live.length === 0 || !live.every((s) => SECRET_FORM.test(s))) return "bad_key";
  const given = headers.get("x-telegram-bot-api-secret-token");
  if (!given) return "missing_header";
  const matches = await Promise.all(live.map((secret) => sameSecret(given, secret)));
  return matches.includes(true) ? "ok" : "bad_signature";
}
