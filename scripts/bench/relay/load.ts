import { performance } from "node:perf_hooks";
import { quantile } from "../../lib/sandbox";

/** An answer has come, or the line has failed. */
export type Done = (error?: Error) => void;

/** Something that can be asked over many lines, one question a line at a time. */
export interface Lanes {
  readonly name: string;
  readonly lines: number;
  /** Sends one question on line `i`; `done` once its answer is there. */
  ask(i: number, done: Done): void;
  close(): Promise<void> | void;
}

/** What a stretch of load gave. Latencies in ms. */
export interface Load {
  perSecond: number;
  p50: number;
  p99: number;
  n: number;
  /** CPU of the runtime for each answer, µs, where somebody looked. It does not care what else the machine does. */
  cpu?: number;
}

const STUCK_AFTER = 10_000;

/** Ends when `run` does, or fails when nothing was answered for too long. */
function watched(lanes: Lanes, run: (finish: () => void, fail: (error: Error) => void) => () => number): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = 0;
    let answered: () => number = () => 0;
    const timer = setInterval(() => {
      if (answered() > seen) seen = answered();
      else stop(new Error(`${lanes.name} answered nothing for ${STUCK_AFTER / 1000} s after ${seen} answers.`));
    }, STUCK_AFTER);
    const stop = (error?: Error): void => {
      clearInterval(timer);
      if (error) reject(error);
      else resolve();
    };
    answered = run(() => stop(), stop);
  });
}

const loadOf = (latencies: number[], ms: number): Load => ({
  perSecond: (latencies.length / ms) * 1_000,
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
  n: latencies.length,
});

/** Closed loop: `inFlight` questions are always under way, for `ms`. Every line takes its turn. */
export async function closedLoop(lanes: Lanes, inFlight: number, ms: number): Promise<Load> {
  const latencies: number[] = [];
  const free = Array.from({ length: lanes.lines }, (_, i) => i);
  const began = performance.now();
  let ended = began;
  let under = 0;
  await watched(lanes, (finish, fail) => {
    const next = (): void => {
      const line = free.shift();
      if (line === undefined) throw new Error(`${lanes.name} has fewer lines than ${inFlight}.`);
      const at = performance.now();
      under++;
      lanes.ask(line, (error) => {
        if (error) return fail(error);
        ended = performance.now();
        latencies.push(ended - at);
        under--;
        free.push(line);
        if (ended - began < ms) next();
        else if (under === 0) finish();
      });
    };
    for (let i = 0; i < inFlight; i++) next();
    return () => latencies.length;
  });
  return loadOf(latencies, ended - began);
}

/**
 * Open loop: a question each `1 / perSecond` s whatever happens. Its latency counts from when it was due, so that a stall is
 * not hidden by the questions it kept back; one that finds no free line waits for it.
 */
export async function openLoop(lanes: Lanes, perSecond: number, ms: number): Promise<Load> {
  const latencies: number[] = [];
  const free = Array.from({ length: lanes.lines }, (_, i) => i);
  const total = Math.max(1, Math.floor((perSecond * ms) / 1_000));
  const every = 1_000 / perSecond;
  const waiting: number[] = [];
  const began = performance.now();
  await watched(lanes, (finish, fail) => {
    let due = 0;
    const start = (line: number, at: number): void =>
      lanes.ask(line, (error) => {
        if (error) return fail(error);
        latencies.push(performance.now() - at);
        const late = waiting.shift();
        if (late === undefined) free.push(line);
        else start(line, late);
        if (latencies.length === total) finish();
      });
    const tick = (): void => {
      for (const now = performance.now(); due < total && began + due * every <= now; due++) {
        const line = free.shift();
        if (line === undefined) waiting.push(began + due * every);
        else start(line, began + due * every);
      }
      // Timers are a millisecond coarse, and late when the loop is busy: both would count as the relay's latency.
      if (due < total) setImmediate(tick);
    };
    tick();
    return () => latencies.length;
  });
  return loadOf(latencies, performance.now() - began);
}
