import * as z from "zod";
import { switchboard } from "../../../../durable-objects/switchboard.do";
import { iso } from "../../../kernel/clock";
import { VENDORS } from "../../../kernel/config";
import { createLoginCode } from "../../../operator";
import { type Switches, switchPatch } from "../../../watch";
import { changeSwitches } from "../../acts";
import { fitness } from "../../fitness";
import { apiApp, json, listOf, operatorRoute, runtime } from "../../kit";

const switchesView = z
  .object({
    paused: z.boolean(),
    killed: z.boolean(),
    muted_until: z.string().nullable(),
    envelopes: z.record(z.string(), z.object({ enabled: z.boolean().optional(), mode: z.string().optional() })),
    changes: z.record(z.string(), z.object({ at: z.string(), by: z.string() })),
    unreadable: z.boolean(),
  })
  .meta({ id: "Switchboard" });

const view = (s: Switches & { unreadable?: true }): z.infer<typeof switchesView> => ({
  paused: s.paused,
  killed: s.killed,
  muted_until: iso(s.muted_until),
  envelopes: s.envelopes,
  changes: Object.fromEntries(Object.entries(s.changes).map(([k, v]) => [k, { at: iso(v.at), by: v.by }])),
  unreadable: s.unreadable === true,
});

const listenerView = z
  .object({
    name: z.string(),
    state: z.enum(["ok", "late", "failing", "never_ran", "not_installed"]),
    down: z.boolean(),
    fatal: z.boolean(),
    home: z.string(),
    interval_s: z.number().nullable(),
    what: z.string(),
    last_run_at: z.string().nullable(),
    last_ok_at: z.string().nullable(),
    due_at: z.string().nullable(),
    consecutive_errors: z.number(),
    last_error: z.string().nullable(),
    note: z.string().nullable(),
  })
  .meta({ id: "Listener" });

/** Times come as ISO texts; the switches keep milliseconds. */
const patchBody = switchPatch.extend({
  muted_until: z.iso.datetime().nullable().optional(),
  envelopes: z.partialRecord(z.enum(VENDORS), switchPatch.shape.envelopes.unwrap().valueType).optional(),
});

export const systemRoutes = apiApp()
  .openapi(operatorRoute("get", "/switchboard", "The live switches", {}, switchesView), async (c) =>
    c.json(view(await switchboard(c.env.SWITCHBOARD).readOrStop()), 200),
  )
  .openapi(
    operatorRoute(
      "patch",
      "/switchboard",
      "Changes switches; every change is a config.changed row",
      { body: json(patchBody) },
      switchesView,
    ),
    async (c) => {
      const { muted_until, envelopes, ...rest } = c.req.valid("json");
      const patch = {
        ...rest,
        ...(muted_until === undefined ? {} : { muted_until: muted_until === null ? null : Date.parse(muted_until) }),
        ...(envelopes === undefined ? {} : { envelopes: envelopes as Switches["envelopes"] }),
      };
      return c.json(view(await changeSwitches(c.env, runtime(c), patch, c.get("by"))), 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/listeners",
      "Every periodic task and part, with its health",
      {},
      listOf(listenerView).extend({ overall: z.string(), ready: z.boolean() }),
    ),
    async (c) => {
      const { whole, readiness } = await fitness(c.env);
      const items = whole.listeners.map((l) => ({
        ...l,
        last_run_at: iso(l.last_run_at),
        last_ok_at: iso(l.last_ok_at),
        due_at: iso(l.due_at),
      }));
      return c.json({ items, next_cursor: null, overall: readiness.overall, ready: readiness.ready }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/login-codes",
      "A single-use code for the operator pages, good for 10 minutes",
      {},
      z.object({ code: z.string(), expires_at: z.string(), path: z.string() }),
      201,
    ),
    async (c) => {
      const { code, expires_at } = await createLoginCode(c.env.DB, runtime(c).clock.now());
      return c.json({ code, expires_at: iso(expires_at), path: `/login?code=${encodeURIComponent(code)}` }, 201);
    },
  );
