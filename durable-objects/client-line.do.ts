import { DurableObject } from "cloudflare:workers";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  askedOf,
  type Bound,
  type Bucket,
  CLOSE,
  type ClientFrame,
  type Delivery,
  errorFrame,
  FIRST_FRAME_WITHIN,
  FRAME_LIMIT,
  fullBucket,
  type HostPorts,
  hostFrame,
  openLine,
  PING,
  PING_EVERY,
  peekClient,
  TOO_MANY_FRAMES,
  take,
  WAITING_BYTES,
  WAITING_FRAMES,
} from "../src/relay";
import {
  type Delivered,
  HEARD_EVERY,
  type LineInfo,
  newLine,
  type Delivery as SessionDelivery,
  silentLine,
  type Verified,
  withSessionId,
} from "../src/session";
import { agentObject } from "./agent.do";
import { type AgentLineMethods, agentLine } from "./agent-line.do";
import { ClientEar } from "./client-line.ear";
import { type Attached, attachedOf, attachmentOf, hostLineOf } from "./client-line.socket";
import type { ObjectEnv } from "./env";
import { hostAddress } from "./host";
import { answerClose, close, isOpen, keep, refuse, tell } from "./line-socket";
import { Outbox } from "./outbox";
import { cancelRelayed, closeRelayedLine, viewRelayed } from "./relay-view";
import { RunHome } from "./run-home";
import { CLOSED_BY_OPERATOR, inputLine, SessionLines } from "./session.lines";
import { end } from "./session.sockets";

export type ClientLineMethods = Pick<
  ClientLine,
  | "deliver"
  | "displaced"
  | "agentGone"
  | "interrupt"
  | "begin"
  | "hear"
  | "replay"
  | "eventsAfter"
  | "read"
  | "run"
  | "history"
  | "busy"
  | "ownerOf"
  | "view"
  | "cancel"
  | "drop"
  | "tellEnd"
  | "closeLine"
  | "lineInfo"
  | "shutLine"
>;

/** What an agent hears of a client that has proven nothing. */
const UNPROVEN = ["SESSION_STATUS", "ONBOARD_SUBMIT", "PONG"];

/** The object that holds one client's socket, and the home of the session that has its name. */
export const clientLine = (namespace: DurableObjectNamespace, name: string): ClientLineMethods =>
  namespace.get(namespace.idFromName(name)) as unknown as ClientLineMethods;

/**
 * One client of the relay. It accepts the socket before anybody knows which agent it is for (stock clients say so in their
 * first frame), then lends the line to that agent's. A new session takes this object's name as its id, so this object is
 * also the home of its result (docs/decisions/012-relay-lines.md). A client that asks for our own address is a line of the
 * session host from then on, exactly as on `/ws`: its home is the Session object.
 */
export class ClientLine extends DurableObject<ObjectEnv> {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = { frames: 0, bytes: 0 };
  #bucket: Bucket | null = null;
  #up: Outbox<AgentLineMethods, string> | null = null;
  readonly #ear = new ClientEar({
    socket: () => this.#sockets()[0],
    home: (rid, name) => this.#homeOf(rid, name),
    runtime: () => this.#runtime,
  });
  /** What stands here once the client has asked for our own agent. */
  readonly #host = new SessionLines({
    ctx: this.ctx,
    env: this.env,
    runtime: () => runtimeOf(this.env, "session"),
    home: () => null,
    acceptor: (line) => inputLine(line.own),
  });
  readonly #home = new RunHome(this.ctx.storage, this.env, () => this.#sockets().length > 0);

  get #runtime(): Runtime {
    return runtimeOf(this.env, "relay");
  }

  #sockets(): WebSocket[] {
    return this.ctx.getWebSockets().filter(isOpen);
  }

  /** The upgrade of `/ws/input`; the edge gave this object a fresh name. */
  override async fetch(request: Request): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair();
    const name = request.headers.get("x-line") ?? "";
    this.ctx.acceptWebSocket(server, [name]);
    const ip = request.headers.get("cf-connecting-ip") ?? "local";
    server.serializeAttachment({ name, opened: Date.now(), heard: Date.now(), ip, bound: null } satisfies Attached);
    await this.#home.arm();
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const bytes = typeof data === "string" ? data.length : data.byteLength;
    const now = this.#runtime.clock.wall();
    // One frame too large is told as that, whatever else waits.
    if (bytes > WAITING_BYTES) return refuse(ws, `frame too large: at most ${FRAME_LIMIT} bytes`, CLOSE.tooLarge);
    this.#bucket ??= fullBucket(now);
    const waiting = this.#waiting.frames >= WAITING_FRAMES || this.#waiting.bytes + bytes > WAITING_BYTES;
    if (waiting || !take(this.#bucket, now)) return refuse(ws, TOO_MANY_FRAMES, CLOSE.rateLimited);
    this.#waiting.frames++;
    this.#waiting.bytes += bytes;
    const handled = this.#tail.then(() => this.#receive(ws, data));
    this.#tail = handled
      .catch((error) => {
        this.#runtime.log("error", "relay.client_frame", { error: describe(error) });
        refuse(ws, "internal error", CLOSE.agentGone);
      })
      .finally(() => {
        this.#waiting.frames--;
        this.#waiting.bytes -= bytes;
      });
    await this.#tail;
    await this.#up?.drained();
  }

  override async webSocketClose(ws: WebSocket, code: number, reason: string): Promise<void> {
    answerClose(ws, code, reason);
    await this.#left(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    await this.#left(ws);
  }

  async #receive(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    if (!isOpen(ws)) return;
    const at = attachmentOf(ws);
    if (!at) return;
    if ("own" in at) {
      this.#host.heard(ws);
      if (typeof data !== "string") return end(ws, "Invalid JSON: text frames only", CLOSE.binary);
      return await this.#host.frame(ws, data);
    }
    if (Date.now() - at.heard >= HEARD_EVERY) keep(ws, Object.assign(at, { heard: Date.now() }));
    // Before a line leads somewhere an ERROR alone would leave the client waiting; later it must not cost it the line.
    const code = (closing: number): number | null => (at.bound === null ? closing : null);
    if (typeof data !== "string") return refuse(ws, "text frames only", code(CLOSE.binary));
    const peeked = peekClient(data);
    if (!peeked.ok) {
      const large = peeked.error.startsWith("frame too large");
      return refuse(ws, peeked.error, code(large ? CLOSE.tooLarge : CLOSE.badFrame));
    }
    let first: Verified | null = null;
    if (at.bound === null && peeked.value.to !== null && peeked.value.to === (await hostAddress(this.#runtime))) {
      keep(ws, newLine(at.name, at.name, false, at.opened, this.#runtime.clock.wall() + PING_EVERY, at.ip));
      return await this.#host.frame(ws, data);
    }
    // Whoever asked something unsigned before connects as anybody does.
    if (at.bound?.stage === "unproven" && peeked.value.type === "CONNECT") {
      await this.#up?.drained();
      await this.#leave(at.bound, at.name);
      this.#up = null;
      at.bound = null;
    }
    if (at.bound === null) {
      const opened = await this.#open(peeked.value, at.name);
      if (!opened.ok) {
        this.#runtime.log("info", "relay.refused", { agent: peeked.value.to, error: opened.error });
        tell(ws, opened.frame);
        return close(ws, opened.close, opened.error);
      }
      first = opened.verified;
      at.bound = opened.bound;
      keep(ws, at);
      // It left while it was being bound: nobody else would undo that.
      if (!isOpen(ws)) return await this.#leave(opened.bound, at.name);
    }
    await this.#pass(ws, at, at.bound, peeked.value, first);
  }

  #open(frame: ClientFrame, name: string) {
    const { AGENT, AGENT_LINE, CLIENT_LINE } = this.env;
    const now_s = this.#runtime.clock.wall() / 1000;
    return openLine(frame, {
      now_s,
      locate: async (agent, claim) => agentObject(AGENT, agent).locate({ claim, now_s }),
      mayConnect: async (from) => (await this.env.SESSION_LIMIT.limit({ key: `relay:${from}` })).success,
      ownerOf: async (rid) => clientLine(CLIENT_LINE, rid).ownerOf(),
      bind: (line, ask) => agentLine(AGENT_LINE, line).bind({ ...ask, line: name, fresh: name }),
    });
  }

  async #pass(ws: WebSocket, at: Attached, bound: Bound, frame: ClientFrame, first: Verified | null): Promise<void> {
    if (bound.shape === "legacy") {
      await hostFrame(bound, frame, first, this.#ports(ws, at, bound));
      return keep(ws, at);
    }
    if (bound.stage === "unproven" && !UNPROVEN.includes(frame.type))
      return tell(ws, errorFrame("authenticate first (send CONNECT)"));
    if (frame.type === "CONNECT") {
      bound.cursor = frame.last_msg_id;
      keep(ws, at);
    }
    if (frame.type === "PONG") {
      // Our own PINGs are answered too; only the agent's are its business.
      if (bound.pings === 0) return;
      bound.pings--;
      keep(ws, at);
    }
    // Written before the agent hears of it. An empty INPUT (0.1.4 sends one after onboarding) starts nothing.
    if (frame.type === "INPUT" && bound.stage === "connected" && frame.prompted)
      await this.#homeOf(bound.rid, at.name).begin(startOf(bound, frame.input_id, null, frame.prompt), false);
    this.#push(at, bound, withSessionId(frame.frame, bound.rid));
  }

  /** The home of a session, asked of the object of this name. */
  #homeOf(
    rid: string,
    name: string,
  ): Pick<ClientLine, "begin" | "hear" | "replay" | "interrupt" | "run" | "history" | "busy"> {
    return rid === name ? this : clientLine(this.env.CLIENT_LINE, rid);
  }

  #ports(ws: WebSocket, at: Attached, bound: Bound): HostPorts {
    const home = this.#homeOf(bound.rid, at.name);
    return {
      tell: (text) => tell(ws, text),
      close: (code, reason) => close(ws, code, reason),
      toAgent: (text) => this.#push(at, bound, text),
      run: async () => home.run(),
      history: async () => home.history(),
      begin: async (inputId, prompt) => home.begin(startOf(bound, inputId, prompt, prompt), true),
      newId: () => crypto.randomUUID(),
      now_s: this.#runtime.clock.wall() / 1000,
    };
  }

  #push(at: Attached, bound: Bound, text: string): void {
    if (!this.#up) {
      const up = new Outbox(
        () => agentLine(this.env.AGENT_LINE, bound.agent_line),
        async (stub: AgentLineMethods, epoch, from, frames: string[]) => {
          if (!(await stub.send({ rid: bound.rid, line: at.name, epoch, from, frames }))) this.#agentLost(bound);
        },
      );
      up.onLost = (error) => {
        this.#runtime.log("error", "relay.agent_unreachable", { agent: bound.agent, error: describe(error) });
        this.#agentLost(bound);
      };
      this.#up = up;
    }
    this.#up.push(text, text.length);
  }

  #agentLost(bound: Bound): void {
    for (const ws of this.#sockets()) refuse(ws, "agent disconnected", CLOSE.agentGone, { session_id: bound.rid });
  }

  /** Frames of the agent. False: this line does not hear that session (any more). */
  deliver(d: Delivery): Promise<boolean> {
    return this.#ear.deliver(d);
  }

  /** Frames of a session of our own agent, from its home. */
  deliverHost(d: SessionDelivery): Delivered {
    return this.#host.deliver(d);
  }

  /** A newer socket of the same signer has this session. */
  displaced(rid: string): void {
    for (const ws of this.#sockets())
      if (attachedOf(ws)?.bound?.rid === rid) close(ws, CLOSE.displaced, "connected elsewhere");
  }

  /** The agent's line has ended: its client is told, and the run it had is interrupted. */
  async agentGone(gone: { agent_line: string; rid: string }): Promise<void> {
    const ws = this.#sockets().find((x) => attachedOf(x)?.bound?.agent_line === gone.agent_line);
    const at = ws && attachedOf(ws);
    if (!ws || !at?.bound || at.bound.rid !== gone.rid)
      return await clientLine(this.env.CLIENT_LINE, gone.rid).interrupt(gone.agent_line);
    await this.#homeOf(at.bound.rid, at.name).interrupt(gone.agent_line);
    refuse(ws, "agent disconnected", CLOSE.agentGone, { session_id: gone.rid });
  }

  // What follows is asked of a session's home.

  /** An INPUT was accepted. */
  begin(...run: Parameters<RunHome["begin"]>): Promise<void> {
    return this.#home.begin(...run);
  }

  /** Frames of the agent for this session. Only a run's own agent is heard. */
  hear(ask: Parameters<RunHome["hear"]>[0]): ReturnType<RunHome["hear"]> {
    return this.#home.hear(ask);
  }

  /** What a client that comes back is told of the run under way. */
  replay(owner: string | null, cursor: string | null): ReturnType<RunHome["replay"]> {
    return this.#home.replay(owner, cursor);
  }

  /** Logged frames after a cursor; waits up to `ms` for the first. */
  eventsAfter(...ask: Parameters<RunHome["eventsAfter"]>): ReturnType<RunHome["eventsAfter"]> {
    return this.#home.eventsAfter(...ask);
  }

  /** The agent's line has ended. */
  interrupt(line: string): Promise<void> {
    return this.#home.interrupt(line);
  }

  /** The newest run; one whose agent is gone is told as interrupted. */
  run(): ReturnType<RunHome["run"]> {
    return this.#home.run();
  }

  /** Turns with a 0.6.5 agent, oldest first. */
  history(): ReturnType<RunHome["history"]> {
    return this.#home.history();
  }

  /** Does its run go on over this agent's line? */
  busy(agentLine: string): boolean {
    return this.#home.busy(agentLine);
  }

  /** The record of `GET /sessions/{id}` with its owner, or null when there is none (any more). */
  read(sessionId: string): ReturnType<RunHome["read"]> {
    return this.#home.read(sessionId);
  }

  /** Who owns the session, or null when the relay knows none of this name. */
  ownerOf(): { owner: string | null } | null {
    return this.#home.ownerOf();
  }

  // What follows is asked for an operator.

  /** Null: unknown or expired. */
  view(): ReturnType<typeof viewRelayed> {
    return viewRelayed(this.#home, this.env);
  }

  /** The run's id; null: none goes on. */
  cancel(error: string): Promise<string | null> {
    return cancelRelayed(this.#home, this.env, error);
  }

  /** An operator ended the run of the client held here: the line stays. */
  tellEnd(rid: string, error: string): void {
    for (const ws of this.#sockets())
      if (attachedOf(ws)?.bound?.rid === rid) refuse(ws, error, null, { session_id: rid, retryable: false });
  }

  drop(): Promise<boolean> {
    return this.#home.drop();
  }

  closeLine(line: string): Promise<boolean> {
    return closeRelayedLine(this.#home, this.env, line);
  }

  lineInfo(line: string): LineInfo | null {
    const [ws] = this.#sockets();
    const at = ws && attachedOf(ws);
    return at ? { opened_at: at.opened, heard_at: at.heard } : this.#host.info(line);
  }

  shutLine(line: string): boolean {
    const [ws] = this.#sockets();
    if (!ws || !attachedOf(ws)) return this.#host.shut(line);
    close(ws, CLOSED_BY_OPERATOR, "closed by the operator");
    return true;
  }

  /** PING to the client (it closes after 60 s without), and what the home has to do. */
  override async alarm(): Promise<void> {
    for (const ws of this.#sockets()) {
      const hosted = hostLineOf(ws);
      const silent = hosted && silentLine(hosted, this.#runtime.clock.wall());
      if (silent) {
        end(ws, silent, CLOSE.silent);
        continue;
      }
      const at = attachedOf(ws);
      const late = at !== null && Date.now() - at.opened >= FIRST_FRAME_WITHIN;
      if (late && at.bound === null) refuse(ws, "no frame came", CLOSE.silent);
      // An agent has room for so many lines: none of it for those who prove nothing.
      else if (late && at.bound?.stage === "unproven")
        refuse(ws, "unauthorized: nobody has connected on this line", CLOSE.silent);
      else ws.send(PING);
    }
    await this.#home.tend();
  }

  async #left(ws: WebSocket): Promise<void> {
    const at = attachedOf(ws);
    await this.#tail;
    await this.#up?.drained();
    // It may have become a line of our own agent in a frame that was still waiting.
    const hosted = hostLineOf(ws);
    if (hosted) await this.#host.left(hosted);
    if (at?.bound) await this.#leave(at.bound, at.name);
    await this.#home.tend();
  }

  async #leave(bound: Bound, name: string): Promise<void> {
    try {
      const running = await this.#homeOf(bound.rid, name).busy(bound.agent_line);
      await agentLine(this.env.AGENT_LINE, bound.agent_line).leave(bound.rid, name, running);
    } catch (error) {
      this.#runtime.log("warn", "relay.leave_failed", { agent: bound.agent, error: describe(error) });
    }
  }
}

const startOf = (b: Bound, input_id: string | null, prompt: string | null, asked: string | null) => ({
  session_id: b.rid,
  agent: b.agent,
  agent_line: b.agent_line,
  owner: b.owner,
  input_id,
  prompt,
  asked: askedOf(asked),
});
