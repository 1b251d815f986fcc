import { DurableObject } from "cloudflare:workers";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  AGENT_SILENCE,
  type AgentFrame,
  type AgentShape,
  type BindAsk,
  Bindings,
  CLIENTS_PER_AGENT,
  CLOSE,
  type Down,
  endOf,
  errorFrame,
  FRAME_LIMIT,
  freshOf,
  peekAgent,
  ridOf,
  saveAgent,
  saveOffline,
  type Up,
} from "../src/relay";
import { type VerifiedAnnounce, verifyAnnounce } from "../src/session";
import { agentObject } from "./agent.do";
import { type ClientLineMethods, clientLine } from "./client-line.do";
import type { ObjectEnv } from "./env";
import { Outbox } from "./outbox";

export type AgentLineMethods = Pick<AgentLine, "bind" | "send" | "leave" | "replaced" | "alive">;

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
/** Clients told at once that their agent is gone. */
const TELL_WIDTH = 32;

/** One announced agent: its socket, and who may hear it. Lives as long as the socket (docs/decisions/012-relay-lines.md). */
export class AgentLine extends DurableObject<ObjectEnv> {
  readonly #bindings = new Bindings(this.ctx.storage.sql);
  #tail: Promise<unknown> = Promise.resolve();
  #seen = new Map<string, { epoch: string; n: number }>();
  #outboxes = new Map<string, Outbox<ClientLineMethods, Down>>();

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

  override async webSocketClose(ws: WebSocket): Promise<void> {
    await this.#end(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    await this.#end(ws);
  }

  async #receive(ws: WebSocket, data: string | ArrayBuffer): Promise<Outbox<ClientLineMethods, Down> | null> {
    const at = this.#attached(ws);
    if (!at || at.name === "") return null;
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
    const verified = await verifyAnnounce(raw, this.#runtime.clock.wall() / 1000);
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
    const digest = JSON.stringify(content).slice(0, 8_000);
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

  /** One frame of the agent: to whoever holds its session, else only its result is kept. */
  #route(ws: WebSocket, at: Attached, raw: string, frame: AgentFrame): Outbox<ClientLineMethods, Down> | null {
    const rid = at.shape === "legacy" ? ridOf(frame.input_id) : frame.session_id;
    if (rid === null || rid === "") return null;
    const line = this.#bindings.lineOf(rid);
    const down: Down = { text: raw, type: frame.type, input_id: frame.input_id, end: endOf(frame.type, frame.value) };
    if (raw.length > FRAME_LIMIT) {
      const error = `frame too large: ${raw.length} characters, at most ${FRAME_LIMIT} bytes`;
      ws.send(errorFrame(error, { session_id: rid }));
      down.text = errorFrame(`the agent sent a ${error}`, { session_id: rid });
      Object.assign(down, { type: "ERROR", end: { status: "failed", result: null, error } });
    }
    // A result nobody waits for is kept for polling; any other frame for nobody is dropped.
    if (line === null && down.end === null) return null;
    const outbox = this.#outbox(at, rid, line);
    outbox.push(down, down.text.length, down.end !== null);
    return outbox;
  }

  #outbox(at: Attached, rid: string, line: string | null): Outbox<ClientLineMethods, Down> {
    const key = line ?? `home ${rid}`;
    const known = this.#outboxes.get(key);
    if (known) return known;
    const agent = at.address ?? "";
    const fresh = new Outbox(
      () => clientLine(this.env.CLIENT_LINE, line ?? rid),
      async (stub, epoch, from, frames: Down[]) => {
        if (line !== null) {
          const heard = await stub.deliver({ agent, agent_line: at.name, rid, epoch, from, frames });
          if (!heard) this.#bindings.leave(rid, line);
        } else for (const { end } of frames) if (end) await stub.finish({ agent, session_id: rid, end });
      },
    );
    fresh.onIdle = () => {
      if (line === null) this.#outboxes.delete(key);
    };
    fresh.onLost = (error) => {
      this.#runtime.log("error", "relay.client_unreachable", { agent: at.address, error: describe(error) });
      this.#outboxes.delete(key);
      if (line !== null) this.#bindings.leave(rid, line);
    };
    this.#outboxes.set(key, fresh);
    return fresh;
  }

  /** Binds a client's line; null when this agent is not here any more. */
  async bind(ask: BindAsk): Promise<{ rid: string; private: boolean; shape: AgentShape } | { refused: string } | null> {
    const found = this.#live();
    if (!found) return null;
    const bound = this.#bindings.bind(ask);
    if (!bound) return { refused: `agent busy: ${CLIENTS_PER_AGENT} clients are connected to it` };
    if (bound.displaced) {
      this.#outboxes.delete(bound.displaced);
      await clientLine(this.env.CLIENT_LINE, bound.displaced).displaced(bound.rid);
    }
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

  /** A client has left. The agent is told, its run goes on. */
  leave(rid: string, line: string): void {
    if (!this.#bindings.leave(rid, line)) return;
    this.#seen.delete(line);
    this.#outboxes.delete(line);
    const found = this.#live();
    if (found?.at.shape === "host") found.ws.send(JSON.stringify({ type: "close", session_id: rid }));
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
