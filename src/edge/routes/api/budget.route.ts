import * as z from "zod";
import { budgetObject } from "../../../../durable-objects/budget.do";
import { iso } from "../../../kernel/clock";
import { monthStart, project, readCalls, readDays } from "../../../reason";
import { apiApp, operatorRoute, runtime } from "../../kit";

const routeView = z.object({
  route: z.string(),
  day_usd: z.number(),
  day_calls: z.number(),
  month_usd: z.number(),
  month_calls: z.number(),
  /** Most it may cost within 24 h. */
  cap_usd: z.number().nullable(),
});

const callView = z
  .object({
    call_id: z.string(),
    at: z.string(),
    route: z.string(),
    provider: z.string(),
    model: z.string(),
    input_tokens: z.number(),
    output_tokens: z.number(),
    cache_write_tokens: z.number(),
    cache_read_tokens: z.number(),
    usd: z.number().nullable(),
    ms: z.number(),
    error: z.string().nullable(),
    escalated: z.string().nullable(),
    incident_id: z.string().nullable(),
    wake_id: z.string().nullable(),
  })
  .meta({ id: "Call" });

const budgetView = z
  .object({
    month: z.string(),
    resets_at: z.string(),
    pool_usd: z.number(),
    spent_usd: z.number(),
    reserved_usd: z.number(),
    left_usd: z.number(),
    /** Spent share of the pool; 1 once a call was refused because too little is left. */
    share: z.number(),
    rung: z.enum(["normal", "warn_75", "downshift_90", "hard_stop_100"]),
    calls: z.number(),
    /** null in the month's first 24 h. */
    projection: z.object({ month_usd: z.number(), empty_at: z.string().nullable() }).nullable(),
    by_route: z.array(routeView),
    days: z.array(z.object({ day: z.string(), route: z.string(), usd: z.number(), calls: z.number() })),
    last_calls: z.array(callView),
  })
  .meta({ id: "Budget" });

export const budgetRoutes = apiApp().openapi(
  operatorRoute(
    "get",
    "/budget",
    "The month's reasoning budget: spent, reserved, left, by route, day and call",
    {},
    budgetView,
  ),
  async (c) => {
    const now = runtime(c).clock.now();
    const [state, days, calls] = await Promise.all([
      budgetObject(c.env.BUDGET).state(now),
      readDays(c.env.DB, monthStart(now)),
      readCalls(c.env.DB, 50),
    ]);
    const projection = project(state);
    return c.json(
      {
        month: state.month,
        resets_at: iso(state.resets_at),
        pool_usd: state.pool,
        spent_usd: state.spent,
        reserved_usd: state.reserved,
        left_usd: state.left,
        share: state.share,
        rung: state.rung,
        calls: state.calls,
        projection: projection && { month_usd: projection.month_usd, empty_at: iso(projection.empty_at) },
        by_route: Object.entries(state.by_route).map(([route, r]) => ({
          route,
          day_usd: r.day.usd,
          day_calls: r.day.calls,
          month_usd: r.month.usd,
          month_calls: r.month.calls,
          cap_usd: r.cap_usd,
        })),
        days: days.map((d) => ({ ...d, day: new Date(d.day).toISOString().slice(0, 10) })),
        last_calls: calls.map((call) => ({ ...call, at: iso(call.at) })),
      },
      200,
    );
  },
);
