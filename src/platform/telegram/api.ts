import { appVar } from "../../kernel/config";
import { call, type Judged, type Reply, type SendDeps, waitOf } from "../call";
import { failure, text } from "../sender";
import type { OpResult } from "../types";

/** The Bot API: `{ok, result | error_code, description, parameters}` (chat-platforms §3.4). Its URL is the token: never logged. */

const base = (d: SendDeps): string => appVar(d.runtime.vars, "REVEILLE_TELEGRAM_API_URL", d.app).replace(/\/+$/, "");
const token = (d: SendDeps): string => appVar(d.runtime.vars, "REVEILLE_TELEGRAM_BOT_TOKEN", d.app);

/** Where a file that `getFile` named is read. Holds the token. */
export const fileUrl = (d: SendDeps, path: string): string =>
  `${base(d)}/file/bot${token(d)}/${path.split("/").map(encodeURIComponent).join("/")}`;

const judge =
  (d: SendDeps, bucket: string) =>
  ({ json, status, headers, odd }: Reply): Judged => {
    if (json["ok"] === true) return { ok: json };
    const parameters = (json["parameters"] ?? {}) as Record<string, unknown>;
    if (status === 429)
      return { limited: waitOf(d, { json, status, headers, odd }, parameters["retry_after"]), bucket };
    const words = text(json["description"]) ?? `HTTP ${status}`;
    if (status >= 500) return { again: `telegram: ${words}`, applied: true };
    // A wrong token: 401, or 404 for a path that is none. A method we name exists.
    if (status === 401 || status === 404) {
      d.broken(`${status}: the bot token is refused`);
      return { fail: failure("telegram: the bot token is refused", "invalid_auth") };
    }
    if (parameters["migrate_to_chat_id"] !== undefined)
      return { fail: failure(`telegram: ${words}`, `migrated:${String(parameters["migrate_to_chat_id"])}`) };
    return { fail: failure(`telegram: ${words}`, status === 403 ? "chat_closed" : "bad_request") };
  };

/** One method. `repeatable`: doing it twice is as doing it once; Telegram knows no repeat of a message. */
export async function telegramCall(
  d: SendDeps,
  method: string,
  body: Record<string, unknown> | FormData,
  chat: string,
  repeatable: boolean,
): Promise<{ ok: Record<string, unknown> } | { fail: OpResult }> {
  const bucket = `telegram:${d.app}:${chat}`;
  const form = body instanceof FormData;
  return call(d, {
    url: `${base(d)}/bot${token(d)}/${method}`,
    ...(form ? {} : { headers: { "content-type": "application/json" } }),
    body: form ? body : JSON.stringify(body),
    repeatable,
    buckets: [bucket],
    judge: judge(d, bucket),
  });
}
