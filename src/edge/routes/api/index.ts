import { bodyLimit } from "hono/body-limit";
import { ReveilleError } from "../../../kernel/errors";
import { apiApp, operatorOnly } from "../../kit";
import { incidentRoutes } from "./incidents.route";
import { maintenanceRoutes } from "./maintenance.route";
import { recordRoutes } from "./records.route";
import { systemRoutes } from "./system.route";
import { targetRoutes } from "./targets.route";

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
apiRoutes.openAPIRegistry.registerComponent("securitySchemes", "operator", { type: "http", scheme: "bearer" });
apiRoutes.route("/", targetRoutes);
apiRoutes.route("/", incidentRoutes);
apiRoutes.route("/", recordRoutes);
apiRoutes.route("/", maintenanceRoutes);
apiRoutes.route("/", systemRoutes);
apiRoutes.notFound((c) =>
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
