import { Hono } from "hono";
import * as z from "zod";
import {
  checkWakeUrl,
  enroll,
  GATEWAY_ID,
  INSTANCE,
  identify,
  provision,
  putPolicy,
  tenantOfToken,
} from "../../../gateway";
import { ReveilleError } from "../../../kernel/errors";
import { PLATFORMS, type PlatformName } from "../../../platform";
import { answer, failed, gatewayOf, leave, manageDeps, no, readBody, refuse } from "../../connector";
import { type AppEnv, type Ctx, runtime } from "../../kit";

/** What a gateway calls over HTTP to get its secret, and to say what it wants to hear (hermes-relay §5.1-§5.3). */

const gatewayId = z.string().regex(GATEWAY_ID, "1 to 200 characters without spaces");
/** Any bot id of a platform; "" where there is none. */
const botId = z.string().max(200);

const enrollBody = z.object({ enrollmentToken: z.string().min(1).max(200), gatewayId });

const provisionBody = z.object({
  gatewayId,
  platform: z.string().max(40),
  botId: botId.nullish().transform((v) => v ?? ""),
  // A retired feature: read, and never called.
  gatewayEndpoint: z.unknown().optional(),
  routeKeys: z
    .array(z.string().min(1).max(300))
    .max(50)
    .nullish()
    .transform((v) => [...new Set(v ?? [])]),
  instanceId: leave(z.string().regex(INSTANCE, 'letters, digits, "_", ".", "-"')),
  wakeUrl: leave(z.string().max(2_000)),
});

const policyBody = z.object({
  platform: z.string(),
  requireAddress: z.boolean(),
  freeResponseScopes: z.array(z.string().max(200)).max(500),
  allowOtherBots: z.boolean(),
});

const isPlatform = (text: string): text is PlatformName => (PLATFORMS as readonly string[]).includes(text);

/** @throws ReveilleError 400. */
function platformOf(text: string): PlatformName {
  if (isPlatform(text)) return text;
  throw new ReveilleError({ status: 400, code: "unknown_platform", message: "unknown platform" });
}

/** The caller's tenant by its identity token, or the refusal. */
async function tenantCaller(c: Ctx) {
  const deps = { db: c.env.DB, runtime: runtime(c) };
  const who = await identify(deps, c.req.header("authorization"));
  if (!who) return refuse(c, no(401, "identity not verified"));
  return { who, tenant: await tenantOfToken(deps.db, who.tenant), deps: manageDeps(c, who.by) };
}

/** 403 counts against the address too: enrollment tokens and gateway ids are not to be guessed. */
async function counted(c: Ctx, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ReveilleError && error.status === 403) return refuse(c, no(403, error.message));
    throw error;
  }
}

export const relayHttpRoutes = new Hono<AppEnv>();
relayHttpRoutes.onError(failed);

relayHttpRoutes.post("/relay/enroll", async (c) => {
  const caller = await tenantCaller(c);
  if (caller instanceof Response) return caller;
  const body = await readBody(c, enrollBody);
  return counted(c, async () =>
    answer(200, await enroll(caller.deps, caller.tenant, body.gatewayId, body.enrollmentToken, PLATFORMS)),
  );
});

relayHttpRoutes.post("/relay/provision", async (c) => {
  const caller = await tenantCaller(c);
  if (caller instanceof Response) return caller;
  const body = await readBody(c, provisionBody);
  // A gateway that was told no platform speaks for all that it may.
  const identities: [PlatformName, string][] =
    body.platform === "relay" ? PLATFORMS.map((p) => [p, ""]) : [[platformOf(body.platform), body.botId]];
  if (body.instanceId?.startsWith("gw:") && body.instanceId !== `gw:${body.gatewayId}`)
    return no(400, 'malformed body: instanceId: only a gateway without one is called "gw:" and its own id');
  if (body.wakeUrl) checkWakeUrl(body.wakeUrl, runtime(c).config.allowPrivate);
  return counted(c, async () =>
    answer(
      200,
      await provision(caller.deps, caller.tenant, {
        gateway_id: body.gatewayId,
        identities,
        route_keys: body.routeKeys,
        instance: body.instanceId,
        wake_url: body.wakeUrl,
      }),
    ),
  );
});

relayHttpRoutes.post("/relay/policy", async (c) => {
  const gateway = await gatewayOf(c);
  if (gateway instanceof Response) return gateway;
  const body = await readBody(c, policyBody);
  const { tenant, instance } = gateway;
  await putPolicy(manageDeps(c, `gateway:${gateway.gateway_id}`), { tenant, instance }, platformOf(body.platform), {
    require_address: body.requireAddress,
    free_response_scopes: [...new Set(body.freeResponseScopes)],
    allow_other_bots: body.allowOtherBots,
  });
  // Exactly 200: the client takes 204 for a failure.
  return answer(200, { ok: true });
});

for (const path of ["/relay/enroll", "/relay/provision", "/relay/policy"])
  relayHttpRoutes.all(path, () => no(405, "use POST", { allow: "POST" }));
