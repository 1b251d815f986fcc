import * as z from "zod";
import { iso } from "../../../kernel/clock";
import { readAgents } from "../../../relay";
import { apiApp, listOf, operatorRoute, pageQuery } from "../../kit";

const agentView = z
  .object({
    address: z.string(),
    alias: z.string().nullable(),
    shape: z.enum(["host", "legacy"]),
    online: z.boolean(),
    summary: z.string(),
    endpoints: z.array(z.string()),
    relay: z.string().nullable(),
    profile: z.record(z.string(), z.unknown()).nullable(),
    first_seen: z.string(),
    announced_at: z.string(),
    last_seen: z.string(),
  })
  .meta({ id: "Agent" });

/** Agents that announced themselves at the relay. */
export const agentRoutes = apiApp().openapi(
  operatorRoute(
    "get",
    "/agents",
    "Lists agents behind the relay, online ones first",
    { query: pageQuery },
    listOf(agentView),
  ),
  async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const { items, next } = await readAgents(c.env.DB, { limit, after: cursor });
    return c.json(
      {
        items: items.map((a) => ({
          ...a,
          alias: typeof a.profile?.["alias"] === "string" ? a.profile["alias"] : null,
          first_seen: iso(a.first_seen),
          announced_at: iso(a.announced_at),
          last_seen: iso(a.last_seen),
        })),
        next_cursor: next,
      },
      200,
    );
  },
);
