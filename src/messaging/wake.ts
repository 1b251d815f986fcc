import { HOUR, MINUTE, SECOND } from "../kernel/clock";
import { hmacSha256, toHex, utf8 } from "../kernel/crypto";
import { readCapped } from "../kernel/http";
import { renderMessages } from "../slo";
import { isoSeconds } from "./rules";
import type { MessageRow } from "./types";

/** The push that wakes a recipient (wake-slo §1.1, §1.2): what it says, when it is tried, when it counts as taken. */

export const MAX_ATTEMPTS = 5;
const PUSH_TIMEOUT = 5 * SECOND;
/** Longer than a push takes: what is still claimed after it died with its object. */
export const CLAIM_LEASE = 10 * SECOND;
/** An older event wakes nobody; the message waits in the inbox. */
export const STALE_AFTER = 10 * MINUTE;
/** Messages of one push, and how old they may be (Reveille ms). */
export const BATCH = 20;
export const BATCH_AGE = 24 * HOUR;
/** Events looked at in one go. */
export const PUSHES_PER_TICK = 25;
const MAX_ANSWER = 16 * 1024;
/** Bytes of the bodies that one push may carry together; each stands in it three times. */
const MAX_CARRIED = 60 * 1024;
/** Receivers take 256 KiB; a message may be larger than that three times over. */
const MAX_PAYLOAD = 250_000;

const size = (text: string): number => utf8(text).length;

/** As many messages, in order, as one push can carry: `head` always, and the first of the others that fit beside it. */
export function carried(rows: readonly MessageRow[], head: string): MessageRow[] {
  let left = MAX_CARRIED - size(rows.find((m) => m.id === head)?.body ?? "");
  let open = true;
  return rows.filter((m) => {
    if (m.id === head) return true;
    left -= size(m.body);
    open &&= left >= 0;
    return open;
  });
}

/** Milliseconds of wall time until the next try after `attempts` failed ones: 1, 2, 4, 8 s; null when there is none. */
export const retryDelay = (attempts: number): number | null =>
  attempts >= MAX_ATTEMPTS ? null : Math.min(MINUTE, 2 ** (attempts - 1) * SECOND);

/** The body of a push: `head` is the message the event is of, `batch` all that it carries, oldest first. */
export function wakePayload(
  workspace: string,
  head: MessageRow,
  batch: readonly MessageRow[],
): Record<string, unknown> {
  const items = batch.map((m) => ({
    message_id: m.id,
    session_id: m.session_id,
    from_agent: m.from_name,
    from_agent_id: m.from_id,
    topic: String(m["topic"]),
    kind: m.kind,
    body: m.body,
    created_at: isoSeconds(m.created_ms),
  }));
  const flat = {
    event_type: "agentcomm_wake",
    from_agent: head.from_name,
    to_agent: head.to_name,
    session_id: head.session_id,
    message_id: head.id,
    topic: String(head["topic"]),
    body: head.body,
    created_at: isoSeconds(head.created_ms),
    from_agent_id: head.from_id,
    to_agent_id: head.to_id,
    workspace_id: workspace,
    kind: head.kind,
  };
  const whole = { ...flat, message_count: items.length, messages: items, messages_text: renderMessages(items) };
  // Only a push of one large message can be this large; the flat fields say all of it.
  return size(JSON.stringify(whole)) <= MAX_PAYLOAD ? whole : flat;
}

export interface WakeTarget {
  url: string;
  auth: "hmac" | "bearer";
  secret: string;
}

/** The request of a push; the signature is over the exact bytes of the body. */
export async function wakeRequest(
  target: WakeTarget,
  payload: unknown,
  timeout = PUSH_TIMEOUT,
): Promise<RequestInit & { body: Uint8Array }> {
  const body = utf8(JSON.stringify(payload));
  const headers: Record<string, string> = {
    "content-type": "application/json",
    accept: "application/json",
    "user-agent": "reveille-wake/1",
  };
  if (target.auth === "bearer") headers["authorization"] = `Bearer ${target.secret}`;
  else headers["x-webhook-signature"] = toHex(await hmacSha256(target.secret, body));
  return { method: "POST", headers, body, redirect: "manual", signal: AbortSignal.timeout(timeout) };
}

/** Null when the recipient's runtime took the wake, else why not, in a word or two. Reads at most 16 KiB. */
export async function refusedBy(response: Response): Promise<string | null> {
  if (response.status < 200 || response.status > 299) {
    await response.body?.cancel();
    return `http_${response.status}`;
  }
  const { bytes, truncated } = await readCapped(response.body, MAX_ANSWER);
  if (truncated) return "answer_too_large";
  try {
    const said: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
    const taken = typeof said === "object" && said !== null && (said as { accepted?: unknown }).accepted === true;
    return taken ? null : "runtime_did_not_confirm_acceptance";
  } catch {
    return "runtime_did_not_confirm_acceptance";
  }
}
