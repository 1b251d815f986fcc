import { Hono } from "hono";
import { iso } from "../../kernel/clock";
import { readVar } from "../../kernel/config";
import { lookupBody, readAgent } from "../../relay";
import { foldAddress } from "../../session";
import { type AppEnv, type Ctx, runtime } from "../kit";
import { answer, CORS, notFound, ownAddress } from "./host/shared";
import { hintFor } from "./host/socket.route";

/** Agents and clients meet here (connectonion.md (d)): two sockets and two look-up paths with one body. */
export const relayRoutes = new Hono<AppEnv>();

/**
 * The socket goes to an object with a fresh name: nobody says in the URL who they are, so nothing can be chosen before the
 * first frame. The object is made near its caller.
 */
async function accept(c: Ctx, namespace: DurableObjectNamespace, what: string): Promise<Response> {
  if (c.req.header("upgrade")?.toLowerCase() !== "websocket")
    return answer(426, { error: `${what} is a WebSocket: send an upgrade request` });
  const ip = c.req.header("cf-connecting-ip");
  if (ip && !(await c.env.SESSION_LIMIT.limit({ key: `relay:${ip}` })).success)
    return answer(429, { error: "too many connections from this address; wait a minute" });
  const name = crypto.randomUUID();
  const headers = new Headers(c.req.raw.headers);
  headers.set("x-line", name);
  const locationHint = hintFor(c);
  const object = namespace.get(namespace.idFromName(name), locationHint ? { locationHint } : {});
  return object.fetch(new Request(c.req.raw, { headers }));
}

relayRoutes.get("/ws/announce", (c) => accept(c, c.env.AGENT_LINE, "/ws/announce"));
relayRoutes.get("/ws/input", (c) => accept(c, c.env.CLIENT_LINE, "/ws/input"));

async function lookup(c: Ctx, text: string): Promise<Response> {
  if (c.req.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS });
  const address = foldAddress(text);
  // Our own agent needs no line: clients find it here and connect directly.
  if (address !== null && address === (await ownAddress(c))) return answer(200, ownBody(c, address));
  const agent = address && (await readAgent(c.env.DB, address));
  if (!agent) return notFound();
  return answer(200, lookupBody(agent, relayUrl(c)));
}

function ownBody(c: Ctx, address: string): Record<string, unknown> {
  const { clock } = runtime(c);
  const url = relayUrl(c);
  const alias = readVar(runtime(c).vars, "REVEILLE_AGENT_NAME");
  return {
    address,
    endpoints: [url.replace(/^ws/, "http"), `${url}/ws`],
    relay: url,
    online: true,
    last_seen: iso(clock.now()),
    summary: "The built-in agent of this Reveille.",
    profile: { alias },
  };
}

/** Where this relay is reached: as this caller reached it, whatever names it has. */
const relayUrl = (c: Ctx): string => new URL(c.req.url).origin.replace(/^http/, "ws");

/** npm up to 0.1.4 asks the first, newer clients the second. */
relayRoutes.on(["GET", "OPTIONS"], "/api/relay/agents/:address", (c) => lookup(c, c.req.param("address")));
relayRoutes.on(["GET", "OPTIONS"], "/api/agents/:address", (c) => lookup(c, c.req.param("address")));
