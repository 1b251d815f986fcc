import { describe } from "../src/kernel/errors";
import type { Runtime } from "../src/kernel/runtime";
import {
  accountable,
  type Bound,
  CLOSE,
  closeFor,
  type Delivery,
  type Down,
  freshOf,
  type HearAsk,
  type Heard,
  isKept,
  stageAfter,
  type Told,
  toTell,
} from "../src/relay";
import { type Attached, attachedOf } from "./client-line.socket";
import { close, keep, refuse, tell } from "./line-socket";
import type { Replayed } from "./run-home";

/** The home of a session, here or elsewhere. */
export interface EarHome {
  hear(ask: HearAsk): Promise<Heard[] | null>;
  replay(owner: string | null, cursor: string | null): Promise<Replayed>;
}

export interface EarPorts {
  socket(): WebSocket | undefined;
  /** The home of session `rid`, asked of the object named `name`. */
  home(rid: string, name: string): EarHome;
  runtime(): Runtime;
}

interface Listening {
  ws: WebSocket;
  at: Attached;
  bound: Bound;
}

const LOST = "frames were lost; reconnect";

/** How a relay client hears its agent: durable first, in order, each frame once, a gap never silent. */
export class ClientEar {
  #heard: { epoch: string; n: number } | null = null;
  #told: Told = { after: 0, mark: 0 };

  constructor(private readonly p: EarPorts) {}

  /** Frames of the agent. False: this line does not hear that session (any more). */
  async deliver(d: Delivery): Promise<boolean> {
    const bound = this.#listening(d)?.bound ?? null;
    const fresh = freshOf(this.#heard, d);
    const frames = bound && !d.legacy ? accountable(bound.stage, fresh.frames) : fresh.frames;
    // Durable first: whoever sees a frame can fetch it again.
    const heard = bound?.stage === "unproven" ? null : await this.#hear(d, fresh.gap, frames);
    this.#heard = fresh.heard;
    // The socket may have gone, or said something, meanwhile.
    const line = this.#listening(d);
    if (!line) return false;
    const log = this.p.runtime().log;
    const more = { session_id: d.rid };
    if (fresh.gap) {
      // A gap is never silent: the client comes back, and the log says that something is missing.
      log("error", "relay.gap", { session: d.rid, from: d.from });
      refuse(line.ws, LOST, CLOSE.agentGone, more);
      return false;
    }
    try {
      for (const [i, down] of fresh.frames.entries()) await this.#say(line, down, heard?.[i] ?? { seq: null });
    } catch (error) {
      // They are in the log; a repeat of the call would pass them over.
      log("error", "relay.untold", { session: d.rid, error: describe(error) });
      refuse(line.ws, LOST, CLOSE.agentGone, more);
    }
    return true;
  }

  #listening(d: Delivery): Listening | null {
    const ws = this.p.socket();
    const at = ws ? attachedOf(ws) : null;
    const bound = at?.bound;
    return ws && at && bound?.agent_line === d.agent_line && bound.rid === d.rid ? { ws, at, bound } : null;
  }

  async #hear(d: Delivery, lost: boolean, frames: Down[]): Promise<Heard[] | null> {
    if (!lost && !frames.some((f) => f.idle !== null || isKept(f.type, f.end !== null))) return null;
    const ask = { agent: d.agent, session_id: d.rid, legacy: d.legacy, lost, frames };
    return await this.p.home(d.rid, d.line).hear(ask);
  }

  async #say({ ws, at, bound }: Listening, down: Down, heard: Heard): Promise<void> {
    const refusal = down.type === "ERROR" && bound.stage === "connecting" && bound.shape === "host" ? down.end : null;
    bound.stage = stageAfter(bound.stage, down.type);
    if (down.type === "PING") bound.pings = Math.min(9, bound.pings + 1);
    if (["CONNECTED", "ONBOARD_REQUIRED", "PING"].includes(down.type)) keep(ws, at);
    const text = heard.text === undefined ? down.text : heard.text;
    // Before CONNECTED nothing of a run is told: it comes from the log, after it.
    if (heard.seq !== null && bound.stage !== "connected" && bound.shape === "host") return;
    const out = text === null ? null : toTell(this.#told, down.type, text, heard.seq);
    if (out !== null) tell(ws, out);
    if (down.type === "CONNECTED") await this.#replay(ws, at.name, bound);
    // A refused CONNECT must not leave the client waiting (connectonion.md (c), refusal trap).
    if (refusal) close(ws, closeFor(refusal.error ?? ""), refusal.error ?? "");
  }

  /** What the client lacks of the run under way, from the log: its agent may have forgotten it. */
  async #replay(ws: WebSocket, name: string, bound: Bound): Promise<void> {
    const { rid: session_id, cursor: last_msg_id } = bound;
    const { gap, frames, after, mark } = await this.p.home(session_id, name).replay(bound.owner, last_msg_id);
    if (gap) tell(ws, JSON.stringify({ type: "gap", session_id, last_msg_id, first_seq: frames[0]?.seq ?? null }));
    for (const { text } of frames) tell(ws, text);
    this.#told = { after, mark };
  }
}
