import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { performance } from "node:perf_hooks";

/**
 * A peer that answers each tool call at once, in the words of a Qoopia of the ack era: stateless MCP, one event of a stream
 * (wake-slo §3.1). What it was asked, and when, is what is judged. It lives in the process of the senders, so that one clock
 * tells both ends.
 */

/** What came for one probe; times of `performance.now()`, when the request had come whole. */
export interface Heard {
  acks: number;
  replies: number;
  repliedAt: number;
}

export interface Peer {
  url: string;
  heard: Map<string, Heard>;
  /** Resolves with the time at which the reply to this message came. */
  replied(messageId: string): Promise<number>;
  close(): Promise<void>;
}

interface Call {
  id: string;
  params: { name: string; arguments: { message_id?: string; reply_to_message_id?: string; body?: string } };
}

/** Longer than this and a probe is lost: a claim's lease is 30 s. */
const LOST_MS = 20_000;

/** `key`: whose calls are answered; others get 401. */
export async function startPeer(key: string): Promise<Peer> {
  const heard = new Map<string, Heard>();
  const waiting = new Map<string, (at: number) => void>();
  const of = (id: string): Heard => {
    const known = heard.get(id) ?? { acks: 0, replies: 0, repliedAt: Number.NaN };
    heard.set(id, known);
    return known;
  };
  const take = ({ params }: Call): string => {
    const { message_id, reply_to_message_id, body = "" } = params.arguments;
    if (params.name === "agent_ack" && message_id !== undefined) {
      of(message_id).acks++;
      return JSON.stringify({ message_id, acked_at: new Date().toISOString(), ack_status: "auto_pong" });
    }
    if (params.name !== "agent_reply" || reply_to_message_id === undefined || !body.startsWith("WAKE_SLO_PONG "))
      throw new Error(`The peer was asked for ${params.name}, which is no ack and no pong.`);
    const one = of(reply_to_message_id);
    one.replies++;
    if (one.replies === 1) {
      one.repliedAt = performance.now();
      waiting.get(reply_to_message_id)?.(one.repliedAt);
    }
    return JSON.stringify({ id: `R-${reply_to_message_id}`, kind: "reply" });
  };
  const server = createServer((req, res) => {
    const parts: Buffer[] = [];
    req.on("data", (part: Buffer) => parts.push(part));
    req.on("end", () => {
      if (req.headers.authorization !== `Bearer ${key}`) return void res.writeHead(401).end();
      const call = JSON.parse(Buffer.concat(parts).toString("utf8")) as Call;
      const message = { jsonrpc: "2.0", id: call.id, result: { content: [{ type: "text", text: take(call) }] } };
      res
        .writeHead(200, { "content-type": "text/event-stream" })
        .end(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    });
  });
  // A line that the peer closes while a call is on its way would be a fault of the peer, not a time.
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    replied: (id) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`No reply to ${id} within ${LOST_MS / 1000} s.`)), LOST_MS);
        const done = (at: number): void => {
          clearTimeout(timer);
          waiting.delete(id);
          resolve(at);
        };
        const before = heard.get(id)?.repliedAt;
        if (before !== undefined && !Number.isNaN(before)) done(before);
        else waiting.set(id, done);
      }),
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
