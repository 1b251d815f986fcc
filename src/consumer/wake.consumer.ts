import * as z from "zod";
import type { WakeMessage } from "../../durable-objects/env";
import { switchboard } from "../../durable-objects/switchboard.do";
import { describe } from "../kernel/errors";
import { runtimeOf } from "../kernel/runtime";
import { processWake, type WakeDeps } from "../notify";
import { settingsOf } from "../reason";
import type { ConsumerEnv } from "./env";

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
    send: (wake_id, delayMs) =>
      env.WAKE_QUEUE.send(
        { wake_id, kind: "incident" },
        { delaySeconds: Math.min(MAX_DELAY_S, Math.ceil(runtime.clock.span(delayMs) / 1000)) },
      ).then(() => undefined),
    reasoning: {
      configured: settingsOf(runtime).engine !== "none",
      send: (wake_id) => env.RUNS_QUEUE.send({ kind: "investigation", wake_id }).then(() => undefined),
    },
  };
}

/** Queue `wake`: one row at a time to its end, or back to the queue until its next try. */
export async function consumeWakes(batch: MessageBatch<unknown>, env: ConsumerEnv): Promise<void> {
  const deps = await wakeDeps(env);
  const { clock, log } = deps.runtime;
  for (const message of batch.messages) {
    const parsed = wakeMessage.safeParse(message.body);
    if (!parsed.success) {
      // Nobody can ever read it: the dead-letter queue keeps it for a person.
      log("error", "wake.bad_message", { id: message.id });
      message.retry();
      continue;
    }
    try {
      const result = await processWake(deps, parsed.data.wake_id);
      if (result.done) message.ack();
      else {
        // A planned later try is a new message: retries of one message are few, and it would end as a dead letter.
        await deps.send(parsed.data.wake_id, Math.max(0, result.retry_at - clock.now()));
        message.ack();
      }
    } catch (error) {
      log("error", "wake.failed", { wake: parsed.data.wake_id, attempts: message.attempts, error: describe(error) });
      message.retry({ delaySeconds: Math.min(60, 2 ** message.attempts) });
    }
  }
}

export type { WakeMessage };
