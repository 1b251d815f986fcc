import * as z from "zod";
import type { Outcome, Probe, ProbeContext } from "../probe";
import { flyConfig } from "../target.config";
import type { Json } from "../types";
import { fault, healthy, worst } from "./outcome";
import { configOf, credentials } from "./setup";
import { ask, each } from "./vendor";

/** Fly Machines (`kora-watch.md` §1.2): what serves, what idles by design, what is broken; ids are kept for the investigator. */

const STATES = [
  "created",
  "started",
  "stopped",
  "suspended",
  "failed",
  "creating",
  "starting",
  "stopping",
  "restarting",
  "suspending",
  "destroying",
  "launch_failed",
  "updating",
  "replacing",
  "destroyed",
  "replaced",
  "migrated",
] as const;

/** One machine as the Machines API shows it, as far as anybody here reads it. */
export const machine = z.object({
  id: z.string().min(1).max(64),
  state: z.enum(STATES),
  updated_at: z.string().nullish(),
  config: z
    .object({
      services: z.array(z.object({ autostop: z.union([z.boolean(), z.string()]).nullish() })).nullish(),
      standbys: z.array(z.string()).nullish(),
    })
    .nullish(),
  checks: z.array(z.object({ status: z.string() })).nullish(),
  events: z.array(z.object({ source: z.string().nullish(), timestamp: z.number().nullish() })).nullish(),
});
export type Machine = z.output<typeof machine>;
const machines = z.array(machine);

const GONE = new Set<Machine["state"]>(["destroyed", "replaced", "migrated"]);
/** Minutes after which Fly's own docs call a machine stuck. */
const STUCK_MIN: Partial<Record<Machine["state"], number>> = {
  starting: 5,
  stopping: 5,
  restarting: 5,
  destroying: 5,
  updating: 10,
};

export type Role = "serving" | "idle" | "unhealthy" | "changing" | "leaving";

const lastEvent = (m: Machine): { source?: string | null; timestamp?: number | null } | undefined =>
  m.events?.reduce((a, b) => ((b.timestamp ?? 0) > (a.timestamp ?? 0) ? b : a), m.events[0]!);

/** What one machine is doing. `now` is wall time, as Fly's own times are. */
export function roleOf(m: Machine, now: number): Role {
  if (m.state === "started") return m.checks?.some((c) => c.status === "critical") ? "unhealthy" : "serving";
  if (m.state === "failed" || m.state === "launch_failed") return "unhealthy";
  if (m.state === "created") return "idle";
  if (m.state === "stopped" || m.state === "suspended") {
    const autostop = m.config?.services?.some(
      (s) => s.autostop === true || s.autostop === "stop" || s.autostop === "suspend",
    );
    const standby = (m.config?.standbys?.length ?? 0) > 0;
    return autostop || standby || lastEvent(m)?.source === "user" ? "idle" : "unhealthy";
  }
  const stuck = STUCK_MIN[m.state];
  const since = Date.parse(m.updated_at ?? "") || lastEvent(m)?.timestamp;
  if (stuck !== undefined && since && now - since > stuck * 60_000) return "unhealthy";
  return m.state === "destroying" ? "leaving" : "changing";
}

/** One app from its machine list. Unhealthy = nothing serves although something should. */
export function judgeApp(
  app: string,
  list: Machine[],
  latency_ms: number,
  now: number,
): { outcome: Outcome; facts: Json } {
  const living = list.filter((m) => !GONE.has(m.state));
  const roles = living.map((m) => ({ id: m.id, state: m.state, role: roleOf(m, now) }));
  const count = (role: Role): number => roles.filter((r) => r.role === role).length;
  const sick = roles.filter((r) => r.role === "unhealthy");
  const facts: Json = {
    total: living.length,
    serving: count("serving"),
    idle: count("idle"),
    unhealthy: sick.slice(0, 10).map((r) => r.id),
    // A fix starts what stands still and restarts what failed, so the state is kept with the id.
    ...(sick.length > 0 ? { states: Object.fromEntries(sick.slice(0, 10).map((r) => [r.id, r.state])) } : {}),
  };
  const names = sick
    .slice(0, 3)
    .map((r) => `${r.id} is ${r.state === "started" ? "failing its checks" : r.state}`)
    .join(", ");
  const expected = count("serving") + sick.length + count("changing");
  if (living.length === 0)
    return { outcome: fault("unhealthy", "no_machines", `App ${app} has no machine.`, { latency_ms }), facts };
  if (count("serving") === 0 && expected > 0) {
    const why = names ? `; machine ${names}` : "";
    return {
      outcome: fault("unhealthy", "no_serving_machine", `App ${app} has no serving machine${why}.`, { latency_ms }),
      facts,
    };
  }
  if (sick.length)
    return { outcome: fault("degraded", "unhealthy_machine", `App ${app}: machine ${names}.`, { latency_ms }), facts };
  return { outcome: healthy(latency_ms), facts };
}

/** Tokens of `fly tokens create` name their own scheme ("FlyV1 ..."); the older ones are bearers. */
export const authorization = (token: string): string => (/^FlyV1\s/.test(token) ? token : `Bearer ${token}`);

async function lookAtApp(
  ctx: ProbeContext,
  api: string,
  app: string,
  token: string,
): Promise<{ outcome: Outcome; facts: Json }> {
  const got = await ask(
    ctx,
    `Fly (app ${app})`,
    {
      url: `${api}/v1/apps/${encodeURIComponent(app)}/machines`,
      headers: { authorization: authorization(token), accept: "application/json" },
    },
    machines,
  );
  if (!got.ok) return { outcome: got.outcome, facts: { error: got.outcome.reason, ...got.outcome.details } };
  return judgeApp(app, got.value.body, got.value.reply.latency_ms, ctx.runtime.clock.wall());
}

export const flyProbe: Probe = async (ctx) => {
  const config = configOf(ctx, flyConfig);
  if (!config.ok) return config.outcome;
  const keys = credentials(ctx);
  if (!keys.ok) return keys.outcome;
  const { apps, api_url } = config.value;
  const results = await each(apps, 3, (app) => lookAtApp(ctx, api_url, app, keys.value["token"]!));
  const found = worst(results.map((r) => r.outcome) as [Outcome, ...Outcome[]]);
  // Faulty apps first: details are cut at the end when they grow past their limit.
  const order = apps
    .map((app, i) => ({ app, ...results[i]! }))
    .sort((a, b) => Number(a.outcome.status === "healthy") - Number(b.outcome.status === "healthy"));
  const slowest = Math.max(-1, ...results.map((r) => r.outcome.latency_ms ?? -1));
  return {
    ...found,
    latency_ms: found.status === "unknown" || slowest < 0 ? null : slowest,
    details: { apps: Object.fromEntries(order.map((r) => [r.app, r.facts])) },
  };
};
