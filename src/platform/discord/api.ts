import { appVar } from "../../kernel/config";
import { call, type Judged, type Reply, type SendDeps, waitOf } from "../call";
import { failure, text } from "../sender";
import type { OpResult } from "../types";

/** Discord's REST API with the bot token (chat-platforms §2.4). */

/** After a 401 or a block nothing is asked for this long: many refusals ban the address. Wall ms. */
const STOP_MS = 60_000;

export const discordUrl = (d: SendDeps): string =>
  appVar(d.runtime.vars, "REVEILLE_DISCORD_API_URL", d.app).replace(/\/+$/, "");

const judge =
  (d: SendDeps, bucket: string, bot: string) =>
  (reply: Reply): Judged => {
    const { json, status, headers, odd } = reply;
    const now = d.runtime.clock.wall();
    if (status === 429) {
      if (odd) {
        // Not Discord but what stands before it: the whole address is blocked.
        d.holds.hold(bot, now + STOP_MS);
        return { limited: STOP_MS, bucket: bot };
      }
      const global = json["global"] === true || headers.get("x-ratelimit-scope") === "global";
      return { limited: waitOf(d, reply, json["retry_after"]), bucket: global ? bot : bucket };
    }
    // Told beforehand: the next call of this bucket would be refused.
    const reset = Number(headers.get("x-ratelimit-reset-after") ?? Number.NaN);
    if (headers.get("x-ratelimit-remaining") === "0" && reset > 0)
      d.holds.hold(bucket, now + Math.min(reset, 60) * 1_000);
    if (status >= 200 && status < 300) return { ok: json };
    const words = text(json["message"]) ?? `HTTP ${status}`;
    const code = typeof json["code"] === "number" && json["code"] !== 0 ? String(json["code"]) : String(status);
    if (status >= 500) return { again: `discord: ${words}`, applied: true };
    if (status === 401) {
      d.holds.hold(bot, now + STOP_MS);
      d.broken("401: the bot token is refused");
      return { fail: failure("discord: the bot token is refused", "invalid_auth") };
    }
    return { fail: failure(`discord: ${words} (${code})`, code) };
  };

export interface DiscordCall {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  /** The channel whose limits count, and which limit it is. */
  bucket: string;
  body?: Record<string, unknown> | unknown[] | FormData;
  /** Default true: with a nonce that is enforced a message is, too. */
  repeatable?: boolean;
}

export async function discordCall(
  d: SendDeps,
  c: DiscordCall,
): Promise<{ ok: Record<string, unknown> } | { fail: OpResult }> {
  const bot = `discord:${d.app}`;
  const bucket = `${bot}:${c.bucket}`;
  const form = c.body instanceof FormData;
  return call(d, {
    url: `${discordUrl(d)}${c.path}`,
    method: c.method,
    headers: {
      authorization: `Bot ${appVar(d.runtime.vars, "REVEILLE_DISCORD_BOT_TOKEN", d.app)}`,
      // Asked for by Discord; without it the call is blocked.
      "user-agent": `DiscordBot (${d.runtime.config.publicUrl}, 1.0)`,
      ...(form || c.body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(c.body === undefined ? {} : { body: form ? (c.body as FormData) : JSON.stringify(c.body) }),
    repeatable: c.repeatable ?? true,
    buckets: [bucket, bot],
    judge: judge(d, bucket, bot),
  });
}
