import * as z from "zod";
import { readAudit, SEAMS } from "../../../audit";
import { iso } from "../../../kernel/clock";
import { all } from "../../../kernel/d1";
import { readWakes } from "../../../watch";
import { replayDeadLetter } from "../../acts";
import { apiApp, idParam, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

const wakeView = z
  .object({
    wake_id: z.string(),
    kind: z.string(),
    event: z.string(),
    incident_id: z.string().nullable(),
    target_id: z.string().nullable(),
    stage: z.string(),
    attempts: z.number(),
    created_at: z.string(),
    claimed_at: z.string().nullable(),
    plain_noticed_at: z.string().nullable(),
    done_at: z.string().nullable(),
    folded_into: z.string().nullable(),
    dm_status: z.string().nullable(),
    reasoning_error: z.string().nullable(),
    last_error: z.string().nullable(),
    payload: z.record(z.string(), z.unknown()),
  })
  .loose()
  .meta({ id: "Wake" });

const attemptView = z.object({
  channel: z.string(),
  n: z.number(),
  state: z.string(),
  started_at: z.string(),
  finished_at: z.string().nullable(),
  external_ref: z.string().nullable(),
  error: z.string().nullable(),
});

const noticeView = z
  .object({
    id: z.string(),
    incident_id: z.string().nullable(),
    wake_id: z.string().nullable(),
    target_id: z.string().nullable(),
    event: z.string(),
    severity: z.string(),
    title: z.string(),
    body: z.string(),
    rehearsal: z.boolean(),
    dm_status: z.string().nullable(),
    created_at: z.string(),
    read_at: z.string().nullable(),
    attempts: z.array(attemptView),
  })
  .meta({ id: "Notice" });

const auditView = z
  .object({
    id: z.number(),
    emitted_at: z.string(),
    seam: z.string(),
    source: z.string().nullable(),
    session_id: z.string().nullable(),
    incident_id: z.string().nullable(),
    wake_id: z.string().nullable(),
    details: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "AuditRow" });

const deadLetterView = z
  .object({
    id: z.string(),
    kind: z.string(),
    ref: z.string().nullable(),
    reason: z.string(),
    payload: z.unknown(),
    created_at: z.string(),
    replayed_at: z.string().nullable(),
    replayed_by: z.string().nullable(),
  })
  .meta({ id: "DeadLetter" });

interface NoticeRow {
  id: string;
  incident_id: string | null;
  wake_id: string | null;
  target_id: string | null;
  event: string;
  severity: string;
  title: string;
  body: string;
  rehearsal: number;
  dm_status: string | null;
  created_at: number;
  read_at: number | null;
  attempts: string;
}

const optionalId = z.string().min(1).max(200).optional();

/** Read-only lists of what happened, and the replay of a dead letter. */
export const recordRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/wakes",
      "Lists wakes, newest first",
      { query: pageQuery.extend({ incident_id: optionalId }) },
      listOf(wakeView),
    ),
    async (c) => {
      const { limit, cursor, incident_id } = c.req.valid("query");
      const items = await readWakes(c.env.DB, { incident_id, before: cursor, limit });
      return c.json(
        {
          items: items as unknown as z.infer<typeof wakeView>[],
          next_cursor: items.length === limit ? (items.at(-1)?.wake_id ?? null) : null,
        },
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/notices",
      "Lists notices with every try of each, newest first",
      { query: pageQuery.extend({ incident_id: optionalId }) },
      listOf(noticeView),
    ),
    async (c) => {
      const { limit, cursor, incident_id } = c.req.valid("query");
      const rows = await all<NoticeRow>(
        c.env.DB.prepare(
          `SELECT n.*, (SELECT json_group_array(json_object('channel', a.channel, 'n', a.n, 'state', a.state, 'started_at', a.started_at,
               'finished_at', a.finished_at, 'external_ref', a.external_ref, 'error', a.error))
             FROM (SELECT * FROM notice_attempt WHERE notice_id = n.id ORDER BY id) a) AS attempts
           FROM notice n WHERE (?1 IS NULL OR n.incident_id = ?1) AND (?2 IS NULL OR n.id < ?2) ORDER BY n.id DESC LIMIT ?3`,
        ).bind(incident_id ?? null, cursor ?? null, limit),
      );
      const items = rows.map((r) => ({
        ...r,
        rehearsal: r.rehearsal === 1,
        created_at: iso(r.created_at),
        read_at: iso(r.read_at),
        attempts: (JSON.parse(r.attempts) as { started_at: number; finished_at: number | null }[]).map((a) => ({
          ...(a as unknown as z.infer<typeof attemptView>),
          started_at: iso(a.started_at),
          finished_at: iso(a.finished_at),
        })),
      }));
      return c.json({ items, next_cursor: items.length === limit ? (items.at(-1)?.id ?? null) : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/audit",
      "Lists audit rows, newest first",
      {
        query: pageQuery.extend({
          seam: z.enum(SEAMS).optional(),
          session_id: optionalId,
          incident_id: optionalId,
          wake_id: optionalId,
        }),
      },
      listOf(auditView),
    ),
    async (c) => {
      const { limit, cursor, ...q } = c.req.valid("query");
      const before = cursor && /^\d{1,15}$/.test(cursor) ? Number(cursor) : undefined;
      const items = await readAudit(c.env.DB, { ...q, before, limit });
      return c.json({ items, next_cursor: items.length === limit ? String(items.at(-1)?.id ?? "") : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/dead-letters",
      "Lists dead letters, newest first",
      { query: pageQuery },
      listOf(deadLetterView),
    ),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const rows = await all<{
        id: string;
        kind: string;
        ref: string | null;
        reason: string;
        payload: string;
        created_at: number;
        replayed_at: number | null;
        replayed_by: string | null;
      }>(
        c.env.DB.prepare("SELECT * FROM dead_letter WHERE (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2").bind(
          cursor ?? null,
          limit,
        ),
      );
      const items = rows.map((r) => ({
        ...r,
        payload: JSON.parse(r.payload) as unknown,
        created_at: iso(r.created_at),
        replayed_at: iso(r.replayed_at),
      }));
      return c.json({ items, next_cursor: items.length === limit ? (items.at(-1)?.id ?? null) : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/dead-letters/{id}/replay",
      "Sends a dead letter's message again, once",
      { params: idParam },
      z.object({ replayed: z.string() }),
      202,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      await replayDeadLetter(c.env, runtime(c), id, c.get("by"));
      return c.json({ replayed: id }, 202);
    },
  );
