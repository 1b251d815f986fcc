import { DurableObject } from "cloudflare:workers";
import { describe } from "../src/kernel/errors";
import { type Runtime, runtimeOf } from "../src/kernel/runtime";
import {
  type Bound,
  type Bucket,
  CLOSE,
  type ClientFrame,
  closeFor,
  type Delivery,
  type Down,
  FIRST_FRAME_WITHIN,
  freshOf,
  fullBucket,
  type HostPorts,
  hostAnswer,
  hostFrame,
  openLine,
  PING,
  peekClient,
  type RunEnd,
  TOO_MANY_FRAMES,
  take,
  WAITING_BYTES,
  WAITING_FRAMES,
} from "../src/relay";
import { type Verified, withSessionId } from "../src/session";
import { agentObject } from "./agent.do";
import { type AgentLineMethods, agentLine } from "./agent-line.do";
import type { ObjectEnv } from "./env";
import { close, isOpen, keep, refuse, tell } from "./line-socket";
import { Outbox } from "./outbox";
import { RunHome } from "./run-home";

export type ClientLineMethods = Pick<
  ClientLine,
  "deliver" | "displaced" | "agentGone" | "interrupt" | "begin" | "finish" | "read" | "run" | "history" | "ownerOf"
>;

/** The object that holds one client's socket, and the home of the session that has its name. */
export const clientLine = (namespace: DurableObjectNamespace, name: string): ClientLineMethods =>
  namespace.get(namespace.idFromName(name)) as unknown as ClientLineMethods;

/** Kept with the socket. */
interface Attached {
  name: string;
  opened: number;
  bound: Bound | null;
}

/**
 * One client of the relay. It accepts the socket before anybody knows which agent it is for (stock clients say so in their
 * first frame), then lends the line to that agent's. A new session takes this object's name as its id, so this object is
 * also the home of its result (docs/decisions/012-relay-lines.md).
 */
export class ClientLine extends DurableObject<ObjectEnv> {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = { frames: 0, bytes: 0 };
  #bucket: Bucket | null = null;
  #up: Outbox<AgentLineMethods, string> | null = null;
  #heard: { epoch: string; n: number } | null = null;
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
    this.ctx.acceptWebSocket(server);
    const name = request.headers.get("x-line") ?? "";
    server.serializeAttachment({ name, opened: Date.now(), bound: null } satisfies Attached);
    await this.#home.arm();
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const bytes = typeof data === "string" ? data.length : data.byteLength;
    const now = this.#runtime.clock.wall();
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

  override async webSocketClose(ws: WebSocket): Promise<void> {
    await this.#left(ws);
  }

  override async webSocketError(ws: WebSocket): Promise<void> {
    await this.#left(ws);
  }

  async #receive(ws: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const at = attachedOf(ws);
    if (!at || !isOpen(ws)) return;
    // Before a line leads somewhere an ERROR alone would leave the client waiting; later it must not cost it the line.
    const code = (closing: number): number | null => (at.bound === null ? closing : null);
    if (typeof data !== "string") return refuse(ws, "text frames only", code(CLOSE.binary));
    const peeked = peekClient(data);
    if (!peeked.ok) {
      const large = peeked.error.startsWith("frame too large");
      return refuse(ws, peeked.error, code(large ? CLOSE.tooLarge : CLOSE.badFrame));
    }
    let first: Verified | null = null;
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
    if (frame.type === "PONG") {
      // Our own PINGs are answered too; only the agent's are its business.
      if (bound.pings === 0) return;
      bound.pings--;
      keep(ws, at);
    }
    // Written before the agent hears of it. An empty INPUT (0.1.4 sends one after onboarding) starts nothing.
    if (frame.type === "INPUT" && bound.stage === "connected" && frame.prompted)
      await this.#homeOf(bound, at).begin(startOf(bound, frame.input_id, null), false);
    this.#push(at, bound, withSessionId(frame.frame, bound.rid));
  }

  #homeOf(bound: Bound, at: Attached): Pick<ClientLine, "begin" | "finish" | "interrupt" | "run" | "history"> {
    return bound.rid === at.name ? this : clientLine(this.env.CLIENT_LINE, bound.rid);
  }

  #ports(ws: WebSocket, at: Attached, bound: Bound): HostPorts {
    const home = this.#homeOf(bound, at);
    return {
      tell: (text) => tell(ws, text),
      close: (code, reason) => close(ws, code, reason),
      toAgent: (text) => this.#push(at, bound, text),
      run: async () => home.run(),
      history: async () => home.history(),
      begin: async (inputId, prompt) => home.begin(startOf(bound, inputId, prompt), true),
      finish: async (end) => home.finish({ agent: bound.agent, session_id: bound.rid, end }),
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
  async deliver(d: Delivery): Promise<boolean> {
    const ws = this.#sockets()[0];
    const at = ws && attachedOf(ws);
    const bound = at?.bound;
    if (!ws || !bound || bound.agent_line !== d.agent_line || bound.rid !== d.rid) {
      for (const { end } of d.frames) if (end) await this.#keep(d, end);
      return false;
    }
    const fresh = freshOf(this.#heard, d);
    this.#heard = fresh.heard;
    if (fresh.gap) {
      // A gap is never silent: the client comes back, and the agent replays.
      this.#runtime.log("error", "relay.gap", { session: bound.rid, from: d.from });
      refuse(ws, "frames were lost; reconnect", CLOSE.agentGone, { session_id: bound.rid });
      return false;
    }
    for (const down of fresh.frames) await this.#hear(ws, at, bound, down);
    return true;
  }

  async #keep(d: Delivery, end: RunEnd): Promise<void> {
    await clientLine(this.env.CLIENT_LINE, d.rid).finish({ agent: d.agent, session_id: d.rid, end });
  }

  async #hear(ws: WebSocket, at: Attached, bound: Bound, down: Down): Promise<void> {
    if (bound.shape === "legacy") return await hostAnswer(bound, down, this.#ports(ws, at, bound));
    const refused = down.type === "ERROR" && bound.stage === "connecting" && down.end !== null;
    if (down.type === "CONNECTED") bound.stage = "connected";
    else if (down.type === "ONBOARD_REQUIRED") bound.stage = "onboarding";
    else if (down.type === "PING") bound.pings = Math.min(9, bound.pings + 1);
    if (["CONNECTED", "ONBOARD_REQUIRED", "PING"].includes(down.type)) keep(ws, at);
    // Durable first: whoever sees the answer can fetch it again.
    if (down.end && bound.stage === "connected")
      await this.#homeOf(bound, at).finish({ agent: bound.agent, session_id: bound.rid, end: down.end });
    tell(ws, down.text);
    // A refused CONNECT must not leave the client waiting (connectonion.md (c), refusal trap).
    if (refused) close(ws, closeFor(down.end?.error ?? ""), down.end?.error ?? "");
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
    await this.#homeOf(at.bound, at).interrupt(gone.agent_line);
    refuse(ws, "agent disconnected", CLOSE.agentGone, { session_id: gone.rid });
  }

  // What follows is asked of a session's home.

  /** An INPUT was accepted. */
  begin(...run: Parameters<RunHome["begin"]>): Promise<void> {
    return this.#home.begin(...run);
  }

  /** The agent has answered. Only a run's own agent can end it. */
  finish(ask: Parameters<RunHome["finish"]>[0]): ReturnType<RunHome["finish"]> {
    return this.#home.finish(ask);
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

  /** The record of `GET /sessions/{id}` with its owner, or null when there is none (any more). */
  read(sessionId: string): ReturnType<RunHome["read"]> {
    return this.#home.read(sessionId);
  }

  /** Who owns the session, or null when the relay knows none of this name. */
  ownerOf(): { owner: string | null } | null {
    return this.#home.ownerOf();
  }

  /** PING to the client (it closes after 60 s without), and what the home has to do. */
  override async alarm(): Promise<void> {
    for (const ws of this.#sockets()) {
      const at = attachedOf(ws);
      if (at?.bound === null && Date.now() - at.opened >= FIRST_FRAME_WITHIN) refuse(ws, "no frame came", CLOSE.silent);
      else ws.send(PING);
    }
    await this.#home.tend();
  }

  async #left(ws: WebSocket): Promise<void> {
    const at = attachedOf(ws);
    await this.#tail;
    await this.#up?.drained();
    if (at?.bound) await this.#leave(at.bound, at.name);
    await this.#home.tend();
  }

  async #leave(bound: Bound, name: string): Promise<void> {
    try {
      await agentLine(this.env.AGENT_LINE, bound.agent_line).leave(bound.rid, name);
    } catch (error) {
      this.#runtime.log("warn", "relay.leave_failed", { agent: bound.agent, error: describe(error) });
    }
  }
}

const attachedOf = (ws: WebSocket): Attached | null => ws.deserializeAttachment() as Attached | null;

const startOf = (b: Bound, input_id: string | null, prompt: string | null) => ({
  session_id: b.rid,
  agent: b.agent,
  agent_line: b.agent_line,
  owner: b.owner,
  input_id,
  prompt,
});
