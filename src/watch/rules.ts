import { DAY, MINUTE } from "../kernel/clock";
import type { Json, Severity, Snapshot } from "./types";
import { SILENT_AFTER } from "./watcher";

/** What a rule may look at. Everything is read once per run. */
export interface RuleFacts {
  now: number;
  /** Switchboard state; null = unreadable. */
  paused: boolean | null;
  /** Spent share of the month's pool (1 = all), or null while no engine is installed. */
  budget_share: number | null;
  dead_letters: number;
  denied: number;
  reasoning_errors: number;
  failed_notices: number;
  /** Last sign of life of the alarm that watches the cron, and when the first cycle ran. */
  alarm_at: number | null;
  listeners_down: string[];
  /** Findings of the wake SLO, by rule (wake-slo §6.4); null or absent = nothing to judge. */
  slo: Record<string, Finding | null>;
}

interface Finding {
  bad: boolean;
  severity: Severity;
  text: string;
  details: Record<string, Json>;
}

const counted = (n: number, limit: number, severity: Severity, what: string): Finding => ({
  bad: n > limit,
  severity,
  text: `${n} ${what} in 24 h (limit ${limit})`,
  details: { count: n, limit },
});

type Rule = (f: RuleFacts) => Finding | null;

/** The alert table of `kora-watch.md` §8 and our own; `null` = can't be judged yet. `cron_alive` is the watcher object's. */
export const RULES: Record<string, Rule> = {
  operator_paused: (f) => ({
    bad: f.paused !== false,
    severity: "critical",
    text:
      f.paused === null ? "The switchboard can't be read: treated as stopped" : "Reasoning is paused by an operator",
    details: {},
  }),
  cost_ladder: (f) => {
    if (f.budget_share === null) return null;
    const percent = Math.floor(f.budget_share * 100);
    const rung = percent >= 100 ? "halted" : percent >= 90 ? "downshifted" : percent >= 75 ? "warned" : null;
    return {
      bad: rung !== null,
      severity: rung === "halted" ? "critical" : "warning",
      text: `${percent} % of the month's reasoning budget is spent`,
      details: { rung, percent },
    };
  },
  webhook_dead_letters_24h: (f) => counted(f.dead_letters, 5, "warning", "dead letters"),
  capability_denied_24h: (f) => counted(f.denied, 10, "info", "refused acts"),
  reasoning_errors_24h: (f) => counted(f.reasoning_errors, 5, "warning", "reasoning errors"),
  slack_dm_reply_failed_24h: (f) => counted(f.failed_notices, 3, "warning", "failed notice sends"),
  alarm_alive: (f) => {
    if (f.alarm_at === null) return null;
    const minutes = Math.floor((f.now - f.alarm_at) / MINUTE);
    return {
      bad: f.now - f.alarm_at > 2 * SILENT_AFTER,
      severity: "warning",
      text: `The alarm that watches the cron was last heard ${minutes} min ago`,
      details: { minutes },
    };
  },
  listeners: (f) => ({
    bad: f.listeners_down.length > 0,
    severity: f.listeners_down.length >= 3 ? "critical" : "warning",
    text: f.listeners_down.length ? `Failing: ${f.listeners_down.join(", ")}` : "All periodic tasks run",
    details: { down: f.listeners_down },
  }),
};

/** The look of an internal target: a rule's finding as a snapshot. The severity travels in the details. */
export function ruleSnapshot(rule: string, facts: RuleFacts): Snapshot {
  const finding = RULES[rule]?.(facts) ?? facts.slo[rule] ?? null;
  const base = { at: facts.now, signal: rule, latency_ms: null };
  if (!finding)
    return { ...base, status: "unknown", reason: "not_configured", details: {}, error: "Nothing to judge yet." };
  return {
    ...base,
    status: !finding.bad ? "healthy" : finding.severity === "critical" ? "unhealthy" : "degraded",
    reason: finding.bad ? "service_unhealthy" : "ok",
    details: { ...finding.details, severity: finding.severity },
    error: finding.bad ? finding.text : null,
  };
}

/**
 * Counts go over the newest rows of their seam only: the audit table keeps everything, limits are far below this, and a scan of
 * a year of rows every three minutes would be billed.
 */
const COUNT_MAX = 1_000;

/** Reads the counted facts of the last 24 h in one round trip. */
export async function readCounts(
  db: D1Database,
  now: number,
): Promise<Pick<RuleFacts, "dead_letters" | "denied" | "reasoning_errors" | "failed_notices" | "alarm_at">> {
  const since = now - DAY;
  const [dead, denied, reasoning, failed, alarm] = await db.batch<{ n: number | null }>([
    db.prepare("SELECT COUNT(*) AS n FROM dead_letter WHERE created_at >= ? AND replayed_at IS NULL").bind(since),
    db
      .prepare(
        `SELECT COUNT(*) AS n FROM (SELECT emitted_at FROM audit WHERE seam = 'capability.denied' ORDER BY id DESC LIMIT ?)
         WHERE emitted_at >= ?`,
      )
      .bind(COUNT_MAX, since),
    db
      .prepare(
        `SELECT COUNT(*) AS n FROM (
           SELECT emitted_at, details FROM audit WHERE seam = 'probe.investigation_completed' ORDER BY id DESC LIMIT ?)
         WHERE emitted_at >= ? AND json_extract(details, '$.reasoning_error') IS NOT NULL
           AND json_extract(details, '$.reasoning_error') <> 'unconfigured'`,
      )
      .bind(COUNT_MAX, since),
    db
      .prepare("SELECT COUNT(*) AS n FROM notice_attempt WHERE state IN ('failed', 'unknown') AND started_at >= ?")
      .bind(since),
    db.prepare("SELECT last_ok_at AS n FROM listener_state WHERE name = 'dead_man'"),
  ]);
  const n = (r: D1Result<{ n: number | null }> | undefined): number => r?.results[0]?.n ?? 0;
  return {
    dead_letters: n(dead),
    denied: n(denied),
    reasoning_errors: n(reasoning),
    failed_notices: n(failed),
    alarm_at: alarm?.results[0]?.n ?? null,
  };
}
