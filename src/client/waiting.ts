import type { Emitter } from "./emitter";
import { ClientError, type ClientErrorCode } from "./errors";
import { AGENT_GONE, eventOf, type Frame, wordsOf } from "./events";
import type { SessionRecord } from "./http";
import { nextAct, type Outcome, type Patience } from "./recovery";
import { Run } from "./run";
import type { Memory } from "./store";

/** What a run that is waited for needs of its session. */
export interface Ports {
  patience: Patience;
  memory: Memory;
  emitter: Emitter;
  /** The agent is the host's own: it knows an INPUT by its id, and never runs it twice. */
  own: boolean;
  /** Opens a line, unless there is one. Resolves with what CONNECTED said: `new`, `connected`, `running`. */
  open(): Promise<string>;
  /** False: there is no line. */
  send(frame: Frame): boolean;
  record(): Promise<SessionRecord | null>;
  isClosed(): boolean;
  sessionId(): string | null;
}

/** After these nothing more can come of a run; after any other error it may go on, and can be resumed. */
const FINAL: ReadonlySet<ClientErrorCode> = new Set([
  "run_failed",
  "run_interrupted",
  "run_unknown",
  "session_lost",
  "refused",
  "busy",
]);

/** How long a replay may take, ms. */
const REPLAY_WITHIN = 3_000;

/** The one run of a session that is waited for: from its INPUT to its end, over lost lines, reloads and silence. */
export class Waiting {
  /** The newest run; it may be over. */
  run: Run | null = null;
  /** The run that was there when we connected, until somebody takes it. */
  #found: Run | null = null;
  /** Frames of a run another client started, until the record says which are its. */
  #held: Frame[] | null = null;
  #answered: () => void = () => {};
  readonly #pauses = new Set<() => void>();

  constructor(private readonly p: Ports) {}

  get busy(): boolean {
    return this.run !== null && !this.run.over;
  }

  /** A new INPUT. */
  start(run: Run): void {
    this.p.memory.set({ run: { input_id: run.inputId! } });
    this.#begin(run);
    void this.#openFor(run).then((status) => status !== null && this.#say(run));
  }

  /** A run that was sent before, by this client or an earlier life of it. */
  resume(run: Run, found: boolean): void {
    this.#begin(run);
    if (found) this.#found = run;
    void this.#openFor(run).then((status) => (status === null ? undefined : this.#reconcile(run, status)));
  }

  /** The run that was found, once. */
  take(): Run | null {
    const run = this.#found;
    this.#found = null;
    if (run?.over) this.#forget(run);
    return run;
  }

  /** The line is lost. */
  lost(error: ClientError): void {
    const { run } = this;
    if (run && !run.over) void this.#recover(run, error);
  }

  /** The session under which the run was sent is not ours. */
  moved(error: ClientError): void {
    if (this.run && (this.run.prompt === null || this.run.taken)) this.run.fail(error);
  }

  stop(error: ClientError): void {
    this.run?.fail(error);
    this.#wake();
  }

  /**
   * A run goes on that we did not start. The record says which input it answers, so that the ends of earlier runs, which may
   * stand before it in the log, are told from its own.
   */
  async adopt(): Promise<void> {
    const run = new Run(null, null, this.p.sessionId);
    this.#held = [];
    this.#begin(run);
    this.#found = run;
    const [record] = await Promise.all([this.#askFor(run), this.#caughtUp()]);
    const held: Frame[] = this.#held ?? [];
    this.#held = null;
    run.inputId = record?.input_id ?? null;
    const other = (f: Frame): boolean => typeof f["input_id"] === "string" && f["input_id"] !== run.inputId;
    for (const frame of held.slice(held.findLastIndex((f) => isEnd(f) && other(f)) + 1)) this.#toRun(run, frame);
    if (record) settleBy(run, record, false);
  }

  /** What the host had to replay is here: it answers in order, so its answer to a question of ours stands behind that. */
  async #caughtUp(): Promise<void> {
    await this.p.open().catch(() => {});
    const session_id = this.p.sessionId();
    if (!this.p.send({ type: "SESSION_STATUS", session: { session_id } })) return;
    await this.#pause(REPLAY_WITHIN, (done) => {
      this.#answered = done;
    });
  }

  /** A frame of the session that was not seen before. */
  hear(frame: Frame): void {
    if (frame.type === "SESSION_STATUS") this.#answered();
    if (this.#held) this.#held.push(frame);
    else if (this.run && !this.run.over) this.#toRun(this.run, frame);
    else this.#refused(frame);
  }

  /** An ERROR that ends no run. */
  #refused(frame: Frame): void {
    if (frame.type !== "ERROR" || typeof frame["input_id"] === "string" || wordsOf(frame) === AGENT_GONE) return;
    this.p.emitter.emit("refused", { message: wordsOf(frame) });
  }

  #toRun(run: Run, frame: Frame): void {
    const event = eventOf(frame);
    if (event) run.event(event);
    else if (frame.type === "RUNTIME_INPUT_ACK") run.acknowledged();
    else if (isEnd(frame) && run.endsWith(frame)) run.end(frame);
    else this.#refused(frame);
  }

  #begin(run: Run): void {
    this.run = run;
    this.#found = null;
    const { timeoutMs } = this.p.patience;
    const late = new ClientError("timeout", `no answer within ${timeoutMs} ms; the run goes on`);
    const timer = setTimeout(() => run.fail(late), timeoutMs);
    const over = (error?: ClientError): void => {
      clearTimeout(timer);
      this.#wake();
      // What nobody has taken yet is remembered over one more reload.
      if ((!error || FINAL.has(error.code)) && this.#found !== run) this.#forget(run);
    };
    run.answer.then(() => over(), over);
  }

  #forget(run: Run): void {
    const { memory } = this.p;
    if (memory.now.run && memory.now.run.input_id === run.inputId) memory.set({ run: null });
  }

  /** What CONNECTED said on a line that is open now; null: there is none, and the run is being recovered. */
  async #openFor(run: Run): Promise<string | null> {
    try {
      return await this.p.open();
    } catch (error) {
      void this.#recover(run, error);
      return null;
    }
  }

  #say = (run: Run): boolean => this.p.send({ type: "INPUT", input_id: run.inputId, prompt: run.prompt });

  /** A line is open again: what became of the run? Its events come by themselves; its end may lie before the cursor. */
  async #reconcile(run: Run, status: string): Promise<void> {
    if (run.over || run.inputId === null) return;
    if (this.p.own && run.prompt !== null) return void this.#say(run);
    // The line says more than the record: events, and the end of a run that another has followed. The record must not be first.
    const [record] = await Promise.all([this.#askFor(run), this.#caughtUp()]);
    if (record === undefined || run.over) return;
    if (record !== null && isOf(record, run)) return settleBy(run, record, status === "running");
    if (run.prompt !== null) this.#say(run);
    else run.fail(new ClientError("run_unknown", "the host does not know this run: it never arrived, or has expired"));
  }

  /** The record, asked for some times; undefined: it can't be had, and the line says what there is to say. */
  async #askFor(run: Run): Promise<SessionRecord | null | undefined> {
    for (let attempt = 1; attempt <= 4 && !run.over; attempt++) {
      try {
        return await this.p.record();
      } catch {
        await this.#pause(500 * attempt);
      }
    }
    return undefined;
  }

  /** No line, and a run is waited for: opens one again, or polls, until the run is over or patience is. */
  async #recover(run: Run, lost: unknown): Promise<void> {
    const { patience, emitter } = this.p;
    let reason = asError(lost);
    let outcome: Outcome = "lost";
    while (!run.over && !this.p.isClosed()) {
      if (!reason.retryable) return run.fail(reason);
      const { tried, act } = nextAct(run.tried, outcome, patience, Math.random());
      run.tried = tried;
      if (act.do === "give_up") return run.fail(new ClientError(act.code, reason.message, reason.closeCode));
      const { attempt, waitMs: in_ms } = act;
      if (act.do === "reconnect") emitter.emit("reconnecting", { attempt, in_ms, reason: reason.message });
      else emitter.emit("polling", { attempt, of: patience.maxPollAttempts, in_ms });
      await this.#pause(in_ms);
      if (run.over || this.p.isClosed()) return;
      try {
        if (act.do === "reconnect") return await this.#reconcile(run, await this.p.open());
        const record = await this.p.record();
        if (record !== null && isOf(record, run)) settleBy(run, record, false);
        outcome = "alive";
      } catch (error) {
        reason = asError(error);
        outcome = act.do === "poll" ? "silent" : "lost";
      }
    }
  }

  /** Waits, or less when the run ends or the session is closed. */
  async #pause(ms: number, early?: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#pauses.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#pauses.add(done);
      early?.(done);
    });
  }

  #wake(): void {
    for (const done of [...this.#pauses]) done();
  }
}

const isEnd = (frame: Frame): boolean => frame.type === "OUTPUT" || frame.type === "ERROR";

/** Hosts that do not say whose record it is have one run at a time. */
const isOf = (record: SessionRecord, run: Run): boolean =>
  typeof record.input_id !== "string" || record.input_id === run.inputId;

/** `runs`: the agent itself says that it goes on, whatever the relay thought when the agent's line was lost. */
function settleBy(run: Run, record: SessionRecord, runs: boolean): void {
  if (record.status === "done") run.finish(record.result, record.session_id, record.duration_ms);
  else if (runs) return;
  else if (record.status === "interrupted") run.fail(new ClientError("run_interrupted", "the run was interrupted"));
  else if (record.status === "failed") run.fail(new ClientError("run_failed", "Unable to run agent"));
}

const asError = (error: unknown): ClientError =>
  error instanceof ClientError ? error : new ClientError("unreachable", String(error));
