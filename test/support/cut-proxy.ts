import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A network between a client and a server on this machine, that can be cut like a real one. */
export interface CutProxy {
  port: number;
  url: string;
  /** Ends every connection at once, without a goodbye. */
  cut(): void;
  /** `up`; `down`: nobody is let through; `no_websockets`: as some company networks do it. */
  mode(mode: "up" | "down" | "no_websockets"): void;
  /** Keeps all connections and passes nothing on: what a lost route looks like. */
  freeze(frozen: boolean): void;
  /** Upgrades that got through. */
  upgrades(): number;
  close(): Promise<void>;
}

export async function startCutProxy(target: number): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let mode: "up" | "down" | "no_websockets" = "up";
  let frozen = false;
  let upgrades = 0;
  const server: Server = createServer((client) => {
    if (mode === "down") return void client.resetAndDestroy();
    const upstream = connect(target, "127.0.0.1");
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    upstream.on("data", (data) => !frozen && client.write(data));
    client.on("data", (data) => {
      if (frozen) return;
      if (/^upgrade:\s*websocket\r$/im.test(data.toString("latin1"))) {
        if (mode === "no_websockets") return void client.resetAndDestroy();
        upgrades++;
      }
      upstream.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    cut,
    mode: (next) => {
      mode = next;
    },
    freeze: (next) => {
      frozen = next;
    },
    upgrades: () => upgrades,
    close: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
