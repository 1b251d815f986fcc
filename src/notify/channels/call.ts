import { readCapped, retryAfterMs } from "../../kernel/http";
import type { Runtime } from "../../kernel/runtime";
import { clipWords, plain } from "../text";
import type { SendResult } from "../types";

/** The longest one send may take, ms: kora-watch §10, and the promise of `Channel.send`. */
export const SEND_TIMEOUT_MS = 10_000;
/** Replies of chat APIs are small; more is not ours to read. */
const REPLY_CAP = 256 * 1024;

/** A reply of the outside, or why there is none. The URL is never part of it: Telegram's holds the token. */
export type Reply =
  | { got: true; status: number; headers: Headers; text: string; json: unknown }
  | { got: false; result: Extract<SendResult, { ok: false }> };

/**
 * One POST with the whole time limit over connect, send and reading the reply. Redirects are not followed: they would carry
 * a token or a notice to somewhere nobody configured.
 */
export async function post(
  runtime: Runtime,
  url: string,
  headers: Record<string, string>,
  body: string,
  timeoutMs = SEND_TIMEOUT_MS,
): Promise<Reply> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
    const { bytes } = await readCapped(response.body, REPLY_CAP);
    const text = new TextDecoder().decode(bytes);
    return { got: true, status: response.status, headers: response.headers, text, json: parse(text) };
  } catch (error) {
    // The call may have been applied in both cases: only a platform's own answer says that it was not.
    const why = signal.aborted
      ? `no answer within ${timeoutMs / 1000} s`
      : `no connection: ${error instanceof Error ? error.message : String(error)}`;
    return { got: false, result: { ok: false, error: line(runtime, why), retryable: true, ambiguous: true } };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** One redacted line of at most 200 characters for a row. */
export const line = (runtime: Runtime, text: string): string => clipWords(plain(runtime.redact.text(text)), 200);

/** A refusal by HTTP status alone: 408, 429 and 5xx may pass, the rest will not. */
export function refused(runtime: Runtime, reply: Extract<Reply, { got: true }>, words: string): SendResult {
  const { status } = reply;
  const wait = retryAfterMs(reply.headers, runtime.clock.wall());
  return {
    ok: false,
    error: line(runtime, words),
    retryable: status === 408 || status === 429 || status >= 500,
    ...(wait !== null ? { retry_after_ms: wait } : {}),
  };
}
