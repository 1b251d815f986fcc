import { createHash, randomUUID } from "node:crypto";
import { type Keys, nowS, signedBy } from "./onion-keys";

/**
 * The host half of ConnectOnion's newest main, as far as a relay can tell: CONNECT with signature, owner and merge, runs that
 * outlive a stream, events that are replayed after `last_msg_id`, approval, onboarding, signed commands. Prompts script it:
 * `echo X`, `slow MS X`, `stream N`, `count N MS X` (N numbered events, MS apart), `approve X`, `fail X`.
 */

export type Frame = Record<string, unknown>;
type Send = (frame: Frame) => void;

interface Session {
  id: string;
  owner: string | null;
  send: Send | null;
  running: boolean;
  iteration: number;
  items: Frame[];
  events: Frame[];
  pending: { frame: Frame; answer: (frame: Frame) => void } | null;
}

interface Stream {
  caller: string | null;
  session: Session | null;
  /** A CONNECT that waits for onboarding. */
  held: Frame | null;
  heldBy: string | null;
  signed: { to: unknown } | null;
}

export class OnionHost {
  readonly sessions = new Map<string, Session>();
  readonly #streams = new Map<string, Stream>();
  readonly #used = new Set<string>();
  #life = 0;
  readonly #contacts = new Set<string>();
  /** Prompts that were run, oldest first. */
  readonly ran: string[] = [];
  /** What was answered, by prompt. */
  readonly answers = new Map<string, string>();
  /** Told of each answer before it leaves. */
  onAnswer: (prompt: string) => void = () => {};

  constructor(
    readonly keys: Keys,
    readonly invite: string | null,
  ) {}

  /** The relay's socket is gone: streams end, runs go on. */
  detachAll(): void {
    this.#streams.clear();
    for (const s of this.sessions.values()) s.send = null;
  }

  /** The process dies: no run goes on, sessions are still stored. */
  die(): void {
    this.detachAll();
    this.#life++;
    for (const s of this.sessions.values()) {
      s.running = false;
      s.pending = null;
    }
  }

  receive(id: string, frame: Frame, send: Send): void {
    const stream = this.#streams.get(id) ?? { caller: null, session: null, held: null, heldBy: null, signed: null };
    this.#streams.set(id, stream);
    const error = (message: string): void => send({ type: "ERROR", message });
    switch (frame["type"]) {
      case "close":
        if (stream.session) stream.session.send = null;
        this.#streams.delete(id);
        return;
      case "PONG":
        return;
      case "CONNECT":
        this.#connect(id, stream, frame, send);
        return;
      case "ONBOARD_SUBMIT":
        this.#onboard(id, stream, frame, send);
        return;
      case "SESSION_STATUS": {
        const asked = (frame["session"] as Frame | undefined)?.["session_id"];
        const s = this.sessions.get(String(asked));
        const mine = s && stream.caller !== null && s.owner === stream.caller;
        send({ type: "SESSION_STATUS", status: !mine ? "not_found" : s.running ? "running" : "connected" });
        return;
      }
    }
    if (!stream.session) {
      error("authenticate first (send CONNECT)");
      return;
    }
    let act = frame;
    if (stream.signed) {
      const payload = frame["payload"] as Frame | undefined;
      if (!payload) {
        error("unauthorized: signed command required");
        return;
      }
      const refused = this.#verify(frame, true);
      if (refused) {
        error(refused);
        return;
      }
      if (payload["type"] !== frame["type"]) {
        error("unauthorized: signed command type mismatch");
        return;
      }
      act = payload;
    }
    if (act["type"] === "INPUT") this.#input(stream.session, act, send);
    else if (act["type"] === "APPROVAL_RESPONSE") {
      const pending = stream.session.pending;
      stream.session.pending = null;
      pending?.answer(act);
    }
    if (act["type"] === "mode_change") send({ type: "mode_changed", mode: act["mode"] });
  }

  #verify(frame: Frame, once: boolean): string | null {
    const payload = frame["payload"] as Frame | undefined;
    if (!payload || typeof frame["signature"] !== "string") return "unauthorized: signed request required";
    if (Math.abs(nowS() - Number(payload["timestamp"])) > 300) return "unauthorized: signature expired";
    if (payload["to"] !== undefined && payload["to"] !== this.keys.address) return "unauthorized: wrong recipient";
    if (!signedBy(String(frame["from"]), frame["signature"], payload)) return "unauthorized: invalid signature";
    const hash = createHash("sha256").update(frame["signature"]).digest("hex");
    if (once && this.#used.has(hash)) return "unauthorized: signed command already used";
    this.#used.add(hash);
    return null;
  }

  #connect(id: string, stream: Stream, frame: Frame, send: Send): void {
    const refused = this.#verify(frame, false);
    if (refused) {
      send({ type: "ERROR", message: refused });
      return;
    }
    const from = String(frame["from"]);
    if (this.invite !== null && !this.#contacts.has(from)) {
      stream.held = frame;
      stream.heldBy = from;
      send({ type: "ONBOARD_REQUIRED", identity: from, methods: ["invite_code"] });
      return;
    }
    this.#connected(id, stream, frame, send);
  }

  #onboard(id: string, stream: Stream, frame: Frame, send: Send): void {
    const payload = (frame["payload"] ?? {}) as Frame;
    if (!stream.held || frame["from"] !== stream.heldBy) {
      send({ type: "ERROR", message: "authenticate first (send CONNECT)" });
      return;
    }
    if (payload["invite_code"] !== this.invite) {
      send({ type: "ERROR", message: "Invalid invite code" });
      return;
    }
    const refused = this.#verify(frame, true);
    if (refused) {
      send({ type: "ERROR", message: refused });
      return;
    }
    this.#contacts.add(String(frame["from"]));
    send({ type: "ONBOARD_SUCCESS", identity: frame["from"], level: "contact", message: "welcome" });
    const held = stream.held;
    stream.held = null;
    this.#connected(id, stream, held, send);
  }

  #connected(id: string, stream: Stream, frame: Frame, send: Send): void {
    const from = String(frame["from"]);
    const payload = frame["payload"] as Frame;
    let session = this.sessions.get(id);
    // Owned by somebody else: a fresh session under the same stream, and nothing of the other's.
    if (session && session.owner !== from) session = undefined;
    const known = session !== undefined;
    session ??= { id, owner: from, send: null, running: false, iteration: 0, items: [], events: [], pending: null };
    if (!known) this.sessions.set(this.sessions.has(id) ? randomUUID() : id, session);
    session.send = send;
    stream.caller = from;
    stream.session = session;
    stream.signed = payload["signed_commands"] === 1 ? { to: payload["to"] } : null;
    const theirs = Number((frame["session"] as Frame | undefined)?.["iteration"] ?? 0);
    const newer = known && session.iteration > theirs;
    send({
      type: "CONNECTED",
      session_id: id,
      status: session.running ? "running" : known ? "connected" : "new",
      ...(newer ? { server_newer: true, session: this.#state(session), chat_items: session.items } : {}),
    });
    if (!session.running) return;
    const after = session.events.findIndex((e) => e["id"] === frame["last_msg_id"]);
    for (const event of session.events.slice(after + 1)) send(event);
  }

  #state = (s: Session): Frame => ({ session_id: s.id, iteration: s.iteration, updated: Date.now() / 1000 });

  #input(session: Session, frame: Frame, send: Send): void {
    const prompt = String(frame["prompt"] ?? "");
    // What 0.1.4 sends after onboarding.
    if (prompt === "") return;
    if (session.running) {
      send({ type: "RUNTIME_INPUT_ACK", id: randomUUID() });
      return;
    }
    session.running = true;
    session.events = [];
    this.ran.push(prompt);
    session.items.push({ id: randomUUID(), type: "user", content: prompt });
    void this.#run(session, prompt, frame);
  }

  #event(session: Session, event: Frame): void {
    const whole = { id: randomUUID(), ts: Date.now() / 1000, ...event };
    session.events.push(whole);
    session.send?.(whole);
  }

  async #run(session: Session, prompt: string, input: Frame): Promise<void> {
    const [, verb, rest = ""] = /^(\S+)\s*(.*)$/s.exec(prompt) ?? [];
    let result = rest;
    const life = this.#life;
    if (verb === "slow") {
      const [, ms, text] = /^(\d+)\s*(.*)$/s.exec(rest)!;
      this.#event(session, { type: "thinking", content: "slow" });
      await new Promise((r) => setTimeout(r, Number(ms)));
      result = text!;
    } else if (verb === "stream") {
      for (let i = 0; i < Number(rest); i++) {
        const tool_id = `tool-${i}`;
        this.#event(session, { type: "tool_call", tool_id, name: "count", args: { i }, status: "running" });
        await new Promise((r) => setTimeout(r, 15));
        this.#event(session, { type: "tool_result", tool_id, name: "count", status: "success", result: `${i}` });
      }
      result = `streamed ${rest}`;
    } else if (verb === "count") {
      const [, of, ms, text] = /^(\d+) (\d+) (.*)$/s.exec(rest)!;
      for (let n = 1; n <= Number(of); n++) {
        this.#event(session, { type: "thinking", n, of: Number(of), content: `${text} ${n}` });
        await new Promise((r) => setTimeout(r, Number(ms)));
      }
      result = `${text} counted ${of}`;
    } else if (verb === "approve") {
      const answer = await new Promise<Frame>((resolve) => {
        const frame = { type: "approval_needed", tool: "danger", arguments: { what: rest } };
        session.pending = { frame, answer: resolve };
        this.#event(session, frame);
      });
      result = answer["approved"] === true ? `approved ${rest}` : `rejected ${rest}`;
    } else if (verb === "fail") {
      session.running = false;
      return session.send?.({ type: "ERROR", code: -32603, message: "Unable to run agent" });
    } else if (verb === "big") result = "x".repeat(Number(rest));
    if (life !== this.#life) return;
    session.running = false;
    session.iteration++;
    session.items.push({ id: randomUUID(), type: "agent", content: result });
    this.answers.set(prompt, result);
    this.onAnswer(prompt);
    const out = { type: "OUTPUT", input_id: input["input_id"], result, duration_ms: 1, session: this.#state(session) };
    session.send?.(out);
  }
}
