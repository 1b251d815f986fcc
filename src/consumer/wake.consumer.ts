import * as z from "zod";
import type { WakeMessage } from "../../durable-objects/env";
import { switchboard } from "../../durable-objects/switchboard.do";
import { type DeliverResult, deliverMessage } from "../hooks";
import { describe } from "../kernel/errors";
import { type Runtime, runtimeOf } from "../kernel/runtime";
import { processWake, type WakeDeps } from "../notify";
import { settingsOf } from "../reason";
import type { ConsumerEnv } from "./env";
import { recipientPorts } from "./recipients";

export const wakeMessage = z.object({
  wake_id: z.string().min(1).max(100),
  kind: z.enum(["incident", "message", "autofix"]),
});

/** Longest delay a queue takes (12 h); a later try is the sweeper's. */
const MAX_DELAY_S = 12 * 3600;

export async function wakeDeps(env: ConsumerEnv): Promise<WakeDeps> {
  const runtime = runtimeOf(env, "consumer");
  const switches = await switchboard(env.SWITCHBOARD).readOrStop();
  return {
    db: env.DB,
    runtime,
    // An unreadable switchboard stops spending, never notices.
    muted_until: switches.muted_until,
    send: (wake_id, delayMs) => sendLater(env, runtime, { wake_id, kind: "incident" }, delayMs),
    reasoning: {
      configured: settingsOf(runtime).engine !== "none",
      send: (wake_id) => env.RUNS_QUEUE.send({ kind: "investigation", wake_id }).then(() => undefined),
    },
  };
}

async function sendLater(env: ConsumerEnv, { clock }: Runtime, message: WakeMessage, delayMs: number): Promise<void> {
  const delaySeconds = Math.min(MAX_DELAY_S, Math.ceil(clock.span(delayMs) / 1000));
  await env.WAKE_QUEUE.send(message, { delaySeconds });
}

/** A real message of a hook, to its recipient. */
const deliver = (env: ConsumerEnv, wakeId: string): Promise<DeliverResult> => {
  const runtime = runtimeOf(env, "consumer");
  return deliverMessage(
    {
      db: env.DB,
      runtime,
      recipients: recipientPorts(env, runtime),
      notice: (wake_id) => sendLater(env, runtime, { wake_id, kind: "incident" }, 0),
    },
    wakeId,
  );
};

/** Messages handed over at once: a Worker has six connections, and one is left for the notices. */
const AT_ONCE = 5;

/**
 * Queue `wake`: one row at a time to its end, or back to the queue until its next try. Messages of hooks go beside the notices:
 * a recipient that takes its time holds up no page.
 */
export async function consumeWakes(batch: MessageBatch<unknown>, env: ConsumerEnv): Promise<void> {
  const deps = await wakeDeps(env);
  const isMessage = (m: Message<unknown>): boolean => wakeMessage.safeParse(m.body).data?.kind === "message";
  const messages = batch.messages.filter(isMessage);
  const notices = batch.messages.filter((m) => !isMessage(m));
  const lane = async (waiting: Message<unknown>[]): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await one(env, deps, next);
  };
  await Promise.all([lane(notices), ...Array.from({ length: AT_ONCE }, () => lane(messages))]);
}

async function one(env: ConsumerEnv, deps: WakeDeps, message: Message<unknown>): Promise<void> {
  const { clock, log } = deps.runtime;
  const parsed = wakeMessage.safeParse(message.body);
  if (!parsed.success) {
    // Nobody can ever read it: the dead-letter queue keeps it for a person.
    log("error", "wake.bad_message", { id: message.id });
    return message.retry();
  }
  const { wake_id, kind } = parsed.data;
  try {
    const result = kind === "message" ? await deliver(env, wake_id) : await processWake(deps, wake_id);
    // A planned later try is a new message: retries of one message are few, and it would end as a dead letter.
    if (!result.done) await sendLater(env, deps.runtime, { wake_id, kind }, Math.max(0, result.retry_at - clock.now()));
    message.ack();
  } catch (error) {
    log("error", "wake.failed", { wake: wake_id, attempts: message.attempts, error: describe(error) });
    message.retry({ delaySeconds: Math.min(60, 2 ** message.attempts) });
  }
}

export type { WakeMessage };
