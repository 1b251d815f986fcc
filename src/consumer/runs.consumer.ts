import * as z from "zod";
import type { RunMessage } from "../../durable-objects/env";
import { describe } from "../kernel/errors";
import { runtimeOf } from "../kernel/runtime";
import { runAutofix } from "./autofix";
import type { ConsumerEnv } from "./env";
import { runAsk } from "./run-ask";
import { runInvestigation } from "./run-investigation";
import { runSession } from "./run-session";

export const runMessage = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("investigation"), wake_id: z.string().min(1).max(100) }),
  z.object({ kind: z.literal("ask"), ask_id: z.string().min(1).max(100) }),
  z.object({ kind: z.literal("autofix"), key: z.string().min(1).max(300), step: z.enum(["run", "verify"]) }),
  z.object({
    kind: z.literal("session_run"),
    session_id: z.string().min(1).max(200),
    run_id: z.string().min(1).max(100),
  }),
]);

/** What becomes of a message. `retry_at`: a planned later try, Reveille ms. */
export type RunResult = { done: true } | { done: false; retry_at: number };

function run(message: RunMessage, env: ConsumerEnv): Promise<RunResult> {
  switch (message.kind) {
    case "investigation":
      return runInvestigation(message.wake_id, env);
    case "ask":
      return runAsk(message.ask_id, env);
    case "autofix":
      return runAutofix(message.key, env);
    case "session_run":
      return runSession(message.session_id, message.run_id, env);
    default:
      message satisfies never;
      throw new Error("Nothing here runs this kind of message.");
  }
}

/** Longest delay a queue takes (12 h). */
const MAX_DELAY_S = 12 * 3600;

/** Queue `runs`: whatever may wait for a model, one message at a time. */
export async function consumeRuns(batch: MessageBatch<unknown>, env: ConsumerEnv): Promise<void> {
  const { clock, log } = runtimeOf(env, "consumer");
  for (const message of batch.messages) {
    const parsed = runMessage.safeParse(message.body);
    if (!parsed.success) {
      // Nobody can ever read it: the dead-letter queue keeps it for a person.
      log("error", "run.bad_message", { id: message.id });
      message.retry();
      continue;
    }
    try {
      const result = await run(parsed.data, env);
      if (!result.done) {
        // A planned later try is a new message: retries of one message are few, and it would end as a dead letter.
        const delay = Math.ceil(clock.span(Math.max(0, result.retry_at - clock.now())) / 1000);
        await env.RUNS_QUEUE.send(parsed.data, { delaySeconds: Math.min(MAX_DELAY_S, delay) });
      }
      message.ack();
    } catch (error) {
      log("error", "run.failed", { kind: parsed.data.kind, attempts: message.attempts, error: describe(error) });
      message.retry({ delaySeconds: Math.min(60, 2 ** message.attempts) });
    }
  }
}
