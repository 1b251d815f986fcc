import { Hono } from "hono";
import { describe } from "../../kernel/errors";
import { fitness } from "../fitness";
import { type AppEnv, runtime } from "../kit";

/** `/healthz`: this Worker answers. `/readyz`: fit for use, by the listener rules of `kora-watch.md` §9. */
export const healthRoutes = new Hono<AppEnv>();

healthRoutes.get("/healthz", (c) => c.json({ status: "up" }));

healthRoutes.get("/readyz", async (c) => {
  try {
    const { readiness: r } = await fitness(c.env);
    return c.json(
      {
        status: r.ready ? "ready" : "not_ready",
        overall: r.overall,
        fatal: r.fatal.map((f) => ({ listener: f.name, error: f.error })),
        degraded: r.degraded,
      },
      r.status,
    );
  } catch (error) {
    runtime(c).log("error", "readyz.failed", { error: describe(error) });
    return c.json(
      {
        status: "not_ready",
        overall: "unknown",
        fatal: [{ listener: "store", error: "The store did not answer." }],
        degraded: [],
      },
      503,
    );
  }
});
