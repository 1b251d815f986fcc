import { type SloMessage, storeProbes } from "../hooks";
import type { EdgeEnv } from "./env";

/** Wake probes on their way into queue `slo`, from a hook or from the sweeper. */

/** A batch of a queue takes 100 messages and 256 KB; a probe's payload may double in it. */
const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 220_000;

function inBatches(probes: SloMessage[]): SloMessage[][] {
  const batches: SloMessage[][] = [];
  let size = 0;
  for (const probe of probes) {
    const bytes = new TextEncoder().encode(JSON.stringify(probe)).length;
    const last = batches.at(-1);
    if (!last || last.length >= MAX_BATCH || size + bytes > MAX_BATCH_BYTES) {
      batches.push([probe]);
      size = bytes;
    } else {
      last.push(probe);
      size += bytes;
    }
  }
  return batches;
}

export async function sendProbes(env: EdgeEnv, probes: SloMessage[]): Promise<void> {
  for (const batch of inBatches(probes)) await env.SLO_QUEUE.sendBatch(batch.map((body) => ({ body })));
}

/**
 * Makes probes durable and sends them, both at once: a probe answered before its row is there leaves a row that one more copy
 * ends. `more` goes into the same commit, because the answer waits behind each of its own (docs/decisions/022-slo-speed.md).
 * @throws when the store or the queue does not answer: then nothing may be accepted.
 */
export async function acceptProbes(
  env: EdgeEnv,
  probes: SloMessage[],
  now: number,
  more: D1PreparedStatement[] = [],
): Promise<void> {
  if (probes.length === 0) return;
  const rows = Promise.all(inBatches(probes).map((batch) => storeProbes(env.DB, batch, now)));
  await Promise.all([rows.then((statements) => env.DB.batch([...statements, ...more])), sendProbes(env, probes)]);
}
