import * as z from "zod";
import {
  createClient,
  createEnrollToken,
  createLink,
  INSTANCE,
  listClients,
  listLinks,
  revokeClient,
  tenantOf,
} from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { notFound } from "../../../kernel/errors";
import { PLATFORMS } from "../../../platform";
import { manageDeps } from "../../connector";
import { apiApp, type Ctx, idParam, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

/** `/api/v1/{links,enroll-tokens,clients}`: how people and gateways get in. What opens a door is told once. */

const clientView = z
  .object({
    client_id: z.string(),
    tenant: z.string(),
    name: z.string(),
    created_at: z.string(),
    revoked_at: z.string().nullable(),
  })
  .meta({ id: "TenantClient" });

const tenantField = z.string().max(64).optional();
const deps = (c: Ctx) => manageDeps(c, c.get("by"));
/** The tenant that is meant; the first is made on first use. */
const tenantId = async (c: Ctx, given: string | undefined): Promise<string> => (await tenantOf(deps(c), given)).id;

const linkBody = z.strictObject({
  tenant: tenantField,
  instance: z.string().regex(INSTANCE),
  platform: z.enum(PLATFORMS).optional(),
});

export const accessRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/links",
      "Lists link codes of the last minutes, without the codes",
      {},
      listOf(
        z.object({
          tenant: z.string(),
          instance: z.string(),
          platform: z.string().nullable(),
          expires_at: z.string(),
          used_at: z.string().nullable(),
        }),
      ),
    ),
    async (c) => {
      const rows = await listLinks(c.env.DB, runtime(c).clock.now());
      const items = rows.map((l) => ({ ...l, expires_at: iso(l.expires_at), used_at: iso(l.used_at) }));
      return c.json({ items, next_cursor: null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/links",
      "Makes a link code: a person sends it to the bot in a DM as /link CODE",
      { body: json(linkBody) },
      z.object({ code: z.string(), send: z.string(), expires_at: z.string() }),
      201,
    ),
    async (c) => {
      const body = c.req.valid("json");
      const d = { tenant: await tenantId(c, body.tenant), instance: body.instance };
      const { code, expires_at } = await createLink(deps(c), d, body.platform ?? null);
      return c.json({ code, send: `/link ${code}`, expires_at: iso(expires_at) }, 201);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/enroll-tokens",
      "Makes a single-use token that enrolls one gateway; shown once",
      { body: json(z.strictObject({ tenant: tenantField }), false) },
      z.object({ token: z.string(), tenant: z.string(), expires_at: z.string() }),
      201,
    ),
    async (c) => {
      const body = c.req.valid("json") as { tenant?: string } | undefined;
      const tenant = await tenantId(c, body?.tenant);
      const { token, expires_at } = await createEnrollToken(deps(c), tenant);
      return c.json({ token, tenant, expires_at: iso(expires_at) }, 201);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/clients",
      "Lists OAuth clients of tenants",
      { query: pageQuery.extend({ tenant: tenantField }) },
      listOf(clientView),
    ),
    async (c) => {
      const { limit, cursor, tenant } = c.req.valid("query");
      const rows = await listClients(c.env.DB, { tenant, after: cursor ?? "", limit: limit + 1 });
      const items = rows
        .slice(0, limit)
        .map((x) => ({ ...x, created_at: iso(x.created_at), revoked_at: iso(x.revoked_at) }));
      return c.json({ items, next_cursor: rows.length > limit ? items.at(-1)!.client_id : null }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/clients",
      "Makes an OAuth client, with which a gateway provisions itself; its secret is shown once",
      { body: json(z.strictObject({ tenant: tenantField, name: z.string().min(1).max(100) })) },
      z.object({ client: clientView, client_secret: z.string(), env: z.string() }),
      201,
    ),
    async (c) => {
      const body = c.req.valid("json");
      const { client, secret } = await createClient(deps(c), await tenantId(c, body.tenant), body.name);
      const { publicUrl } = runtime(c).config;
      const env = [
        `GATEWAY_RELAY_URL=${publicUrl}`,
        `GATEWAY_RELAY_IDP_TOKEN_URL=${publicUrl}/oauth/token`,
        `GATEWAY_RELAY_IDP_CLIENT_ID=${client.client_id}`,
        `GATEWAY_RELAY_IDP_CLIENT_SECRET=${secret}`,
      ].join("\n");
      const shown = { ...client, created_at: iso(client.created_at), revoked_at: null };
      return c.json({ client: shown, client_secret: secret, env }, 201);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/clients/{id}/revoke",
      "Ends a client and all its tokens",
      { params: idParam },
      z.object({ revoked: z.boolean() }),
    ),
    async (c) => {
      const { id } = c.req.valid("param");
      if (!(await revokeClient(deps(c), id))) throw notFound("client", id);
      return c.json({ revoked: true }, 200);
    },
  );
