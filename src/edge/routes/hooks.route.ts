import { Hono } from "hono";
import { receiveHook } from "../hooks";
import { type AppEnv, type Ctx, runtime } from "../kit";

/** `/hooks/{hook_id}`: where senders wake agents (wake-slo §1.3). It answers in their words, and never with a redirect. */
export const hookRoutes = new Hono<AppEnv>();

const wrongMethod = (allow: string): Response =>
  Response.json({ error: "method_not_allowed" }, { status: 405, headers: { allow } });

const health = (c: Ctx): Response =>
  ["GET", "HEAD"].includes(c.req.method) ? Response.json({ status: "ok" }) : wrongMethod("GET, HEAD");

hookRoutes.all("/hooks/:id/*", async (c) => {
  const [id, more] = new URL(c.req.url).pathname.slice("/hooks/".length).split("/", 2);
  if (!id || more) return Response.json({ error: "hook_not_found" }, { status: 404 });
  if (id === "health") return health(c);
  if (c.req.method !== "POST") return wrongMethod("POST");
  return receiveHook(c.env, runtime(c), {
    id: id.slice(0, 100),
    request: c.req.raw,
    source: c.req.header("cf-connecting-ip") ?? "local",
    later: (work) => c.executionCtx.waitUntil(work),
  });
});
