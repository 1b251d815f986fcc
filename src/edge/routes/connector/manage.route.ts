import { Hono } from "hono";
import * as z from "zod";
import {
  createLink,
  type Destination,
  deprovision,
  grantChannel,
  identify,
  mustInstance,
  patchInstance,
  readToken,
  releaseChannel,
  setDmDefault,
  tenantOf,
} from "../../../gateway";
import { iso } from "../../../kernel/clock";
import { readVar } from "../../../kernel/config";
import { sameSecret } from "../../../kernel/crypto";
import { PLATFORMS } from "../../../platform";
import { answer, dropOf, failed, gatewayOf, manageDeps, no, readBody, refuse } from "../../connector";
import { type AppEnv, type Ctx, runtime } from "../../kit";

/**
 * What an instance's owner manages (hermes-relay §5.5). The proof names the instance, never the body: the instance's
 * own upgrade token, or a tenant's or the operator's token with `?instance=` where it names none (`?tenant=` for the
 * operator).
 */

interface Manager {
  to: Destination;
  by: string;
  /** Speaks for the tenant, not for one gateway. */
  admin: boolean;
}

/** Whose instance is managed, or the refusal. @throws ReveilleError 404 for an instance that is not there. */
async function managerOf(c: Ctx): Promise<Manager | Response> {
  const header = c.req.header("authorization");
  const rt = runtime(c);
  if (readToken(header)) {
    const g = await gatewayOf(c);
    if (g instanceof Response) return g;
    return { to: { tenant: g.tenant, instance: g.instance }, by: `gateway:${g.gateway_id}`, admin: false };
  }
  const named = c.req.query("instance") ?? "";
  const given = /^Bearer\s+(\S{1,512})$/i.exec(header ?? "")?.[1] ?? "";
  const operator = readVar(rt.vars, "REVEILLE_OPERATOR_TOKEN");
  if (operator !== "" && (await sameSecret(given, operator))) {
    const { id } = await tenantOf(manageDeps(c, "api"), c.req.query("tenant"));
    return exists(c, { tenant: id, instance: named }, "api");
  }
  const who = await identify({ db: c.env.DB, runtime: rt }, header);
  if (!who) return refuse(c, no(401, "unauthorized"));
  // A token of one instance never speaks for another.
  if (who.instance !== null && named !== "" && named !== who.instance)
    return refuse(c, no(403, "this token names another instance"));
  return exists(c, { tenant: who.tenant, instance: who.instance ?? named }, who.by);
}

async function exists(c: Ctx, to: Destination, by: string): Promise<Manager | Response> {
  if (to.instance === "") return no(400, "name the instance: ?instance=");
  await mustInstance(c.env.DB, to);
  return { to, by, admin: true };
}

const platform = z.enum(PLATFORMS);
const channelBody = z.object({
  platform,
  scopeId: z
    .string()
    .max(200)
    .nullish()
    .transform((v) => v ?? ""),
  channelId: z.string().min(1).max(200),
});
const principalBody = z.object({
  policy: z.enum(["owner-only", "allow-list", "any"]),
  allow: z.array(z.string().min(1).max(200)).max(1_000).default([]),
});

type Act = (c: Ctx, m: Manager) => Promise<Response>;

const acts: Record<string, Act> = {
  link: async (c, m) => {
    const body = await readBody(c, z.object({ platform: platform.nullish() }));
    const { code, expires_at } = await createLink(manageDeps(c, m.by), m.to, body.platform ?? null);
    return answer(200, { code, expiresAt: iso(expires_at) });
  },
  scope: async (c, m) => {
    // Nothing shows yet which channels an owner can see, so a gateway may not help itself to one (§9, visibility).
    if (!m.admin) return no(403, "a channel is granted by the operator or with a token of the tenant");
    const body = await readBody(c, channelBody);
    await grantChannel(manageDeps(c, m.by), m.to, channelOf(body));
    return answer(200, { ok: true, ...body });
  },
  "scope/release": async (c, m) => {
    const body = await readBody(c, channelBody);
    await releaseChannel(manageDeps(c, m.by), m.to, channelOf(body));
    return answer(200, { ok: true, ...body });
  },
  principal: async (c, m) => {
    const body = await readBody(c, principalBody);
    await patchInstance(manageDeps(c, m.by), m.to, { principal: body.policy, allow: [...new Set(body.allow)] });
    return answer(200, { ok: true, policy: body.policy, allow: body.allow });
  },
  "dm-default": async (c, m) => {
    const body = await readBody(c, z.object({ platform, userId: z.string().min(1).max(200) }));
    await setDmDefault(manageDeps(c, m.by), m.to, { platform: body.platform, user_id: body.userId });
    return answer(200, { ok: true, ...body });
  },
  deprovision: async (c, m) => {
    const { gateways } = await deprovision(manageDeps(c, m.by), m.to, dropOf(c));
    return answer(200, { ok: true, gateways });
  },
};

const channelOf = (b: z.infer<typeof channelBody>) => ({
  platform: b.platform,
  scope_id: b.scopeId,
  channel_id: b.channelId,
});

export const manageRoutes = new Hono<AppEnv>();
manageRoutes.onError(failed);
for (const [path, act] of Object.entries(acts))
  manageRoutes.post(`/manage/${path}`, async (c) => {
    const m = await managerOf(c);
    return m instanceof Response ? m : act(c, m);
  });
manageRoutes.all("/manage/*", (c) =>
  c.req.path.slice("/manage/".length) in acts ? no(405, "use POST", { allow: "POST" }) : no(404, "not found"),
);
