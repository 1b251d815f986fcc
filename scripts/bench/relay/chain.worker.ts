import { DurableObject } from "cloudflare:workers";

/**
 * What the relay is measured against: socket -> object -> object -> socket and back with the commits of a relayed turn (the
 * run's record before the agent hears of it; the answer in the log and the record again before the client does) and nothing
 * else: no signature, no limit, no JSON, no numbering, no PING. And one object that sends back what it gets. The agent finds its client by the object's name before the text.
 */

interface Env {
  FRONT: DurableObjectNamespace;
  BACK: DurableObjectNamespace;
  ECHO: DurableObjectNamespace;
}

type FrontMethods = { deliver(text: string): Promise<void> };
type BackMethods = { send(text: string): Promise<void> };

const NAME_LENGTH = 36;

function accept(ctx: DurableObjectState): { server: WebSocket; answer: Response } {
  const { 0: client, 1: server } = new WebSocketPair();
  ctx.acceptWebSocket(server);
  return { server, answer: new Response(null, { status: 101, webSocket: client }) };
}

/** Holds the client's socket. */
export class Front extends DurableObject<Env> {
  #back: BackMethods | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, text TEXT NOT NULL)");
  }

  override async fetch(request: Request): Promise<Response> {
    const { server, answer } = accept(this.ctx);
    server.serializeAttachment(request.headers.get("x-name"));
    return answer;
  }

  override async webSocketMessage(ws: WebSocket, data: string): Promise<void> {
    const name = ws.deserializeAttachment() as string;
    this.#commit(name, "running", null);
    this.#back ??= this.env.BACK.get(this.env.BACK.idFromName("back")) as unknown as BackMethods;
    await this.#back.send(name + data);
  }

  deliver(text: string): void {
    const ws = this.ctx.getWebSockets()[0];
    if (!ws) return;
    this.ctx.storage.sql.exec("INSERT INTO log (text) VALUES (?)", text);
    this.#commit(ws.deserializeAttachment() as string, "done", text);
    ws.send(text);
  }

  #commit(name: string, status: string, result: string | null): void {
    this.ctx.storage.kv.put("run", { name, status, result, at: Date.now() });
  }

  override async webSocketClose(): Promise<void> {}
}

/** Holds the agent's socket. */
export class Back extends DurableObject<Env> {
  readonly #fronts = new Map<string, FrontMethods>();

  override async fetch(): Promise<Response> {
    return accept(this.ctx).answer;
  }

  send(text: string): void {
    this.ctx.getWebSockets()[0]?.send(text);
  }

  override async webSocketMessage(_ws: WebSocket, data: string): Promise<void> {
    const name = data.slice(0, NAME_LENGTH);
    let front = this.#fronts.get(name);
    if (!front) {
      front = this.env.FRONT.get(this.env.FRONT.idFromName(name)) as unknown as FrontMethods;
      this.#fronts.set(name, front);
    }
    await front.deliver(data.slice(NAME_LENGTH));
  }

  override async webSocketClose(): Promise<void> {}
}

/** One object for all sockets; no commit, no hop. */
export class Echo extends DurableObject<Env> {
  override async fetch(): Promise<Response> {
    return accept(this.ctx).answer;
  }

  override async webSocketMessage(ws: WebSocket, data: string): Promise<void> {
    ws.send(data);
  }

  override async webSocketClose(): Promise<void> {}
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/client": {
        const name = crypto.randomUUID();
        const headers = { upgrade: "websocket", "x-name": name };
        return env.FRONT.get(env.FRONT.idFromName(name)).fetch(request.url, { headers });
      }
      case "/agent":
        return env.BACK.get(env.BACK.idFromName("back")).fetch(request);
      default:
        return env.ECHO.get(env.ECHO.idFromName("echo")).fetch(request);
    }
  },
} satisfies ExportedHandler<Env>;
