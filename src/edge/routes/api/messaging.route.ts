import * as z from "zod";
import { iso, SECOND } from "../../../kernel/clock";
import {
  listMsgAgents,
  listWorkspaces,
  type MsgAgent,
  newAgentSchema,
  PROFILES,
  wakeSchema,
  workspaceId,
} from "../../../messaging";
import { apiApp, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";
import { activateAgent, createAgent, mustReadAgent, rotateAgent, wakeAgentAt } from "../../messaging-acts";

/** `/api/v1/messaging/*`: agents of the embedded messaging. Keys are told once. */

const agentView = z
  .object({
    id: z.string(),
    workspace: z.string(),
    name: z.string(),
    owner: z.string(),
    type: z.string(),
    tool_profile: z.enum(PROFILES),
    active: z.boolean(),
    wake: z.object({ url: z.string(), auth: z.enum(["hmac", "bearer"]) }).nullable(),
    old_key_until: z.string().nullable(),
    created_at: z.string(),
    last_seen: z.string().nullable(),
  })
  .meta({ id: "MessagingAgent" });
const toldView = agentView
  .extend({ key: z.string().nullable(), wake_secret: z.string().nullable() })
  .meta({ id: "MessagingAgentWithKey" });

const view = (a: MsgAgent): z.infer<typeof agentView> => ({
  id: a.id,
  workspace: a.workspace,
  name: a.name,
  owner: a.owner,
  type: a.type,
  tool_profile: a.tool_profile,
  active: a.active === 1,
  wake: a.wake_url === null ? null : { url: a.wake_url, auth: a.wake_auth },
  old_key_until: iso(a.old_key_until),
  created_at: iso(a.created_at),
  last_seen: iso(a.last_seen),
});

const grace = z.strictObject({
  grace_s: z
    .int()
    .min(0)
    .max(7 * 86_400)
    .default(3_600),
});

export const messagingRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/messaging/workspaces",
      "Lists workspaces: where agents send each other messages",
      {},
      listOf(z.object({ id: z.string(), agents: z.number(), active: z.number() })),
    ),
    async (c) => c.json({ items: await listWorkspaces(c.env.DB), next_cursor: null }, 200),
  )
  .openapi(
    operatorRoute(
      "get",
      "/messaging/agents",
      "Lists agents of the embedded messaging",
      { query: pageQuery.extend({ workspace: workspaceId.optional() }) },
      listOf(agentView),
    ),
    async (c) => {
      const { limit, cursor, workspace } = c.req.valid("query");
      const found = await listMsgAgents(c.env.DB, { workspace, after: cursor, limit: limit + 1 });
      const items = found.slice(0, limit);
      return c.json({ items: items.map(view), next_cursor: found.length > limit ? items.at(-1)!.id : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/messaging/agents",
      "Makes an agent; its key, and the wake secret made for it, are told this once",
      { body: json(newAgentSchema) },
      toldView,
      201,
    ),
    async (c) => {
      const { agent, ...secrets } = await createAgent(c.env, runtime(c), c.req.valid("json"), c.get("by"));
      return c.json({ ...view(agent), ...secrets }, 201);
    },
  )
  .openapi(operatorRoute("get", "/messaging/agents/{id}", "One agent", { params: idParam }, agentView), async (c) =>
    c.json(view(await mustReadAgent(c.env.DB, c.req.valid("param").id)), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/messaging/agents/{id}/rotate",
      "A new key, told this once; the one before lets in for grace_s seconds more (default 3600)",
      { params: idParam, body: json(grace, false) },
      toldView,
    ),
    async (c) => {
      const ms = (c.req.valid("json")?.grace_s ?? 3_600) * SECOND;
      const { agent, ...told } = await rotateAgent(c.env, runtime(c), c.req.valid("param").id, ms, c.get("by"));
      return c.json({ ...view(agent), ...told }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "put",
      "/messaging/agents/{id}/wake",
      "Where the agent is woken; null = nowhere, it reads its inbox",
      { params: idParam, body: json(z.strictObject({ wake: wakeSchema.nullable() })) },
      toldView,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      const { agent, ...told } = await wakeAgentAt(c.env, runtime(c), id, c.req.valid("json").wake, c.get("by"));
      return c.json({ ...view(agent), ...told }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/messaging/agents/{id}/deactivate",
      "Refuses every key of the agent from the next call on",
      { params: idParam },
      agentView,
    ),
    async (c) => c.json(view(await activateAgent(c.env, runtime(c), c.req.valid("param").id, false, c.get("by"))), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/messaging/agents/{id}/activate",
      "Lets a deactivated agent in again, with its last key",
      { params: idParam },
      agentView,
    ),
    async (c) => c.json(view(await activateAgent(c.env, runtime(c), c.req.valid("param").id, true, c.get("by"))), 200),
  );
