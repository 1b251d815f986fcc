import { auditStatement } from "../audit";
import { describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import { processWake } from "../notify";
import type { ConsumerEnv } from "./env";
import { wakeDeps, wakeMessage } from "./wake.consumer";

/**
 * Dead-letter queues: every message becomes a row a person can see and replay, and a dead wake still becomes its plain notice
 * (design §2). The row is keyed by the message, so a second delivery changes nothing.
 */
export async function consumeDead(
  batch: MessageBatch<unknown>,
  env: ConsumerEnv,
  kind: "wake" | "probe",
): Promise<void> {
  const deps = await wakeDeps(env);
  const { clock, log, redact } = deps.runtime;
  for (const message of batch.messages) {
    try {
      const now = clock.now();
      const wake = kind === "wake" ? wakeMessage.safeParse(message.body) : null;
      const ref = wake?.success ? wake.data.wake_id : null;
      const told = ref === null ? null : await tryOnce(deps, ref);
      const reason =
        kind === "probe"
          ? "A shard of the watch cycle failed every try."
          : ref === null
            ? "The message is not a wake."
            : told === true
              ? "The wake failed every try; its notice went out from the dead-letter queue."
              : "The wake failed every try and its notice could not be delivered; the sweeper goes on.";
      await env.DB.batch([
        env.DB.prepare(
          `INSERT INTO dead_letter (id, kind, ref, reason, payload, created_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        ).bind(`${kind}-${message.id}`, kind, ref, reason, JSON.stringify(redact.json(message.body ?? null)), now),
        auditStatement(env.DB, {
          at: now,
          seam: "wake.dead",
          source: "cron",
          wake_id: ref,
          details: { kind, reason, dead_letter: `${kind}-${message.id}`, row: newId(now) },
        }),
      ]);
      log("error", "dead_letter", { kind, ref, reason });
      message.ack();
    } catch (error) {
      log("error", "dead_letter.failed", { kind, error: describe(error) });
      message.retry({ delaySeconds: 30 });
    }
  }
}

async function tryOnce(deps: Awaited<ReturnType<typeof wakeDeps>>, wakeId: string): Promise<boolean> {
  try {
    return (await processWake(deps, wakeId)).done;
  } catch (error) {
    deps.runtime.log("error", "wake.dead_notice_failed", { wake: wakeId, error: describe(error) });
    return false;
  }
}
