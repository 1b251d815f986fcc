import * as z from "zod";
import {
  checkWakeUrl,
  createTenant,
  deprovision,
  INSTANCE,
  type InstanceRow,
  insertInstance,
  listInstances,
  listPolicies,
  listTenants,
  mustInstance,
  NAME,
  patchInstance,
  readInstance,
  tenantOf,
  told,
} from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { notFound, ReveilleError } from "../../../kernel/errors";
import { dropOf, manageDeps } from "../../connector";
import { apiApp, type Ctx, json, listOf, operatorRoute, pageQuery, runtime } from "../../kit";

/** `/api/v1/{tenants,instances}`: who there is. */

const tenantView = z.object({ id: z.string(), name: z.string(), created_at: z.string() }).meta({ id: "Tenant" });
const policyView = z.object({
  platform: z.string(),
  require_address: z.boolean(),
  free_response_scopes: z.array(z.string()),
  allow_other_bots: z.boolean(),
});
const instanceView = z
  .object({
    tenant: z.string(),
    id: z.string(),
    name: z.string(),
    principal: z.enum(["owner-only", "allow-list", "any"]),
    allow: z.array(z.string()),
    /** May carry a key of its own, so only its host is told. */
    wake_host: z.string().nullable(),
    created_at: z.string(),
  })
  .meta({ id: "Instance" });
const view = (i: InstanceRow): z.infer<typeof instanceView> => ({
  tenant: i.tenant,
  id: i.instance,
  name: i.name,
  principal: i.principal,
  allow: i.allow,
  wake_host: i.wake_url && URL.canParse(i.wake_url) ? new URL(i.wake_url).host : null,
  created_at: iso(i.created_at),
});

const tenantField = z.string().max(64).optional();
const tenantQuery = z.object({ tenant: tenantField });
const instanceParam = z.object({ id: z.string().regex(INSTANCE) });
const deps = (c: Ctx) => manageDeps(c, c.get("by"));
/** The tenant that is meant; the first is made on first use. */
const tenantId = async (c: Ctx, given: string | undefined): Promise<string> => (await tenantOf(deps(c), given)).id;

const newInstance = z.strictObject({
  tenant: tenantField,
  id: z
    .string()
    .regex(INSTANCE)
    .refine((id) => !id.startsWith("gw:"), 'names that begin with "gw:" are those of gateways'),
  name: z.string().min(1).max(100).optional(),
});
const patchBody = z.strictObject({
  name: z.string().min(1).max(100).optional(),
  principal: z.enum(["owner-only", "allow-list", "any"]).optional(),
  allow: z.array(z.string().min(1).max(200)).max(1_000).optional(),
  wake_url: z.string().max(2_000).nullable().optional(),
});

const tenants = apiApp()
  .openapi(operatorRoute("get", "/tenants", "Lists tenants", { query: pageQuery }, listOf(tenantView)), async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const rows = await listTenants(c.env.DB, cursor ?? "", limit + 1);
    const items = rows.slice(0, limit).map((t) => ({ id: t.id, name: t.name, created_at: iso(t.created_at) }));
    return c.json({ items, next_cursor: rows.length > limit ? items.at(-1)!.id : null }, 200);
  })
  .openapi(
    operatorRoute(
      "post",
      "/tenants",
      "Makes a tenant",
      { body: json(z.strictObject({ id: z.string().regex(NAME), name: z.string().min(1).max(100).optional() })) },
      tenantView,
      201,
    ),
    async (c) => {
      const { id, name } = c.req.valid("json");
      const t = await createTenant(deps(c), id, name ?? id);
      return c.json({ id: t.id, name: t.name, created_at: iso(t.created_at) }, 201);
    },
  );

export const tenantRoutes = tenants
  .openapi(
    operatorRoute(
      "get",
      "/instances",
      "Lists instances: what events are delivered to",
      { query: pageQuery.extend({ tenant: tenantField }) },
      listOf(instanceView),
    ),
    async (c) => {
      const { limit, cursor, tenant } = c.req.valid("query");
      const at = cursor?.indexOf("/") ?? -1;
      const after: [string, string] | undefined = cursor ? [cursor.slice(0, at), cursor.slice(at + 1)] : undefined;
      const rows = await listInstances(c.env.DB, { tenant, after, limit: limit + 1 });
      const items = rows.slice(0, limit).map(view);
      const last = items.at(-1);
      return c.json({ items, next_cursor: rows.length > limit && last ? `${last.tenant}/${last.id}` : null }, 200);
    },
  )
  .openapi(
    operatorRoute("post", "/instances", "Makes an instance", { body: json(newInstance) }, instanceView, 201),
    async (c) => {
      const body = c.req.valid("json");
      const d = { tenant: await tenantId(c, body.tenant), instance: body.id };
      const [made] = await c.env.DB.batch([
        insertInstance(c.env.DB, d, body.name ?? body.id, runtime(c).clock.now()),
        told(deps(c), "connector.changed", { action: "instance.created", ...d }),
      ]);
      if ((made?.meta.changes ?? 0) === 0)
        throw new ReveilleError({ status: 409, code: "exists", message: `There is an instance ${body.id} already.` });
      return c.json(view(await mustInstance(c.env.DB, d)), 201);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/instances/{id}",
      "One instance with what its gateways want to hear",
      { params: instanceParam, query: tenantQuery },
      instanceView.extend({ policies: z.array(policyView) }),
    ),
    async (c) => {
      const d = { tenant: await tenantId(c, c.req.valid("query").tenant), instance: c.req.valid("param").id };
      const found = await readInstance(c.env.DB, d);
      if (!found) throw notFound("instance", d.instance);
      return c.json({ ...view(found), policies: await listPolicies(c.env.DB, d) }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "patch",
      "/instances/{id}",
      "Changes an instance: who may talk to it, its name, its wake URL",
      { params: instanceParam, query: tenantQuery, body: json(patchBody) },
      instanceView,
    ),
    async (c) => {
      const d = { tenant: await tenantId(c, c.req.valid("query").tenant), instance: c.req.valid("param").id };
      const patch = c.req.valid("json");
      if (patch.wake_url) checkWakeUrl(patch.wake_url, runtime(c).config.allowPrivate);
      return c.json(view(await patchInstance(deps(c), d, patch)), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/instances/{id}/deprovision",
      "Ends an instance: unlinks its people, revokes its secrets, closes its sockets, purges what waits",
      { params: instanceParam, query: tenantQuery },
      z.object({ deprovisioned: z.boolean(), gateways: z.array(z.string()) }),
    ),
    async (c) => {
      const d = { tenant: await tenantId(c, c.req.valid("query").tenant), instance: c.req.valid("param").id };
      const { gateways } = await deprovision(deps(c), d, dropOf(c));
      return c.json({ deprovisioned: true, gateways }, 200);
    },
  );
