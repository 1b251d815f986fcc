import * as z from "zod";
import type { Probe, ProbeContext } from "../probe";
import { type DopplerConfig, dopplerConfig } from "../target.config";
import type { Json } from "../types";
import { healthy } from "./outcome";
import { configOf, credentials } from "./setup";
import { ask, each, type Got } from "./vendor";

/**
 * Doppler (`kora-watch.md` §1.5): liveness by `/v3/me`, which every token type may call; hygiene once a day, if asked for. Old
 * secrets are an item of the daily digest, so hygiene never changes the status. Schemas leave out user names and addresses.
 */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const STALE_DAYS = 180;
const MAX_PROJECTS = 10;

const me = z.object({ type: z.string().min(1), workplace: z.object({ name: z.string() }) });
const projects = z.object({ projects: z.array(z.object({ id: z.string().min(1) })) });
const configs = z.object({ configs: z.array(z.object({ name: z.string(), created_at: z.string().nullish() })) });
const logs = z.object({
  logs: z.array(z.object({ created_at: z.string(), project: z.string().nullish(), config: z.string().nullish() })),
});

const hygieneSchema = z.object({
  /** Reveille time of the last check, ms. */
  at: z.number(),
  state: z.string(),
  projects_total: z.number().optional(),
  configs_total: z.number().optional(),
  oldest_days: z.number().optional(),
  stale: z.array(z.string()).optional(),
  changes_last_hour: z.number().optional(),
});
type Hygiene = z.output<typeof hygieneSchema>;
const memory = z.object({ hygiene: hygieneSchema }).nullable().catch(null);

interface Api {
  get<S extends z.ZodType>(path: string, schema: S): Promise<Got<{ body: z.output<S>; reply: { latency_ms: number } }>>;
}
const api = (ctx: ProbeContext, config: DopplerConfig, token: string): Api => ({
  get: (path, schema) =>
    ask(
      ctx,
      "Doppler",
      { url: `${config.api_url}${path}`, headers: { authorization: `Bearer ${token}`, accept: "application/json" } },
      schema,
    ),
});

async function checkHygiene(ctx: ProbeContext, config: DopplerConfig, doppler: Api): Promise<Hygiene> {
  const failed = (why: string): Hygiene => ({ at: ctx.at, state: why });
  const all = config.projects
    ? { ok: true as const, value: config.projects }
    : await doppler
        .get(`/v3/projects?page=1&per_page=${MAX_PROJECTS}`, projects)
        .then((g) => (g.ok ? { ok: true as const, value: g.value.body.projects.map((p) => p.id) } : g));
  if (!all.ok) return failed(all.outcome.reason);
  const ids = all.value.slice(0, MAX_PROJECTS);
  const log = await doppler.get("/v3/logs?page=1&per_page=100", logs);
  if (!log.ok) return failed(log.outcome.reason);
  const lists = await each(ids, 2, (id) => doppler.get(`/v3/configs?project=${encodeURIComponent(id)}`, configs));
  const wall = ctx.runtime.clock.wall();
  const ages: { name: string; days: number }[] = [];
  for (const [i, got] of lists.entries()) {
    if (!got.ok) return failed(got.outcome.reason);
    for (const c of got.value.body.configs) {
      const changes = log.value.body.logs
        .filter((l) => l.project === ids[i] && l.config === c.name)
        .map((l) => Date.parse(l.created_at));
      const last = Math.max(...changes.filter(Number.isFinite), Date.parse(c.created_at ?? "") || 0);
      if (last > 0) ages.push({ name: `${ids[i]}/${c.name}`, days: Math.max(0, Math.floor((wall - last) / DAY_MS)) });
    }
  }
  ages.sort((a, b) => b.days - a.days);
  return {
    at: ctx.at,
    state: "checked",
    projects_total: ids.length,
    configs_total: ages.length,
    ...(ages[0] ? { oldest_days: ages[0].days } : {}),
    stale: ages
      .filter((a) => a.days > STALE_DAYS)
      .slice(0, 10)
      .map((a) => a.name),
    changes_last_hour: log.value.body.logs.filter((l) => wall - Date.parse(l.created_at) < HOUR_MS).length,
  };
}

async function hygiene(ctx: ProbeContext, config: DopplerConfig, doppler: Api): Promise<Hygiene | null> {
  if (!config.hygiene) return null;
  const kept = memory.parse(ctx.memory)?.hygiene ?? null;
  // A check that failed is tried again after an hour, not at every look.
  if (kept && ctx.at - kept.at < (kept.state === "checked" ? DAY_MS : HOUR_MS)) return kept;
  const fresh = await checkHygiene(ctx, config, doppler);
  ctx.remember({ hygiene: fresh as unknown as Json });
  return fresh;
}

export const dopplerProbe: Probe = async (ctx) => {
  const config = configOf(ctx, dopplerConfig);
  if (!config.ok) return config.outcome;
  const keys = credentials(ctx);
  if (!keys.ok) return keys.outcome;
  const doppler = api(ctx, config.value, keys.value["token"]!);
  const alive = await doppler.get("/v3/me", me);
  if (!alive.ok) return alive.outcome;
  const extra = await hygiene(ctx, config.value, doppler);
  return healthy(alive.value.reply.latency_ms, {
    token_type: alive.value.body.type,
    workplace: alive.value.body.workplace.name,
    ...(extra ? { hygiene: extra as unknown as Json } : {}),
  });
};
