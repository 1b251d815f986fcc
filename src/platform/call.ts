import { readCapped, retryAfterMs } from "../kernel/http";
import type { Runtime } from "../kernel/runtime";
import type { OpResult } from "./types";

/** Calls of platform APIs: bounded in time and tries, and honest about what may have happened (chat-platforms §0, §1.4, §2.4, §3.4). */

/** Longest single try, ms. */
const TRY_MS = 10_000;
const MAX_TRIES = 4;
const REPLY_CAP = 512 * 1024;
/** Kept free of the deadline for the way back, ms. */
const MARGIN_MS = 300;

/** Until when a bucket is held, wall ms: its platform said so. Lost with the object, which costs one refused call. */
export class Holds {
  readonly #until = new Map<string, number>();

  until(buckets: readonly string[], now: number): number {
    return Math.max(0, ...buckets.map((b) => this.#until.get(b) ?? 0).filter((t) => t > now));
  }

  hold(bucket: string, until: number): void {
    if (this.#until.size > 2_000) this.#until.clear();
    this.#until.set(bucket, Math.max(until, this.#until.get(bucket) ?? 0));
  }
}

/** What a sender works with. */
export interface SendDeps {
  runtime: Runtime;
  /** Whose credential: the app's name in our URL; "" for the plain variables. */
  app: string;
  /** Wall ms by which the op is to be answered, waits included. */
  deadline: number;
  holds: Holds;
  /** The platform refused our credential: told to the operator. */
  broken(why: string): void;
}

export interface Reply {
  status: number;
  headers: Headers;
  json: Record<string, unknown>;
  /** Not JSON at all: a page of something in the way. */
  odd: boolean;
  /** Its first 200 characters, when it is no JSON. */
  words?: string;
}

/** What a platform's answer means. `again`: it was not applied, or repeating it is harmless. */
export type Judged =
  | { ok: Record<string, unknown> }
  | { fail: OpResult }
  /** A limit: this bucket waits. */
  | { limited: number; bucket: string }
  /** `applied`: it may have been done nonetheless. */
  | { again: string; applied: boolean };

export interface Ask {
  url: string;
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Record<string, string>;
  body?: string | FormData | Uint8Array;
  /** Repeating it does no harm: a read, an edit, or something the platform knows a repeat of. */
  repeatable: boolean;
  buckets: readonly string[];
  /** Words are an answer, too: not only JSON is. */
  words?: true;
  judge(reply: Reply): Judged;
}

const wait = (ms: number): Promise<void> => scheduler.wait(Math.max(1, ms));

export const limited = (ms: number): OpResult => ({
  success: false,
  error: "rate limited",
  error_code: "rate_limited",
  retryable: true,
  retry_after_ms: Math.ceil(ms),
});

/** Calls until it is done, refused, or the deadline would be passed. Never throws; nothing goes on after it returned. */
export async function call(d: SendDeps, ask: Ask): Promise<{ ok: Record<string, unknown> } | { fail: OpResult }> {
  const now = (): number => d.runtime.clock.wall();
  const left = (): number => d.deadline - MARGIN_MS - now();
  let unsure = false;
  const failed = (error: string, more: Partial<OpResult> = {}): { fail: OpResult } => ({
    fail: { success: false, error, ...more, ...(unsure ? { ambiguous: true } : {}) },
  });
  for (let tries = 1; ; tries++) {
    const held = d.holds.until(ask.buckets, now()) - now();
    if (held > 0) {
      if (held > left()) return unsure ? failed("rate limited") : { fail: limited(held) };
      await wait(held + Math.random() * Math.min(250, held / 10));
      tries--;
      continue;
    }
    if (left() <= 0) return failed("timed out", { retryable: true });
    const reply = await once(ask, Math.min(TRY_MS, left()));
    let why: string;
    if ("silent" in reply) {
      unsure ||= !ask.repeatable;
      why = reply.silent;
      if (unsure) return failed(why, { error_code: "no_answer" });
    } else {
      const judged =
        reply.odd && reply.status < 300 && !ask.words
          ? { again: "an answer that is no JSON", applied: true }
          : ask.judge(reply);
      if ("ok" in judged) return { ok: judged.ok };
      if ("fail" in judged) return { fail: unsure ? { ...judged.fail, ambiguous: true } : judged.fail };
      if ("limited" in judged) {
        d.holds.hold(judged.bucket, now() + judged.limited);
        if (judged.limited > left() || tries >= MAX_TRIES + 2) return { fail: limited(judged.limited) };
        continue;
      }
      why = judged.again;
      if (judged.applied && !ask.repeatable) {
        unsure = true;
        return failed(why, { error_code: "unavailable" });
      }
      // Repeatable or not, a caller that gives up here can't know what the last try did.
      if (tries >= MAX_TRIES) unsure = judged.applied;
    }
    const pause = 250 * 2 ** (tries - 1) * (0.75 + Math.random() / 2);
    if (tries >= MAX_TRIES || pause > left()) {
      if (!("silent" in reply)) return failed(why, { retryable: true, error_code: "unavailable" });
      return { fail: { success: false, error: why, error_code: "no_answer", retryable: true, ambiguous: true } };
    }
    await wait(pause);
  }
}

async function once(ask: Ask, ms: number): Promise<Reply | { silent: string }> {
  const signal = AbortSignal.timeout(ms);
  try {
    const response = await fetch(ask.url, {
      method: ask.method ?? "POST",
      ...(ask.headers ? { headers: ask.headers } : {}),
      ...(ask.body === undefined ? {} : { body: ask.body }),
      // A redirect would carry a token to somewhere nobody configured.
      redirect: "manual",
      signal,
    });
    const { bytes } = await readCapped(response.body, REPLY_CAP);
    const text = new TextDecoder().decode(bytes);
    const { status, headers } = response;
    if (text === "") return { status, headers, json: {}, odd: status !== 204 && status !== 205 };
    try {
      const json: unknown = JSON.parse(text);
      // Discord lists things without an object around them.
      if (Array.isArray(json)) return { status, headers, json: { items: json }, odd: false };
      const object = typeof json === "object" && json !== null;
      return { status, headers, json: object ? (json as Record<string, unknown>) : {}, odd: !object };
    } catch {
      return { status, headers, json: {}, odd: true, words: text.slice(0, 200).trim() };
    }
  } catch {
    // Neither the URL nor the error's text: Telegram's URL is its token.
    return { silent: signal.aborted ? "the platform did not answer in time" : "no connection to the platform" };
  }
}

/** `Retry-After` or the platform's own field, ms; a second when it says nothing. */
export const waitOf = (d: SendDeps, reply: Reply, own?: unknown): number => {
  const told =
    typeof own === "number" && Number.isFinite(own) ? own * 1_000 : retryAfterMs(reply.headers, d.runtime.clock.wall());
  return Math.min(Math.max(told ?? 1_000, 50), 3_600_000);
};
