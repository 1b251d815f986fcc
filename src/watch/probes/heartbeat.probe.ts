import { Cron } from "croner";
import { iso } from "../../kernel/clock";
import { nextStart } from "../../kernel/cron";
import { type Beat, readBeat } from "../heartbeat.store";
import type { Outcome, Probe } from "../probe";
import { type HeartbeatConfig, heartbeatConfig } from "../target.config";
import type { Json } from "../types";
import { bad, healthy } from "./outcome";
import { configOf } from "./setup";

/** A job that reports to us: it is late, it failed, it hangs, or it is fine. */

const EARLY_MS = 60_000;

/** When the beat after `anchor` is due (Reveille time, ms). A beat slightly ahead of its cron time counts for that time. */
export function dueAfter(config: HeartbeatConfig, anchor: number): number {
  if (config.period !== undefined) return anchor + config.period * 1_000;
  const cron = new Cron(config.cron!, { timezone: config.zone });
  const next = nextStart(cron, anchor);
  if (next === null) return Number.POSITIVE_INFINITY;
  const after = nextStart(cron, next);
  const gap = after === null ? EARLY_MS * 10 : after - next;
  return next - anchor <= Math.min(EARLY_MS, gap / 10) ? (after ?? Number.POSITIVE_INFINITY) : next;
}

/** The state of a heartbeat at `now`. All times are Reveille time, ms. Pure. */
export function judgeBeat(config: HeartbeatConfig, beat: Beat | null, created_at: number, now: number): Outcome {
  const grace = config.grace * 1_000;
  // Without a success the first one is awaited from the moment the target was made.
  const due = beat?.ok_at ? dueAfter(config, beat.ok_at) : dueAfter(config, created_at);
  const running = beat?.started_at ?? null;
  const details: Record<string, Json> = {
    next_due: Number.isFinite(due) ? iso(due) : null,
    last_at: iso(beat?.last_at),
    last_kind: beat?.last_kind ?? null,
    ...(running !== null ? { running_since: iso(running) } : {}),
    ...(beat?.duration_ms != null ? { duration_ms: beat.duration_ms } : {}),
    ...(beat?.note ? { note: beat.note } : {}),
  };
  const more = { details };
  const never = beat?.last_at == null;
  if (beat?.last_kind === "fail") return bad("unhealthy", "job_failed", "The job reported a failure.", more);
  const limit = config.max_runtime === undefined ? null : config.max_runtime * 1_000;
  if (running !== null && limit !== null && now > running + limit)
    return bad("unhealthy", "missed_beat", `Started ${iso(running)} and still not finished.`, {
      ...more,
      signal: "still_running",
    });
  // A run that began in time may take its time: up to its limit, or the grace after its start.
  const allowed =
    running !== null && running <= due + grace ? Math.max(due + grace, running + (limit ?? grace)) : due + grace;
  if (now > allowed) {
    const text = never ? `No beat came; the first was due ${iso(due)}.` : `The beat due ${iso(due)} did not come.`;
    return bad("unhealthy", "missed_beat", text, { ...more, signal: never ? "never_beaten" : "late" });
  }
  if (!beat?.ok_at)
    return bad("unknown", "no_beat_yet", never ? "No beat has come yet." : "The first run is not finished yet.", more);
  return healthy(null, details);
}

export const heartbeatProbe: Probe = async (ctx) => {
  const config = configOf(ctx, heartbeatConfig);
  if (!config.ok) return config.outcome;
  return judgeBeat(config.value, await readBeat(ctx.db, ctx.target.num), ctx.target.created_at, ctx.at);
};
