import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP proxy whose connections can be paused in both directions, so that neither end learns anything: half-open, as networks leave it. */

export interface Paused {
  /** What was held back arrives. */
  resume(): void;
  /** Both ends learn that it is gone. */
  cut(): void;
}

export interface PausingProxy {
  url: string;
  /** Pauses the connections there are; later ones are not touched. */
  pause(): Paused;
  close(): Promise<void>;
}

/** @param target port on 127.0.0.1; whether anybody listens there is asked anew for each connection. */
export async function startPausingProxy(target: () => number): Promise<PausingProxy> {
  const pairs = new Set<[Socket, Socket]>();
  const server = createServer((near) => {
    const far = connect(target(), "127.0.0.1");
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    near.setNoDelay(true);
    far.setNoDelay(true);
    near.pipe(far);
    far.pipe(near);
    for (const socket of pair) {
      socket.on("error", () => {});
      socket.on("close", () => {
        pairs.delete(pair);
        for (const s of pair) s.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pause: () => {
      const held = [...pairs];
      for (const [near, far] of held) {
        near.unpipe(far);
        far.unpipe(near);
        near.pause();
        far.pause();
      }
      return {
        resume: () => {
          for (const [near, far] of held) {
            near.pipe(far);
            far.pipe(near);
          }
        },
        cut: () => {
          for (const pair of held) for (const s of pair) s.destroy();
        },
      };
    },
    close: async () => {
      for (const pair of pairs) for (const s of pair) s.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
