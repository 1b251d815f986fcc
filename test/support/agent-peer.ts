import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as z from "zod";

/**
 * Agent messaging on another machine, as a prober meets it: the official SDK's server at `/mcp`, stateless, messenger era. The
 * recipient behind it ("South", id 01B) answers as the bearer key says: `q_peer-<mood>`. A repeated agent_send with the same key tells
 * the wake's state, as the real one does. `GET /_ledger` tells which sessions there were and how each ended.
 */

const MOODS = ["ok", "slow", "silent", "queued", "failed", "ignored", "error", "other", "steward", "down"] as const;
type Mood = (typeof MOODS)[number];

interface Session {
  id: string;
  mood: Mood;
  topic: string;
  closed: string | null;
  sent: { id: string; key: string; body: string; at: number; times: number } | null;
  read: boolean;
}

export interface AgentPeer {
  url: string;
  close(): Promise<void>;
}

const SLOW_MS = 60;

export async function startAgentPeer(): Promise<AgentPeer> {
  const sessions = new Map<string, Session>();
  const created = new Map<string, string>();

  const say = (value: unknown) => ({ content: [{ type: "text" as const, text: JSON.stringify(value) }] });
  const refuse = (text: string) => ({ isError: true, content: [{ type: "text" as const, text }] });
  const stateOf = (s: Session): string => {
    if (s.mood === "queued" || s.mood === "failed" || s.mood === "ignored") return s.mood;
    return s.mood === "slow" && Date.now() - s.sent!.at < SLOW_MS ? "queued" : "delivered";
  };
  const replyOf = (s: Session): Record<string, unknown> | null => {
    if (!s.sent || stateOf(s) !== "delivered" || s.mood === "silent") return null;
    const pong = s.sent.body.replace("PING", "PONG");
    return {
      ...{ id: `${s.sent.id}R`, session_id: s.id, topic: s.topic, kind: "reply", to: "North" },
      from: s.mood === "steward" ? "Steward" : "South",
      body: s.mood === "other" ? "What do you mean?" : pong,
      metadata: s.mood === "error" ? { error: true } : null,
    };
  };

  function build(mood: Mood): McpServer {
    const server = new McpServer({ name: "agent-peer", version: "3.0.0" });
    const tool = (name: string, input: z.ZodRawShape, work: (args: Record<string, string>) => unknown): void => {
      server.registerTool(name, { inputSchema: input }, (async (args: Record<string, string>) => work(args)) as never);
    };
    const text = z.string().min(1);
    tool(
      "agent_session_create",
      { topic: text, metadata: z.record(z.string(), z.unknown()), idempotency_key: text },
      (a) => {
        const id = created.get(a["idempotency_key"]!) ?? randomUUID();
        created.set(a["idempotency_key"]!, id);
        if (!sessions.has(id))
          sessions.set(id, { id, mood, topic: a["topic"]!, closed: null, sent: null, read: false });
        return say({ id, topic: a["topic"], status: "open", initial_message: null });
      },
    );
    const send = { to_agent: text, session_id: text, body: text, kind: text, idempotency_key: text };
    tool("agent_send", send, (a) => {
      const s = sessions.get(a["session_id"]!);
      if (!s) return refuse("NOT_FOUND: agent session not found");
      if (a["to_agent"] !== "01B") return refuse("NOT_FOUND: agent not found");
      if (s.closed !== null && s.sent?.key !== a["idempotency_key"]) return refuse("CONFLICT: agent session is closed");
      if (s.sent && s.sent.key !== a["idempotency_key"]) return refuse("CONFLICT: another message is there");
      const again = s.sent !== null;
      s.sent ??= { id: randomUUID(), key: a["idempotency_key"]!, body: a["body"]!, at: Date.now(), times: 0 };
      s.sent.times++;
      const wake = { event_id: `${s.sent.id}W`, status: again || s.mood === "ignored" ? stateOf(s) : "queued" };
      return say({
        id: s.sent.id,
        session_id: s.id,
        to: "South",
        kind: "request",
        wake,
        ...(again ? { deduplicated: true } : {}),
      });
    });
    tool("agent_inbox", { status: text, limit: z.number() }, (a) => {
      const mine = [...sessions.values()].filter((s) => s.mood === mood);
      const items = mine.filter((s) => replyOf(s) !== null && s.read === (a["status"] === "delivered"));
      const answer = items.map(replyOf);
      for (const s of items) s.read = true;
      return say({ items: answer, limit: a["limit"], untrusted_content: true });
    });
    tool("agent_session_close", { session_id: text, reason: text }, (a) => {
      const s = sessions.get(a["session_id"]!);
      if (!s) return refuse("NOT_FOUND: agent session not found");
      const noop = s.closed !== null;
      s.closed ??= a["reason"]!;
      return say({ session_id: s.id, status: "closed", closed_at: "2026-09-21T14:13:20Z", ...(noop ? { noop } : {}) });
    });
    return server;
  }

  const server = createServer((req, res) => {
    const work = async (): Promise<void> => {
      const path = new URL(req.url ?? "/", "http://stand-in").pathname;
      const end = (status: number, body: unknown): void => {
        res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      };
      if (path === "/_ledger") return end(200, [...sessions.values()]);
      if (path !== "/mcp") return end(404, {});
      const mood = MOODS.find((m) => req.headers.authorization === `Bearer q_peer-${m}`);
      if (!mood) return end(401, { error: "unauthorized" });
      if (mood === "down") return end(502, { error: "bad_gateway" });
      const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
      res.on("close", () => void transport.close());
      await build(mood).connect(transport as never);
      await transport.handleRequest(req, res, JSON.parse(await readBody(req)));
    };
    work().catch((error) => {
      if (!res.headersSent) res.writeHead(500).end(String(error));
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

async function readBody(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}
