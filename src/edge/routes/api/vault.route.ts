import * as z from "zod";
import { gatewayObject } from "../../../../durable-objects/gateway.stub";
import { sessionObject } from "../../../../durable-objects/session.stub";
import { chatSessionName, INSTANCE, tenantOf } from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { PLATFORMS, type PlatformName } from "../../../platform";
import { manageDeps } from "../../connector";
import { apiApp, operatorRoute } from "../../kit";

/** `/api/v1/vault`: which credentials the chats of an instance hold. Kind, age and uses; no path reads a value. */

/** Chats asked for one answer. */
const CHATS = 25;

const heldView = z
  .object({
    platform: z.string(),
    chat_id: z.string(),
    id: z.string(),
    kind: z.string(),
    state: z.enum(["live", "spent", "expired", "replaced"]),
    sealed_at: z.string(),
    expires_at: z.string(),
    /** null: as often as it lives. */
    uses_left: z.number().nullable(),
    wielded: z.number(),
  })
  .meta({ id: "HeldCapability" });

const query = z.object({
  tenant: z.string().max(64).optional(),
  instance: z.string().regex(INSTANCE),
  platform: z.enum(PLATFORMS).optional(),
  chat: z.string().max(256).optional(),
});

export const vaultRoutes = apiApp().openapi(
  operatorRoute(
    "get",
    "/vault",
    "Lists credentials that came with events of an instance's chats: kind, age and uses, never a value",
    { query },
    z.object({ items: z.array(heldView), more_chats: z.number() }),
  ),
  async (c) => {
    const { tenant, instance, platform, chat } = c.req.valid("query");
    const to = { tenant: (await tenantOf(manageDeps(c, c.get("by")), tenant)).id, instance };
    const all = await gatewayObject(c.env.GATEWAY, to).vaulted();
    const chats = all.filter((v) => (!platform || v.platform === platform) && (!chat || v.chat === chat));
    const found = await Promise.all(
      chats.slice(0, CHATS).map(async ({ platform: p, chat: chat_id }) => {
        const rows = await sessionObject(c.env.SESSION, chatSessionName(to, p as PlatformName, chat_id)).vault();
        return rows.map((r) => ({
          ...r,
          platform: p,
          chat_id,
          sealed_at: iso(r.sealed_at),
          expires_at: iso(r.expires_at),
        }));
      }),
    );
    return c.json({ items: found.flat(), more_chats: Math.max(0, chats.length - CHATS) }, 200);
  },
);
