import { runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { expect } from "vitest";
import type { Session } from "../../durable-objects/session.do";
import { readVar } from "../../src/kernel/config";
import { runtimeOf } from "../../src/kernel/runtime";
import { hostKey } from "../../src/session";
import { type AdminAction, trustAct } from "../../src/trust";
import { formT, type Payload, type Signer, signedFrame, signer } from "../unit/session-kit";

/** What tests of the session host share: sockets on the real edge, signed by keys of the test, and the objects behind them. */

export { formA, formT, type Payload, type Signer, signedFrame, signer } from "../unit/session-kit";

export type Frame = Record<string, unknown> & { type: string };

export const host = async (): Promise<string> =>
  (await hostKey(readVar(env as unknown as Record<string, unknown>, "REVEILLE_AGENT_SEED")))!.address;

let seeds = 0;
/** A key nobody has used in this file. */
export const someone = (): Promise<Signer> => signer(++seeds);

export const now = (): number => Math.floor(Date.now() / 1000);

let ips = 0;
/** An IP of its own for each socket, so that one test's limits are not another's. */
const ip = (): string => `192.0.2.${++ips % 250}`;

/** A client's end of one socket: every frame is kept, waits have a limit, and a close is a value. */
export class Line {
  readonly frames: Frame[] = [];
  closed: { code: number; reason: string } | null = null;
  #wake: () => void = () => {};

  constructor(readonly ws: WebSocket) {
    ws.accept();
    ws.addEventListener("message", (e) => {
      this.frames.push(JSON.parse(String(e.data)) as Frame);
      this.#wake();
    });
    ws.addEventListener("close", (e) => {
      this.closed = { code: e.code, reason: e.reason };
      this.#wake();
    });
  }

  send(frame: object | string | ArrayBuffer): void {
    this.ws.send(typeof frame === "string" || frame instanceof ArrayBuffer ? frame : JSON.stringify(frame));
  }

  /** The first frame of a type after the `skip` already there. */
  async next(type: string, skip = 0, ms = 5_000): Promise<Frame> {
    const until = Date.now() + ms;
    for (;;) {
      const found = this.frames.filter((f) => f.type === type)[skip];
      if (found) return found;
      if (Date.now() > until)
        throw new Error(
          `No ${type} within ${ms} ms; seen: ${JSON.stringify(this.frames).slice(0, 800)} ${JSON.stringify(this.closed)}`,
        );
      await this.#change(Math.min(200, ms));
    }
  }

  async close(ms = 5_000): Promise<{ code: number; reason: string }> {
    const until = Date.now() + ms;
    while (!this.closed) {
      if (Date.now() > until)
        throw new Error(`Still open after ${ms} ms; seen: ${JSON.stringify(this.frames).slice(0, 800)}`);
      await this.#change(200);
    }
    return this.closed;
  }

  /** Nothing of this type comes within `ms`. */
  async silent(type: string, ms = 300): Promise<void> {
    const before = this.count(type);
    await new Promise((done) => setTimeout(done, ms));
    expect(this.count(type)).toBe(before);
  }

  count(type: string): number {
    return this.frames.filter((f) => f.type === type).length;
  }

  leave(): void {
    this.ws.close(1000, "done");
  }

  #change(ms: number): Promise<void> {
    return new Promise((done) => {
      this.#wake = done;
      setTimeout(done, ms);
    });
  }
}

export async function openAt(path: string, headers: Record<string, string> = {}): Promise<Line> {
  const response = await exports.default.fetch(`http://reveille.test${path}`, {
    headers: { upgrade: "websocket", "cf-connecting-ip": ip(), ...headers },
  });
  expect(response.status).toBe(101);
  return new Line(response.webSocket!);
}
export const open = (): Promise<Line> => openAt("/ws");

/** A CONNECT as 0.1.4 signs it. */
export const connectFrame = async (who: Signer, extra: Payload = {}, payload: Payload = {}): Promise<string> =>
  signedFrame(who, { timestamp: now(), to: await host(), ...payload }, { type: "CONNECT", ...extra }, formT);

/** A connected line, and what CONNECTED said. */
export async function connect(who: Signer, extra: Payload = {}): Promise<{ line: Line; connected: Frame; id: string }> {
  const line = await open();
  line.send(await connectFrame(who, extra));
  const connected = await line.next("CONNECTED");
  return { line, connected, id: String(connected["session_id"]) };
}

export const input = (prompt: string, more: object = {}): object => ({
  type: "INPUT",
  input_id: crypto.randomUUID(),
  prompt,
  ...more,
});

export const objectOf = (id: string): DurableObjectStub<Session> => {
  const namespace = env.SESSION as unknown as DurableObjectNamespace<Session>;
  return namespace.get(namespace.idFromName(id));
};

/**
 * Sends an INPUT by RPC and takes its run before the queue's consumer can, so that the test is the executor. The consumer then
 * finds it leased, as it would find any other's.
 */
export async function hold(
  id: string,
  who: Signer,
  prompt = "hold",
  inputId: string | null = null,
): Promise<{ run: string; token: string }> {
  return runInDurableObject(objectOf(id), async (session, state) => {
    const token = crypto.randomUUID();
    const submitted = session.submit(who.address, id, prompt, inputId, null);
    const { id: run } = state.storage.sql.exec<{ id: string }>("SELECT id FROM run ORDER BY n DESC LIMIT 1").one();
    const claimed = session.claim(run, token);
    expect((await claimed).state).toBe("mine");
    expect(await submitted).toEqual({ state: "accepted", run_id: run });
    return { run, token };
  });
}

export const event = (type: string, more: object = {}) => ({
  type,
  id: crypto.randomUUID(),
  ts: Date.now() / 1000,
  ...more,
});

export const done = (result: string) => ({ status: "done" as const, result, error: null });

/** A GET signed with the headers of newer clients. */
export async function signedGet(who: Signer, path: string, headers: Record<string, string> = {}): Promise<Response> {
  const timestamp = now();
  const clean = path.split("?")[0]!;
  const signature = await who.sign(`{"method":"GET","path":"${clean}","timestamp":${timestamp}}`);
  return exports.default.fetch(`http://reveille.test${path}`, {
    headers: {
      "x-co-from": who.address,
      "x-co-signature": signature,
      "x-co-timestamp": String(timestamp),
      "cf-connecting-ip": ip(),
      ...headers,
    },
  });
}

export const get = (path: string): Promise<Response> =>
  exports.default.fetch(`http://reveille.test${path}`, { headers: { "cf-connecting-ip": ip() } });

/** What an operator does to a client. */
export async function act(action: AdminAction, client: string): Promise<void> {
  const runtime = runtimeOf(env as unknown as Record<string, unknown>, "test");
  const { body } = await trustAct(
    { db: env.DB, runtime },
    { kind: "operator", name: "test" },
    { action, client_id: client },
  );
  expect(body).toMatchObject({ success: true });
}

/** Sets the policy in force, as an operator does. */
export async function policy(text: string): Promise<void> {
  await env.DB.prepare("INSERT INTO trust_policy (text, hash, by, at) VALUES (?, '', 'test', ?)")
    .bind(text, Date.now())
    .run();
}
