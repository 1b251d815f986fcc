import * as z from "zod";
import { gatewayObject } from "../../../../durable-objects/gateway.stub";
import {
  allowIdentity,
  createGateway,
  GATEWAY_ID,
  type GatewayRow,
  type GatewayView,
  INSTANCE,
  listGateways,
  readGateway,
  resealAll,
  revokeGateway,
  rotateSecret,
  secretState,
  tenantOf,
} from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { describe, notFound } from "../../../kernel/errors";
import { PLATFORMS } from "../../../platform";
import { dropOf, envLines, manageDeps } from "../../connector";
import { apiApp, type Ctx, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

/** `/api/v1/gateways`: who may dial in, with which secret, and how it is now. */

const platform = z.enum(PLATFORMS);

const liveView = z
  .object({
    state: z.enum(["on", "going idle", "asleep", "dead", "revoked"]),
    sockets: z.number(),
    waiting: z.number(),
    dead_letters: z.number(),
    last_seen: z.string().nullable(),
  })
  .meta({ id: "GatewayState" });

const gatewayView = z
  .object({
    id: z.string(),
    tenant: z.string(),
    instance: z.string(),
    identities: z.array(z.object({ platform: z.string(), bot_id: z.string() })),
    created_at: z.string(),
    revoked_at: z.string().nullable(),
    secrets: z.object({
      live: z.number(),
      retiring_at: z.string().nullable(),
      sealed_with: z.enum(["current", "old", "unknown", "none"]),
    }),
    /** Of its instance; null when its object did not answer. */
    live: liveView.nullable(),
  })
  .meta({ id: "Gateway" });

const secretView = z.object({
  gateway: gatewayView,
  secret: z.string(),
  env: z.string(),
  note: z.string(),
});

const NOTE = "The secret is shown this once. Put these lines into the environment of the gateway.";

async function liveOf(c: Ctx, row: GatewayRow): Promise<z.infer<typeof liveView> | null> {
  if (row.revoked_at !== null) return { state: "revoked", sockets: 0, waiting: 0, dead_letters: 0, last_seen: null };
  let v: GatewayView;
  try {
    v = await gatewayObject(c.env.GATEWAY, { tenant: row.tenant, instance: row.instance }).view();
  } catch (error) {
    runtime(c).log("warn", "gateway.view_failed", { gateway_id: row.id, error: describe(error) });
    return null;
  }
  const sockets = v.sockets.filter((s) => s.gateway_id === row.id).length;
  return { state: v.state, sockets, waiting: v.waiting, dead_letters: v.dead, last_seen: iso(v.last_seen) };
}

async function view(c: Ctx, row: GatewayRow): Promise<z.infer<typeof gatewayView>> {
  const { live, retiring_at, sealed_with } = await secretState({ runtime: runtime(c) }, row);
  return {
    id: row.id,
    tenant: row.tenant,
    instance: row.instance,
    identities: row.identities.map(([p, b]) => ({ platform: p, bot_id: b })),
    created_at: iso(row.created_at),
    revoked_at: iso(row.revoked_at),
    secrets: { live, retiring_at: iso(retiring_at), sealed_with },
    live: await liveOf(c, row),
  };
}

async function must(c: Ctx, id: string): Promise<GatewayRow> {
  const row = await readGateway(c.env.DB, id);
  if (!row) throw notFound("gateway", id);
  return row;
}

const identity = z.strictObject({ platform, bot_id: z.string().max(200).default("") });

const createBody = z.strictObject({
  tenant: z.string().max(64).optional(),
  id: z.string().regex(GATEWAY_ID).optional(),
  instance: z.string().regex(INSTANCE).optional(),
  name: z.string().min(1).max(100).optional(),
  identities: z.array(identity).min(1).max(32).optional(),
});

export const gatewayRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/gateways",
      "Lists gateways with how they are now",
      { query: pageQuery.extend({ tenant: z.string().optional(), instance: z.string().optional() }) },
      listOf(gatewayView),
    ),
    async (c) => {
      const { limit, cursor, tenant, instance } = c.req.valid("query");
      const rows = await listGateways(c.env.DB, { tenant, instance, after: cursor, limit: limit + 1 });
      const page = rows.slice(0, limit);
      const items = await Promise.all(page.map((row) => view(c, row)));
      return c.json({ items, next_cursor: rows.length > limit ? page.at(-1)!.id : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/gateways",
      "Makes a gateway; its secret is shown once",
      { body: json(createBody, false) },
      secretView,
      201,
    ),
    async (c) => {
      const body = (c.req.valid("json") as z.infer<typeof createBody> | undefined) ?? {};
      const deps = manageDeps(c, c.get("by"));
      const tenant = await tenantOf(deps, body.tenant);
      const identities = body.identities?.map((i): [string, string] => [i.platform, i.bot_id]);
      const made = await createGateway(deps, { ...body, tenant: tenant.id, identities });
      const { row, secret } = made;
      return c.json({ gateway: await view(c, row), secret, env: envLines(runtime(c), row, secret), note: NOTE }, 201);
    },
  )
  .openapi(operatorRoute("get", "/gateways/{id}", "One gateway", { params: gatewayParam() }, gatewayView), async (c) =>
    c.json(await view(c, await must(c, c.req.valid("param").id)), 200),
  )
  .openapi(
    operatorRoute(
      "post",
      "/gateways/{id}/rotate",
      "Makes a new secret; the one before works for 24 h more",
      { params: gatewayParam() },
      secretView,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      const { secret } = await rotateSecret(manageDeps(c, c.get("by")), id);
      const row = await must(c, id);
      return c.json({ gateway: await view(c, row), secret, env: envLines(runtime(c), row, secret), note: NOTE }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/gateways/{id}/revoke",
      "Takes a gateway's secrets for good and closes its sockets",
      { params: gatewayParam() },
      gatewayView,
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      await revokeGateway(manageDeps(c, c.get("by")), id, dropOf(c));
      return c.json(await view(c, await must(c, id)), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/gateways/{id}/identities",
      "Lets a gateway front one more bot",
      { params: gatewayParam(), body: json(identity) },
      gatewayView,
    ),
    async (c) => {
      const { platform: p, bot_id } = c.req.valid("json");
      const row = await allowIdentity(manageDeps(c, c.get("by")), c.req.valid("param").id, p, bot_id);
      return c.json(await view(c, row), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/gateways/reseal",
      "Seals all secrets with the current REVEILLE_GATEWAY_KEY, so that the old key may go",
      {},
      z.object({ changed: z.number() }),
    ),
    async (c) => c.json({ changed: await resealAll(manageDeps(c, c.get("by"))) }, 200),
  );

/** Ids of gateways may be longer than our own. */
function gatewayParam() {
  return idParam.extend({ id: z.string().regex(GATEWAY_ID) });
}
