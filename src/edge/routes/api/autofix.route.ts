import * as z from "zod";
import { FIX_CODES, FIX_MODES, readFixViews } from "../../../reason";
import { answerQuestion, askForFix } from "../../fix";
import { apiApp, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

const facts = z.record(z.string(), z.unknown()).nullable();

export const fixSchema = z
  .object({
    key: z.string(),
    incident_id: z.string(),
    wake_id: z.string().nullable(),
    target_id: z.string(),
    probe: z.string(),
    action: z.string(),
    verb: z.enum(["start", "restart"]),
    app: z.string(),
    machine: z.string(),
    mode: z.enum(FIX_MODES),
    state: z.enum([
      "planned",
      "waiting",
      "approved",
      "denied",
      "expired",
      "running",
      "done",
      "failed",
      "unknown_outcome",
    ]),
    request: z.record(z.string(), z.unknown()),
    before_state: facts,
    after_state: facts,
    outcome: z.enum(["recovered", "no_change", "worse"]).nullable(),
    error: z.string().nullable(),
    reason: z.string(),
    by: z.string().nullable(),
    approval: z
      .object({
        id: z.string(),
        expires_at: z.string(),
        used_at: z.string().nullable(),
        used_by: z.string().nullable(),
        answer: z.string().nullable(),
      })
      .nullable(),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    started_at: z.string().nullable(),
    finished_at: z.string().nullable(),
  })
  .meta({ id: "Fix" });

/** Who acts, when a tool acts for a person. */
const by = z.string().min(1).max(80).optional();

const askBody = z.strictObject({
  action: z.string().min(1).max(64),
  // Its form is a gate's matter (`target_id_invalid`), so that a refusal is counted and kept.
  target_id: z.string().min(1).max(200),
  reason: z.string().max(400).default("asked for by the API"),
  by,
});

export const autofixRoutes = apiApp()
  .openapi(
    operatorRoute("get", "/autofix", "Fixes of all incidents, newest first", { query: pageQuery }, listOf(fixSchema)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const before = cursor === undefined ? Number.NaN : Date.parse(cursor);
      const items = await readFixViews(c.env.DB, { ...(Number.isNaN(before) ? {} : { before }), limit });
      return c.json({ items, next_cursor: items.length === limit ? (items.at(-1)?.created_at ?? null) : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/incidents/{id}/fix",
      `Asks for one fix; the envelope's mode decides what happens. A refusal is 409 with the code of its gate (${FIX_CODES.join(", ")})`,
      { params: idParam, body: json(askBody) },
      fixSchema,
      202,
    ),
    async (c) => {
      const { by: who, ...ask } = c.req.valid("json");
      return c.json(await askForFix(c.env, runtime(c), c.req.valid("param").id, ask, who ?? c.get("by")), 202);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/approvals/{id}",
      "Answers a fix that waits: once, within 15 minutes, wherever the first answer comes from",
      { params: idParam, body: json(z.strictObject({ answer: z.enum(["approve", "deny"]), by })) },
      fixSchema,
    ),
    async (c) => {
      const { answer, by: who } = c.req.valid("json");
      const { id } = c.req.valid("param");
      return c.json(await answerQuestion(c.env, runtime(c), id, answer, who ?? c.get("by")), 200);
    },
  );
