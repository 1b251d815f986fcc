import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";

/** Echo servers of `ws` and `socket.io` in a process of their own, as workerd is one. Tells its ports, ends with its parent. */

const plain = createServer();
new WebSocketServer({ server: plain, perMessageDeflate: false }).on("connection", (ws) =>
  ws.on("message", (data) => ws.send(data.toString())),
);
const withIo = createServer();
new Server(withIo, { transports: ["websocket"], serveClient: false }).on("connection", (socket) =>
  socket.on("ask", (text: string) => socket.emit("answer", text)),
);

const portOf = (server: typeof plain): Promise<number> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));

process.on("disconnect", () => process.exit(0));
process.send?.({ ws: await portOf(plain), io: await portOf(withIo) });
