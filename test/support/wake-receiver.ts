import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Knock, WakeMood } from "./wake-receiver.types";

/**
 * The runtime of an agent somewhere else, that is woken by a POST to `/wake/{name}`. Each name has its own mood, set by
 * `POST /_control/{name}`, and its own ledger at `GET /_ledger/{name}`: what was really asked of it, byte for byte.
 */

export interface WakeReceiver {
  url: string;
  close(): Promise<void>;
}

interface Runtime {
  mood: WakeMood;
  hold_ms: number;
  knocks: Knock[];
  open: number;
}

export async function startWakeReceiver(): Promise<WakeReceiver> {
  const runtimes = new Map<string, Runtime>();
  const of = (name: string): Runtime => {
    const found = runtimes.get(name) ?? { mood: "accept", hold_ms: 0, knocks: [], open: 0 };
    runtimes.set(name, found);
    return found;
  };
  const server = createServer((req, res) => {
    const work = async (): Promise<void> => {
      const [, what = "", name = ""] = new URL(req.url ?? "/", "http://stand-in").pathname.split("/");
      const runtime = of(name);
      const end = (status: number, body: string, type = "application/json"): void => {
        res.writeHead(status, { "content-type": type }).end(body);
      };
      if (what === "_ledger") return end(200, JSON.stringify(runtime.knocks));
      const body = await readBody(req);
      if (what === "_control") {
        Object.assign(runtime, JSON.parse(body));
        return end(200, "{}");
      }
      if (what !== "wake") return end(404, "{}");
      runtime.open++;
      res.on("close", () => runtime.open--);
      const headers = Object.fromEntries(Object.entries(req.headers).map(([k, v]) => [k, String(v)]));
      runtime.knocks.push({ headers, body, at_once: runtime.open });
      const yes = JSON.stringify({ accepted: true, hook_id: name });
      switch (runtime.mood) {
        case "accept":
          return end(202, yes);
        case "bare":
          return end(200, "{}");
        case "accepted_text":
          return end(200, '{"accepted":"true"}');
        case "html":
          return end(200, "<p>accepted: true</p>", "text/html");
        case "500":
          return end(500, yes);
        case "huge":
          return end(200, JSON.stringify({ accepted: true, more: "x".repeat(20_000) }));
        case "redirect":
          res.writeHead(307, { location: "/wake/elsewhere" }).end();
          return;
        case "hold":
          await new Promise((r) => setTimeout(r, runtime.hold_ms));
          return end(202, yes);
        case "never":
          return;
      }
    };
    work().catch(() => res.destroy());
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
