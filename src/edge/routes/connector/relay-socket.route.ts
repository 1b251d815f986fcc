import { Hono } from "hono";
import { DIAL_HEADER, writeDial } from "../../../../durable-objects/gateway.sockets";
import { gatewayObject } from "../../../../durable-objects/gateway.stub";
import { findGateway, type TokenVerdict, verifyToken } from "../../../gateway";
import { describe } from "../../../kernel/errors";
import { no } from "../../connector";
import { type AppEnv, type Ctx, runtime } from "../../kit";
import { hintFor } from "../host/socket.route";

/** GET /relay: a gateway dials in (hermes-relay §1). */
export const relaySocketRoutes = new Hono<AppEnv>();

const isUpgrade = (c: Ctx): boolean => c.req.header("upgrade")?.toLowerCase() === "websocket";

/** Ends a gateway's link for good, so it is for refused credentials alone; told by accepting first (hermes-relay §1.4). */
function refuse(): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close(4401, "unauthorized");
  return new Response(null, { status: 101, webSocket: client });
}

relaySocketRoutes.use("*", async (c, next) => {
  const { pathname } = new URL(c.req.url);
  if (pathname.startsWith("/relay") && pathname !== "/relay" && isUpgrade(c))
    return no(400, "WebSocket upgrades are taken at /relay alone");
  return next();
});

relaySocketRoutes.get("/relay", async (c) => {
  if (!isUpgrade(c)) return no(426, "/relay is a WebSocket: send an upgrade request", { upgrade: "websocket" });
  const rt = runtime(c);
  // Retried with backoff by every build; accepting and dropping would be hammered at 1 Hz.
  const later = (): Response => no(503, "busy; try again", { "retry-after": "5" });
  const ip = c.req.header("cf-connecting-ip");
  if (ip && !(await c.env.SESSION_LIMIT.limit({ key: `gateway:${ip}` })).success) return later();
  let verdict: TokenVerdict;
  try {
    // Read anew: a secret that another isolate has just made must not be refused with a code that ends older builds.
    verdict = await verifyToken(c.req.header("authorization"), rt.clock.wall() / 1000, rt.clock.now(), (id) =>
      findGateway(c.env.DB, rt, id, { fresh: true }),
    );
  } catch (error) {
    rt.log("error", "gateway.dial_failed", { error: describe(error) });
    return later();
  }
  if (!verdict.ok) {
    rt.log("warn", "gateway.refused", { why: verdict.why });
    return verdict.why === "expired" ? no(401, "expired") : refuse();
  }
  const { tenant, instance } = verdict.identity;
  const dial = writeDial({ ...verdict.identity, origin: new URL(c.req.url).origin, proved_at: verdict.proved_at });
  try {
    // With headers of ours alone: the token goes no further.
    return await gatewayObject(c.env.GATEWAY, { tenant, instance }, hintFor(c)).fetch(c.req.raw.url, {
      headers: { upgrade: "websocket", [DIAL_HEADER]: dial },
    });
  } catch (error) {
    rt.log("error", "gateway.dial_failed", { error: describe(error) });
    return later();
  }
});
