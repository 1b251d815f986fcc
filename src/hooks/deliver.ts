import { auditStatement } from "../audit";
import { DAY, HOUR, MINUTE, SECOND } from "../kernel/clock";
import { clip, describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import {
  claimWake,
  deadLetter,
  deadNotice,
  markDead,
  markDelivered,
  markWaiting,
  noticeId,
  type WakeRow,
} from "./delivery.store";
import { type Hook, readHook, recordOutcome } from "./hook.store";
import type { Recipient } from "./types";

/**
 * A real message to whom its hook wakes (wake-slo §1.3): claimed, handed over, and written down, once; tried again until a day
 * has passed, then dead with a letter and a notice. Every recipient takes the wake's id as its key, so that what was handed
 * over and not written down is not done twice where the recipient can tell.
 */

export interface Handover {
  hook: Hook;
  row: WakeRow;
  payload: Record<string, unknown>;
}

/** `retry` false: no later try can help. `after`: earliest next try, Reveille ms from now. Errors may quote a recipient. */
export type Handed = { ok: true; result: string } | { ok: false; retry: boolean; error: string; after?: number };

/** How each kind of recipient is reached. Whatever throws is tried again. */
export type RecipientPorts = {
  [K in Recipient["kind"]]: (to: Extract<Recipient, { kind: K }>, handover: Handover) => Promise<Handed>;
};

export interface DeliverDeps {
  db: D1Database;
  runtime: Runtime;
  recipients: RecipientPorts;
  /** Tells queue `wake` of the notice of a dead message. */
  notice: (wakeId: string) => Promise<void>;
}

/** `retry_at`: when it may be tried again, Reveille ms. */
export type DeliverResult = { done: true } | { done: false; retry_at: number };

/** A recipient has 30 s; what holds a wake longer is dead. Wall ms. */
const LEASE = MINUTE;
const GIVE_UP_AFTER = DAY;
const DELAYS = [5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR];

/** Hands one wake over; calling it again goes on where it stands. @throws when the store does not answer. */
export async function deliverMessage(deps: DeliverDeps, wakeId: string): Promise<DeliverResult> {
  const { db, runtime } = deps;
  const { clock, log } = runtime;
  const row = await claimWake(db, wakeId, crypto.randomUUID(), clock.now(), LEASE * clock.rate);
  // Whoever holds it, or has put it off, sent a message for its next try; the sweeper stands behind both.
  if (!row) return { done: true };
  const hook = await readHook(db, row.hook_id);
  const handed: Handed = hook
    ? await handOver(deps, hook, row)
    : { ok: false, retry: false, error: "the hook is gone" };
  if (handed.ok) {
    const now = clock.now();
    await db.batch([markDelivered(db, row, clip(handed.result, 200), now), recordOutcome(db, row.hook_id, "success")]);
    log("info", "message.delivered", {
      wake: wakeId,
      hook: row.hook_id,
      to: hook?.recipient.kind,
      result: handed.result,
    });
    return { done: true };
  }
  return failed(deps, hook, row, handed);
}

async function handOver(deps: DeliverDeps, hook: Hook, row: WakeRow): Promise<Handed> {
  try {
    const payload = JSON.parse(row.payload) as Record<string, unknown>;
    const port = deps.recipients[hook.recipient.kind] as (to: Recipient, handover: Handover) => Promise<Handed>;
    return await port(hook.recipient, { hook, row, payload });
  } catch (error) {
    return { ok: false, retry: true, error: describe(error) };
  }
}

async function failed(
  { db, runtime, notice }: DeliverDeps,
  hook: Hook | null,
  row: WakeRow,
  handed: Extract<Handed, { ok: false }>,
): Promise<DeliverResult> {
  const { clock, log, redact } = runtime;
  const now = clock.now();
  const error = clip(redact.text(handed.error), 200);
  const wait = Math.max(handed.after ?? 0, DELAYS[Math.min(row.attempts, DELAYS.length) - 1]!);
  log("warn", "message.failed", { wake: row.wake_id, to: hook?.recipient.kind, attempts: row.attempts, error });
  if (handed.retry && now + wait < row.received_at + GIVE_UP_AFTER) {
    await db.batch([markWaiting(db, row, error, now + wait), recordOutcome(db, row.hook_id, "error:no_response")]);
    return { done: false, retry_at: now + wait };
  }
  const reason = handed.retry ? `Not delivered within a day: ${error}` : `Can't be delivered: ${error}`;
  const told = { hook_id: row.hook_id, title: hook?.title ?? row.hook_id, to: hook?.recipient.kind ?? null, error };
  await db.batch([
    markDead(db, row, error),
    deadLetter(db, row, reason, now),
    deadNotice(db, row, told, now),
    auditStatement(db, {
      at: now,
      seam: "wake.dead",
      source: "cron",
      wake_id: row.wake_id,
      details: { kind: "message", hook: row.hook_id, reason },
    }),
    recordOutcome(db, row.hook_id, hook ? "error:no_wake_handler" : "error:not_found"),
  ]);
  await notice(noticeId(row, now)).catch((e) => log("warn", "message.notice_unsent", { error: describe(e) }));
  return { done: true };
}
