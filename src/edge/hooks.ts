import { hookGate } from "../../durable-objects/hook-gate.do";
import { auditStatement } from "../audit";
import {
  bearerOk,
  countTrigger,
  type Hook,
  hmacOk,
  isQuiet,
  MAX_BODY,
  openSecrets,
  readHook,
  recordOutcome,
  storeWake,
} from "../hooks";
import { readVar } from "../kernel/config";
import { describe, ReveilleError } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import type { Runtime } from "../kernel/runtime";
import { knownPongs, type ProbeGate, partition, pongCandidates, recordPong } from "../slo";
import { sealKeys } from "../vault";
import type { EdgeEnv } from "./env";
import { acceptProbes } from "./probes";

/**
 * One request to a wake hook, in the order of checks of wake-slo §1.3, but for who is told that a hook is off: only those with
 * its secret. `accepted:true` leaves after every message of it is durable; a sender gives up after 5 s, so everything of ours
 * together has 4.
 */

const DEADLINE = 4_000;

export interface HookRequest {
  id: string;
  request: Request;
  /** The sender's address. */
  source: string;
  /** Wall ms for all of it. */
  deadline?: number;
  /** Keeps the isolate until work that nobody waits for is done. */
  later: (work: Promise<unknown>) => void;
}

/** An answer of the receiver: `{"error": code}`, or the acceptance. */
const say = (status: number, body: Record<string, unknown>, headers: Record<string, string> = {}): Response =>
  Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
const refuse = (status: number, error: string, headers?: Record<string, string>): Response =>
  say(status, { error }, headers);
const limited = (wait: number): Response =>
  refuse(429, "rate_limited", { "retry-after": String(Math.max(1, Math.ceil(wait / 1000))) });

class Late extends Error {}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late(`not done within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer ?? null);
  }
}

/** Answers one request. Never throws: what fails on our side is 503, so that the sender tries again. */
export async function receiveHook(env: EdgeEnv, rt: Runtime, ask: HookRequest): Promise<Response> {
  try {
    return await within(ask.deadline ?? DEADLINE, answer(env, rt, ask));
  } catch (error) {
    rt.log("error", "hook.failed", { hook: ask.id.slice(0, 64), error: describe(error) });
    return refuse(503, error instanceof ReveilleError ? error.code : "not_stored", { "retry-after": "1" });
  }
}

async function answer(env: EdgeEnv, rt: Runtime, { id, request, source, later }: HookRequest): Promise<Response> {
  const gate = hookGate(env.HOOK_GATE);
  const { hookRate, hookSourceRate } = rt.config;
  const admitted = await gate.admit(source, { all: hookRate, source: hookSourceRate });
  if (!admitted.ok) return limited(admitted.wait);

  const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (type !== "application/json") return refuse(415, "content_type_must_be_json");
  const hook = await readHook(env.DB, id);
  const body = await readCapped(request.body, hook?.limits.max_body_bytes ?? MAX_BODY);
  if (body.truncated) return refuse(413, "body_too_large");
  const read = parse(body.bytes);
  if (!read) return refuse(400, "invalid_json");
  if (typeof read.value !== "object" || read.value === null || Array.isArray(read.value))
    return refuse(400, "body_must_be_object");
  if (!hook) {
    later(gate.refused(source));
    return refuse(404, "hook_not_found");
  }
  if (!(await authentic(rt, hook, request.headers, body.bytes))) {
    later(gate.refused(source));
    rt.log("warn", "hook.unauthorized", { hook: id });
    return refuse(401, "unauthorized");
  }
  if (!hook.enabled) return refuse(403, "hook_disabled");
  if (hook.limits.per_minute !== null) {
    const own = await gate.admitToHook(id, hook.limits.per_minute);
    if (!own.ok) return limited(own.wait);
  }
  await dispatch(env, rt, hook, read.value as Record<string, unknown>, read.text, later);
  return say(202, { accepted: true, hook_id: id });
}

function parse(bytes: Uint8Array): { value: unknown; text: string } | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
    return { value: JSON.parse(text), text };
  } catch {
    return null;
  }
}

/** @throws ReveilleError 503 when the hook has secrets and none of them opens: nobody is let in, and it is our fault. */
async function authentic(rt: Runtime, hook: Hook, headers: Headers, body: Uint8Array): Promise<boolean> {
  let secrets: string[] = [];
  if (hook.secrets.length > 0) {
    const keys = await sealKeys(rt.vars, "REVEILLE_HOOK_KEY");
    secrets = await openSecrets(keys, hook.id, hook.secrets, rt.clock.now(), (error) =>
      rt.log("error", "hook.secret_unreadable", { hook: hook.id, error: error.message }),
    );
    if (secrets.length === 0)
      throw new ReveilleError({ status: 503, code: "unconfigured", message: `No secret of hook ${hook.id} opens.` });
  }
  if (hook.auth_mode === "hmac") return hmacOk(headers, body, secrets, hook.hmac);
  return bearerOk(headers, hook.secrets.length > 0 ? secrets : [readVar(rt.vars, "REVEILLE_HOOK_TOKEN")]);
}

/** Makes every message of the payload durable, each where it belongs. @throws when one did not become so. */
async function dispatch(
  env: EdgeEnv,
  rt: Runtime,
  hook: Hook,
  payload: Record<string, unknown>,
  raw: string,
  later: (work: Promise<unknown>) => void,
): Promise<void> {
  const now = rt.clock.now();
  const { id, mode, agent_id, agent_name } = hook;
  if (mode === "cron_task" && isQuiet(hook.quiet, now)) return skip(env, hook, now);

  const gate: ProbeGate = { hook_id: id, mode, agent_id, agent_name };
  const candidates = pongCandidates(payload, gate);
  const known = await knownPongs(env.DB, agent_id, candidates, now);
  const { probes, pongs, rest } = partition(payload, gate, rt.clock.wall(), new Set(known.keys()));
  const real = async (): Promise<void> => {
    if (rest === null) return;
    const { wake_ids } = await storeWake(env.DB, {
      hook_id: id,
      payload: rest,
      raw: rest === payload ? raw : undefined,
      via: "hook",
      now,
    });
    if (wake_ids.length > 0)
      await env.WAKE_QUEUE.sendBatch(wake_ids.map((wake_id) => ({ body: { wake_id, kind: "message" } })));
  };
  const sink = async (): Promise<void> => {
    if (pongs.length > 0) await env.DB.batch(pongs.map((p) => recordPong(env.DB, known.get(p.message_id)!, p, now)));
  };
  // A real message's row counts its request itself.
  const count = rest === null && probes.length > 0 ? [countTrigger(env.DB, id, now)] : [];
  await Promise.all([real(), acceptProbes(env, probes, now, count), sink()]);
  if (rest === null && probes.length === 0)
    later(
      countTrigger(env.DB, id, now)
        .run()
        .catch((error) => rt.log("warn", "hook.uncounted", { hook: id, error: describe(error) })),
    );
  rt.log("info", "hook.accepted", { hook: id, probes: probes.length, pongs: pongs.length, real: rest !== null });
}

/** A cron task in its quiet hours is not run, ever; the row says so. */
async function skip(env: EdgeEnv, hook: Hook, now: number): Promise<void> {
  await env.DB.batch([
    countTrigger(env.DB, hook.id, now),
    recordOutcome(env.DB, hook.id, "skipped:quiet_hours"),
    auditStatement(env.DB, {
      at: now,
      seam: "hook.skipped",
      source: "api",
      details: { hook: hook.id, status: "skipped:quiet_hours", quiet: hook.quiet },
    }),
  ]);
}
