import { Hono } from "hono";
import type { AppEnv } from "../../kit";
import { manageRoutes } from "./manage.route";
import { mediaRoutes } from "./media.route";
import { oauthRoutes } from "./oauth.route";
import { relayHttpRoutes } from "./relay.route";
import { relaySocketRoutes } from "./relay-socket.route";

/** What gateways and their tools call (design §8). */
export const connectorRoutes = new Hono<AppEnv>();

connectorRoutes.route("/", relaySocketRoutes);
connectorRoutes.route("/", relayHttpRoutes);
connectorRoutes.route("/", mediaRoutes);
connectorRoutes.route("/", oauthRoutes);
connectorRoutes.route("/", manageRoutes);
