import * as z from "zod";
import type { Outcome, Probe, ProbeContext } from "../probe";
import { type VercelConfig, vercelConfig } from "../target.config";
import type { Json } from "../types";
import { fault, healthy, worst } from "./outcome";
import { configOf, credentials } from "./setup";
import { ask, type Got } from "./vendor";

/** Vercel production deployments (`kora-watch.md` §1.3): the newest result of each project, then the rate of the last 24 h. */

const DAY_MS = 86_400_000;
/** How far back a project's newest deployment is looked for; a fault older than this is no longer seen. */
const REACH_MS = 30 * DAY_MS;
const MAX_PAGES = 3;
const MIN_FOR_RATE = 5;
const MAX_RATE = 0.1;
const STUCK_MS = 20 * 60_000;

const state = z.enum(["BUILDING", "ERROR", "INITIALIZING", "QUEUED", "READY", "CANCELED", "DELETED"]);
const deployment = z
  .object({
    uid: z.string().min(1).max(80),
    name: z.string(),
    url: z.string().nullish(),
    created: z.number().optional(),
    createdAt: z.number().optional(),
    state: state.optional(),
    readyState: state.optional(),
    projectId: z.string().nullish(),
    meta: z
      .object({
        githubCommitSha: z.string().optional(),
        gitlabCommitSha: z.string().optional(),
        bitbucketCommitSha: z.string().optional(),
      })
      .nullish(),
  })
  .refine((d) => (d.state ?? d.readyState) !== undefined && (d.created ?? d.createdAt) !== undefined)
  .transform((d) => ({
    uid: d.uid,
    project: d.projectId ?? d.name,
    name: d.name,
    url: d.url ?? null,
    sha: d.meta?.githubCommitSha ?? d.meta?.gitlabCommitSha ?? d.meta?.bitbucketCommitSha ?? null,
    created: (d.created ?? d.createdAt) as number,
    state: (d.state ?? d.readyState) as z.output<typeof state>,
  }));
export type Deployment = z.output<typeof deployment>;

const page = z.object({
  deployments: z.array(deployment),
  pagination: z.object({ next: z.number().nullish() }),
});

const finished = (d: Deployment): boolean => d.state === "READY" || d.state === "ERROR";

/** Older pages are only needed while the last 24 h or a named project's last two results are still missing. */
function enough(list: Deployment[], projects: string[] | undefined, now: number): boolean {
  const oldest = list.at(-1);
  if (!oldest || oldest.created > now - DAY_MS) return false;
  return (projects ?? []).every((id) => list.filter((d) => d.project === id && finished(d)).length >= 2);
}

async function deployments(
  ctx: ProbeContext,
  config: VercelConfig,
  token: string,
): Promise<Got<{ list: Deployment[]; ms: number }>> {
  const now = ctx.runtime.clock.wall();
  const list: Deployment[] = [];
  let until: number | null = null;
  let ms = 0;
  for (let n = 0; n < MAX_PAGES; n++) {
    const query = new URLSearchParams({ target: "production", since: String(now - REACH_MS), limit: "100" });
    if (config.project_ids) query.set("projectIds", config.project_ids.join(","));
    if (config.team_id) query.set("teamId", config.team_id);
    if (until !== null) query.set("until", String(until));
    const got: Awaited<ReturnType<typeof ask<typeof page>>> = await ask(
      ctx,
      "Vercel",
      {
        url: `${config.api_url}/v6/deployments?${query}`,
        headers: { authorization: `Bearer ${token}`, accept: "application/json" },
      },
      page,
    );
    if (!got.ok) return got;
    if (n === 0) ms = got.value.reply.latency_ms;
    list.push(...got.value.body.deployments);
    until = got.value.body.pagination.next ?? null;
    if (until === null || enough(list, config.project_ids, now)) break;
  }
  return { ok: true, value: { list: list.sort((a, b) => b.created - a.created), ms } };
}

const brief = (d: Deployment): { [key: string]: Json } => ({ project: d.name, uid: d.uid, sha: d.sha, url: d.url });

/** The verdict over production deployments, newest first. `now` is wall time, as Vercel's times are. */
export function judgeDeployments(list: Deployment[], latency_ms: number, now: number): Outcome {
  const projects = [...new Set(list.map((d) => d.project))];
  const day = list.filter((d) => d.created >= now - DAY_MS && d.state !== "CANCELED" && d.state !== "DELETED");
  const rate = day.length ? day.filter((d) => d.state === "ERROR").length / day.length : 0;
  const failing: Deployment[] = [];
  const stuck: Deployment[] = [];
  const found: [Outcome, ...Outcome[]] = [healthy(latency_ms)];
  for (const id of projects) {
    const own = list.filter((d) => d.project === id);
    const [last, before] = own.filter(finished);
    if (last?.state === "ERROR") {
      failing.push(last);
      const twice = before?.state === "ERROR";
      found.push(
        twice
          ? fault(
              "unhealthy",
              "production_error_twice",
              `${last.name}: the last two production deployments failed (${last.uid}).`,
              { latency_ms },
            )
          : fault(
              "degraded",
              "latest_production_error",
              `${last.name}: the latest production deployment failed (${last.uid}).`,
              { latency_ms },
            ),
      );
    }
    const newest = own.find((d) => d.state !== "CANCELED" && d.state !== "DELETED");
    if (newest && !finished(newest) && now - newest.created > STUCK_MS) {
      stuck.push(newest);
      found.push(
        fault("degraded", "stuck_build", `${newest.name}: ${newest.state.toLowerCase()} for more than 20 minutes.`, {
          latency_ms,
        }),
      );
    }
  }
  if (day.length >= MIN_FOR_RATE && rate > MAX_RATE)
    found.push(
      fault(
        "degraded",
        "error_rate",
        `${(rate * 100).toFixed(1)} % of ${day.length} production deployments failed in 24 h.`,
        { latency_ms },
      ),
    );
  const details: Record<string, Json> = {
    deployments_last_24h: day.length,
    error_rate_24h: Math.round(rate * 10_000) / 10_000,
    projects: projects.length,
    ...(failing.length ? { failing: failing.slice(0, 5).map(brief) } : {}),
    ...(stuck.length ? { stuck: stuck.slice(0, 5).map(brief) } : {}),
  };
  return { ...worst(found), details };
}

export const vercelProbe: Probe = async (ctx) => {
  const config = configOf(ctx, vercelConfig);
  if (!config.ok) return config.outcome;
  const keys = credentials(ctx);
  if (!keys.ok) return keys.outcome;
  const got = await deployments(ctx, config.value, keys.value["token"]!);
  return got.ok ? judgeDeployments(got.value.list, got.value.ms, ctx.runtime.clock.wall()) : got.outcome;
};
