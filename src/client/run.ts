import { ClientError } from "./errors";
import { AGENT_GONE, type Answer, type Frame, type RunEvent, textOf, wordsOf } from "./events";
import { type Tried, UNTRIED } from "./recovery";

/** One run as its caller sees it: events in order, then the answer. */
export interface RunStream extends AsyncIterable<RunEvent> {
  /** The run's id; null: another client started it. */
  readonly inputId: string | null;
  /** Rejects with a ClientError. Also when nobody iterates. */
  readonly answer: Promise<Answer>;
}

/** A run that is waited for. Pure bookkeeping: lines and time are the session's. */
export class Run implements RunStream {
  readonly answer: Promise<Answer>;
  /** The host has taken it: an ERROR without an id is about something else from now on. */
  taken = false;
  over = false;
  /** Since the host was last heard: a line that is opened and lost again without a word is no progress. */
  tried: Tried = UNTRIED;
  #joined = false;
  #events: RunEvent[] = [];
  #error: ClientError | null = null;
  #wake: (() => void)[] = [];
  #settle!: { resolve(answer: Answer): void; reject(error: ClientError): void };

  /** `prompt` null: it was sent before a reload, and can't be sent again. */
  constructor(
    public inputId: string | null,
    readonly prompt: string | null,
    readonly sessionId: () => string | null,
  ) {
    this.answer = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever only iterates gets the error there.
    this.answer.catch(() => {});
  }

  event(event: RunEvent): void {
    this.taken = true;
    this.tried = UNTRIED;
    this.#events.push(event);
    this.#turn();
  }

  /** RUNTIME_INPUT_ACK: the host has it, maybe as a part of another input's run, whose one answer is for both. */
  acknowledged(): void {
    this.taken = true;
    this.#joined = true;
  }

  /** Is this OUTPUT or ERROR the end of this run? Hosts that name no input have one run at a time. */
  endsWith(frame: Frame): boolean {
    const named = frame["input_id"];
    if (typeof named === "string") return named === this.inputId || this.#joined || this.inputId === null;
    if (frame.type === "OUTPUT") return true;
    if (wordsOf(frame) === AGENT_GONE) return false;
    const { code, id } = frame as { code?: unknown; id?: unknown };
    return !this.taken || [-32603, -32000, -32002].includes(code as number) || String(id).endsWith(":end");
  }

  end(frame: Frame): void {
    if (frame.type === "OUTPUT") this.finish(frame["result"], this.sessionId() ?? "", frame["duration_ms"]);
    else this.fail(errorBy(frame));
  }

  finish(result: unknown, session_id: string, duration: unknown): void {
    if (this.over) return;
    this.over = true;
    const duration_ms = typeof duration === "number" ? duration : null;
    this.#settle.resolve({ text: textOf(result), result, session_id, input_id: this.inputId, duration_ms });
    this.#turn();
  }

  fail(error: ClientError): void {
    if (this.over) return;
    this.over = true;
    this.#error = error;
    this.#settle.reject(error);
    this.#turn();
  }

  #turn(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Every iteration begins at the run's first event, so a view may be drawn twice. */
  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent, void, undefined> {
    for (let n = 0; ; n++) {
      while (n >= this.#events.length && !this.over) await new Promise<void>((wake) => this.#wake.push(wake));
      const event = this.#events[n];
      if (event) yield event;
      else if (this.#error) throw this.#error;
      else return;
    }
  }
}

function errorBy(frame: Frame): ClientError {
  const words = wordsOf(frame);
  if (frame["code"] === -32000) return new ClientError("busy", words);
  const stopped = words === "interrupted" || words === AGENT_GONE;
  return new ClientError(stopped ? "run_interrupted" : "run_failed", words);
}
