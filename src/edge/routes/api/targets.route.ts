import * as z from "zod";
import { iso } from "../../../kernel/clock";
import { notFound } from "../../../kernel/errors";
import {
  readState,
  readStates,
  readTarget,
  readTargets,
  type Series,
  type Target,
  targetInput,
  targetPatch,
  targetSeries,
} from "../../../watch";
import { createTarget, deleteTarget, lookNow, muteTarget, patchTarget, rehearse } from "../../acts";
import { beatPath } from "../../beat";
import { apiApp, type Ctx, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

const targetView = z
  .object({
    id: z.string(),
    name: z.string(),
    kind: z.string(),
    every: z.number().meta({ description: "Seconds between looks" }),
    config: z.record(z.string(), z.unknown()),
    credentials: z.record(z.string(), z.string()).meta({ description: "Binding names, never values" }),
    thresholds: z.record(z.string(), z.number()),
    paused: z.boolean(),
    muted_until: z.string().nullable(),
    source: z.string(),
    status: z.string(),
    reason: z.string(),
    phase: z.string(),
    since: z.string(),
    next_look_at: z.string().nullable(),
    incident_id: z.string().nullable(),
    beat_url: z.string().optional(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: "Target" });

interface StateFields {
  phase: string;
  status: string;
  reason: string;
  since: number;
  next_look_at: number | null;
  incident_id: string | null;
}

function view(t: Target, s: StateFields | undefined, beat?: string): z.infer<typeof targetView> {
  return {
    id: t.id,
    name: t.name,
    kind: t.kind,
    every: t.every_s,
    config: t.config,
    credentials: t.credentials,
    thresholds: t.thresholds as Record<string, number>,
    paused: t.paused,
    muted_until: iso(t.muted_until),
    source: t.source,
    status: s?.status ?? "unknown",
    reason: s?.reason ?? "not_looked_yet",
    phase: s?.phase ?? "steady",
    since: iso(s?.since ?? t.created_at),
    next_look_at: iso(s?.next_look_at),
    incident_id: s?.incident_id ?? null,
    ...(beat ? { beat_url: beat } : {}),
    created_at: iso(t.created_at),
    updated_at: iso(t.updated_at),
  };
}

async function one(c: Ctx, t: Target): Promise<z.infer<typeof targetView>> {
  const states = await readStates(c.env.DB, [t.id]);
  return view(t, states.get(t.id), t.kind === "heartbeat" ? await beatPath(c.env, runtime(c), t) : undefined);
}

const sampleView = z.object({
  at: z.string(),
  status: z.string(),
  reason: z.string(),
  latency_ms: z.number().nullable(),
  maintenance: z.boolean(),
  rehearsal: z.boolean(),
});

const snapshotView = z
  .object({
    at: z.string(),
    status: z.string(),
    reason: z.string(),
    signal: z.string().optional(),
    latency_ms: z.number().nullable(),
    details: z.record(z.string(), z.unknown()),
    error: z.string().nullable(),
    phase: z.string(),
    incident_id: z.string().nullable(),
  })
  .meta({ id: "Snapshot" });

const by = (c: Ctx): string => c.get("by");

export const targetRoutes = apiApp()
  .openapi(
    operatorRoute("get", "/targets", "Lists targets by id", { query: pageQuery }, listOf(targetView)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const targets = await readTargets(c.env.DB, cursor ?? "", limit);
      const states = await readStates(
        c.env.DB,
        targets.map((t) => t.id),
      );
      return c.json(
        {
          items: targets.map((t) => view(t, states.get(t.id))),
          next_cursor: targets.length === limit ? (targets.at(-1)?.id ?? null) : null,
        },
        200,
      );
    },
  )
  .openapi(
    operatorRoute("post", "/targets", "Creates a target", { body: json(targetInput) }, targetView, 201),
    async (c) => {
      const seed = c.req.header("x-reveille-source") === "seed";
      const made = await createTarget(c.env, runtime(c), await c.req.json(), by(c), seed ? "seed" : "api");
      return c.json(await one(c, made), 201);
    },
  )
  .openapi(operatorRoute("get", "/targets/{id}", "One target", { params: idParam }, targetView), async (c) => {
    const { id } = c.req.valid("param");
    const target = await readTarget(c.env.DB, id);
    if (!target) throw notFound("target", id);
    return c.json(await one(c, target), 200);
  })
  .openapi(
    operatorRoute(
      "patch",
      "/targets/{id}",
      "Changes a target; what is not named stays",
      { params: idParam, body: json(targetPatch) },
      targetView,
    ),
    async (c) => {
      const seed = c.req.header("x-reveille-source") === "seed" ? ("seed" as const) : undefined;
      const changed = await patchTarget(c.env, runtime(c), c.req.valid("param").id, await c.req.json(), by(c), seed);
      return c.json(await one(c, changed), 200);
    },
  )
  .openapi(
    operatorRoute(
      "delete",
      "/targets/{id}",
      "Deletes a target; its history stays",
      { params: idParam },
      z.object({ deleted: z.string() }),
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      await deleteTarget(c.env, runtime(c), id, by(c));
      return c.json({ deleted: id }, 200);
    },
  )
  .openapi(
    operatorRoute("post", "/targets/{id}/look", "Looks now; the look counts", { params: idParam }, snapshotView),
    async (c) => {
      const { snapshot, machine } = await lookNow(c.env, c.req.valid("param").id);
      const { at, status, reason, signal, latency_ms, details, error } = snapshot;
      return c.json(
        {
          at: iso(at),
          status,
          reason,
          ...(signal ? { signal } : {}),
          latency_ms,
          details: details as Record<string, unknown>,
          error,
          phase: machine.phase,
          incident_id: machine.incident?.id ?? null,
        },
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/targets/{id}/rehearse",
      "Rehearses a fault: made-up bad looks, marked in every row and notice",
      { params: idParam },
      z.object({ started: z.boolean(), next_look_at: z.string().nullable() }),
      202,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      await rehearse(c.env, runtime(c), id, by(c));
      const state = await readState(c.env.DB, id);
      return c.json({ started: true, next_look_at: iso(state?.machine.next_look_at) }, 202);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/targets/{id}/mute",
      "Sends this target's notices to the inbox only, for `minutes` (0 = unmute)",
      { params: idParam, body: json(z.strictObject({ minutes: z.number().int().min(0).max(10_080) })) },
      z.object({ muted_until: z.string().nullable() }),
    ),
    async (c) => {
      const { minutes } = c.req.valid("json");
      const until = minutes === 0 ? null : runtime(c).clock.now() + minutes * 60_000;
      await muteTarget(c.env, runtime(c), c.req.valid("param").id, until, by(c));
      return c.json({ muted_until: iso(until) }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/targets/{id}/samples",
      "Looks, or hourly or daily rollups, of a span (default: the last 24 h)",
      {
        params: idParam,
        query: z.object({ from: z.iso.datetime().optional(), to: z.iso.datetime().optional() }),
      },
      z.object({
        grain: z.enum(["raw", "hour", "day"]),
        items: z.array(z.union([sampleView, z.record(z.string(), z.unknown())])),
      }),
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      const q = c.req.valid("query");
      const target = await readTarget(c.env.DB, id);
      if (!target) throw notFound("target", id);
      const to = q.to ? Date.parse(q.to) : runtime(c).clock.now();
      const from = q.from ? Date.parse(q.from) : to - 86_400_000;
      const series = await targetSeries(c.env.DB, target.num, from, to);
      return c.json(seriesView(series), 200);
    },
  );

function seriesView(series: Series): { grain: Series["grain"]; items: Record<string, unknown>[] } {
  return {
    grain: series.grain,
    items: series.points.map((p) => ({ ...p, at: iso(p.at) }) as Record<string, unknown>),
  };
}
