import { bodyLimit } from "hono/body-limit";
import { ReveilleError } from "../../../kernel/errors";
import { apiApp, operatorOnly } from "../../kit";
import { accessRoutes } from "./access.route";
import { agentSetupRoutes } from "./agent-setup.route";
import { agentRoutes } from "./agents.route";
import { askRoutes } from "./asks.route";
import { autofixRoutes } from "./autofix.route";
import { budgetRoutes } from "./budget.route";
import { deliveryRoutes } from "./deliveries.route";
import { gatewayRoutes } from "./gateways.route";
import { hookApiRoutes } from "./hooks.route";
import { incidentRoutes } from "./incidents.route";
import { maintenanceRoutes } from "./maintenance.route";
import { messagingRoutes } from "./messaging.route";
import { ownershipRoutes } from "./ownership.route";
import { platformRoutes } from "./platforms.route";
import { proposalRoutes } from "./proposals.route";
import { recordRoutes } from "./records.route";
import { sessionApiRoutes } from "./sessions.route";
import { sloRoutes } from "./slo.route";
import { systemRoutes } from "./system.route";
import { targetRoutes } from "./targets.route";
import { tenantRoutes } from "./tenants.route";
import { trustApiRoutes } from "./trust.route";
import { vaultRoutes } from "./vault.route";

/** Bodies of the operator API are small; a bigger one is a mistake. */
const MAX_BODY = 64 * 1024;

/** `/api/v1/*`: everything needs the operator token. */
export const apiRoutes = apiApp();

apiRoutes.use("*", operatorOnly);
apiRoutes.use(
  "*",
  bodyLimit({
    maxSize: MAX_BODY,
    onError: () => {
      throw new ReveilleError({
        status: 413,
        code: "too_large",
        message: `The body is larger than ${MAX_BODY / 1024} KiB.`,
      });
    },
  }),
);
// `curl -X POST` with a JSON content type and no body is an act without options, not malformed JSON.
apiRoutes.use("*", async (c, next) => {
  if (c.req.raw.body === null && c.req.header("content-type")) {
    const headers = new Headers(c.req.raw.headers);
    headers.delete("content-type");
    c.req.raw = new Request(c.req.raw, { headers });
  }
  await next();
});
apiRoutes.route("/", targetRoutes);
apiRoutes.route("/", incidentRoutes);
apiRoutes.route("/", autofixRoutes);
apiRoutes.route("/", recordRoutes);
apiRoutes.route("/", maintenanceRoutes);
apiRoutes.route("/", systemRoutes);
apiRoutes.route("/", budgetRoutes);
apiRoutes.route("/", proposalRoutes);
apiRoutes.route("/", agentSetupRoutes);
apiRoutes.route("/", agentRoutes);
apiRoutes.route("/", sessionApiRoutes);
apiRoutes.route("/", askRoutes);
apiRoutes.route("/", trustApiRoutes);
apiRoutes.route("/", tenantRoutes);
apiRoutes.route("/", accessRoutes);
apiRoutes.route("/", gatewayRoutes);
apiRoutes.route("/", deliveryRoutes);
apiRoutes.route("/", ownershipRoutes);
apiRoutes.route("/", platformRoutes);
apiRoutes.route("/", vaultRoutes);
apiRoutes.route("/", hookApiRoutes);
apiRoutes.route("/", messagingRoutes);
apiRoutes.route("/", sloRoutes);
// A mounted app has no not-found of its own; the pages would answer in HTML.
apiRoutes.all("*", (c) =>
  c.json(
    {
      error: {
        code: "not_found",
        message: `No ${c.req.method} ${new URL(c.req.url).pathname}.`,
        hint: "See /api/openapi.json",
      },
    },
    404,
  ),
);
