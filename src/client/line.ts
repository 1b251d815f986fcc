import { ClientError, errorOf, lossError } from "./errors";
import { type Frame, wordsOf } from "./events";

/** The part of a WebSocket that is used: the one of browsers, Workers, Node 22, and of the `ws` package. */
export interface SocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: never) => void): void;
}
export type SocketClass = new (url: string) => SocketLike;

/** What a host wants of somebody it does not know yet. */
export interface OnboardRequired {
  identity: string;
  /** `invite_code`, `payment`. */
  methods: string[];
  payment_amount?: number | null;
  /** Why the answer before was not taken. */
  error: string | null;
}

export interface OnboardAnswer {
  inviteCode?: string;
  payment?: number | string;
}

export interface LineOptions {
  url: string;
  WebSocket: SocketClass;
  /** The signed CONNECT, made anew for each line: its signature works once. */
  connect(): Promise<Frame>;
  /** The signed ONBOARD_SUBMIT, or null to give up. */
  onboard(required: OnboardRequired): Promise<Frame | null>;
  /** At once: frames may stand right behind it. */
  onConnected(connected: Frame): void;
  /** Every frame after CONNECTED, but PING. */
  onFrame(frame: Frame): void;
  /** Once, after CONNECTED. */
  onLost(error: ClientError): void;
  /** How long CONNECTED may take, ms; a person's onboarding does not count. */
  openTimeoutMs: number;
  /** A host says something at least every 30 s; silence beyond this is a dead line, ms. */
  silenceMs: number;
}

const OPEN = 1;

/** One connection to a host, from CONNECT on. Answers PING, and notices silence. */
export class Line {
  #ws: SocketLike;
  #o: LineOptions;
  #over = false;
  #connected = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #heard = Date.now();
  /** The last ERROR: a close often says less. */
  #said = "";
  #required: OnboardRequired | null = null;
  #opened!: { resolve(): void; reject(error: ClientError): void };

  private constructor(o: LineOptions) {
    this.#o = o;
    this.#ws = new o.WebSocket(o.url);
  }

  /** Opens a line and connects. @throws ClientError: why the host refused, or that it can't be reached. */
  static async open(o: LineOptions): Promise<Line> {
    const line = new Line(o);
    await new Promise<void>((resolve, reject) => {
      line.#opened = { resolve, reject };
      line.#listen();
      line.#arm(o.openTimeoutMs, () => line.#end(new ClientError("unreachable", "nobody answered CONNECT in time")));
    });
    return line;
  }

  /** False when the line is gone: the frame was not sent. */
  send(frame: Frame): boolean {
    if (this.#over || this.#ws.readyState !== OPEN) return false;
    this.#ws.send(JSON.stringify(frame));
    return true;
  }

  /** Ends the line without a word to `onLost`. */
  close(): void {
    this.#finish(1000);
  }

  #listen(): void {
    const ws = this.#ws;
    ws.addEventListener("open", () => void this.#submit(this.#o.connect()));
    ws.addEventListener("message", (event: { data: unknown }) => {
      if (!this.#over) this.#hear(event.data);
    });
    ws.addEventListener("close", (event: { code: number; reason?: string }) =>
      this.#end(lossError(event.code, this.#said || event.reason || "")),
    );
    // A close follows everywhere but in old runtimes; what went wrong is not told to scripts.
    ws.addEventListener("error", () => this.#end(lossError(1006, this.#said)));
  }

  async #submit(making: Promise<Frame>): Promise<void> {
    try {
      this.send(await making);
    } catch (error) {
      this.#end(error instanceof ClientError ? error : new ClientError("no_crypto", String(error)));
    }
  }

  #hear(data: unknown): void {
    this.#heard = Date.now();
    const frame = readFrame(data);
    if (frame === null) return;
    if (frame.type === "PING") this.send({ type: "PONG" });
    else if (this.#connected) {
      if (frame.type === "ERROR") this.#said = wordsOf(frame);
      this.#o.onFrame(frame);
    } else this.#handshake(frame);
  }

  #handshake(frame: Frame): void {
    if (frame.type === "CONNECTED") {
      this.#connected = true;
      this.#said = "";
      this.#watch();
      this.#o.onConnected(frame);
      this.#opened.resolve();
    } else if (frame.type === "ONBOARD_REQUIRED") this.#ask(frame as unknown as OnboardRequired, null);
    else if (frame.type === "ERROR") this.#refused(wordsOf(frame));
  }

  #refused(said: string): void {
    this.#said = said;
    // While it waits for onboarding the host keeps the line: the answer was wrong, not the client.
    if (this.#required && !said.startsWith("forbidden")) this.#ask(this.#required, said);
    // Some hosts refuse and leave the line open.
    else this.#end(new ClientError(errorOf(said) ?? "refused", said));
  }

  #ask(required: OnboardRequired, error: string | null): void {
    this.#required = required;
    this.#arm(null);
    const answer = this.#o.onboard({ ...required, error }).then((frame) => {
      if (frame) return frame;
      const ways = required.methods?.join(" or ") ?? "";
      throw new ClientError("onboarding_required", error ?? `this host wants ${ways || "onboarding"}`);
    });
    void this.#submit(
      answer.then((frame) => {
        this.#arm(this.#o.openTimeoutMs, () => this.#end(new ClientError("unreachable", "no answer to onboarding")));
        return frame;
      }),
    );
  }

  #watch(): void {
    const left = this.#o.silenceMs - (Date.now() - this.#heard);
    if (left <= 0) this.#end(new ClientError("unreachable", "the host has gone silent"));
    else this.#arm(left, () => this.#watch());
  }

  #arm(ms: number | null, then: () => void = () => {}): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = ms === null || this.#over ? null : setTimeout(then, ms);
  }

  #end(error: ClientError): void {
    if (this.#over) return;
    const connected = this.#connected;
    this.#finish(4000);
    if (connected) this.#o.onLost(error);
    else this.#opened.reject(error);
  }

  #finish(code: number): void {
    this.#over = true;
    this.#arm(null);
    try {
      this.#ws.close(code);
    } catch {
      // Not open yet, or closed already.
    }
  }
}

/** A frame of a text message; null: nothing this protocol knows. */
export function readFrame(data: unknown): Frame | null {
  try {
    const value: unknown = JSON.parse(String(data));
    return typeof (value as Frame | null)?.type === "string" ? (value as Frame) : null;
  } catch {
    return null;
  }
}
