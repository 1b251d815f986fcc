import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { plainLanes } from "./lines";
import type { Done, Lanes } from "./load";

const TEXT = JSON.stringify({
  type: "INPUT",
  prompt: "What has changed since yesterday, and does any of it need me today?",
});

export interface Peers {
  lanes: Lanes[];
  close(): Promise<void>;
}

/** `ws` and `socket.io`, echoing over `n` sockets each: what a server does that keeps and promises nothing. */
export async function startPeers(n: number): Promise<Peers> {
  const child = fork(fileURLToPath(new URL("peers.server.ts", import.meta.url)), { execArgv: ["--import", "tsx"] });
  const [ports] = (await once(child, "message")) as [{ ws: number; io: number }];
  const lanes = [
    await plainLanes("ws", `http://127.0.0.1:${ports.ws}`, "/", n),
    await ioLanes(`http://127.0.0.1:${ports.io}`, n),
  ];
  return {
    lanes,
    close: async () => {
      await Promise.all(lanes.map((l) => l.close()));
      if (child.connected) child.disconnect();
    },
  };
}

async function ioLanes(url: string, n: number): Promise<Lanes> {
  const waiting: (Done | null)[] = [];
  const sockets = await Promise.all(
    Array.from({ length: n }, async (_, i) => {
      const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
      await new Promise<void>((resolve, reject) => {
        socket.on("connect", resolve);
        socket.on("connect_error", reject);
      });
      socket.on("answer", () => {
        const done = waiting[i];
        waiting[i] = null;
        done?.();
      });
      return socket;
    }),
  );
  return {
    name: "socket.io",
    lines: n,
    ask: (i, done) => {
      waiting[i] = done;
      sockets[i]!.emit("ask", TEXT);
    },
    close: () => {
      for (const socket of sockets) socket.disconnect();
    },
  };
}
