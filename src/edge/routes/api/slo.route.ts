import * as z from "zod";
import { DAY, iso } from "../../../kernel/clock";
import { sloKeyName } from "../../../kernel/config.slo";
import { type Direction, type DirectionRow, type ProbeRow, readDirections, readProbes } from "../../../slo";
import { apiApp, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";
import { setDirection, switchDirection } from "../../slo-acts";
import { COMPAT, compatRow, csvLine, sloView } from "../../slo-view";

/** `/api/v1/slo`: how well agents wake each other, and who probes whom. Keys go in and never come out. */

const code = z.enum(["C2L", "L2C"]);
const codeParam = z.object({ code });
const agent = z.string().trim().min(1).max(200);
const ms = z.number().nullable();

const level = z.object({
  p50_ms: ms,
  p95_ms: ms,
  p99_ms: ms,
  objective_ms: ms,
  met: z.boolean().nullable(),
  n: z.number(),
});
const summary = z.object({
  n: z.number(),
  failed: z.number(),
  excluded: z.number(),
  success: ms,
  target: z.number(),
  met: z.boolean().nullable(),
  few: z.boolean(),
  classes: z.record(z.string(), z.number()),
  budget: z.number(),
  budget_remaining: ms,
  burn: ms,
  levels: z.object({ l1: level, l2: level, l3: level, l4: level }),
});
const directionView = z
  .object({
    code,
    from_agent: z.string(),
    to_agent: z.string(),
    peer_kind: z.enum(["qoopia", "embedded"]),
    peer_url: z.string().nullable(),
    key: z.enum(["sealed", "binding"]).nullable(),
    key_ref: z.string().nullable(),
    pong: z.enum(["hook", "inbox"]),
    every_s: z.number(),
    offset_s: z.number(),
    paused: z.boolean(),
    updated_at: z.string(),
  })
  .meta({ id: "SloDirection" });
const probeView = z
  .object({
    id: z.string(),
    direction: code,
    started_at: z.string(),
    status: z.enum(["running", "ok", "failed"]),
    error_class: z.string().nullable(),
    level: z.number(),
    l1_ms: ms,
    l2_ms: ms,
    l3_ms: ms,
    l4_ms: ms,
    l2_known: z.boolean(),
    wake_attempted: z.boolean(),
    wake_ok: z.boolean(),
    session_id: z.string().nullable(),
    message_id: z.string().nullable(),
    peer_kind: z.string(),
    responder_status: z.string().nullable(),
    finished_at: z.string().nullable(),
  })
  .meta({ id: "SloProbe" });
const sloItem = directionView.extend({
  coverage: ms,
  windows: z.object({ "6h": summary, "24h": summary, "28d": summary }),
  breaches: z.array(z.object({ reason: z.string(), severity: z.string(), text: z.string() })),
  last_probe: probeView.nullable(),
});

const view = (d: DirectionRow): z.infer<typeof directionView> => ({
  ...{ code: d.code, from_agent: d.from_agent, to_agent: d.to_agent, peer_kind: d.peer_kind },
  peer_url: d.peer_url === "" ? null : d.peer_url,
  key: d.key_ref !== null ? "binding" : d.sealed_key !== null ? "sealed" : null,
  ...{ key_ref: d.key_ref, pong: d.pong, every_s: d.every_s, offset_s: d.offset_s, paused: d.paused === 1 },
  updated_at: iso(d.updated_at),
});

const probe = ({
  started_at_ms,
  finished_at_ms,
  topic: _,
  attempts: _a,
  ...r
}: ProbeRow): z.infer<typeof probeView> => ({
  ...r,
  started_at: iso(started_at_ms),
  finished_at: iso(finished_at_ms),
  l2_known: r.l2_known === 1,
  wake_attempted: r.wake_attempted === 1,
  wake_ok: r.wake_ok === 1,
});

const setBody = z.strictObject({
  from_agent: agent,
  to_agent: agent,
  peer_kind: z.enum(["qoopia", "embedded"]),
  /** Base of the peer's /mcp; left out: REVEILLE_SLO_PEER_URL. */
  peer_url: z.string().max(2_000).optional(),
  key: z
    .string()
    .max(1_024)
    .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces")
    .optional(),
  key_ref: z.string().refine(sloKeyName, "must be a binding WAKE_SLO_KEY__<AGENT>").nullable().optional(),
  /** hook: the prober's own hook here takes the pong. inbox: read from the inbox of an identity that nobody else uses. */
  pong: z.enum(["hook", "inbox"]).default("hook"),
  every_s: z.int().min(300).max(86_400).default(900),
  offset_s: z.int().min(0).max(86_400).optional(),
});

const probes = (db: D1Database, direction: Direction, before: number, limit: number): Promise<ProbeRow[]> =>
  readProbes(db, direction, 0, before, limit);

export const sloRoutes = apiApp()
  .openapi(operatorRoute("get", "/slo", "The wake SLO of each direction", {}, listOf(sloItem)), async (c) => {
    const found = await sloView(c.env.DB, runtime(c).clock.now());
    const items = found.map(({ row, last, failures: _, ...rest }) => ({
      ...view(row),
      ...rest,
      last_probe: last === null ? null : probe(last),
    }));
    return c.json({ items, next_cursor: null }, 200);
  })
  .openapi(
    operatorRoute(
      "get",
      "/slo/probes",
      "Probes of a direction, newest first; raw rows are kept for 35 days",
      { query: pageQuery.extend({ direction: code }) },
      listOf(probeView),
    ),
    async (c) => {
      const { direction, limit, cursor } = c.req.valid("query");
      const before = Number(cursor ?? Number.NaN);
      const found = await probes(c.env.DB, direction, Number.isFinite(before) ? before : 9e15, limit + 1);
      const items = found.slice(0, limit);
      const next = found.length > limit ? String(items.at(-1)!.started_at_ms) : null;
      return c.json({ items: items.map(probe), next_cursor: next }, 200);
    },
  )
  .openapi(operatorRoute("get", "/slo/directions", "Who probes whom", {}, listOf(directionView)), async (c) =>
    c.json({ items: (await readDirections(c.env.DB)).map(view), next_cursor: null }, 200),
  )
  .openapi(
    operatorRoute(
      "put",
      "/slo/directions/{code}",
      "Sets a direction; its schedule and its coverage begin anew",
      { params: codeParam, body: json(setBody) },
      directionView,
    ),
    async (c) =>
      c.json(
        view(await setDirection(c.env, runtime(c), c.req.valid("param").code, c.req.valid("json"), c.get("by"))),
        200,
      ),
  )
  .openapi(
    operatorRoute(
      "post",
      "/slo/directions/{code}/{act}",
      "Pauses or resumes a direction, or runs it within a minute",
      { params: z.object({ code, act: z.enum(["pause", "resume", "run"]) }) },
      directionView,
    ),
    async (c) => {
      const { code, act } = c.req.valid("param");
      return c.json(view(await switchDirection(c.env, runtime(c), code, act, c.get("by"))), 200);
    },
  );

// Rows of the last 35 days under the original's column names; no schema, because it is a file.
sloRoutes.get("/slo/export.csv", async (c) => {
  const since = runtime(c).clock.now() - 35 * DAY;
  const found = await Promise.all((["C2L", "L2C"] as const).map((d) => readProbes(c.env.DB, d, since, 9e15, 20_000)));
  const done = found.flat().filter((r) => r.status !== "running");
  done.sort((a, b) => a.started_at_ms - b.started_at_ms);
  return c.body([COMPAT, ...done.map(compatRow)].map((r) => csvLine(r)).join(""), 200, {
    "content-type": "text/csv; charset=utf-8",
    "content-disposition": 'attachment; filename="wake_slo_probes.csv"',
  });
});
