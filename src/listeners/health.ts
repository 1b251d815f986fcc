import { MINUTE, SECOND } from "../kernel/clock";
import { isFatal, type Listener } from "./registry";

/** What `listener_state` knows about one listener. Times are ms. */
export interface ListenerState {
  last_run_at: number;
  last_ok_at: number | null;
  consecutive_errors: number;
  last_error: string | null;
  note: string | null;
}

export type ListenerWord = "ok" | "late" | "failing" | "never_ran" | "not_installed";
export type Overall = "ok" | "degraded" | "unhealthy" | "unknown";

/** One listener as the page, the API and /readyz see it. */
export interface ListenerHealth {
  name: string;
  state: ListenerWord;
  /** Counts against the whole: late, or failing for the third time in a row. */
  down: boolean;
  interval_s: number | null;
  fatal: boolean;
  home: Listener["home"];
  what: string;
  last_run_at: number | null;
  last_ok_at: number | null;
  due_at: number | null;
  consecutive_errors: number;
  last_error: string | null;
  note: string | null;
}

/** Errors in a row from which a listener counts as down. */
export const DOWN_AFTER = 3;
/** What the consumer says about itself is not believed when older than this (design §7). */
export const CONSUMER_STALE = 10 * MINUTE;

function wordOf(
  entry: Listener,
  state: ListenerState | undefined,
  now: number,
): { state: ListenerWord; down: boolean } {
  if (!entry.installed) return { state: "not_installed", down: false };
  if (!state) return { state: entry.interval_s === null ? "ok" : "never_ran", down: false };
  if (entry.interval_s === null)
    // Set up once: an error is a wrong setting, and it stays until someone changes it.
    return state.consecutive_errors > 0 ? { state: "failing", down: true } : { state: "ok", down: false };
  const patience = Math.max(2 * entry.interval_s * SECOND, entry.home === "consumer" ? CONSUMER_STALE : 0);
  const silent =
    entry.home === "consumer" &&
    entry.interval_s * SECOND <= CONSUMER_STALE &&
    now - state.last_run_at > CONSUMER_STALE;
  if (silent) return { state: "late", down: true };
  if (state.consecutive_errors > 0) return { state: "failing", down: state.consecutive_errors >= DOWN_AFTER };
  const late = now - (state.last_ok_at ?? state.last_run_at) > patience;
  return late ? { state: "late", down: true } : { state: "ok", down: false };
}

/**
 * Every listener's state and the whole: unhealthy at three down or 20 failures within five minutes, degraded at one or five,
 * unknown while nothing has run yet (`kora-watch.md` §9). `recentFailures` counts `listener.failed` rows of those minutes.
 */
export function health(
  entries: readonly Listener[],
  states: ReadonlyMap<string, ListenerState>,
  now: number,
  recentFailures = 0,
): { overall: Overall; down: string[]; listeners: ListenerHealth[] } {
  const listeners = entries.map((entry): ListenerHealth => {
    const state = states.get(entry.name);
    const { interval_s, name, fatal, home, what } = entry;
    return {
      name,
      ...wordOf(entry, state, now),
      interval_s,
      fatal,
      home,
      what,
      last_run_at: state?.last_run_at ?? null,
      last_ok_at: state?.last_ok_at ?? null,
      due_at: state && interval_s !== null && entry.installed ? state.last_run_at + interval_s * SECOND : null,
      consecutive_errors: state?.consecutive_errors ?? 0,
      last_error: state?.last_error ?? null,
      note: state?.note ?? null,
    };
  });
  const down = listeners.filter((l) => l.down).map((l) => l.name);
  const known = entries.some((e) => e.installed && states.has(e.name));
  const overall: Overall = !known
    ? "unknown"
    : down.length >= 3 || recentFailures >= 20
      ? "unhealthy"
      : down.length >= 1 || recentFailures >= 5
        ? "degraded"
        : "ok";
  return { overall, down, listeners };
}

/** What came of starting one listener in this isolate. */
export interface Started {
  name: string;
  ok: boolean;
  /** One redacted line; null when it started. */
  error: string | null;
}

/** Starts listeners in order, each on its own: one that throws is noted and the next one starts. */
export function startAll(inits: { name: string; init: () => void }[], describe: (error: unknown) => string): Started[] {
  return inits.map(({ name, init }) => {
    try {
      init();
      return { name, ok: true, error: null };
    } catch (error) {
      return { name, ok: false, error: describe(error) };
    }
  });
}

/** What the consumer's configuration says about reasoning: the engine's name, and the variables or prices it lacks. */
export interface EngineFacts {
  engine: string;
  missing: string[];
}

/** `none` is healthy; a chosen engine that lacks its key or price can't start. */
export function startEngine({ engine, missing }: EngineFacts): Started {
  const ok = engine === "none" || missing.length === 0;
  return {
    name: "reasoning_engine",
    ok,
    error: ok ? null : `Engine ${engine} lacks ${missing.join(", ")}. Set it, or set the engine to none.`,
  };
}

export interface Readiness {
  ready: boolean;
  /** For /readyz: 200 fit (perhaps degraded), 503 not fit. */
  status: 200 | 503;
  overall: Overall;
  /** Why it is not fit. */
  fatal: Started[];
  /** What is wrong and does not stop it: failed starts, then listeners that are down. */
  degraded: string[];
}

/**
 * Fit for use? Only a failed start of a fatal listener says no; anything else is listed. A fatal listener whose own Worker
 * recorded that it can't work (the consumer's engine check) counts as a failed start here too.
 */
export function readiness(
  started: Started[],
  whole: ReturnType<typeof health>,
  lookup: (name: string) => Pick<Listener, "fatal" | "installed"> | null,
): Readiness {
  const recorded = whole.listeners
    .filter((l) => l.interval_s === null && l.state === "failing" && !started.some((s) => s.name === l.name))
    .map((l): Started => ({ name: l.name, ok: false, error: l.last_error }));
  const failed = [...started, ...recorded].filter((s) => !s.ok);
  const fatal = failed.filter((s) => isFatal(s.name, lookup));
  const others = [...failed.filter((s) => !fatal.includes(s)).map((s) => s.name), ...whole.down];
  const degraded = [...new Set(others)].filter((name) => !fatal.some((s) => s.name === name));
  const ready = fatal.length === 0;
  const overall: Overall = !ready
    ? "unhealthy"
    : whole.overall === "ok" && degraded.length > 0
      ? "degraded"
      : whole.overall;
  return { ready, status: ready ? 200 : 503, overall, fatal, degraded };
}
