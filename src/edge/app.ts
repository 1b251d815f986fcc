import { OpenAPIHono } from "@hono/zod-openapi";
import { type AppEnv, onError } from "./kit";
import { apiRoutes } from "./routes/api";
import { beatRoutes } from "./routes/beat.route";
import { connectorRoutes } from "./routes/connector";
import { healthRoutes } from "./routes/health.route";
import { hostRoutes, unknownUpgrades } from "./routes/host";
import { pageRoutes } from "./routes/pages.route";
import { relayRoutes } from "./routes/relay.route";
import { trustRoutes } from "./routes/trust.route";
import { webhookRoutes } from "./routes/webhooks.route";

/** The HTTP surface of design §8, in the order paths are tried. Wiring only. */
export const app = new OpenAPIHono<AppEnv>();

app.onError(onError);
app.route("/", healthRoutes);
app.route("/", beatRoutes);
app.route("/", webhookRoutes);
app.route("/", connectorRoutes);
app.route("/", relayRoutes);
app.route("/", trustRoutes);
app.route("/", hostRoutes);
app.route("/", unknownUpgrades);
app.route("/api/v1", apiRoutes);
app.get("/api/openapi.json", (c) => {
  const doc = apiRoutes.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Reveille operator API", version: "1.0.0" },
    servers: [{ url: "/api/v1" }],
    security: [{ operator: [] }],
  });
  return c.json(doc);
});
app.route("/", pageRoutes);
