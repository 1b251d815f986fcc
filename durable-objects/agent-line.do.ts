import { DurableObject } from "cloudflare:workers";
import { sha256Hex } from "../src/kernel/crypto";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  AGENT_SILENCE,
  type AgentFrame,
  type AgentShape,
  ANNOUNCES,
  type BindAsk,
  Bindings,
  type Bucket,
  CLIENTS_PER_AGENT,
  CLOSE,
  type Down,
  EARLY_FRAMES,
  endOf,
  errorFrame,
  FRAME_LIMIT,
  freshOf,
  fullBucket,
  idleTurns,
  isKept,
  peekAgent,
  ridOf,
  saveAgent,
  saveOffline,
  TOO_MANY_ANNOUNCES,
  TOO_MANY_FRAMES,
  take,
  tooLarge,
  type Up,
} from "../src/relay";
import { type VerifiedAnnounce, verifyAnnounce } from "../src/session";
import { agentObject } from "./agent.do";
import { type ClientLineMethods, clientLine } from "./client-line.do";
import type { ObjectEnv } from "./env";
import { answerClose, isOpen, refuse } from "./line-socket";
import { Outbox } from "./outbox";

export type AgentLineMethods = Pick<
  AgentLine,
  "bind" | "send" | "leave" | "replaced" | "alive" | "listener" | "interrupt"
>;

/** The object that holds one agent's socket. */
export const agentLine = (namespace: DurableObjectNamespace, name: string): AgentLineMethods =>
  namespace.get(namespace.idFromName(name)) as unknown as AgentLineMethods;

/** Kept with the socket, so that a wake-up knows all of it. */
interface Attached {
  name: string;
  /** Proven by an ANNOUNCE, or null: such a line hears nothing. */
  address: string | null;
  shape: AgentShape;
  /** Wall ms of the last ANNOUNCE or traffic, at most HEARD_EVERY old. */
  heard: number;
  /** Hash of what the directory holds, and wall ms when it was written. */
  saved: string;
  saved_at: number;
}

/** How precisely silence is known (wall ms), and how old the directory's `last_seen` may be. */
const HEARD_EVERY = 10_000;
const SAVE_EVERY = 300_000;
/** A client line's stub, kept until a call over it fails. */
type OpenLine = (name: string) => ClientLineMethods;
/** Clients told at once that their agent is gone. */
const TELL_WIDTH = 32;

const closeOf = (rid: string): string => JSON.stringify({ type: "close", session_id: rid });

/** One announced agent: its socket, and who may hear it. Lives as long as the socket (docs/decisions/012-relay-lines.md). */
export class AgentLine extends DurableObject<ObjectEnv> {
  readonly #bindings = new Bindings(this.ctx.storage.sql);
  #tail: Promise<unknown> = Promise.resolve();
  /** Frames before anything was proven, and how fast announcements come; both may start anew after hibernation. */
  #early = 0;
  #announces: Bucket | null = null;
  #seen = new Map<string, { epoch: string; n: number }>();
  /** One queue a session, whoever listens to it: what its log gets has one order. */
  #outboxes = new Map<string, Outbox<OpenLine, Down>>();

  get #runtime(): Runtime {
    return runtimeOf(this.env, "relay");
  }

  /** The upgrade of `/ws/announce`; the edge gave this object a fresh name. */
  override async fetch(request: Request): Promise<Response> {
    const name = request.headers.get("x-line") ?? "";
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const heard = this.#runtime.clock.wall();
    const attached: Attached = { name, address: null, shape: "host", heard, saved: "", saved_at: 0 };
    server.serializeAttachment(attached);
    await this.ctx.storage.setAlarm(Date.now() + AGENT_SILENCE);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const handled = this.#tail.then(() => this.#receive(ws, data));
    const settled = handled.catch((error) => {
      this.#runtime.log("error", "relay.agent_frame", { error: describe(error) });
      return null;
    });
    this.#tail = settled;
    // What is on its way keeps this event open, so the object is not put to sleep in between.
    await (await settled)?.drained();
  }

  override async webSocketClose(ws: WebSocket, code: number, reason: string): Promise<void> {
    answerClose(ws, code, reason);
    await this.#end(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    await this.#end(ws);
  }

  async #receive(ws: WebSocket, data: string | ArrayBuffer): Promise<Outbox<OpenLine, Down> | null> {
    const at = this.#attached(ws);
    if (!at || at.name === "" || !isOpen(ws)) return null;
    if (at.address === null && !this.#mayTalk(ws, data)) return null;
    const frame = typeof data === "string" ? peekAgent(data) : null;
    if (typeof data !== "string") ws.send(errorFrame("text frames only"));
    else if (frame?.type === "ANNOUNCE") await this.#announce(ws, at, data);
    else if (at.address === null) ws.send(errorFrame("send ANNOUNCE first"));
    else if (!frame) ws.send(errorFrame("Invalid JSON"));
    else {
      this.#heard(ws, at);
      return this.#route(ws, at, data, frame);
    }
    return null;
  }

  /** A line that has proven nothing may say little, and nothing large. */
  #mayTalk(ws: WebSocket, data: string | ArrayBuffer): boolean {
    if (typeof data === "string" && tooLarge(data))
      refuse(ws, `frame too large: at most ${FRAME_LIMIT} bytes`, CLOSE.tooLarge);
    else if (++this.#early > EARLY_FRAMES) refuse(ws, TOO_MANY_FRAMES, CLOSE.rateLimited);
    else return true;
    return false;
  }

  #attached(ws: WebSocket): Attached | null {
    return ws.deserializeAttachment() as Attached | null;
  }

  #heard(ws: WebSocket, at: Attached): void {
    const now = this.#runtime.clock.wall();
    if (now - at.heard < HEARD_EVERY) return;
    at.heard = now;
    ws.serializeAttachment(at);
  }

  /** A refusal never closes the line, and never changes the record; on a proven line any heartbeat is at least traffic. */
  async #announce(ws: WebSocket, at: Attached, raw: string): Promise<void> {
    const now = this.#runtime.clock.wall();
    this.#announces ??= fullBucket(now, ANNOUNCES);
    if (!take(this.#announces, now, ANNOUNCES)) return ws.send(errorFrame(TOO_MANY_ANNOUNCES));
    const verified = await verifyAnnounce(raw, now / 1000);
    if (!verified.ok) {
      // 0.6.5 repeats its first signature with a monotonic timestamp: no error may answer it (connectonion.md (d)).
      if (at.address !== null && verified.claimed === at.address) return this.#heard(ws, at);
      return ws.send(errorFrame(verified.error));
    }
    if (at.address !== null && at.address !== verified.address)
      return ws.send(errorFrame("this line belongs to another address"));
    const { address, timestamp, signature_hash } = verified;
    const shape: AgentShape = verified.legacy ? "legacy" : "host";
    const asked = { line: at.name, timestamp, signature_hash, shape };
    const taken = await agentObject(this.env.AGENT, address).announce(asked);
    if (!taken.ok) return ws.send(errorFrame(taken.error));
    Object.assign(at, { address, shape, heard: this.#runtime.clock.wall() } satisfies Partial<Attached>);
    ws.serializeAttachment(at);
    // For the alarm that finds the socket gone: an attachment dies with it.
    if (this.ctx.storage.kv.get("address") !== address) {
      this.ctx.storage.kv.put("name", at.name);
      this.ctx.storage.kv.put("address", address);
    }
    ws.send(JSON.stringify({ type: "ANNOUNCE_OK" }));
    await this.#save(ws, at, verified);
  }

  async #save(ws: WebSocket, at: Attached, { announce, address }: VerifiedAnnounce): Promise<void> {
    const { clock, log } = this.#runtime;
    const { timestamp: _t, signature: _s, ...content } = announce;
    // Only a hash: every frame of the agent reads what is kept with its socket.
    const digest = await sha256Hex(JSON.stringify(content));
    if (digest === at.saved && clock.wall() - at.saved_at < SAVE_EVERY) return;
    try {
      await saveAgent(this.env.DB, { address, shape: at.shape, announce }, clock.now());
      Object.assign(at, { saved: digest, saved_at: clock.wall() } satisfies Partial<Attached>);
      ws.serializeAttachment(at);
    } catch (error) {
      // The agent can be reached all the same; the next heartbeat writes it.
      log("error", "relay.directory_failed", { agent: address, error: describe(error) });
    }
  }

  /** One frame of the agent: to whoever holds its session; when nobody does, to the session's home alone. */
  #route(ws: WebSocket, at: Attached, raw: string, frame: AgentFrame): Outbox<OpenLine, Down> | null {
    const rid = at.shape === "legacy" ? ridOf(frame.input_id) : frame.session_id;
    if (rid === null || rid === "") return null;
    const { type, id, input_id } = frame;
    const { value } = frame;
    const down: Down = { text: raw, type, id, input_id, end: endOf(type, value), idle: idleTurns(type, value) };
    if (tooLarge(raw)) {
      const error = `frame too large: ${raw.length} characters, at most ${FRAME_LIMIT} bytes`;
      ws.send(errorFrame(error, { session_id: rid }));
      down.text = errorFrame(`the agent sent a ${error}`, { session_id: rid });
      Object.assign(down, { type: "ERROR", end: { status: "failed", result: null, error } });
    }
    if (this.#bindings.held(rid)) {
      if (type === "PING") ws.send(JSON.stringify({ type: "PONG", session_id: rid }));
      if (down.end !== null) this.#release(ws, rid);
    }
    // Nobody listens: what is kept goes home, of a session that this line does not know only its end.
    const kept = down.end !== null || (this.#bindings.knows(rid) && isKept(type, false));
    if (this.#bindings.lineOf(rid) === null && !kept) return null;
    const outbox = this.#outbox(at, rid);
    outbox.push(down, down.text.length, down.end !== null);
    return outbox;
  }

  #outbox(at: Attached, rid: string): Outbox<OpenLine, Down> {
    const known = this.#outboxes.get(rid);
    if (known) return known;
    const fresh = new Outbox<OpenLine, Down>(
      () => this.#opener(),
      async (open, epoch, from, frames) => {
        const line = this.#bindings.lineOf(rid);
        const to = {
          agent: at.address ?? "",
          agent_line: at.name,
          rid,
          line: line ?? rid,
          legacy: at.shape === "legacy",
        };
        const heard = await open(to.line).deliver({ ...to, epoch, from, frames });
        if (!heard && line !== null) this.#bindings.leave(rid, line, !to.legacy);
      },
    );
    fresh.onIdle = () => this.#drop(rid);
    fresh.onLost = (error) => {
      this.#runtime.log("error", "relay.client_unreachable", { agent: at.address, error: describe(error) });
      const line = this.#bindings.lineOf(rid);
      if (line !== null) this.#bindings.leave(rid, line, at.shape === "host");
    };
    this.#outboxes.set(rid, fresh);
    return fresh;
  }

  #opener(): OpenLine {
    let last: { name: string; stub: ClientLineMethods } | null = null;
    return (name) => {
      if (last?.name !== name) last = { name, stub: clientLine(this.env.CLIENT_LINE, name) };
      return last.stub;
    };
  }

  /** A queue with nothing in it whose client has left is of no more use. */
  #drop(rid: string): void {
    const outbox = this.#outboxes.get(rid);
    if (outbox && !outbox.busy && !outbox.lossy && this.#bindings.lineOf(rid) === null) this.#outboxes.delete(rid);
  }

  /** Binds a client's line; null when this agent is not here any more. */
  async bind(ask: BindAsk): Promise<{ rid: string; private: boolean; shape: AgentShape } | { refused: string } | null> {
    const found = this.#live();
    if (!found) return null;
    const bound = this.#bindings.bind(ask);
    if (!bound) return { refused: `agent busy: ${CLIENTS_PER_AGENT} clients are connected to it` };
    if (bound.held) this.#release(found.ws, bound.rid);
    if (bound.displaced) await clientLine(this.env.CLIENT_LINE, bound.displaced).displaced(bound.rid);
    return { rid: bound.rid, private: bound.private, shape: found.at.shape };
  }

  /** Frames of a client, session id already in them. False: this line may not send here, or the agent is gone. */
  send(up: Up): boolean {
    const found = this.#live();
    if (!found || !this.#bindings.holds(up.rid, up.line)) return false;
    // A gap can't be healed here: refusing sends the client back, and it resumes with the agent.
    const fresh = freshOf(this.#seen.get(up.line) ?? null, up);
    if (fresh.gap) return false;
    this.#seen.set(up.line, fresh.heard);
    for (const text of fresh.frames) found.ws.send(text);
    return true;
  }

  /**
   * A client has left; its run goes on. A host says nothing more to a stream that was closed, so with a run under way it is
   * told of the close when that is over: the result would be lost for whoever polls.
   */
  leave(rid: string, line: string, running: boolean): void {
    const found = this.#live();
    const host = found?.at.shape === "host";
    const left = this.#bindings.leave(rid, line, host);
    if (left) {
      this.#seen.delete(line);
      this.#drop(rid);
    }
    // It may have been found gone by a frame before.
    if (host && !running && this.#bindings.held(rid)) this.#release(found.ws, rid);
  }

  /** The stream of a client that has left is of no more use to the agent. */
  #release(ws: WebSocket, rid: string): void {
    this.#bindings.release(rid);
    ws.send(closeOf(rid));
  }

  /** A newer line of the same agent has announced itself. */
  async replaced(): Promise<void> {
    for (const ws of this.ctx.getWebSockets()) {
      ws.close(CLOSE.announcedElsewhere, "announced elsewhere");
      await this.#end(ws);
    }
  }

  /** An agent is dropped only when it is silent in every way; a lost socket is found here too. */
  override async alarm(): Promise<void> {
    const found = this.ctx.getWebSockets()[0];
    const at = found && this.#attached(found);
    if (!found || !at) return await this.#clear(null);
    const due = at.heard + AGENT_SILENCE + HEARD_EVERY;
    if (this.#runtime.clock.wall() < due) return await this.ctx.storage.setAlarm(due);
    found.close(CLOSE.silent, "no announcement and no traffic");
    await this.#end(found);
  }

  /** Is the agent's socket still there? */
  alive(): boolean {
    return this.#live() !== null;
  }

  /** The client line that hears a session, or null. */
  listener(rid: string): string | null {
    return this.#bindings.lineOf(rid);
  }

  /** Asks the agent to stop what it does for a session. It may not: the run is over for the relay all the same. */
  interrupt(rid: string): void {
    const found = this.#live();
    if (found?.at.shape === "host" && this.#bindings.knows(rid))
      found.ws.send(JSON.stringify({ type: "INTERRUPT", session_id: rid }));
  }

  #live(): { ws: WebSocket; at: Attached & { address: string } } | null {
    for (const ws of this.ctx.getWebSockets()) {
      const at = this.#attached(ws);
      if (at?.address && ws.readyState === WebSocket.OPEN) return { ws, at: { ...at, address: at.address } };
    }
    return null;
  }

  async #end(ws: WebSocket): Promise<void> {
    const at = this.#attached(ws);
    // Once is enough: a close of ours is followed by the event of it.
    if (at && at.name !== "") ws.serializeAttachment({ ...at, address: null, name: "" } satisfies Attached);
    if (at && at.name !== "") await this.#clear(at);
  }

  /** Everybody who listened is told, the directory says offline, and nothing is kept. */
  async #clear(at: Attached | null): Promise<void> {
    const { clock, log } = this.#runtime;
    const name = at?.name ?? this.ctx.storage.kv.get<string>("name") ?? "";
    const address = at?.address ?? this.ctx.storage.kv.get<string>("address") ?? null;
    const bindings = this.#bindings.all();
    try {
      if (address !== null && (await agentObject(this.env.AGENT, address).left(name)))
        await saveOffline(this.env.DB, address, clock.now());
    } catch (error) {
      log("error", "relay.offline_failed", { agent: address, error: describe(error) });
    }
    for (let i = 0; i < bindings.length; i += TELL_WIDTH)
      await Promise.allSettled(
        bindings
          .slice(i, i + TELL_WIDTH)
          .map((b) =>
            b.line === null
              ? clientLine(this.env.CLIENT_LINE, b.rid).interrupt(name)
              : clientLine(this.env.CLIENT_LINE, b.line).agentGone({ agent_line: name, rid: b.rid }),
          ),
      );
    this.#outboxes.clear();
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
    this.#bindings.reset();
  }
}
