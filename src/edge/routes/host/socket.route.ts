import { Hono } from "hono";
import { sessionObject } from "../../../../durable-objects/session.stub";
import { usableSessionId } from "../../../session";
import type { AppEnv, Ctx } from "../../kit";
import { answer, limited } from "./shared";

/** Where an object is made: near its first caller (design §3). */
const HINTS: Record<string, DurableObjectLocationHint> = {
  AF: "afr",
  AS: "apac",
  EU: "weur",
  NA: "enam",
  OC: "oc",
  SA: "sam",
};

/** The hint for an object this request makes; it counts only when the object is new. */
export const hintFor = (c: Ctx): DurableObjectLocationHint | undefined =>
  HINTS[String(c.req.raw.cf?.["continent"] ?? "")];

const isUpgrade = (c: Ctx): boolean => c.req.header("upgrade")?.toLowerCase() === "websocket";

/** Hands an upgrade to a Session object, with headers of ours alone. */
async function upgrade(c: Ctx, session: string, path: "stock" | "direct"): Promise<Response> {
  if (!isUpgrade(c)) return answer(426, { error: "this path takes WebSocket upgrades only" });
  const full = await limited(c, "socket");
  if (full) return full;
  const headers = new Headers(c.req.raw.headers);
  headers.set("x-session", session);
  headers.set("x-path", path);
  return sessionObject(c.env.SESSION, session, hintFor(c)).fetch(c.req.raw.url, { headers });
}

/** Accepts and closes at once: a browser shows the code of a closed socket, never the status of a refused upgrade. */
function refuseUpgrade(): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close(4004, "unknown path");
  return new Response(null, { status: 101, webSocket: client });
}

/** `/ws` takes any client, which names its session in the first frame; our own URL goes straight to the session's home. */
export const socketRoutes = new Hono<AppEnv>();

socketRoutes.get("/ws", (c) => upgrade(c, crypto.randomUUID(), "stock"));
socketRoutes.get("/sessions/:id/ws", (c) => {
  const id = usableSessionId(c.req.param("id"));
  return id === null ? refuseUpgrade() : upgrade(c, id, "direct");
});

/** Every other upgrade ends with 4004; mounted behind all routes that take one. */
export const unknownUpgrades = new Hono<AppEnv>();
unknownUpgrades.use("*", (c, next) => (isUpgrade(c) ? Promise.resolve(refuseUpgrade()) : next()));
