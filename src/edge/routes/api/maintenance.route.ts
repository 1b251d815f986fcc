import * as z from "zod";
import { auditStatement } from "../../../audit";
import { iso } from "../../../kernel/clock";
import {
  createWindow,
  endWindow,
  extendWindow,
  listWindows,
  type MaintenanceWindow,
  nextOccurrences,
  windowInput,
} from "../../../watch";
import { apiApp, type Ctx, idParam, json, listOf, operatorRoute, runtime } from "../../kit";

const windowView = z
  .object({
    id: z.string(),
    targets: z.array(z.string()),
    starts_at: z.string().nullable(),
    ends_at: z.string().nullable(),
    cron: z.string().nullable(),
    duration_s: z.number().nullable(),
    zone: z.string(),
    reason: z.string(),
    created_by: z.string(),
    created_at: z.string(),
    ended_at: z.string().nullable(),
    next: z.array(z.object({ starts_at: z.string(), ends_at: z.string() })),
  })
  .meta({ id: "MaintenanceWindow" });

const view = (w: MaintenanceWindow, now: number): z.infer<typeof windowView> => ({
  ...w,
  starts_at: iso(w.starts_at),
  ends_at: iso(w.ends_at),
  created_at: iso(w.created_at),
  ended_at: iso(w.ended_at),
  next: nextOccurrences(w, now, 3).map((o) => ({ starts_at: iso(o.starts_at), ends_at: iso(o.ends_at) })),
});

const note = (c: Ctx, change: string, id: string): Promise<unknown> =>
  auditStatement(c.env.DB, {
    at: runtime(c).clock.now(),
    seam: "config.changed",
    source: "operator",
    details: { by: c.get("by"), change, maintenance: id },
  }).run();

/** Planned silence: one-off windows and cron windows. */
export const maintenanceRoutes = apiApp()
  .openapi(operatorRoute("get", "/maintenance", "Lists maintenance windows", {}, listOf(windowView)), async (c) => {
    const now = runtime(c).clock.now();
    return c.json({ items: (await listWindows(c.env.DB)).map((w) => view(w, now)), next_cursor: null }, 200);
  })
  .openapi(
    operatorRoute(
      "post",
      "/maintenance",
      "Plans a window: starts_at and ends_at, or cron and duration",
      { body: json(windowInput) },
      windowView,
      201,
    ),
    async (c) => {
      const now = runtime(c).clock.now();
      const made = await createWindow(c.env.DB, c.req.valid("json"), c.get("by"), now);
      await note(c, "maintenance planned", made.id);
      return c.json(view(made, now), 201);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/maintenance/{id}/end",
      "Ends a window now; a recurring one never comes again",
      { params: idParam },
      windowView,
    ),
    async (c) => {
      const now = runtime(c).clock.now();
      const ended = await endWindow(c.env.DB, c.req.valid("param").id, now);
      await note(c, "maintenance ended", ended.id);
      return c.json(view(ended, now), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/maintenance/{id}/extend",
      "Adds 30 minutes to a window that is under way",
      { params: idParam },
      windowView,
    ),
    async (c) => {
      const now = runtime(c).clock.now();
      const extended = await extendWindow(c.env.DB, c.req.valid("param").id, c.get("by"), now);
      await note(c, "maintenance extended", extended.id);
      return c.json(view(extended, now), 200);
    },
  );
