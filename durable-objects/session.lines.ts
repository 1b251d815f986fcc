import { describe } from "../src/kernel/errors";
import type { Runtime } from "../src/kernel/runtime";
import {
  type AcceptorPort,
  type Attach,
  type Command,
  type Delivered,
  type Delivery,
  type DoorPorts,
  HEARD_EVERY,
  type Home,
  type LineInfo,
  type LineState,
  onFrame,
  receive,
} from "../src/session";
import { agentObject } from "./agent.do";
import type { ObjectEnv } from "./env";
import { hostAddress, hostAdmin, hostStanding, hostTrust, mayShowCode } from "./host";
import { close, end, stateOf, write } from "./session.sockets";
import { type SessionMethods, sessionObject } from "./session.stub";

/** The object that holds the sockets. */
export interface Holder {
  ctx: DurableObjectState;
  env: ObjectEnv;
  runtime(): Runtime;
  /** The home of the session named `line.own`, when it is this same object; null: all homes are elsewhere. */
  home(): Home | null;
  /** The name under which homes find this object (`acceptorOf`). */
  acceptor(line: LineState): string;
}

/** Acceptors that are lines of the relay; no session id may begin like this (src/session/door.ts). */
const INPUT_LINE = "input:";
export const inputLine = (name: string): string => `${INPUT_LINE}${name}`;

/** What a home, and an operator through it, may ask of the object that holds a line. */
export interface LineHolder extends AcceptorPort {
  /** Null: the line has gone. */
  lineInfo(line: string): Promise<LineInfo | null>;
  shutLine(line: string): Promise<boolean>;
}

/** The object that holds a lent line, by the name it gave to the home. */
export function acceptorOf(env: ObjectEnv, id: string): LineHolder {
  if (!id.startsWith(INPUT_LINE)) return sessionObject(env.SESSION, id);
  const namespace = env.CLIENT_LINE;
  const line = namespace.get(namespace.idFromName(id.slice(INPUT_LINE.length))) as unknown as LineHolder & {
    deliverHost: AcceptorPort["deliver"];
  };
  return {
    deliver: (delivery) => line.deliverHost(delivery),
    lineInfo: (id) => line.lineInfo(id),
    shutLine: (id) => line.shutLine(id),
  };
}

/** An operator closed the line. It may come back: who must not is blocked. */
export const CLOSED_BY_OPERATOR = 4411;

/**
 * Lines of our own agent's clients, in the object that accepted their sockets: who is on them (the door), where their session
 * lives, and frames both ways. Every Session object has one, and so has a line of `/ws/input` that asks for our own address.
 */
export class SessionLines {
  readonly #homes = new Map<string, SessionMethods>();

  constructor(private readonly holder: Holder) {}

  /** One frame of a socket. Frames of a socket must come one after the other. Never throws. */
  async frame(ws: WebSocket, raw: string): Promise<void> {
    const line = stateOf(ws);
    if (!line || ws.readyState !== WebSocket.OPEN) return;
    try {
      await onFrame(line, raw, this.#ports(ws));
    } catch (error) {
      this.holder.runtime().log("error", "session.frame_failed", { error: describe(error) });
      end(ws, "internal error: connect again", 1011);
    }
  }

  /** Frames from a line's home, for the socket held here. */
  deliver(d: Delivery): Delivered {
    const ws = this.holder.ctx.getWebSockets(d.line)[0];
    const line = ws ? stateOf(ws) : null;
    if (!ws || !line || ws.readyState !== WebSocket.OPEN) return { ok: false, gone: true };
    const { write: texts, next, answer } = receive(line, d);
    if (next !== line) ws.serializeAttachment({ ...line, ...next });
    write(ws, texts);
    return answer;
  }

  /** The line has said something: kept with it, at most once in `HEARD_EVERY`. */
  heard(ws: WebSocket): void {
    const line = stateOf(ws);
    const now = this.holder.runtime().clock.wall();
    if (line && now - line.heard_at >= HEARD_EVERY) ws.serializeAttachment({ ...line, heard_at: now });
  }

  info(line: string): LineInfo | null {
    const found = this.#open(line);
    const state = found && stateOf(found);
    return state ? { opened_at: state.opened_at, heard_at: state.heard_at } : null;
  }

  /** Closes a line for an operator. False: it has gone. */
  shut(line: string): boolean {
    const found = this.#open(line);
    if (found) close(found, CLOSED_BY_OPERATOR, "closed by the operator");
    return found !== undefined;
  }

  #open(line: string): WebSocket | undefined {
    return this.holder.ctx.getWebSockets(line).find((ws) => ws.readyState === WebSocket.OPEN);
  }

  /** A socket has closed: what was kept for it goes, and a home elsewhere hears of it. */
  async left(line: LineState): Promise<void> {
    if (line.held !== null) this.holder.ctx.storage.kv.delete(held(line.id));
    if (line.home === null || this.#here(line.home, line)) return;
    try {
      await sessionObject(this.holder.env.SESSION, line.home).detach(line.id);
    } catch (error) {
      // The home finds out with its next delivery.
      this.holder.runtime().log("warn", "session.detach_failed", { error: describe(error) });
    }
  }

  #here(session: string, line: LineState): Home | null {
    return session === line.own ? this.holder.home() : null;
  }

  #ports(ws: WebSocket): DoorPorts {
    const { env, ctx } = this.holder;
    const rt = this.holder.runtime();
    const home = (id: string): SessionMethods => sessionObject(env.SESSION, id);
    return {
      now_s: () => rt.clock.wall() / 1000,
      address: () => hostAddress(rt),
      claim: async (verified, owns_session) => {
        const address = await hostAddress(rt);
        const more = owns_session ? { owns_session } : {};
        const claim = await agentObject(env.AGENT, address!).claim(
          {
            signature_hash: verified.signature_hash,
            expires_s: verified.expires_s,
            ts_shape: verified.ts_shape,
            has_nonce: verified.has_nonce,
          },
          rt.clock.wall() / 1000,
          more,
        );
        if (claim === "down") throw new Error("The ledger did not answer.");
        return claim;
      },
      trust: (ask) => hostTrust(env, rt, ask),
      mayConnect: async (from) => (await env.SESSION_LIMIT.limit({ key: `address:${from}` })).success,
      mayTry: async ({ ip }, what) =>
        what === "code" ? mayShowCode(env, ip) : (await env.SESSION_LIMIT.limit({ key: `connect:${ip}` })).success,
      ownerOf: (id) => home(id).owner(),
      statusFor: async (id, from) => {
        const line = stateOf(ws);
        return ((line && this.#here(id, line)) ?? home(id)).statusFor(from);
      },
      attach: (id, line, a) => this.#attach(id, line, a),
      command: (line, c) => this.#command(ws, line, c),
      standing: (from) => hostStanding(env, rt, from),
      admin: (_line, verified, action) => hostAdmin(env, rt, verified, action),
      hold: (line, raw) => {
        if (raw === null) ctx.storage.kv.delete(held(line));
        else ctx.storage.kv.put(held(line), raw);
      },
      held: (line) => ctx.storage.kv.get<string>(held(line)) ?? null,
      refused: (error) => rt.log("info", "session.refused", { error }),
      say: (frame) => write(ws, [JSON.stringify(frame)]),
      close: (code, reason) => close(ws, code, reason),
      save: (line, fresh) => {
        const now = stateOf(ws) ?? line;
        const { ping_at, heard_at, epoch, n, seq, sent } = now;
        ws.serializeAttachment({ ...line, ping_at, heard_at, ...(fresh ? {} : { epoch, n, seq, sent }) });
      },
    };
  }

  #attach(id: string, line: LineState, a: Omit<Attach, "acceptor" | "line">): Promise<boolean> {
    const here = this.#here(id, line);
    if (here) return here.clients.attach({ ...a, line: line.id, acceptor: null });
    return this.#homeOf(id).attach({ ...a, line: line.id, acceptor: this.holder.acceptor(line) });
  }

  #homeOf(id: string): SessionMethods {
    const stub = this.#homes.get(id) ?? sessionObject(this.holder.env.SESSION, id);
    this.#homes.set(id, stub);
    return stub;
  }

  /** Hands a command to the line's home. A stub that failed is dropped; a home that does not know the line gets it again. */
  async #command(ws: WebSocket, line: LineState, c: Omit<Command, "acceptor" | "line">): Promise<void> {
    const home = line.home!;
    const here = this.#here(home, line);
    if (here) return here.clients.command({ ...c, line: line.id, acceptor: null });
    const acceptor = this.holder.acceptor(line);
    const n = line.sent + 1;
    this.#remember(ws, { sent: n });
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        const stub = this.#homeOf(home);
        if (await stub.lentCommand(n, { ...c, line: line.id, acceptor })) return;
        const again = { session_id: home, from: c.from, session: null, announce: false, replay: "run" } as const;
        const last_msg_id = stateOf(ws)?.seq || null;
        if (!(await stub.attach({ ...again, line: line.id, acceptor, last_msg_id }))) break;
      } catch (error) {
        this.#homes.delete(home);
        this.holder.runtime().log("warn", "session.home_failed", { attempt, error: describe(error) });
      }
    }
    end(ws, "session unavailable: connect again", 1012);
  }

  /** Changes what is kept of a line without undoing what a delivery wrote meanwhile. */
  #remember(ws: WebSocket, change: Partial<LineState>): void {
    const line = stateOf(ws);
    if (line) ws.serializeAttachment({ ...line, ...change });
  }
}

/** Where the text of a CONNECT that waits for onboarding is kept. */
const held = (line: string): string => `held:${line}`;
