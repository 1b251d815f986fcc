import type * as z from "zod";
import { clip, describe, ReveilleError } from "../../kernel/errors";
import { readCapped, retryAfterMs } from "../../kernel/http";
import { guardedFetch } from "../../kernel/net-guard";
import type { Outcome, ProbeContext } from "../probe";
import { bad } from "./outcome";

/** Everything a probe does over HTTP, once: guarded fetch, one retry, capped body, status matrix (`kora-watch.md` §1, §1.6). */

const BODY_CAP = 1_048_576;
const RETRY_MIN_MS = 500;
const RETRY_SPREAD_MS = 1_000;

export interface Request {
  url: string;
  method?: "GET" | "HEAD" | "POST";
  headers?: Record<string, string>;
  /** Follow redirects (checked hop by hop); default true. */
  follow?: boolean;
  /** Answers of 500 and above that are no fault to retry (a meaning of their own, or expected). */
  final?: (status: number) => boolean;
  /** false: one attempt only. */
  retry?: boolean;
}

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  /** The body was longer than 1 MiB; `text` is its beginning. */
  truncated: boolean;
  latency_ms: number;
}

export type Got<T> = { ok: true; value: T } | { ok: false; outcome: Outcome };
const no = <T>(outcome: Outcome): Got<T> => ({ ok: false, outcome });

/** What a look that ran out of time says. */
export const timedOut = (who: string): Outcome =>
  bad("unknown", "unreachable", `No answer from ${who} in time.`, { signal: "timeout" });

async function attempt(ctx: ProbeContext, request: Request): Promise<Reply> {
  const { clock, config } = ctx.runtime;
  const began = clock.wall();
  const { response } = await guardedFetch(
    new URL(request.url),
    {
      method: request.method ?? "GET",
      headers: { "user-agent": "reveille-watch/1", ...request.headers },
      signal: ctx.signal,
      follow: request.follow ?? true,
    },
    config.allowPrivate,
  );
  const { bytes, truncated } = await readCapped(response.body, BODY_CAP);
  return {
    status: response.status,
    headers: response.headers,
    text: new TextDecoder().decode(bytes),
    truncated,
    latency_ms: Math.max(0, clock.wall() - began),
  };
}

async function once(ctx: ProbeContext, who: string, request: Request): Promise<Got<Reply> & { again: boolean }> {
  try {
    const reply = await attempt(ctx, request);
    return { ok: true, value: reply, again: reply.status >= 500 && !request.final?.(reply.status) };
  } catch (error) {
    if (error instanceof ReveilleError) {
      // The guard refused an address on the way; a hint says how to allow it.
      const text = error.hint ? `${error.message} ${error.hint}` : error.message;
      return { ...no<Reply>(bad("degraded", "misconfigured", text, { signal: error.code })), again: false };
    }
    if (ctx.signal.aborted) return { ...no<Reply>(timedOut(who)), again: false };
    const said = error instanceof Error ? error.message : describe(error);
    // What the runtime says of a refused connection helps nobody ("internal error; reference = ...").
    const text = `No answer from ${who}: ${/internal error/i.test(said) ? "the connection was refused or cut" : said}`;
    return { ...no<Reply>(bad("unknown", "unreachable", text, { signal: "network" })), again: true };
  }
}

/** Waits unless the look's time ends first; false when it did. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (whole: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve(whole);
    };
    const stop = (): void => done(false);
    const timer = setTimeout(() => done(true), ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
}

/**
 * One call with its one retry (network error or 5xx, after 500-1500 ms; none after a timeout). An answer, even a bad one, says
 * more than a second try that got none, so it is what counts then.
 */
export async function call(ctx: ProbeContext, who: string, request: Request): Promise<Got<Reply>> {
  const first = await once(ctx, who, request);
  if (!first.again || request.retry === false || ctx.signal.aborted) return first;
  if (!(await pause(RETRY_MIN_MS + Math.random() * RETRY_SPREAD_MS, ctx.signal)))
    return first.ok ? first : no(timedOut(who));
  const second = await once(ctx, who, request);
  return !second.ok && first.ok ? first : second;
}

/** The vendor's own words from a JSON error body: one field, never raw text. Redacted before anything is cut. */
function words(ctx: ProbeContext, reply: Reply): string {
  try {
    const body: unknown = JSON.parse(reply.text);
    if (typeof body !== "object" || body === null) return "";
    const record = body as Record<string, unknown>;
    const nested =
      typeof record["error"] === "object" && record["error"] !== null ? (record["error"] as typeof record) : {};
    const messages = Array.isArray(record["messages"]) ? (record["messages"] as unknown[]) : [];
    const found = [
      record["message"],
      record["detail"],
      record["error"],
      nested["message"],
      record["msg"],
      messages[0],
    ].find((x): x is string => typeof x === "string" && x.trim() !== "");
    if (found === undefined) return "";
    return `: ${clip(
      ctx.runtime.redact
        .text(found)
        .replace(/[\p{Cc}\p{Cf}\s]+/gu, " ")
        .trim(),
      160,
    )}`;
  } catch {
    return "";
  }
}

/** The status matrix for an answer that is not the one wanted. `quote: false` for services whose bodies may hold anything. */
export function refusal(ctx: ProbeContext, who: string, reply: Reply, quote = true): Outcome {
  const { status, latency_ms } = reply;
  const text = `HTTP ${status} from ${who}${quote ? words(ctx, reply) : ""}`;
  const more = { latency_ms, details: { http_status: status } };
  if (status === 401 || status === 403) return bad("unhealthy", "auth_failed", text, more);
  if (status === 404) return bad("degraded", "misconfigured", text, { ...more, signal: "not_found" });
  if (status === 429) {
    const wait = retryAfterMs(reply.headers, ctx.runtime.clock.wall());
    // The vendor speaks of wall time; the schedule that uses this runs on Reveille time.
    return bad("unknown", "rate_limited", text, {
      ...more,
      ...(wait === null ? {} : { retry_after_ms: wait * ctx.runtime.clock.rate }),
    });
  }
  if (status === 400 || status === 410 || status === 422)
    return bad("degraded", "misconfigured", text, { ...more, signal: "request_refused" });
  return bad("unhealthy", "service_unhealthy", text, {
    ...more,
    signal: status >= 500 ? "http_5xx" : "unexpected_status",
  });
}

export const drift = (who: string, what: string, reply: Pick<Reply, "status" | "latency_ms">): Outcome =>
  bad("degraded", "schema_drift", `${who} answered, but ${what}.`, {
    latency_ms: reply.latency_ms,
    details: { http_status: reply.status },
  });

/** Reads a reply's JSON by its schema; what does not match is schema drift, never silence (defect of §1). */
export function read<S extends z.ZodType>(who: string, reply: Reply, schema: S): Got<z.output<S>> {
  if (reply.truncated) return no(drift(who, "with more than 1 MiB", reply));
  let body: unknown;
  try {
    body = JSON.parse(reply.text);
  } catch {
    return no(drift(who, "not with JSON", reply));
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const path = issue?.path.length ? issue.path.map(String).join(".") : "the whole";
  return no(drift(who, `not in the known form (${path}: ${issue?.code ?? "invalid"})`, reply));
}

/** call + status matrix + schema: what most probes need. */
export async function ask<S extends z.ZodType>(
  ctx: ProbeContext,
  who: string,
  request: Request,
  schema: S,
): Promise<Got<{ body: z.output<S>; reply: Reply }>> {
  const got = await call(ctx, who, request);
  if (!got.ok) return got;
  const reply = got.value;
  if (reply.status < 200 || reply.status > 299) return no(refusal(ctx, who, reply));
  const body = read(who, reply, schema);
  return body.ok ? { ok: true, value: { body: body.value, reply } } : body;
}

/** Maps `items` with at most `width` calls at once: a shard already looks six wide, and a Worker has six connections. */
export async function each<T, R>(items: T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array<R>(items.length);
  let next = 0;
  const run = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, run));
  return results;
}
