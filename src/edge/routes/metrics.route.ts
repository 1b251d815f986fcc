import { Hono } from "hono";
import { readVar } from "../../kernel/config";
import { sameSecret } from "../../kernel/crypto";
import { type AppEnv, runtime } from "../kit";
import { metricsText } from "../metrics";

/**
 * `/metrics` for Prometheus, behind REVEILLE_METRICS_TOKEN or the operator token: 404 while neither is set, 401 for a token that
 * is neither.
 */
export const metricsRoutes = new Hono<AppEnv>();

metricsRoutes.get("/metrics", async (c) => {
  const rt = runtime(c);
  const tokens = ["REVEILLE_METRICS_TOKEN", "REVEILLE_OPERATOR_TOKEN"].map((n) => readVar(rt.vars, n)).filter(Boolean);
  if (tokens.length === 0) return c.notFound();
  const given = /^Bearer\s+(\S{1,512})$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  const good = await Promise.all(tokens.map((t) => sameSecret(given, t)));
  if (!good.includes(true)) {
    const { success } = await c.env.AUTH_LIMIT.limit({ key: `metrics:${c.req.header("cf-connecting-ip") ?? "local"}` });
    const code = success ? "unauthorized" : "too_many_tries";
    const message = success ? "This needs the metrics token." : "Too many wrong tokens; wait a minute.";
    return c.json({ error: { code, message } }, success ? 401 : 429, { "www-authenticate": "Bearer" });
  }
  const text = await metricsText(c.env.DB, rt.clock.now());
  return c.body(text, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store" });
});
