import type { LocalRuntime } from "./runtime";

const MINUTE = 60_000;
const CONSUMER_EVERY = 5;

export interface Crons {
  /** Wall time of the first tick, ms. */
  firstAt: number;
  stop(): void;
}

/**
 * Does what Cloudflare's Cron Triggers do: the edge's handler on each full minute, the consumer's on each fifth, its
 * listeners a minute later, its prober each minute. A run is not waited for (the Workers guard against overlap themselves); a run that fails is said.
 */
export function startCrons(
  runtime: LocalRuntime,
  fail: (message: string) => void,
  now: () => number = Date.now,
): Crons {
  const firstAt = (Math.floor(now() / MINUTE) + 1) * MINUTE;
  let next = firstAt;
  let timer: NodeJS.Timeout;
  let stopped = false;
  let consumerAt = 0;
  const say = (error: unknown): void => {
    if (!stopped) fail(error instanceof Error ? error.message : String(error));
  };
  const fire = (): void => {
    // A timer may come some milliseconds early, and a machine that slept comes late: the tick is the latest full minute due.
    const at = Math.max(next, Math.floor(now() / MINUTE) * MINUTE);
    next = at + MINUTE;
    runtime.tick(at).catch(say);
    // Also after a start or a sleep: what the consumer says about itself is old then.
    if ((at / MINUTE) % CONSUMER_EVERY === 0 || at - consumerAt > CONSUMER_EVERY * MINUTE) {
      consumerAt = at;
      runtime.consumerTick(at).catch(say);
    }
    runtime.consumerProber(at).catch(say);
    if ((at / MINUTE) % CONSUMER_EVERY === 1) runtime.consumerTasks(at).catch(say);
    schedule();
  };
  const schedule = (): void => {
    timer = setTimeout(fire, Math.max(0, next - now()));
  };
  schedule();
  return {
    firstAt,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
