import * as z from "zod";
import { iso } from "../../../kernel/clock";
import { notFound } from "../../../kernel/errors";
import { latestInvestigation, readFixViews } from "../../../reason";
import { type IncidentView, incidentTimeline, readIncident, readIncidents } from "../../../watch";
import { ackIncident, snoozeIncident } from "../../acts";
import { apiApp, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";
import { fixSchema } from "./autofix.route";

const incidentView = z
  .object({
    id: z.string(),
    target_id: z.string(),
    target_name: z.string(),
    kind: z.string(),
    category: z.string(),
    signal: z.string().nullable(),
    severity: z.enum(["critical", "warning", "info"]),
    state: z.enum(["open", "acked", "resolved"]),
    title: z.string(),
    detail: z.string(),
    rehearsal: z.boolean(),
    flapping: z.boolean(),
    flaps: z.number(),
    first_bad_at: z.string(),
    opened_at: z.string(),
    confirmed_by: z.string(),
    acked_at: z.string().nullable(),
    acked_by: z.string().nullable(),
    snooze_until: z.string().nullable(),
    resolved_at: z.string().nullable(),
    resolution: z.string().nullable(),
    downtime_ms: z.number().nullable(),
    investigations: z.number(),
    cost_usd: z.number(),
    version: z.number(),
  })
  .meta({ id: "Incident" });

const timelineRow = z.object({
  at: z.string(),
  kind: z.string(),
  sentence: z.string(),
  source: z.string(),
  evidence_id: z.string().optional(),
  details: z.unknown(),
});

const investigationView = z
  .object({
    wake_id: z.string(),
    incident_id: z.string(),
    at: z.string(),
    result: z
      .object({
        summary: z.string(),
        evidence: z.array(z.string()),
        confidence: z.number(),
        likely_cause: z.string(),
        next_step: z.string(),
        proposed_action: z.object({ action: z.string(), target_id: z.string(), reason: z.string() }).nullish(),
      })
      .nullable(),
    error: z.string().nullable(),
    evidence: z.array(
      z.object({
        id: z.string(),
        at: z.string().nullable(),
        kind: z.string(),
        text: z.string(),
        ref: z.string().optional(),
      }),
    ),
    dropped: z.number(),
    guess: z.boolean(),
    model: z.string().nullable(),
    usd: z.number().nullable(),
    ms: z.number(),
    prompt_hash: z.string().nullable(),
    identity_hash: z.string().nullable(),
  })
  .meta({ id: "Investigation" });

const detailView = incidentView
  .extend({
    first_snapshot: z.unknown(),
    last_snapshot: z.unknown(),
    timeline: z.array(timelineRow),
    investigation: investigationView.nullable(),
    fixes: z.array(fixSchema),
  })
  .meta({ id: "IncidentDetail" });

/** The list leaves the snapshots to the one-incident call. */
const brief = ({ first_snapshot: _f, last_snapshot: _l, ...rest }: IncidentView): z.infer<typeof incidentView> => rest;

/** Who acted, when a tool acts for a person. */
const by = z.string().min(1).max(80).optional();

const actView = z.object({ changed: z.boolean(), incident: incidentView });

export const incidentRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/incidents",
      "Lists incidents, newest first",
      {
        query: pageQuery.extend({
          state: z.enum(["open", "acked", "resolved"]).optional(),
          target_id: z.string().max(100).optional(),
        }),
      },
      listOf(incidentView),
    ),
    async (c) => {
      const { limit, cursor, state, target_id } = c.req.valid("query");
      const items = await readIncidents(c.env.DB, { state, target_id, before: cursor, limit });
      return c.json(
        { items: items.map(brief), next_cursor: items.length === limit ? (items.at(-1)?.id ?? null) : null },
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/incidents/{id}",
      "One incident with its timeline (every joined row in order) and its newest investigation",
      { params: idParam },
      detailView,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      const incident = await readIncident(c.env.DB, id);
      if (!incident) throw notFound("incident", id);
      const rows = await incidentTimeline(c.env.DB, id);
      const timeline = rows.map((r) => ({ ...r, at: iso(r.at) }));
      const found = await latestInvestigation(c.env.DB, id);
      const investigation = found && { ...found, evidence: found.evidence.map((e) => ({ ...e, at: iso(e.at) })) };
      const fixes = await readFixViews(c.env.DB, { incident_id: id, limit: 20 });
      return c.json({ ...incident, timeline, investigation, fixes }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/incidents/{id}/ack",
      "Acknowledges an open incident (`on: false` takes it back)",
      { params: idParam, body: json(z.strictObject({ on: z.boolean().default(true), by }), false) },
      actView,
    ),
    async (c) => {
      const body = c.req.valid("json");
      const result = await ackIncident(
        c.env,
        runtime(c),
        c.req.valid("param").id,
        body?.by ?? c.get("by"),
        body?.on ?? true,
      );
      return c.json({ changed: result.changed, incident: brief(result.incident) }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/incidents/{id}/snooze",
      "Silences an open incident for `minutes` (default 60; 0 ends the snooze)",
      {
        params: idParam,
        body: json(z.strictObject({ minutes: z.number().int().min(0).max(10_080).default(60), by }), false),
      },
      actView,
    ),
    async (c) => {
      const body = c.req.valid("json");
      const minutes = body?.minutes ?? 60;
      const until = minutes === 0 ? null : runtime(c).clock.now() + minutes * 60_000;
      const result = await snoozeIncident(c.env, runtime(c), c.req.valid("param").id, until, body?.by ?? c.get("by"));
      return c.json({ changed: result.changed, incident: brief(result.incident) }, 200);
    },
  );
