import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as z from "zod";
import type { QoopiaControl, QoopiaLedger } from "./qoopia.types";

/**
 * A Qoopia as the responder meets it (wake-slo §3): the official SDK's server, stateless, over loopback HTTP, with the tools, the
 * gates and the texts of both eras, and its own ledger of what was done. One process serves many peers: each path
 * `/{peer}/mcp` is an instance of its own, set by `POST /{peer}/_control`, told by `GET /{peer}/_ledger`.
 */

interface Peer {
  control: Required<Omit<QoopiaControl, "refuse">> & { refuse: NonNullable<QoopiaControl["refuse"]> };
  ledger: QoopiaLedger;
  keyed: Map<string, { content: string; result: object }>;
}

const newPeer = (): Peer => ({
  control: { mode: "ok", only: null, era: "ack", refuse: {}, keys: {}, messages: [], delay: 0 },
  ledger: { requests: 0, calls: [], acks: {}, pongs: [], deduplicated: 0, closed: [], unauthorised: 0 },
  keyed: new Map(),
});

export interface Qoopia {
  /** Base of all peers; a peer's base is `${url}/${peer}`. */
  url: string;
  close(): Promise<void>;
}

const say = (value: object) => ({ content: [{ type: "text" as const, text: JSON.stringify(value) }] });
const deny = (text: string) => ({ content: [{ type: "text" as const, text }], isError: true });

function build(peer: Peer, agent: string, secret: string): McpServer {
  const { control, ledger } = peer;
  const server = new McpServer({ name: "qoopia", version: control.era === "ack" ? "2.4.0" : "3.0.0" });
  const note = (tool: string, args: Record<string, unknown>): void => {
    ledger.calls.push({ tool, by: agent, args, at: Date.now() });
  };
  const refused = (tool: "agent_ack" | "agent_reply") => {
    if (control.mode === "leak") return deny(`FORBIDDEN: key ${secret} may not`);
    return control.refuse[tool] === undefined ? null : deny(control.refuse[tool]);
  };
  if (control.era === "ack")
    server.registerTool(
      "agent_ack",
      { inputSchema: { message_id: z.string(), status: z.string().optional() } },
      async (args) => {
        note("agent_ack", args);
        const no = refused("agent_ack");
        if (no) return no;
        const message = control.messages.find((m) => m.id === args.message_id);
        if (!message) return deny("NOT_FOUND: message not found");
        if (message.to !== agent) return deny("FORBIDDEN: only the recipient may acknowledge");
        ledger.acks[args.message_id] = (ledger.acks[args.message_id] ?? 0) + 1;
        return say({
          message_id: args.message_id,
          acked_at: new Date().toISOString(),
          ack_status: args.status ?? null,
        });
      },
    );
  server.registerTool(
    "agent_reply",
    {
      inputSchema: {
        session_id: z.string(),
        body: z.string().min(1).max(50_000),
        to_agent: z.string().optional(),
        reply_to_message_id: z.string().optional(),
        close: z.boolean().optional(),
        idempotency_key: z
          .string()
          .regex(/^[A-Za-z0-9._:-]{1,128}$/)
          .optional(),
      },
    },
    async (args) => {
      note("agent_reply", args);
      if (control.delay > 0) await new Promise((r) => setTimeout(r, control.delay));
      const no = refused("agent_reply");
      if (no) return no;
      const session = control.messages.find((m) => m.session === args.session_id);
      if (!session || ![session.from, session.to].includes(agent)) return deny("NOT_FOUND: agent session not found");
      const key = args.idempotency_key ?? null;
      const content = JSON.stringify(args);
      const before = key === null ? undefined : peer.keyed.get(`${agent} ${key}`);
      if (before) {
        if (before.content !== content) return deny("CONFLICT: idempotency key was used with other content");
        ledger.deduplicated++;
        return say({ ...before.result, deduplicated: true });
      }
      if (ledger.closed.includes(args.session_id)) return deny("CONFLICT: agent session is closed");
      ledger.pongs.push({ session: args.session_id, body: args.body, by: agent, key });
      if (args.close) ledger.closed.push(args.session_id);
      const result = { id: `R${ledger.pongs.length}`, session_id: args.session_id, kind: "reply" };
      if (key !== null) peer.keyed.set(`${agent} ${key}`, { content, result });
      return say(result);
    },
  );
  server.registerTool("agent_status", { inputSchema: { agent: z.string().optional() } }, async () =>
    say({ agents: [{ name: agent, type: "agent", tool_profile: "standard" }] }),
  );
  return server;
}

export async function startQoopia(): Promise<Qoopia> {
  const peers = new Map<string, Peer>();

  async function mcp(peer: Peer, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { control, ledger } = peer;
    ledger.requests++;
    const raw = await readBody(req);
    const secret = (req.headers.authorization ?? "").replace(/^Bearer /, "");
    const agent = control.keys[secret];
    let body: { id?: unknown; params?: { name?: string } } | undefined;
    try {
      body = JSON.parse(raw);
    } catch {
      return end(res, 400, { error: "invalid_json" });
    }
    const mode = control.only === null || control.only === body?.params?.name ? control.mode : "ok";
    if (mode === "hang") return;
    if (mode === "401" || agent === undefined) {
      ledger.unauthorised++;
      res.setHeader("www-authenticate", "Bearer");
      return end(res, 401, { error: "unauthorized" });
    }
    if (mode === "500") return end(res, 500, { error: "internal" });
    if (mode === "accepted") return void res.writeHead(202).end();
    if (mode === "garbage") return end(res, 200, { hello: "world" });
    if (mode === "redirect") return void res.writeHead(307, { location: `http://${req.headers.host}/thief/mcp` }).end();
    const sse = { "content-type": "text/event-stream" };
    if (mode === "stall") {
      res.writeHead(200, sse).write(`event: message\ndata: {"jsonrpc":"2.0",`);
      return;
    }
    if (mode === "half") {
      const message = { jsonrpc: "2.0", id: body?.id, result: { content: [] } };
      return void res.writeHead(200, sse).end(`event: message\ndata: ${JSON.stringify(message)}\n`);
    }
    if (mode === "oversize") return void res.writeHead(200, sse).end(`: ${"x".repeat(1_200_000)}\n\n`);
    if (mode === "wrong_id") {
      const message = { jsonrpc: "2.0", id: "another", result: { content: [] } };
      return void res.writeHead(200, sse).end(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    }
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: undefined,
      enableJsonResponse: mode === "json",
    });
    const server = build(peer, agent, secret);
    await server.connect(transport);
    res.on("close", () => void server.close());
    if (mode === "bytes") inPieces(res);
    if (mode === "cut") cutOff(res);
    await transport.handleRequest(req, res, body);
  }

  const server = createServer((req, res) => {
    const work = async (): Promise<void> => {
      const [, name = "", what = ""] = new URL(req.url ?? "/", "http://peer").pathname.split("/");
      const peer = peers.get(name) ?? newPeer();
      peers.set(name, peer);
      if (what === "_ledger") return end(res, 200, peer.ledger);
      if (what === "_control") {
        Object.assign(peer.control, JSON.parse(await readBody(req)));
        return end(res, 200, { ok: true });
      }
      if (what !== "mcp") return end(res, 404, {});
      if (req.method !== "POST") return end(res, 405, {});
      return mcp(peer, req, res);
    };
    work().catch((error) => {
      if (!res.headersSent) end(res, 500, { error: String(error) });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Each byte of a body as a write of its own. */
function inPieces(res: ServerResponse): void {
  const write = res.write.bind(res) as (chunk: Uint8Array) => boolean;
  res.write = ((chunk: string | Uint8Array) => {
    for (const byte of Buffer.from(chunk as string)) write(Buffer.from([byte]));
    return true;
  }) as typeof res.write;
}

/** The tool runs; its answer never gets through. */
function cutOff(res: ServerResponse): void {
  res.write = (() => {
    res.destroy();
    return false;
  }) as typeof res.write;
}

function end(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function readBody(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}
