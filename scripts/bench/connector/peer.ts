import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { SIGNING } from "./hooks";

const FILLER = "x".repeat(600);

/** fastify + SQLite and ws + SQLite, synchronous FULL, with their file in `folder`. */
export interface Peer {
  http: string;
  ws: string;
  /** Puts `n` events into a box, which a socket to `ws/box` drains. */
  fill(box: string, n: number): Promise<void>;
  close(): void;
}

export async function startPeer(folder: string): Promise<Peer> {
  const child = fork(fileURLToPath(new URL("peer.server.ts", import.meta.url)), [folder, SIGNING], {
    execArgv: ["--import", "tsx"],
  });
  const ports = await Promise.race([
    once(child, "message").then(([m]) => m as { http: number; ws: number }),
    once(child, "exit").then(([code]) => {
      throw new Error(`The plain servers ended with ${code} before they listened.`);
    }),
  ]);
  return {
    http: `http://127.0.0.1:${ports.http}`,
    ws: `ws://127.0.0.1:${ports.ws}`,
    fill: async (box, n) => {
      const filled = once(child, "message");
      child.send({ box, n, text: FILLER });
      await filled;
    },
    close: () => {
      if (child.connected) child.disconnect();
    },
  };
}
