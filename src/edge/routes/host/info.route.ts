import { Hono } from "hono";
import { html } from "hono/html";
import { readVar } from "../../../kernel/config";
import { loadPolicy, onboardInfo } from "../../../trust";
import { type AppEnv, runtime } from "../../kit";
import { answer, CORS, NO_ADDRESS, no, ownAddress } from "./shared";

/** `/health`, `/info`, `/docs`: who this host is (`connectonion.md` (b)). */

const VERSION = "0.1.0";
/** What the built-in agent reads with; clients can't call them. */
const TOOLS = [
  "list_targets",
  "get_target",
  "list_incidents",
  "get_incident",
  "get_timeline",
  "get_budget",
  "get_listeners",
  "search_audit",
];

/** Wall ms of this isolate's first request; the clock stands still before it. */
let since = 0;

export const infoRoutes = new Hono<AppEnv>();

infoRoutes.get("/health", (c) => {
  const now = runtime(c).clock.wall();
  since ||= now;
  const agent = readVar(runtime(c).vars, "REVEILLE_AGENT_NAME");
  return answer(200, { status: "healthy", agent, uptime: Math.floor((now - since) / 1000) });
});

infoRoutes.get("/info", async (c) => {
  const rt = runtime(c);
  const address = await ownAddress(c);
  if (address === null) return no(NO_ADDRESS);
  const { policy } = await loadPolicy(c.env.DB, rt);
  const onboard = onboardInfo(policy);
  return answer(200, {
    name: readVar(rt.vars, "REVEILLE_AGENT_NAME"),
    address,
    tools: TOOLS,
    trust: "error" in policy ? "unreadable" : policy.name,
    version: VERSION,
    model: "reveille",
    skills: [],
    accepted_inputs: { text: true, images: false, files: { max_file_size_mb: 0, max_files_per_request: 0 } },
    protocol: { name: "oip", version: "0.1", min_version: "0.1", max_version: "0.1", websocket_path: "/ws" },
    transports: ["websocket", "http"],
    ...(onboard ? { onboard } : {}),
  });
});

infoRoutes.get("/docs", async (c) => {
  const name = readVar(runtime(c).vars, "REVEILLE_AGENT_NAME");
  const address = (await ownAddress(c)) ?? "not configured";
  const rows = [
    ["GET /ws", "WebSocket: CONNECT, INPUT, streamed events, OUTPUT"],
    ["POST /input", "one signed prompt, answered in the response"],
    ["GET /sessions", "your sessions (signed)"],
    ["GET /sessions/{id}", "status and result of a session"],
    ["GET /sessions/{id}/events", "its events as Server-Sent Events (signed)"],
    ["GET /sessions/{id}/ws", "WebSocket straight to a session"],
    ["GET /info, GET /health", "who this is"],
  ].map(([path, what]) => html`<tr><td><code>${path}</code></td><td>${what}</td></tr>`);
  const page = html`<!doctype html><html lang="en"><head><meta charset="utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" /><title>${name}</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}td{padding:.2rem 1rem .2rem 0;vertical-align:top}code{overflow-wrap:anywhere}</style></head><body><main><h1>${name}</h1><p>An agent at <code>${address}</code>. Requests are signed with Ed25519.</p><table>${rows}</table></main></body></html>`;
  return new Response(String(await page), {
    headers: {
      ...CORS,
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    },
  });
});
