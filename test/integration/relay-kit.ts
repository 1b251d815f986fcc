import { runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { expect } from "vitest";
import type { Agent } from "../../durable-objects/agent.do";
import type { AgentLine } from "../../durable-objects/agent-line.do";
import type { ClientLine } from "../../durable-objects/client-line.do";
import { keysOf, signAnnounce, signConnect } from "./onion-kit";

/** Both ends of the relay on real sockets: a scripted agent, a client, and the objects behind them. */

export type Frame = Record<string, unknown>;

export class Line {
  readonly frames: Frame[] = [];
  closed: number | null = null;

  constructor(readonly ws: WebSocket) {
    ws.accept();
    ws.addEventListener("message", (e) => this.frames.push(JSON.parse(String(e.data)) as Frame));
    ws.addEventListener("close", (e) => {
      this.closed = e.code;
    });
  }

  static async open(path: string): Promise<Line> {
    const response = await exports.default.fetch(`http://reveille.test${path}`, { headers: { upgrade: "websocket" } });
    expect(response.status).toBe(101);
    return new Line(response.webSocket!);
  }

  send(frame: Frame): void {
    this.ws.send(JSON.stringify(frame));
  }

  async type(type: string, ms = 4_000): Promise<Frame> {
    return until(() => this.frames.find((f) => f["type"] === type), ms, `${type} among ${JSON.stringify(this.frames)}`);
  }
}

type Maybe<T> = T | undefined | null | false;

export async function until<T>(look: () => Maybe<T> | Promise<Maybe<T>>, ms: number, what: string): Promise<T> {
  for (const end = Date.now() + ms; ; await scheduler.wait(10)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what}`);
  }
}

/** The names of live objects of a class are random; their ids are found by what they hold. */
async function lineOf(address: string): Promise<string> {
  const home = env.AGENT.get(env.AGENT.idFromName(address)) as unknown as DurableObjectStub<Agent>;
  return runInDurableObject(home, (_o, state) => state.storage.kv.get<{ line: string }>("current")!.line);
}

export async function pair(name: string) {
  const agentKeys = await keysOf(`${name}-agent`);
  const clientKeys = await keysOf(`${name}-client`);
  const agent = await Line.open("/ws/announce");
  agent.ws.send(await signAnnounce(agentKeys));
  await agent.type("ANNOUNCE_OK");
  const client = await Line.open("/ws/input");
  client.ws.send(await signConnect(clientKeys, agentKeys.address));
  const connect = await agent.type("CONNECT");
  const rid = String(connect["session_id"]);
  agent.send({ type: "CONNECTED", session_id: rid, status: "new" });
  await client.type("CONNECTED");
  return {
    agent,
    client,
    agentKeys,
    clientKeys,
    rid,
    agentLine: env.AGENT_LINE.get(
      env.AGENT_LINE.idFromName(await lineOf(agentKeys.address)),
    ) as unknown as DurableObjectStub<AgentLine>,
    clientLine: env.CLIENT_LINE.get(env.CLIENT_LINE.idFromName(rid)) as unknown as DurableObjectStub<ClientLine>,
  };
}
