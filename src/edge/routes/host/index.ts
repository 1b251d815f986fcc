import { Hono } from "hono";
import { describe } from "../../../kernel/errors";
import { type AppEnv, runtime } from "../../kit";
import { hostAdminRoutes } from "./admin.route";
import { infoRoutes } from "./info.route";
import { inputRoutes } from "./input.route";
import { sessionRoutes } from "./sessions.route";
import { answer, CORS, notFound } from "./shared";
import { socketRoutes } from "./socket.route";

export { unknownUpgrades } from "./socket.route";

/** The ConnectOnion host: its own shapes and errors, not those of the operator API (`connectonion.md` (b)). Wiring only. */
export const hostRoutes = new Hono<AppEnv>();

const PATHS = ["/input", "/sessions", "/sessions/*", "/health", "/info", "/docs", "/admin/logs", "/admin/sessions"];

hostRoutes.onError((error, c) => {
  runtime(c).log("error", "host.failed", { path: new URL(c.req.url).pathname, error: describe(error) });
  return answer(503, { error: "misconfigured: the host could not answer; try again" });
});
for (const path of PATHS) hostRoutes.options(path, () => new Response(null, { status: 204, headers: CORS }));
hostRoutes.route("/", socketRoutes);
hostRoutes.route("/", inputRoutes);
hostRoutes.route("/", sessionRoutes);
hostRoutes.route("/", infoRoutes);
hostRoutes.route("/", hostAdminRoutes);
for (const path of PATHS) hostRoutes.all(path, notFound);
