import * as z from "zod";
import { iso } from "../../../kernel/clock";
import { PLATFORMS } from "../../../platform";
import { apiApp, json, listOf, operatorRoute, runtime } from "../../kit";
import { checkPlatform, connectPlatform, FIRST_APP, listPlatforms, type PlatformView } from "../../setup";

/** `/api/v1/platforms`: what of the chat platforms is set up, and what is missing. */

const platformView = z
  .object({
    platform: z.string(),
    app: z.string(),
    state: z.enum(["ok", "unset", "refused", "unreachable", "unchecked"]),
    bot_id: z.string().nullable(),
    username: z.string().nullable(),
    checks: z.array(z.object({ check: z.string(), ok: z.boolean(), detail: z.string() })),
    checked_at: z.string().nullable(),
    webhooks: z.array(z.string()),
    missing: z.array(z.string()),
  })
  .meta({ id: "Platform" });

const shown = (p: PlatformView) => ({ ...p, checked_at: iso(p.checked_at) });
const params = z.object({ platform: z.enum(PLATFORMS) });
const body = json(z.strictObject({ app: z.string().max(64).default(FIRST_APP) }), false);

export const platformRoutes = apiApp()
  .openapi(
    operatorRoute("get", "/platforms", "Lists the chat platforms as they were last checked", {}, listOf(platformView)),
    async (c) => {
      const items = await listPlatforms(c.env.DB, runtime(c));
      return c.json({ items: items.map(shown), next_cursor: null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/platforms/{platform}/check",
      "Asks a platform whether we are set up there",
      { params, body },
      platformView,
    ),
    async (c) => {
      const app = (c.req.valid("json") as { app?: string } | undefined)?.app ?? FIRST_APP;
      return c.json(shown(await checkPlatform(c.env.DB, runtime(c), c.req.valid("param").platform, app)), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/platforms/{platform}/connect",
      "Tells Telegram its webhook, or Discord its first commands, then checks",
      { params, body },
      z.object({ done: z.string(), platform: platformView }),
    ),
    async (c) => {
      const app = (c.req.valid("json") as { app?: string } | undefined)?.app ?? FIRST_APP;
      const made = await connectPlatform(c.env.DB, runtime(c), c.req.valid("param").platform, app, c.get("by"));
      return c.json({ done: made.done, platform: shown(made.platform) }, 200);
    },
  );
