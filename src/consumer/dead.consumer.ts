import { sloClaims } from "../../durable-objects/slo-claims.stub";
import { auditStatement } from "../audit";
import { endProbe } from "../hooks";
import { describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import type { Runtime } from "../kernel/runtime";
import { processWake, type WakeDeps } from "../notify";
import type { ConsumerEnv } from "./env";
import { abandonAsk } from "./run-ask";
import { abandonInvestigation } from "./run-investigation";
import { abandonSessionRun } from "./run-session";
import { runMessage } from "./runs.consumer";
import { fallThrough, sloMessage } from "./slo.consumer";
import { wakeDeps, wakeMessage } from "./wake.consumer";

/**
 * Dead-letter queues: every message becomes a row a person can see and replay, and a dead wake still becomes its plain notice
 * (design §2). The row is keyed by the message, so a second delivery changes nothing.
 */
export async function consumeDead(
  batch: MessageBatch<unknown>,
  env: ConsumerEnv,
  kind: "wake" | "probe" | "run" | "slo",
): Promise<void> {
  const deps = await wakeDeps(env);
  const { clock, log, redact } = deps.runtime;
  for (const message of batch.messages) {
    try {
      const { ref, wake_id, reason } = await lastWord(deps, env, kind, message.body);
      const now = clock.now();
      await env.DB.batch([
        env.DB.prepare(
          `INSERT INTO dead_letter (id, kind, ref, reason, payload, created_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        ).bind(`${kind}-${message.id}`, kind, ref, reason, JSON.stringify(redact.json(message.body ?? null)), now),
        auditStatement(env.DB, {
          at: now,
          seam: "wake.dead",
          source: "cron",
          wake_id,
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

/** What is left to do for a message that failed every try, and what its row says about it. */
async function lastWord(
  deps: WakeDeps,
  env: ConsumerEnv,
  kind: "wake" | "probe" | "run" | "slo",
  body: unknown,
): Promise<{ ref: string | null; wake_id: string | null; reason: string }> {
  if (kind === "probe") return { ref: null, wake_id: null, reason: "A shard of the watch cycle failed every try." };
  if (kind === "run") return lastRun(env, body);
  if (kind === "slo") return lastProbe(env, deps.runtime, body);
  const wake = wakeMessage.safeParse(body);
  if (!wake.success) return { ref: null, wake_id: null, reason: "The message is not a wake." };
  const ref = wake.data.wake_id;
  if (wake.data.kind === "message") {
    const reason = "The queue gave the message's wake up; its row stands, and the sweeper goes on.";
    return { ref, wake_id: ref, reason };
  }
  const told = await tryOnce(deps, ref);
  const last = await deps.db.prepare("SELECT stage FROM wake WHERE wake_id = ?").bind(ref).first<{ stage: string }>();
  const reason = told
    ? "The wake failed every try; its notice went out from the dead-letter queue."
    : last?.stage === "dead"
      ? "The wake failed every try and is dead; its notice is in the inbox alone."
      : "The wake failed every try and its notice is not delivered; the sweeper goes on.";
  return { ref, wake_id: ref, reason };
}

/**
 * A probe that could not be answered is still a message: it goes the normal way, unless it was answered after all. The claim
 * keeps any other copy of it from being answered as well. @throws while another run holds it: the letter waits.
 */
async function lastProbe(
  env: ConsumerEnv,
  { clock }: Runtime,
  body: unknown,
): Promise<{ ref: string | null; wake_id: string | null; reason: string }> {
  const parsed = sloMessage.safeParse(body);
  if (!parsed.success) return { ref: null, wake_id: null, reason: "The message is no wake probe." };
  const probe = parsed.data;
  const { message_id, received_at } = probe;
  const claims = sloClaims(env.AGENT, probe.agent_id);
  const token = crypto.randomUUID();
  const mine = await claims.claimProbe({ message_id, token, endpoint: "", received_at, now: clock.wall() });
  if (mine.state === "busy") throw new Error(`probe ${message_id} is being answered`);
  let reason = "The probe was not answered in any try; it went on as an ordinary message.";
  if (mine.state === "over") reason = `The probe's message failed every try; the probe itself ended: ${mine.ended}.`;
  else {
    await fallThrough(env, probe, clock.now());
    await claims.advanceProbe({ message_id, token, to: "fell_through", status: null, now: clock.wall() });
  }
  await (await endProbe(env.DB, probe)).run();
  return { ref: message_id, wake_id: null, reason };
}

async function lastRun(
  env: ConsumerEnv,
  body: unknown,
): Promise<{ ref: string | null; wake_id: string | null; reason: string }> {
  const run = runMessage.safeParse(body);
  if (!run.success) return { ref: null, wake_id: null, reason: "The message is no work for reasoning." };
  switch (run.data.kind) {
    case "investigation": {
      const { wake_id } = run.data;
      const ended = await abandonInvestigation(wake_id, env);
      return {
        ref: wake_id,
        wake_id,
        reason: ended
          ? "The investigation failed every try; its wake ended with that reason and the plain notice stands."
          : "The investigation failed every try; its wake is done or in other hands.",
      };
    }
    case "ask": {
      const ended = await abandonAsk(run.data.ask_id, env);
      return {
        ref: run.data.ask_id,
        wake_id: null,
        reason: ended
          ? "The question failed every try; its answer says so."
          : "The question failed every try; it is answered or in other hands.",
      };
    }
    case "session_run": {
      const { session_id, run_id } = run.data;
      const ended = await abandonSessionRun(session_id, run_id, env);
      return {
        ref: session_id,
        wake_id: null,
        reason: ended
          ? "The session's run failed every try; its client is told."
          : "The session's run failed every try; it is over or in other hands.",
      };
    }
    case "autofix":
      return { ref: run.data.key, wake_id: null, reason: `The fix failed every try at its step "${run.data.step}".` };
  }
}

/** The last try. What it says is read from the row: a wake in other hands is not told yet, and one may have failed to be. */
async function tryOnce(deps: WakeDeps, wakeId: string): Promise<boolean> {
  try {
    await processWake(deps, wakeId);
    const row = await deps.db
      .prepare(
        `SELECT COALESCE(w.done_at, w.plain_noticed_at) AS told_at, COALESCE(w.dm_status, n.dm_status) AS dm_status
         FROM wake w LEFT JOIN notice n ON n.wake_id = w.wake_id WHERE w.wake_id = ?`,
      )
      .bind(wakeId)
      .first<{ told_at: number | null; dm_status: string | null }>();
    return row?.told_at != null && !/failed_send$/.test(row.dm_status ?? "");
  } catch (error) {
    deps.runtime.log("error", "wake.dead_notice_failed", { wake: wakeId, error: describe(error) });
    return false;
  }
}
