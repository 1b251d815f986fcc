import * as z from "zod";
import type { Outcome, Probe, ProbeContext } from "../probe";
import { type SentryConfig, sentryConfig } from "../target.config";
import type { Json } from "../types";
import { fault, healthy, worst } from "./outcome";
import { configOf, credentials } from "./setup";
import { ask, type Got } from "./vendor";

/** Sentry (`kora-watch.md` §1.4): a change is a fault, a standing backlog is not. */

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;
/** One total is kept every six hours: 28 make the seven-day median, at four row writes a day. */
const SAMPLE_MS = 6 * HOUR_MS;
const LEVELS = new Set(["error", "fatal"]);

const issue = z.object({
  id: z.string().min(1).max(64),
  shortId: z.string().nullish(),
  title: z.string(),
  level: z.string(),
  userCount: z.number(),
  firstSeen: z.string(),
});
const issues = z.array(issue);
export type Issue = z.output<typeof issue>;

const memorySchema = z
  .object({
    /** [Reveille time, total] every six hours. */
    totals: z.array(z.tuple([z.number(), z.number()])),
    /** Issue id → Reveille time at which we first saw it regressed. */
    regressed: z.record(z.string(), z.number()),
  })
  .catch({ totals: [], regressed: {} });
export type SentryMemory = z.output<typeof memorySchema>;

export function median(values: number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const mid = sorted.length >> 1;
  return sorted.length % 2 ? sorted[mid]! : (sorted[mid - 1]! + sorted[mid]!) / 2;
}

export interface Seen {
  fresh: Issue[];
  regressed: Issue[];
  /** From `X-Hits`; null when Sentry sent none. */
  total: number | null;
}

/** The memory after this look: totals of seven days, and since when each regression is known. */
export function recall(before: unknown, seen: Seen, at: number): SentryMemory {
  const old = memorySchema.parse(before);
  const totals = old.totals.filter(([t]) => at - t < WEEK_MS && t <= at);
  if (seen.total !== null && at - (totals.at(-1)?.[0] ?? 0) >= SAMPLE_MS) totals.push([at, seen.total]);
  const regressed = Object.fromEntries(seen.regressed.slice(0, 50).map((i) => [i.id, old.regressed[i.id] ?? at]));
  return { totals, regressed };
}

/** The verdict. `wall` compares with Sentry's own times, `at` with ours. */
export function judgeIssues(
  seen: Seen,
  memory: SentryMemory,
  threshold: number,
  ms: number,
  at: number,
  wall: number,
): Outcome {
  const counts = (i: Issue): boolean => LEVELS.has(i.level) && i.userCount >= threshold;
  // `is:new` lasts seven days at Sentry; what we report is the first hour.
  const fresh = seen.fresh.filter((i) => counts(i) && wall - Date.parse(i.firstSeen) < HOUR_MS);
  const regressed = seen.regressed.filter((i) => counts(i) && at - (memory.regressed[i.id] ?? at) < HOUR_MS);
  const usual = median(memory.totals.map(([, total]) => total));
  const show = (list: Issue[]): Json =>
    list.slice(0, 4).map((i) => ({ id: i.shortId ?? i.id, level: i.level, users: i.userCount, title: i.title }));
  const details: Record<string, Json> = {
    unresolved_issues: seen.total,
    median_7d: usual,
    ...(fresh.length ? { new_count: fresh.length, new: show(fresh) } : {}),
    ...(regressed.length ? { regressed_count: regressed.length, regressed: show(regressed) } : {}),
  };
  const found: [Outcome, ...Outcome[]] = [healthy(ms)];
  if (fresh.length)
    found.push(
      fault("degraded", "new_issue", `${fresh.length} new issue${fresh.length > 1 ? "s" : ""} in the last hour.`, {
        latency_ms: ms,
      }),
    );
  if (regressed.length)
    found.push(
      fault(
        "degraded",
        "regressed_issue",
        `${regressed.length} regressed issue${regressed.length > 1 ? "s" : ""} in the last hour.`,
        { latency_ms: ms },
      ),
    );
  if (seen.total !== null && usual !== null && seen.total > Math.max(10, 2 * usual))
    found.push(
      fault("degraded", "backlog", `${seen.total} unresolved issues; the median of 7 days is ${usual}.`, {
        latency_ms: ms,
      }),
    );
  return { ...worst(found), details };
}

function query(ctx: ProbeContext, config: SentryConfig, token: string, terms: string, limit: number, period?: string) {
  // A numeric project is the API's own parameter; a slug is a search term.
  const numeric = /^-?\d+$/.test(config.project ?? "");
  const params = new URLSearchParams({
    query: config.project && !numeric ? `${terms} project:${config.project}` : terms,
    limit: String(limit),
  });
  if (config.project && numeric) params.set("project", config.project);
  if (config.environment) params.set("environment", config.environment);
  if (period) params.set("statsPeriod", period);
  return ask(
    ctx,
    "Sentry",
    {
      url: `${config.base_url}/api/0/organizations/${encodeURIComponent(config.org)}/issues/?${params}`,
      headers: { authorization: `Bearer ${token}`, accept: "application/json" },
    },
    issues,
  );
}

async function see(ctx: ProbeContext, config: SentryConfig, token: string): Promise<Got<Seen & { ms: number }>> {
  const [fresh, regressed, all] = await Promise.all([
    query(ctx, config, token, "is:unresolved is:new", 25, "1h"),
    query(ctx, config, token, "is:unresolved is:regressed", 25, "1h"),
    query(ctx, config, token, "is:unresolved", 1),
  ]);
  if (!fresh.ok || !regressed.ok || !all.ok) {
    const failed = [fresh, regressed, all].flatMap((g) => (g.ok ? [] : [g.outcome]));
    return { ok: false, outcome: worst(failed as [Outcome, ...Outcome[]]) };
  }
  const hits = all.value.reply.headers.get("x-hits");
  const total = hits !== null && /^\d{1,9}$/.test(hits.trim()) ? Number(hits) : null;
  const ms = Math.max(...[fresh, regressed, all].map((g) => g.value.reply.latency_ms));
  return { ok: true, value: { fresh: fresh.value.body, regressed: regressed.value.body, total, ms } };
}

export const sentryProbe: Probe = async (ctx) => {
  const config = configOf(ctx, sentryConfig);
  if (!config.ok) return config.outcome;
  const keys = credentials(ctx);
  if (!keys.ok) return keys.outcome;
  const got = await see(ctx, config.value, keys.value["token"]!);
  if (!got.ok) return got.outcome;
  const memory = recall(ctx.memory, got.value, ctx.at);
  ctx.remember({ totals: memory.totals, regressed: memory.regressed });
  return judgeIssues(got.value, memory, config.value.user_threshold, got.value.ms, ctx.at, ctx.runtime.clock.wall());
};
