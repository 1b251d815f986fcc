import { Cron } from "croner";
import * as z from "zod";
import { DAY, HOUR, MINUTE, SECOND } from "../kernel/clock";
import { nextStart } from "../kernel/cron";

/** Planned silence: either one span (`starts_at`, `ends_at`) or a cron start with a length. Times are ms. */
export interface MaintenanceWindow {
  id: string;
  /** Target ids, or ["*"] for all. */
  targets: string[];
  starts_at: number | null;
  ends_at: number | null;
  cron: string | null;
  duration_s: number | null;
  /** IANA zone of the cron expression. */
  zone: string;
  reason: string;
  created_by: string;
  created_at: number;
  /** Ended by an operator; a window with a cron never recurs after this. */
  ended_at: number | null;
}

/** One span of a window, ms; `ends_at` is not part of it. */
export interface Occurrence {
  starts_at: number;
  ends_at: number;
}

/** The longest occurrence. */
export const MAX_WINDOW = 30 * DAY;
/** Above this, or on all targets, the pages ask again. */
export const CONFIRM_ABOVE = DAY;

const startRule = (cron: string, zone: string): Cron =>
  new Cron(cron, { timezone: zone, mode: "5-part", paused: true });

/** What was worked out for a window last: `at` is known to be inactive up to `start`, and active from it to `end`. */
interface Known {
  rule: Cron;
  from: number;
  start: number;
}
const cache = new WeakMap<MaintenanceWindow, Known>();

/** The first start of a cron window after `after`, ms, or null when there is none. */
function startAfter(w: MaintenanceWindow, after: number): number | null {
  const rule = cache.get(w)?.rule ?? startRule(w.cron!, w.zone);
  const start = nextStart(rule, after);
  cache.set(w, { rule, from: after, start: start ?? Number.POSITIVE_INFINITY });
  return start;
}

function isActive(w: MaintenanceWindow, at: number): boolean {
  if (w.ended_at !== null && at >= w.ended_at) return false;
  if (w.cron === null || w.duration_s === null)
    return w.starts_at !== null && w.ends_at !== null && at >= w.starts_at && at < w.ends_at;
  const length = w.duration_s * SECOND;
  const known = cache.get(w);
  // A cycle asks the same window for many targets; the next start answers them all.
  if (known && at >= known.from + length && at < known.start + length) return at >= known.start;
  const start = startAfter(w, at - length);
  return start !== null && start <= at;
}

/** The window that silences a target at `at`, or null. */
export function activeAt(windows: MaintenanceWindow[], targetId: string, at: number): MaintenanceWindow | null {
  return windows.find((w) => (w.targets[0] === "*" || w.targets.includes(targetId)) && isActive(w, at)) ?? null;
}

/** The occurrence of a window that runs at `at`, or null. */
export function occurrenceAt(w: MaintenanceWindow, at: number): Occurrence | null {
  const next = nextOccurrences(w, at, 1)[0];
  return next && next.starts_at <= at ? next : null;
}

/** The next `n` occurrences that end after `from`, the running one included; none after the window was ended. */
export function nextOccurrences(
  w: Pick<MaintenanceWindow, "starts_at" | "ends_at" | "cron" | "duration_s" | "zone"> & { ended_at?: number | null },
  from: number,
  n: number,
): Occurrence[] {
  const ended = w.ended_at ?? Number.POSITIVE_INFINITY;
  const keep = (o: Occurrence): Occurrence => ({ ...o, ends_at: Math.min(o.ends_at, ended) });
  if (w.cron === null || w.duration_s === null) {
    if (w.starts_at === null || w.ends_at === null || n < 1 || w.starts_at >= ended) return [];
    const only = keep({ starts_at: w.starts_at, ends_at: w.ends_at });
    return only.ends_at > from ? [only] : [];
  }
  const length = w.duration_s * SECOND;
  const rule = startRule(w.cron, w.zone);
  const out: Occurrence[] = [];
  let after = from - length;
  while (out.length < n) {
    const start = nextStart(rule, after);
    if (start === null || start >= ended) break;
    const next = keep({ starts_at: start, ends_at: start + length });
    if (next.ends_at > from) out.push(next);
    after = start;
  }
  return out;
}

/** Does this window silence so much that the pages should ask again? */
export const needsConfirm = (w: NewWindow): boolean =>
  w.targets[0] === "*" ||
  (w.duration_s ?? 0) * SECOND > CONFIRM_ABOVE ||
  (w.ends_at ?? 0) - (w.starts_at ?? 0) > CONFIRM_ABOVE;

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/** Seconds of `90m`, `2h`, `1d`, `3600` or a number, or null. */
export function parseDuration(value: string | number): number | null {
  if (typeof value === "number") return Number.isInteger(value) ? value : null;
  const m = /^(\d{1,9})\s*([smhd]?)$/.exec(value.trim());
  return m ? (Number(m[1]) * UNITS[m[2] || "s"]!) / SECOND : null;
}

const zoneKnown = (zone: string): boolean => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
};

const time = z.iso
  .datetime({ offset: true, error: "Write a time like 2026-11-20T14:00:00Z." })
  .transform((t) => Date.parse(t));
const targetId = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, { error: "This is not a target id." });

/** A maintenance window as the API and the pages take it; the outcome is ready for the store. */
export const windowInput = z
  .strictObject({
    targets: z.union([z.tuple([z.literal("*")]), z.array(targetId).min(1).max(1_000)], {
      error: 'Name at least one target id, or ["*"] for all.',
    }),
    starts_at: time.optional(),
    ends_at: time.optional(),
    /** Five fields; when the window starts. */
    cron: z.string().trim().min(9).max(100).optional(),
    /** Seconds, or 90m, 2h, 1d. */
    duration: z.union([z.string(), z.number()]).optional(),
    zone: z
      .string()
      .max(64)
      .default("UTC")
      .refine(zoneKnown, { error: "This is not a time zone name like Europe/Berlin." }),
    reason: z.string().trim().min(1, { error: "Say why, in a few words." }).max(200),
  })
  .transform((w, ctx): NewWindow => {
    const fail = (path: string, message: string): never => {
      ctx.addIssue({ code: "custom", path: [path], message });
      return z.NEVER;
    };
    const base = { targets: [...new Set(w.targets)], zone: w.zone, reason: w.reason };
    if (w.cron === undefined) {
      if (w.starts_at === undefined) return fail("starts_at", "Give starts_at and ends_at, or cron and duration.");
      if (w.ends_at === undefined) return fail("ends_at", "Give ends_at, when the window is over.");
      if (w.duration !== undefined) return fail("duration", "A window with ends_at takes no duration.");
      if (w.ends_at <= w.starts_at) return fail("ends_at", "ends_at must be after starts_at.");
      if (w.ends_at - w.starts_at > MAX_WINDOW)
        return fail("ends_at", "A window lasts 30 days at most. Pause the target instead.");
      return { ...base, starts_at: w.starts_at, ends_at: w.ends_at, cron: null, duration_s: null };
    }
    if (w.starts_at !== undefined || w.ends_at !== undefined)
      return fail("cron", "Give either starts_at and ends_at, or cron and duration, not both.");
    const duration_s = w.duration === undefined ? null : parseDuration(w.duration);
    if (duration_s === null)
      return fail("duration", "Give duration: seconds, or a number with s, m, h or d, like 90m.");
    if (duration_s < 60 || duration_s * SECOND > MAX_WINDOW)
      return fail("duration", "duration must be from 60 s to 30 days.");
    const problem = cronProblem(w.cron, w.zone);
    if (problem !== null) return fail("cron", problem);
    return { ...base, starts_at: null, ends_at: null, cron: w.cron, duration_s };
  });

/** A checked window, before the store gives it an id. */
export type NewWindow = Pick<
  MaintenanceWindow,
  "targets" | "starts_at" | "ends_at" | "cron" | "duration_s" | "zone" | "reason"
>;
export type WindowInput = z.input<typeof windowInput>;

function cronProblem(cron: string, zone: string): string | null {
  try {
    return startRule(cron, zone).nextRun() === null ? `"${cron}" never comes.` : null;
  } catch {
    return `"${cron}" is not a cron expression of five fields, like "0 2 * * 0".`;
  }
}
