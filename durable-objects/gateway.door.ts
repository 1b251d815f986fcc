import {
  type Buffer,
  descriptorOf,
  GREETING_MS,
  type Hello,
  noteManifest,
  type Outbound,
  readFrame,
  receiveLines,
  writeFrame,
} from "../src/gateway";
import { SECOND } from "../src/kernel/clock";
import type { Runtime } from "../src/kernel/runtime";
import type { ObjectEnv } from "./env";
import type { Drain } from "./gateway.drain";
import { opsOf } from "./gateway.egress";
import type { Kept } from "./gateway.kept";
import type { Ops } from "./gateway.ops";
import { otherInstances, tellOdd } from "./gateway.outside";
import {
  closeSocket,
  DIAL_HEADER,
  type Line,
  MAX_GREETINGS,
  MAX_SOCKETS,
  readDial,
  type Sockets,
  tooManyIdentities,
} from "./gateway.sockets";
import { gatewayObject } from "./gateway.stub";

export interface DoorPorts {
  ctx: DurableObjectState;
  env: ObjectEnv;
  runtime: Runtime;
  buffer: Buffer;
  sockets: Sockets;
  kept: Kept;
  drain: Drain;
  ops: Ops;
  /** Cancels a turn of this instance, if it is one of its own. */
  interruptFor(sessionKey: string): Promise<boolean>;
}

/** Partial frames and other oddities of one socket: this many at once, and one more a second. */
const ODD_BURST = 200;
/** Cancels for which the siblings of an instance are asked, likewise: each is a call to every one of them. */
const ASK_BURST = 20;

/** Sockets of one instance: who comes in, what they say, how they go (hermes-relay §1-§3). */
export class Door {
  readonly #budgets = new Map<string, { left: number; at: number }>();

  constructor(readonly ports: DoorPorts) {}

  /** The upgrade of GET /relay. The edge has verified the token; the object knows who was revoked since. */
  accept(request: Request): Response {
    const { ctx, kept, sockets, runtime } = this.ports;
    const dial = readDial(request.headers.get(DIAL_HEADER));
    if (!dial || request.headers.get("upgrade")?.toLowerCase() !== "websocket")
      return new Response(null, { status: 400 });
    if (tooManyIdentities(dial)) return new Response(null, { status: 503 });
    const { 0: client, 1: server } = new WebSocketPair();
    if (dial.proved_at <= kept.refusedUntil(dial.gateway_id)) {
      ctx.acceptWebSocket(server);
      closeSocket(server, 4401, "unauthorized");
      return new Response(null, { status: 101, webSocket: client });
    }
    kept.who = dial;
    const { dropped } = kept;
    if (dropped && !dropped.over) kept.dropped = { ...dropped, over: true };
    const mine = sockets.open().filter(([, line]) => line.gateway_id === dial.gateway_id);
    for (const [ws] of mine.slice(0, Math.max(0, mine.length - MAX_SOCKETS + 1)))
      this.end(ws, 1000, "too many sockets");
    sockets.accept(server, dial, runtime.clock.now());
    return new Response(null, { status: 101, webSocket: client });
  }

  /** One message: what changes state does so at once, in order; what asks outside goes on in the promises. */
  receive(ws: WebSocket, data: string | ArrayBuffer): Promise<unknown>[] {
    const { sockets } = this.ports;
    const line = sockets.lineOf(ws);
    if (!line || ws.readyState !== WebSocket.OPEN) return [];
    const { lines, rest, oversize } = receiveLines(sockets.restOf(line), data);
    sockets.keepRest(ws, line, rest);
    const work = lines.flatMap((text) => this.#frame(ws, line, text) ?? []);
    if (rest.length > 0) this.#oddity(ws, line, "partial frame");
    if (oversize) this.end(ws, 1009, "frame larger than 1 MiB");
    return work;
  }

  #frame(ws: WebSocket, line: Line, text: string | null): Promise<unknown> | undefined {
    const read = readFrame(text);
    const { drain } = this.ports;
    if ("ignored" in read) return this.#oddity(ws, line, read.ignored);
    if ("refuse" in read) {
      const result = { success: false, error: "malformed action" };
      writeFrame(ws, { type: "outbound_result", requestId: read.refuse, result });
      return;
    }
    const { frame } = read;
    if (frame.type === "inbound_ack") {
      if (!drain.ack(frame.bufferId)) return this.#oddity(ws, line, "foreign ack");
    } else if (frame.type === "hello") this.#hello(ws, line, frame);
    else if (frame.type === "going_idle") {
      if (line.listener) drain.goingIdle(line);
      else writeFrame(ws, { type: "going_idle_ack" });
    } else if (frame.type === "interrupt") return this.#interrupt(line, frame.session_key);
    else {
      drain.spoke(line);
      return this.#outbound(ws, line, frame);
    }
    return;
  }

  #hello(ws: WebSocket, line: Line, hello: Hello): void {
    const { kept, sockets, runtime } = this.ports;
    const first = line.listener === null;
    const now = runtime.clock.now();
    const described = sockets.greet(ws, hello.platform, hello.botId ?? "", now + GREETING_MS, kept.flip);
    writeFrame(ws, { type: "descriptor", descriptor: descriptorOf(described, opsOf(described)) });
    if (hello.command_manifest) this.#manifest(line, hello);
    if (!first) return;
    kept.seen = now;
    kept.poke = null;
    kept.alone = null;
  }

  /** Commands for an application that it may front. The greeting is answered already. */
  #manifest(line: Line, { platform, botId, command_manifest }: Hello): void {
    const { ctx, env, runtime } = this.ports;
    const mine = line.identities.find(([p, b]) => p === platform && (!botId || !b || b === botId));
    // Each is a row: a socket has as many as it has greetings.
    if (platform !== "discord" || !mine || !command_manifest || line.greeted.length >= MAX_GREETINGS) return;
    ctx.waitUntil(noteManifest({ db: env.DB, runtime }, botId || mine[1], command_manifest));
  }

  async #outbound(ws: WebSocket, line: Line, frame: Outbound): Promise<void> {
    const result = await this.ports.ops.run(line, frame);
    // A socket that dropped meanwhile never hears of it: results are not replayed (hermes-relay §11).
    if (result) writeFrame(ws, { type: "outbound_result", requestId: frame.requestId, result });
  }

  /** Its own turn, or one of another instance of its tenant; never further. */
  async #interrupt(line: Line, sessionKey: string): Promise<void> {
    const { env, interruptFor } = this.ports;
    if (await interruptFor(sessionKey)) return;
    if (!this.#take(`ask ${line.id}`, ASK_BURST)) return;
    for (const instance of await otherInstances(env.DB, line))
      if (await gatewayObject(env.GATEWAY, { tenant: line.tenant, instance }).interruptFor(sessionKey)) return;
  }

  /** What a gateway should not send costs it: it is logged, counted in one audit row a minute, and at last the socket goes. */
  #oddity(ws: WebSocket, line: Line, what: string): Promise<void> | undefined {
    const { env, runtime } = this.ports;
    // Acks are cheap to leave out, and a gateway that floods with them may still be at work.
    if (!this.#take(`odd ${line.id}`, ODD_BURST) && what !== "foreign ack")
      this.end(ws, 1008, "too many malformed frames");
    return what === "partial frame" ? undefined : tellOdd(env.DB, runtime, line, what);
  }

  /** A token bucket with one more a second. */
  #take(key: string, burst: number): boolean {
    const now = this.ports.runtime.clock.wall();
    const was = this.#budgets.get(key) ?? { left: burst, at: now };
    const left = Math.min(burst, was.left + (now - was.at) / SECOND) - 1;
    this.#budgets.set(key, { left, at: now });
    return left >= 0;
  }

  end(ws: WebSocket, code: number, reason: string): void {
    this.leave(ws);
    closeSocket(ws, code, reason);
  }

  /** A socket is gone: what was in flight on it is not acked. Safe to repeat. */
  leave(ws: WebSocket): void {
    const { buffer, drain, kept, runtime, sockets } = this.ports;
    const line = sockets.lineOf(ws);
    if (!line) return;
    for (const what of ["odd", "ask"]) this.#budgets.delete(`${what} ${line.id}`);
    drain.failed(sockets.leave(ws));
    if (sockets.listeners().length > 0) return;
    kept.seen = runtime.clock.now();
    if (buffer.rows.length > 0) kept.alone = runtime.clock.now();
  }
}
