import type { Offer } from "../gateway";
import { iso } from "../kernel/clock";
import { hmacSha256, sha256Hex, toHex } from "../kernel/crypto";
import { retryAfterMs } from "../kernel/http";
import type { MessageEvent } from "../platform";
import { messagesOf } from "../slo";
import type { Handed, Handover } from "./deliver";
import { renderPrompt } from "./template";
import type { Recipient } from "./types";

/** What each kind of recipient is told of a message: pure, but for hashes. */

/** The prompt of a message in at most `max` characters. */
export const promptOf = ({ hook, payload }: Handover, max?: number): string =>
  renderPrompt(hook.template, payload, undefined, max);

/** The session that a message belongs to, at any recipient: its sender's own; each cron task has one of its own. */
export async function sessionFor({ hook, row, payload }: Handover): Promise<string> {
  const named = messagesOf(payload).at(-1)?.session_id ?? "";
  const of = hook.mode === "cron_task" || named === "" ? row.wake_id : named;
  return `hook-${hook.id}-${(await sha256Hex(of)).slice(0, 24)}`;
}

/** Subject of a mail: what its sender wrote, else the hook's title. */
export const topicOf = ({ hook, payload }: Handover): string => messagesOf(payload).at(-1)?.topic || hook.title;

/**
 * The request to an operator's own receiver, signed as notices are (src/notify): `reveille-signature` is `v1=` and the hex
 * HMAC-SHA256 of `timestamp.body`. `payload` stands in it as it was received. `wall` in ms.
 */
export async function webhookRequest(
  handover: Handover,
  secret: string,
  wall: number,
): Promise<{ body: string; headers: Record<string, string> }> {
  const { hook, row } = handover;
  const head = { version: 1, id: row.wake_id, event: "message", hook_id: hook.id, received_at: iso(row.received_at) };
  const body = `${JSON.stringify({ ...head, prompt: promptOf(handover) }).slice(0, -1)},"payload":${row.payload}}`;
  const timestamp = String(Math.floor(wall / 1000));
  return {
    body,
    headers: {
      "content-type": "application/json; charset=utf-8",
      "user-agent": "reveille-hook/1",
      "reveille-signature": `v1=${toHex(await hmacSha256(secret, `${timestamp}.${body}`))}`,
      "reveille-timestamp": timestamp,
      "idempotency-key": row.wake_id,
    },
  };
}

/** What a receiver's answer means. 410 says that it is gone for good; anything else but 2xx may pass. */
export function webhookAnswer(status: number, headers: Headers, now: number): Handed {
  if (status >= 200 && status < 300) return { ok: true, result: `http_${status}` };
  const redirected = status >= 300 && status < 400 ? " (redirects are not followed; set the final URL)" : "";
  const after = retryAfterMs(headers, now);
  return {
    ok: false,
    retry: status !== 410,
    error: `HTTP ${status}${redirected}`,
    ...(after === null ? {} : { after: Math.min(after, 3_600_000) }),
  };
}

/** The message as an event of the chat that the hook names; the wake's id is its dedupe key. `wall` in ms. */
export function gatewayOffer(to: Extract<Recipient, { kind: "gateway" }>, handover: Handover, wall: number): Offer {
  const { tenant, instance, platform, chat_id, user_id, scope_id } = to;
  const from = messagesOf(handover.payload).at(-1)?.from_agent ?? null;
  const event: MessageEvent = {
    text: promptOf(handover),
    message_type: "text",
    message_id: handover.row.wake_id,
    reply_to_message_id: null,
    media_urls: [],
    media: [],
    source: {
      ...{ platform, chat_id, chat_type: "dm", chat_name: null, user_id, user_name: from, thread_id: null },
      ...{ chat_topic: null, is_bot: false, message_is_edit: false },
      ...(scope_id === undefined ? {} : { scope_id }),
    },
  };
  return {
    to: { tenant, instance },
    d1: `hook:${handover.row.wake_id}`,
    d2: null,
    stored: { platform, app: "hook", event, media: [], album: null, passthrough: null, received_at: wall },
    held: false,
  };
}
