import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import Fastify from "fastify";
import { WebSocketServer } from "ws";
import { openStore } from "./store";

/**
 * The plain servers beside the edge, in a process of their own as workerd is one: fastify + SQLite takes signed webhooks, ws + SQLite
 * hands events to a gateway, one in flight, each marked as delivered when it is acked. Ends with its parent.
 */

const [folder, secret] = process.argv.slice(2) as [string, string];
const store = openStore(join(folder, "peer.sqlite"));

const app = Fastify({ bodyLimit: 1024 * 1024 });
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
app.post("/webhooks/slack", (request, reply) => {
  const body = request.body as Buffer;
  const ts = String(request.headers["x-slack-request-timestamp"]);
  const mac = createHmac("sha256", secret).update(`v0:${ts}:`).update(body).digest();
  const given = Buffer.from(String(request.headers["x-slack-signature"]).slice(3), "hex");
  if (given.length !== mac.length || !timingSafeEqual(given, mac)) return reply.code(401).send();
  const call = JSON.parse(body.toString("utf8")) as { event_id: string; event: unknown };
  store.insert(call.event_id, "ingest", JSON.stringify(call.event));
  return reply.code(200).send();
});
await app.listen({ port: 0, host: "127.0.0.1" });

const upgrades = createServer();
new WebSocketServer({ server: upgrades, perMessageDeflate: false }).on("connection", (ws, request) => {
  const box = (request.url ?? "/").slice(1);
  let seq = 0;
  const send = (): void => {
    const row = store.next(box, seq);
    if (!row) return;
    seq = row.seq;
    ws.send(`{"type":"inbound","event":${row.frame},"bufferId":"${row.seq}"}\n`);
  };
  ws.on("message", (data) => {
    const frame = JSON.parse(data.toString()) as { type: string; bufferId: string };
    if (frame.type === "inbound_ack") store.done(Number(frame.bufferId));
    send();
  });
});

process.on("message", ({ box, n, text }: { box: string; n: number; text: string }) => {
  store.together(() => {
    for (let i = 1; i <= n; i++) store.insert(`${box}:${i}`, box, JSON.stringify({ text: `${i} ${text}` }));
  });
  process.send?.({ filled: box });
});
process.on("disconnect", () => process.exit(0));
await new Promise<void>((resolve) => upgrades.listen(0, "127.0.0.1", resolve));
const portOf = (server: typeof upgrades): number => (server.address() as AddressInfo).port;
process.send?.({ http: portOf(app.server), ws: portOf(upgrades) });
