import { describe } from "../kernel/errors";
import { type CappedBody, readCapped } from "../kernel/http";
import type { Runtime } from "../kernel/runtime";
import { plain } from "../notify";
import {
  type Adaptor,
  type Answer,
  MalformedPayload,
  type Reading,
  type StripRule,
  type WebhookCall,
} from "../platform";
import type { EdgeEnv } from "./env";
import { accept, type Fate } from "./ingest.accept";
import { chatMoved, otherPress, revokeScope, stopSpinner, withdraw } from "./ingest.acts";
import { countIngest } from "./ingest.count";
import { botIdentity } from "./ingest.identity";
import { learnName } from "./setup";

/**
 * One webhook of a chat platform, from bytes to ack (chat-platforms §0, design §4.1): size cap, bytes once, verify, read, gate,
 * store, seal, ack. The ack says that all of it is durable; whatever fails before is a 5xx, so that the platform repeats.
 */

/** More than this is refused before any byte is verified. */
const MAX_BODY = 1024 * 1024;
/** Wall ms for the whole body. Platforms give up after 3 to 15 s. */
const BODY_MS = 10_000;

export interface IngestDeps {
  env: EdgeEnv;
  rt: Runtime;
  /** The request's waitUntil. */
  later(work: Promise<unknown>): void;
  /** Where an object that is made now should be. */
  hint?: DurableObjectLocationHint | undefined;
  /** Default: all. A test leaves one out to prove that it is needed. */
  rules?: readonly StripRule[];
  bodyMs?: number;
}

const respond = (a: Answer): Response => new Response(a.body ?? null, { status: a.status, headers: a.headers ?? {} });
const empty = (status: number, headers: Record<string, string> = {}): Response => respond({ status, headers });

/** Null when the bytes may be read as they came. A compressed body is not what was signed; a bomb is never opened. */
function unreadable(headers: Headers): 415 | null {
  const coded = headers.get("content-encoding")?.trim().toLowerCase();
  if (coded && coded !== "identity") return 415;
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(headers.get("content-type") ?? "")?.[1];
  return charset && !/^(?:utf-?8|us-ascii)$/i.test(charset) ? 415 : null;
}

async function readWhole(request: Request): Promise<CappedBody> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  return { bytes, truncated: bytes.length > MAX_BODY };
}

/** The body as bytes, read once, or why not: too much of it, or too slow to come. */
async function readBody(request: Request, within: number): Promise<Uint8Array | 413 | 408> {
  const length = request.headers.get("content-length");
  if (Number(length ?? 0) > MAX_BODY) return 413;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<408>((resolve) => {
    timer = setTimeout(() => resolve(408), within);
  });
  // No more than the length that is told comes: then the runtime may read it whole, which costs less than a reader.
  const read = length === null ? readCapped(request.body, MAX_BODY) : readWhole(request);
  // Whoever cuts the line after the time is up is nobody's concern.
  read.catch(() => {});
  const body = await Promise.race([read, late]).finally(() => clearTimeout(timer ?? null));
  if (body === 408) return 408;
  return body.truncated ? 413 : body.bytes;
}

/** Takes one call of a platform. Never throws: what fails is logged, and a 500. */
export async function ingest(
  deps: IngestDeps,
  adaptor: Adaptor,
  where: { app: string; tail: string },
  request: Request,
): Promise<Response> {
  try {
    return await take(deps, adaptor, where, request);
  } catch (error) {
    deps.rt.log("error", "webhook.failed", { platform: adaptor.name, app: where.app, error: describe(error) });
    return empty(500);
  }
}

async function take(
  deps: IngestDeps,
  adaptor: Adaptor,
  where: { app: string; tail: string },
  request: Request,
): Promise<Response> {
  const { env, rt } = deps;
  const { name } = adaptor;
  const note = (level: "info" | "warn", outcome: string, detail: Record<string, unknown> = {}): void => {
    countIngest(env.DB, rt, name, outcome, deps.later);
    rt.log(level, "webhook.not_taken", { platform: name, app: where.app, outcome, ...detail });
  };
  const get = request.method === "GET" && adaptor.handshake !== undefined;
  if (request.method !== "POST" && !get) return empty(405, { allow: adaptor.handshake ? "GET, POST" : "POST" });
  const missing = adaptor.unset(rt.vars, where.app);
  if (missing !== null) {
    // 503: the platform tries again, and it may be set by then.
    rt.log("error", "webhook.unconfigured", {
      platform: name,
      app: where.app,
      hint: `${missing} is not set; every call is refused`,
    });
    return empty(503);
  }
  const bad = unreadable(request.headers);
  if (bad !== null) {
    note("warn", "refused: encoded body");
    return empty(bad);
  }
  const bytes = await readBody(request, deps.bodyMs ?? BODY_MS);
  if (typeof bytes === "number") {
    note("warn", bytes === 413 ? "refused: too large" : "refused: too slow");
    return empty(bytes);
  }
  const method = get ? "GET" : "POST";
  const call: WebhookCall = { ...where, method, url: new URL(request.url), headers: request.headers, bytes };
  if (get) return respond(await adaptor.handshake!(call, rt.vars));

  // A platform's window is about real time, whatever speed our own clock has.
  const now = rt.clock.wall();
  const verdict = await adaptor.verify(call, rt.vars, Math.floor(now / 1000));
  if (verdict !== "ok") {
    note("warn", `refused: ${verdict}`);
    return empty(verdict === "bad_key" ? 500 : adaptor.refuse);
  }
  const bot = await botIdentity(env.DB, name, where.app, now);
  if (bot === null) deps.later(learnName(env.DB, rt, name, where.app));
  const facts = { bot, now, vars: rt.vars, ...(deps.rules ? { rules: deps.rules } : {}) };
  let reading: Reading;
  try {
    reading = await adaptor.read(call, facts);
  } catch (error) {
    if (!(error instanceof MalformedPayload)) throw error;
    note("warn", "malformed", { why: error.message });
    return empty(400, adaptor.never);
  }
  if (reading.ignored !== null) note("info", "ignored", { why: plain(reading.ignored).slice(0, 100) });
  return respond(await carryOut(deps, adaptor, call, reading, now));
}

/** Everything a reading asks for, in its order; the answer once all of it is durable. */
async function carryOut(
  deps: IngestDeps,
  adaptor: Adaptor,
  call: WebhookCall,
  reading: Reading,
  now: number,
): Promise<Answer> {
  if (reading.revoked) await revokeScope(deps, adaptor.name, reading.revoked.scope_id, call.app);
  if (reading.migrated) await chatMoved(deps, adaptor.name, reading.migrated);
  if (reading.deleted) await withdraw(deps, reading.deleted);
  let said = "";
  for (const press of reading.presses ?? []) said = (await otherPress(deps, adaptor.name, press)) ?? said;
  const fates: Fate[] = [];
  // One after the other: two events of one chat keep their order.
  for (const event of reading.events) fates.push(await accept(deps, reading, event, now));
  if (reading.spinner) deps.later(stopSpinner(deps, call.app, reading.spinner, said));
  const words = fates.find((f) => f.say !== null);
  if (words?.say) {
    const answer = adaptor.say?.(call, words.say);
    if (answer) return answer;
    deps.later(words.send());
  }
  return reading.events.length > 0 && fates.every((f) => !f.heard)
    ? (reading.unheard ?? reading.answer)
    : reading.answer;
}
