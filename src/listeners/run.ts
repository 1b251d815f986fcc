import { auditStatement } from "../audit";
import { DAY, HOUR, MINUTE, SECOND } from "../kernel/clock";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import type { ListenerState } from "./health";
import { claimRun, markFailed, markOk, readListenerStates } from "./listener.store";
import type { Home, Listener } from "./registry";

/** What a periodic listener does. When it returns a text, that is its note on the page. */
export type Body = () => Promise<unknown>;

export interface RunDeps {
  db: D1Database;
  runtime: Runtime;
  /** Only this Worker's listeners run. */
  home: Home;
  /** Other starts than the table's, seconds into the interval (the digest's hour is configured). */
  phases?: Record<string, number>;
}

/** What one tick ran. */
export interface Ran {
  ok: string[];
  failed: { name: string; error: string }[];
  /** Due, but its last run is still going on, or another isolate took this one. */
  skipped: string[];
}

/** Runs of this isolate that are still going on, and since when (wall ms). */
const running = new Map<string, number>();
/** A Cron Trigger's invocation ends after 15 min of wall time; what it left here is dead by then. */
const LONGEST_RUN = 15 * MINUTE;

/**
 * Is a listener due at `now`? Once a window of its interval. One that never ran is due at once, but a daily one waits for the
 * first hour of its window, so that an installation at noon does not send the morning's digest. One that failed is tried again
 * after an hour at the latest.
 */
export function isDue(
  entry: Listener,
  state: Pick<ListenerState, "last_run_at" | "consecutive_errors"> | undefined,
  now: number,
  phase_s = entry.phase_s,
): boolean {
  if (!entry.installed || entry.interval_s === null) return false;
  const interval = entry.interval_s * SECOND;
  const window = (at: number): number => Math.floor((at - phase_s * SECOND) / interval);
  if (state)
    return window(now) > window(state.last_run_at) || (state.consecutive_errors > 0 && now - state.last_run_at >= HOUR);
  return interval < DAY || now - phase_s * SECOND - window(now) * interval < HOUR;
}

/**
 * Runs every due body of this Worker at once and on its own: a throw is recorded with an audit row `listener.failed`, and the
 * others go on. None overlaps itself: within an isolate a set of running names holds it back, and a run of an hour's interval
 * or more is claimed in D1, so that two isolates can't both send a digest. (Shorter ones are idempotent, and a claim a minute
 * would double their rows.) `now` is Reveille time of the tick, ms.
 */
export async function runDue(
  entries: readonly Listener[],
  bodies: Record<string, Body>,
  now: number,
  deps: RunDeps,
): Promise<Ran> {
  const unknown = Object.keys(bodies).find((name) => !entries.some((e) => e.name === name));
  if (unknown !== undefined) throw new RangeError(`A body is given for "${unknown}", which is no listener.`);
  const states = await readListenerStates(deps.db);
  const due = entries.filter(
    (e) => e.home === deps.home && bodies[e.name] && isDue(e, states.get(e.name), now, deps.phases?.[e.name]),
  );
  const out: Ran = { ok: [], failed: [], skipped: [] };
  const wall = deps.runtime.clock.wall();
  await Promise.all(
    due.map(async (entry) => {
      if (wall - (running.get(entry.name) ?? Number.NEGATIVE_INFINITY) < LONGEST_RUN) {
        out.skipped.push(entry.name);
        return;
      }
      running.set(entry.name, wall);
      try {
        await runOne(entry, bodies[entry.name]!, states.get(entry.name), now, deps, out);
      } finally {
        running.delete(entry.name);
      }
    }),
  );
  return out;
}

async function runOne(
  entry: Listener,
  body: Body,
  state: ListenerState | undefined,
  now: number,
  { db, runtime }: RunDeps,
  out: Ran,
): Promise<void> {
  const { name } = entry;
  try {
    if (entry.interval_s! * SECOND >= HOUR && !(await claimRun(db, name, now, state?.last_run_at ?? null))) {
      out.skipped.push(name);
      return;
    }
    const note = await body();
    await markOk(db, name, now, typeof note === "string" ? runtime.redact.text(note) : null).run();
    out.ok.push(name);
  } catch (thrown) {
    const error = runtime.redact.text(describe(thrown));
    out.failed.push({ name, error });
    runtime.log("error", "listener.failed", { name, error });
    await record(db, name, now, error).catch((e) =>
      // The store is what fails: the log line above is all that can be left behind.
      runtime.log("error", "listener.unrecorded", { name, error: describe(e) }),
    );
  }
}

const record = (db: D1Database, name: string, now: number, error: string): Promise<unknown> =>
  db.batch([
    markFailed(db, name, now, error),
    auditStatement(db, { at: now, seam: "listener.failed", source: "cron", details: { name, error } }),
  ]);
