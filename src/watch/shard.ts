import { SECOND } from "../kernel/clock";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { lookAt } from "./look";
import type { Snapshot, Target } from "./types";

/** Cloudflare allows six connections at once per invocation (cloudflare-platform §6). */
const WIDE = 6;
/** A shard stops starting looks here and says what it did not reach. Wall ms. */
const STOP_AFTER = 50 * SECOND;

export interface Looked {
  target: Target;
  snapshot: Snapshot;
}

const notProbed = (at: number): Snapshot => ({
  at,
  status: "unknown",
  reason: "not_probed",
  latency_ms: null,
  details: {},
  error: "Not looked at: the cycle ran out of time.",
});

/**
 * Looks at the targets six wide. A look that throws is that target's snapshot, never the shard's failure. `tell` is called
 * with each look as soon as it is made: a target that hangs must not delay the news of the others.
 */
export async function runShard(
  targets: Target[],
  runtime: Runtime,
  db: D1Database,
  tell: (look: Looked) => Promise<void>,
): Promise<Looked[]> {
  const stop = runtime.clock.wall() + STOP_AFTER;
  const queue = [...targets];
  const out: Looked[] = [];
  const worker = async (): Promise<void> => {
    for (let target = queue.shift(); target; target = queue.shift()) {
      const at = runtime.clock.now();
      if (runtime.clock.wall() >= stop) {
        out.push({ target, snapshot: notProbed(at) });
        continue;
      }
      const look = { target, snapshot: await lookOrSay(target, runtime, db, at) };
      out.push(look);
      await tell(look);
    }
  };
  await Promise.all(Array.from({ length: WIDE }, worker));
  return out;
}

async function lookOrSay(target: Target, runtime: Runtime, db: D1Database, at: number): Promise<Snapshot> {
  try {
    return await lookAt(target, runtime, db);
  } catch (error) {
    runtime.log("error", "look.threw", { target: target.id, error: describe(error) });
    return notProbed(at);
  }
}
