import { ReveilleError } from "../kernel/errors";

/** Where a listener runs, and so which Worker writes its state. */
export type Home = "edge" | "consumer";

/** One part of Reveille that must be alive: a periodic task, or a part that is set up once (`kora-watch.md` §9). */
export interface Listener {
  name: string;
  /** Seconds between runs, or null: set up once per isolate, nothing periodic. */
  interval_s: number | null;
  /** Where in its interval a run falls, seconds: spreads tasks over the minutes, since each run is a row written. */
  phase_s: number;
  /** true: when it can't start, the system is not fit for use. */
  fatal: boolean;
  /** false: named here, not built yet. It never runs and is never fatal. */
  installed: boolean;
  home: Home;
  /** One sentence for the operator's page. */
  what: string;
}

/** Listeners in registration order. */
export interface Registry {
  entries: readonly Listener[];
  /** @throws ReveilleError 500 `unknown_listener`. */
  get(name: string): Listener;
  find(name: string): Listener | null;
}

const broken = (code: string, message: string): ReveilleError => new ReveilleError({ status: 500, code, message });

/** Freezes the list and checks it. @throws ReveilleError 500 on a duplicate name or an interval that can't be. */
export function makeRegistry(list: Listener[]): Registry {
  const byName = new Map<string, Listener>();
  for (const entry of list) {
    if (byName.has(entry.name)) throw broken("duplicate_listener", `Listener "${entry.name}" is registered twice.`);
    if (
      entry.interval_s !== null &&
      !(entry.interval_s >= 60 && entry.phase_s >= 0 && entry.phase_s < entry.interval_s)
    )
      throw broken(
        "bad_listener",
        `Listener "${entry.name}" runs every ${entry.interval_s} s at ${entry.phase_s} s; cron ticks once a minute.`,
      );
    byName.set(entry.name, Object.freeze({ ...entry }));
  }
  const find = (name: string): Listener | null => byName.get(name) ?? null;
  return {
    entries: Object.freeze([...byName.values()]),
    find,
    get: (name) => {
      const entry = find(name);
      if (!entry) throw broken("unknown_listener", `No listener is named "${name}".`);
      return entry;
    },
  };
}

/**
 * Does a failed start of `name` make the system unfit? Found: its flag. Not found: yes. The look-up itself fails: yes
 * (`kora-watch.md` §9). One that is not installed can't be needed.
 */
export function isFatal(name: string, lookup: (name: string) => Pick<Listener, "fatal" | "installed"> | null): boolean {
  try {
    const entry = lookup(name);
    return entry === null || (entry.installed && entry.fatal);
  } catch {
    return true;
  }
}
