import { Hono } from "hono";
import { type AppEnv, onError } from "./kit";
import { apiRoutes } from "./routes/api";
import { beatRoutes } from "./routes/beat.route";
import { connectorRoutes } from "./routes/connector";
import { healthRoutes } from "./routes/health.route";
import { hookRoutes } from "./routes/hooks.route";
import { hostRoutes, unknownUpgrades } from "./routes/host";
import { mcpRoutes } from "./routes/mcp.route";
import { metricsRoutes } from "./routes/metrics.route";
import { pageRoutes } from "./routes/pages.route";
import { relayRoutes } from "./routes/relay.route";
import { trustRoutes } from "./routes/trust.route";
import { webhookRoutes } from "./routes/webhooks.route";

/** The HTTP surface of design §8, in the order paths are tried. Wiring only. */
export const app = new Hono<AppEnv>();

app.onError(onError);
app.route("/", healthRoutes);
app.route("/", beatRoutes);
app.route("/", webhookRoutes);
app.route("/", connectorRoutes);
app.route("/", hookRoutes);
app.route("/", mcpRoutes);
app.route("/", metricsRoutes);
app.route("/", relayRoutes);
app.route("/", trustRoutes);
app.route("/", hostRoutes);
app.route("/", unknownUpgrades);
app.route("/api/v1", apiRoutes);
/** Made on first use: it takes some 30 ms, and routes do not change. */
let apiDocument: object | undefined;
app.get("/api/openapi.json", (c) => {
  apiDocument ??= apiRoutes.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Reveille operator API", version: "1.0.0" },
    servers: [{ url: "/api/v1" }],
    security: [{ operator: [] }],
    components: { securitySchemes: { operator: { type: "http", scheme: "bearer" } } },
  });
  return c.json(apiDocument);
});
app.route("/", pageRoutes);
