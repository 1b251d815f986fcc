import { move, type Seq } from "./cursor";
import { Emitter, type Listener } from "./emitter";
import { ClientError } from "./errors";
import { type Answer, eventOf, type Frame, type SessionEvents } from "./events";
import { connectFrame, newId, onboardFrame } from "./handshake";
import { type Http, readEvents, readRecord, type SessionRecord } from "./http";
import { Line } from "./line";
import type { Settings } from "./options";
import { Run, type RunStream } from "./run";
import { Memory } from "./store";
import { Waiting } from "./waiting";

/** A conversation with one agent, over as many lines as it takes. Made by `connect`. */
export class Session {
  readonly #s: Settings;
  readonly #memory: Memory;
  readonly #http: Http;
  readonly #emitter = new Emitter();
  readonly #waiting: Waiting;
  #line: Line | null = null;
  #opening: Promise<void> | null = null;
  /** What the last CONNECTED said. */
  #status = "new";
  #closed = false;

  private constructor(settings: Settings, sessionId: string | null | undefined) {
    this.#s = settings;
    this.#memory = new Memory(settings.store, `${settings.http}:${settings.agent}`);
    if (sessionId !== undefined && sessionId !== this.#memory.now.session_id)
      this.#memory.set({ session_id: sessionId, seq: null, run: null });
    this.#http = { base: settings.http, who: settings.identity, fetch: settings.fetch };
    this.#waiting = new Waiting({
      patience: settings,
      memory: this.#memory,
      emitter: this.#emitter,
      own: settings.own,
      open: async () => {
        await this.#open();
        return this.#status;
      },
      send: (frame) => this.send(frame),
      record: () => this.record(),
      isClosed: () => this.#closed,
      sessionId: () => this.id,
    });
  }

  /** For `connect`. */
  static async open(settings: Settings, sessionId: string | null | undefined): Promise<Session> {
    const session = new Session(settings, sessionId);
    const { run } = session.#memory.now;
    if (run) session.#waiting.resume(new Run(run.input_id, null, () => session.id), true);
    try {
      await session.#open();
    } catch (error) {
      // The result of the remembered run may still be had by polling.
      if (run && error instanceof ClientError && error.retryable) return session;
      session.close();
      throw error;
    }
    return session;
  }

  /** The session's id; null until a host behind the relay has given one. */
  get id(): string | null {
    return this.#memory.now.session_id;
  }

  /** Our own address. */
  get address(): string {
    return this.#s.identity.address;
  }

  /** The agent's address. */
  get agent(): string {
    return this.#s.agent;
  }

  /** Calls `listener` for each event of a kind; the function that is returned ends that. */
  on<K extends keyof SessionEvents>(type: K, listener: Listener<K>): () => void {
    return this.#emitter.on(type, listener);
  }

  /** Asks the agent: its events in order, then its answer. @throws ClientError `busy` while a run is waited for. */
  stream(prompt: string): RunStream {
    if (this.#closed) throw new ClientError("closed", "this session was closed: connect again");
    if (this.#waiting.busy) throw new ClientError("busy", "a run is under way: resume() it first");
    const run = new Run(newId(), prompt, () => this.id);
    this.#waiting.start(run);
    return run;
  }

  /** Asks the agent and waits for its answer. Rejects with a ClientError. */
  async ask(prompt: string): Promise<Answer> {
    return await this.stream(prompt).answer;
  }

  /**
   * The run whose end has not been seen: sent before a reload or a timeout, or started by another client with our key. Its
   * events go on after the cursor. Null: there is none.
   */
  resume(): RunStream | null {
    const found = this.#waiting.take();
    if (found) return found;
    if (this.#waiting.busy) return this.#waiting.run;
    const kept = this.#memory.now.run;
    if (!kept || this.#closed) return null;
    const run = new Run(kept.input_id, null, () => this.id);
    this.#waiting.resume(run, false);
    return run;
  }

  /** Lets the tool run that `approval_needed` asked for; `session`: and do not ask again for this tool. */
  approve(scope: "once" | "session" = "once"): boolean {
    return this.send({ type: "APPROVAL_RESPONSE", approved: true, scope });
  }

  /** Refuses it: the run stops (`reject_hard`), or goes on without that tool. */
  reject(feedback = "", mode: "reject_hard" | "reject_soft" | "reject_explain" = "reject_hard"): boolean {
    return this.send({ type: "APPROVAL_RESPONSE", approved: false, mode, ...(feedback ? { feedback } : {}) });
  }

  /** Answers `ask_user`. */
  answer(answer: unknown): boolean {
    return this.send({ type: "ASK_USER_RESPONSE", answer });
  }

  /** Any other command of the protocol. False: there is no line now; a question is asked again when there is one. */
  send(frame: Frame): boolean {
    return this.#line?.send(frame) ?? false;
  }

  /** The newest run as the host keeps it, for 24 h after its end; null: none, or expired. */
  async record(): Promise<SessionRecord | null> {
    return this.id === null ? null : await readRecord(this.#http, this.id);
  }

  /** The session's event log over HTTP, after a cursor (null: from its beginning), and what follows, until `signal`. */
  async *events(after: Seq = null, signal?: AbortSignal): AsyncGenerator<Frame, void, undefined> {
    if (this.id === null) throw new ClientError("run_unknown", "this session has no id yet");
    yield* readEvents(this.#http, this.id, after, signal);
  }

  /** Leaves. A run goes on, and the next `connect` finds it. */
  close(): void {
    this.#closed = true;
    this.#line?.close();
    this.#line = null;
    this.#waiting.stop(new ClientError("closed", "closed by this client; the run goes on"));
  }

  #open(): Promise<void> {
    if (this.#line) return Promise.resolve();
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #connect(): Promise<void> {
    const { ws, own, agent, identity: who, WebSocket, openTimeoutMs, silenceMs } = this.#s;
    const id = this.id ?? (own ? newId() : null);
    let lost: ClientError | null = null;
    const line = await Line.open({
      // Our own URL goes straight to the session's home, which then tells every end the cursor has not seen.
      url: own ? `${ws}/sessions/${encodeURIComponent(id!)}/ws` : `${ws}/ws/input`,
      WebSocket,
      openTimeoutMs,
      silenceMs,
      connect: () => connectFrame({ who, agent, relayed: !own, sessionId: id, seq: this.#memory.now.seq }),
      onboard: async (required) => {
        const answer = await this.#s.onboard(required);
        return answer && (await onboardFrame(who, answer));
      },
      onConnected: (frame) => this.#connected(frame),
      onFrame: (frame) => this.#hear(frame),
      onLost: (error) => {
        lost = error;
        this.#line = null;
        this.#waiting.lost(error);
      },
    });
    if (this.#closed) line.close();
    // It may have been lost in the same moment.
    else if (lost === null) this.#line = line;
  }

  #connected(frame: Frame): void {
    const session_id = String(frame["session_id"]);
    const before = this.id;
    this.#status = String(frame["status"]);
    if (before !== session_id) this.#memory.set({ session_id, seq: null });
    if (before !== null && before !== session_id)
      this.#waiting.moved(new ClientError("session_lost", `session ${before} is not ours; ${session_id} begins`));
    this.#emitter.emit("connected", { session_id, status: this.#status });
    if (this.#status === "running" && !this.#waiting.busy) void this.#waiting.adopt();
  }

  #hear(frame: Frame): void {
    const at = this.#memory.now.seq;
    const moved = move(at, frame);
    if (moved.again) return;
    if (moved.seq !== at) this.#memory.set({ seq: moved.seq });
    const event = eventOf(frame);
    if (event?.type === "gap") this.#emitter.emit("gap", event);
    else if (event) this.#emitter.emit("event", event);
    this.#waiting.hear(frame);
  }
}
