import * as z from "zod";
import {
  bindAuthor,
  grantChannel,
  INSTANCE,
  listBindings,
  listGrants,
  listScopes,
  ownershipKey,
  releaseChannel,
  routeScope,
  setDmDefault,
  tenantOf,
  unbindAuthor,
  unrouteScope,
} from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { badRequest } from "../../../kernel/errors";
import { PLATFORMS } from "../../../platform";
import { manageDeps } from "../../connector";
import { apiApp, type Ctx, json, listOf, operatorRoute, pageQuery } from "../../kit";

/** `/api/v1/{bindings,scopes,grants}`: who owns what of a platform. A row is named by its own fields. */

const platform = z.enum(PLATFORMS);
const text = z.string().min(1).max(200);
const tenant = z.string().max(64).optional();
const instance = z.string().regex(INSTANCE);
const made = { created_by: z.string(), created_at: z.string() };

const scopeBody = z.strictObject({ platform, scope_id: text, tenant });
const scopeView = z.object({ platform, scope_id: z.string(), tenant: z.string(), ...made }).meta({ id: "Scope" });
const grantBody = z.strictObject({
  platform,
  scope_id: z.string().max(200).default(""),
  channel_id: text,
  tenant,
  instance,
});
const grantView = z
  .object({
    platform,
    scope_id: z.string(),
    channel_id: z.string(),
    tenant: z.string(),
    instance: z.string(),
    ...made,
  })
  .meta({ id: "Grant" });
const bindingKey = z.strictObject({ platform, user_id: text, tenant, instance });
const bindingBody = bindingKey.extend({ scope_id: z.string().max(200).default("") });
const bindingView = z
  .object({
    platform,
    user_id: z.string(),
    tenant: z.string(),
    instance: z.string(),
    scope_id: z.string(),
    dm_default: z.boolean(),
    created_at: z.string(),
  })
  .meta({ id: "Binding" });

const ok = z.object({ ok: z.boolean() });
const filter = pageQuery.extend({ cursor: z.string().max(1_000).optional(), tenant, instance: instance.optional() });

const deps = (c: Ctx) => manageDeps(c, c.get("by"));
const destination = async (c: Ctx, body: { tenant?: string | undefined; instance: string }) => ({
  tenant: (await tenantOf(deps(c), body.tenant)).id,
  instance: body.instance,
});

/** A cursor is the key of the last row. @throws ReveilleError 400. */
function afterOf(cursor: string | undefined): string[] | undefined {
  if (cursor === undefined) return undefined;
  const parts = z.array(z.string()).safeParse(parse(cursor));
  if (!parts.success) throw badRequest("bad_cursor", "The cursor is not one of this list.", "cursor");
  return parts.data;
}
const parse = (cursor: string): unknown => {
  try {
    return JSON.parse(decodeURIComponent(cursor));
  } catch {
    return null;
  }
};
const cursorOf = (key: string[]): string => encodeURIComponent(JSON.stringify(key));

/** A page of rows, one more than asked for read to know whether there is a next. */
function page<T extends { created_at: number }>(table: Parameters<typeof ownershipKey>[0], rows: T[], limit: number) {
  const items = rows.slice(0, limit);
  return {
    items: items.map(({ created_at, ...rest }) => ({ ...rest, created_at: iso(created_at) })),
    next_cursor: rows.length > limit ? cursorOf(ownershipKey(table, items.at(-1)!)) : null,
  };
}

export const ownershipRoutes = apiApp()
  .openapi(
    operatorRoute(
      "get",
      "/scopes",
      "Lists scopes and the tenants they are given to",
      { query: filter },
      listOf(scopeView),
    ),
    async (c) => {
      const { limit, cursor, ...query } = c.req.valid("query");
      const rows = await listScopes(c.env.DB, { ...query, after: afterOf(cursor), limit: limit + 1 });
      return c.json(page("scope_route", rows, limit), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/scopes",
      'Gives a Slack team, Discord guild, number, chat, or "bot:<app>" to a tenant',
      { body: json(scopeBody) },
      scopeView,
      201,
    ),
    async (c) => {
      const body = c.req.valid("json");
      const { id } = await tenantOf(deps(c), body.tenant);
      const row = await routeScope(deps(c), body.platform, body.scope_id, id);
      return c.json({ ...row, created_at: iso(row.created_at) }, 201);
    },
  )
  .openapi(
    operatorRoute("delete", "/scopes", "Takes a scope from its tenant", { body: json(scopeBody) }, ok),
    async (c) => {
      const body = c.req.valid("json");
      const { id } = await tenantOf(deps(c), body.tenant);
      await unrouteScope(deps(c), body.platform, body.scope_id, id);
      return c.json({ ok: true }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/grants",
      "Lists channels and the instances that hold them",
      { query: filter },
      listOf(grantView),
    ),
    async (c) => {
      const { limit, cursor, ...query } = c.req.valid("query");
      const rows = await listGrants(c.env.DB, { ...query, after: afterOf(cursor), limit: limit + 1 });
      return c.json(page("scope_grant", rows, limit), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/grants",
      "Lets an instance hold a channel, for people who are not linked",
      { body: json(grantBody) },
      grantView,
      201,
    ),
    async (c) => {
      const body = c.req.valid("json");
      const row = await grantChannel(deps(c), await destination(c, body), body);
      const { scope_id, channel_id, created_by } = row;
      const { tenant: t, instance: i } = row;
      const at = iso(row.created_at);
      return c.json(
        { platform: row.platform, scope_id, channel_id, tenant: t, instance: i, created_by, created_at: at },
        201,
      );
    },
  )
  .openapi(
    operatorRoute("delete", "/grants", "Takes a channel from its instance", { body: json(grantBody) }, ok),
    async (c) => {
      const body = c.req.valid("json");
      await releaseChannel(deps(c), await destination(c, body), body);
      return c.json({ ok: true }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "get",
      "/bindings",
      "Lists authors and the instances that are theirs",
      { query: filter },
      listOf(bindingView),
    ),
    async (c) => {
      const { limit, cursor, ...query } = c.req.valid("query");
      const rows = await listBindings(c.env.DB, { ...query, after: afterOf(cursor), limit: limit + 1 });
      return c.json(page("binding", rows, limit), 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/bindings",
      "Binds an author to an instance by hand; /link lets them do it themselves",
      { body: json(bindingBody) },
      ok,
      201,
    ),
    async (c) => {
      const body = c.req.valid("json");
      await bindAuthor(deps(c), await destination(c, body), body, body.scope_id);
      return c.json({ ok: true }, 201);
    },
  )
  .openapi(
    operatorRoute("delete", "/bindings", "Unlinks an author from an instance", { body: json(bindingKey) }, ok),
    async (c) => {
      const body = c.req.valid("json");
      await unbindAuthor(deps(c), await destination(c, body), body);
      return c.json({ ok: true }, 200);
    },
  )
  .openapi(
    operatorRoute(
      "post",
      "/bindings/dm-default",
      "Sends an author's DMs to this one of their instances",
      { body: json(bindingKey) },
      ok,
    ),
    async (c) => {
      const body = c.req.valid("json");
      await setDmDefault(deps(c), await destination(c, body), body);
      return c.json({ ok: true }, 200);
    },
  );
