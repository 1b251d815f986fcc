import * as z from "zod";
import { iso } from "../../../kernel/clock";
import { notFound } from "../../../kernel/errors";
import { type Answer, type AskRow, MAX_QUESTION, readAsk, readAsks } from "../../../reason";
import { askQuestion } from "../../asks";
import { apiApp, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

const cite = z.object({ kind: z.string(), id: z.string(), label: z.string(), path: z.string() });

const askView = z
  .object({
    id: z.string(),
    source: z.string(),
    question: z.string(),
    state: z.enum(["new", "claimed", "answered", "failed"]),
    created_at: z.string(),
    answered_at: z.string().nullable(),
    sent_at: z.string().nullable(),
    send_error: z.string().nullable(),
    answer: z
      .object({
        text: z.string(),
        engine: z.string(),
        intent: z.string().nullable(),
        cites: z.array(cite),
        as_of: z.string(),
        guess: z.boolean(),
        dropped: z.number(),
        reasoning_error: z.string().nullable(),
        usd: z.number().nullable(),
        ms: z.number(),
      })
      .nullable(),
  })
  .meta({ id: "Ask" });

const view = (r: AskRow): z.infer<typeof askView> => {
  const answer = r.answer === null ? null : (JSON.parse(r.answer) as Answer);
  return {
    id: r.id,
    source: r.source,
    question: r.question,
    state: r.state,
    created_at: iso(r.created_at),
    answered_at: iso(r.answered_at),
    sent_at: iso(r.sent_at),
    send_error: r.send_error,
    answer: answer && { ...answer, as_of: iso(answer.as_of) },
  };
};

export const askRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/asks",
      "Questions to the built-in agent, newest first",
      { query: pageQuery },
      listOf(askView),
    ),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const rows = await readAsks(c.env.DB, limit, cursor);
      return c.json(
        { items: rows.map(view), next_cursor: rows.length === limit ? (rows.at(-1)?.id ?? null) : null },
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/asks",
      "Asks the built-in agent; the answer is read from GET /asks/{id}",
      { body: json(z.strictObject({ question: z.string().min(1).max(MAX_QUESTION) })) },
      z.object({ id: z.string() }),
      202,
    ),
    async (c) => {
      const { question } = c.req.valid("json");
      return c.json({ id: await askQuestion(c.env, runtime(c), "api", question, c.get("by")) }, 202);
    },
  )
  .openapi(
    operatorRoute("get", "/asks/{id}", "One question with its answer", { params: idParam }, askView),
    async (c) => {
      const { id } = c.req.valid("param");
      const row = await readAsk(c.env.DB, id);
      if (!row) throw notFound("ask", id);
      return c.json(view(row), 200);
    },
  );
