import * as z from "zod";
import { iso } from "../../../kernel/clock";
import { listSessions, type SessionView, STALE_AFTER } from "../../../session";
import { apiApp, listOf, operatorRoute, pageQuery, runtime } from "../../kit";
import { actOnSession, readSession } from "../../sessions";

const moment = z.string().nullable();
const STATUSES = ["running", "waiting_approval", "done", "failed", "interrupted"] as const;

const listed = z
  .object({
    session_id: z.string(),
    owner: z.string().nullable(),
    agent: z.string(),
    status: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: "SessionRow" });

const sessionView = z
  .object({
    session_id: z.string(),
    owner: z.string().nullable(),
    agent: z.string().nullable(),
    built_in: z.boolean(),
    status: z.string(),
    mode: z.string().nullable(),
    created_at: z.string(),
    expires_at: moment,
    runs: z.array(
      z.object({
        id: z.string(),
        status: z.string(),
        created_at: z.string(),
        finished_at: moment,
        inputs: z.number(),
        result_bytes: z.number().nullable(),
        error: z.string().nullable(),
        waits_for: z.string().nullable(),
      }),
    ),
    lines: z.array(
      z.object({
        id: z.string(),
        from: z.string().nullable(),
        lent: z.boolean(),
        stale: z.boolean(),
        opened_at: moment,
        heard_at: moment,
      }),
    ),
    log: z.object({
      first: z.number(),
      last: z.number(),
      tail: z.array(z.object({ seq: z.number(), type: z.string(), at: moment, text: z.string() })),
    }),
  })
  .meta({ id: "Session" });

const at = (ms: number | null): string | null => (ms === null ? null : iso(ms));

function shown(s: SessionView, wall: number): z.infer<typeof sessionView> {
  const { created, expires, runs, lines, log, ...rest } = s;
  return {
    ...rest,
    created_at: iso(created),
    expires_at: at(expires),
    runs: runs.map(({ created, finished, ...r }) => ({ ...r, created_at: iso(created), finished_at: at(finished) })),
    lines: lines.map(({ opened_at, heard_at, ...l }) => ({
      ...l,
      stale: heard_at === null || wall - heard_at > STALE_AFTER,
      opened_at: at(opened_at),
      heard_at: at(heard_at),
    })),
    log: { ...log, tail: log.tail.map((e) => ({ ...e, at: at(e.at) })) },
  };
}

const sessionParam = z.object({ id: z.string().min(1).max(200) });
const lineParam = sessionParam.extend({ line: z.string().min(1).max(200) });
const said = z.object({ message: z.string() });

/** Sessions with the built-in agent and with agents behind the relay. */
export const sessionApiRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/sessions",
      "Lists sessions, newest change first",
      {
        query: pageQuery.extend({
          cursor: z.string().max(250).optional(),
          status: z.enum(STATUSES).optional(),
          owner: z.string().max(100).optional(),
        }),
      },
      listOf(listed),
    ),
    async (c) => {
      const { limit, cursor, status, owner } = c.req.valid("query");
      const { items, next } = await listSessions(c.env.DB, { limit, after: cursor, status, owner });
      const rows = items.map(({ id, updated, ...r }) => ({ session_id: id, ...r, updated_at: iso(updated) }));
      return c.json({ items: rows, next_cursor: next }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/sessions/{id}",
      "One session: runs, lines, the end of its event log",
      { params: sessionParam },
      sessionView,
    ),
    async (c) => {
      const rt = runtime(c);
      return c.json(shown(await readSession(c.env, rt, c.req.valid("param").id), rt.clock.wall()), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/sessions/{id}/cancel",
      "Ends the run that goes on as interrupted",
      { params: sessionParam },
      said,
    ),
    async (c) =>
      c.json(await actOnSession(c.env, runtime(c), c.req.valid("param").id, { act: "cancel" }, c.get("by")), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/sessions/{id}/forget",
      "Deletes results, event log and conversation",
      { params: sessionParam },
      said,
    ),
    async (c) =>
      c.json(await actOnSession(c.env, runtime(c), c.req.valid("param").id, { act: "forget" }, c.get("by")), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/sessions/{id}/lines/{line}/close",
      "Closes one line (4411); its client may come back",
      { params: lineParam },
      said,
    ),
    async (c) => {
      const { id, line } = c.req.valid("param");
      return c.json(await actOnSession(c.env, runtime(c), id, { act: "close", line }, c.get("by")), 200);
    },
  );
