/**
 * A Hermes gateway as the field has it, scripted: its framing, handshake, acks, dedupe, close-code rules and ledger. The socket
 * is given, so that it runs on Node and inside workerd. Imports nothing of ours.
 */

export interface Link {
  send(data: string | Uint8Array): void;
  close(code: number, reason: string): void;
  /** Gone without a close frame, where the transport can. */
  cut(): void;
}
export interface LinkEvents {
  message(data: string | Uint8Array): void;
  close(code: number, reason: string): void;
}
/** Rejects with `DialRefused` when the answer is no upgrade. */
export type Dial = (authorization: string | null, on: LinkEvents) => Promise<Link>;

export class DialRefused extends Error {
  constructor(readonly status: number) {
    super(`HTTP ${status}`);
  }
}

export type Json = Record<string, unknown>;

export interface GatewayOptions {
  id: string;
  /** null: sends no Authorization at all. */
  secret: string | null;
  identities: { platform: string; botId?: string }[];
  /** Builds of mid-2026 do not dedupe and take any 4401 for the end; newer ones do, and dial once more. */
  build?: "old" | "new";
  /** Some builds never ack a passthrough. */
  ackPassthrough?: boolean;
  /** Seconds that its clock is ahead of ours. */
  skewS?: number;
  /** Real ms for each second of its timers; 1000 in the field. */
  secondMs?: number;
  /** All greetings in one message: several frames in one are allowed, but the field's gateways send one in each. */
  together?: boolean;
  /** false: no reconnect of its own. */
  reconnect?: boolean;
  /** What its agent does with an event; the ack leaves afterwards. A throw kills the reader. */
  handle?: (frame: Json, gateway: ScriptedGateway) => unknown;
}

export interface Handled {
  bufferId: string | null;
  message_id: string | null;
  platform: string;
  chat_id: string;
  text: string;
  at: number;
  frame: Json;
}

const REQUIRED = [
  "contract_version",
  "platform",
  "label",
  "max_message_length",
  "supports_draft_streaming",
  "supports_edit",
  "supports_threads",
  "markdown_dialect",
  "len_unit",
];
const MAX_FRAME = 1024 * 1024;
const DEDUPE = 512;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (bytes: ArrayBuffer): string =>
  [...new Uint8Array(bytes)].map((b) => b.toString(16).padStart(2, "0")).join("");

/** The upgrade token of the contract: base64url(id:exp:hmac). */
export async function upgradeToken(id: string, secret: string, exp: number | string): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    utf8(secret) as BufferSource,
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const sig = hex(await crypto.subtle.sign("HMAC", key, utf8(`${id}:${exp}`) as BufferSource));
  let raw = "";
  for (const b of utf8(`${id}:${exp}:${sig}`)) raw += String.fromCharCode(b);
  return btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export class ScriptedGateway {
  /** Every frame that came, oldest first. */
  readonly frames: Json[] = [];
  /** Turns its agent took: what was not dropped as a repeat. */
  readonly handled: Handled[] = [];
  readonly acked: string[] = [];
  /** Repeats dropped by its own dedupe (new builds). */
  readonly repeats: string[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  readonly refusals: number[] = [];
  readonly descriptors: Json[] = [];
  /** Lines that had no end, or were no JSON: never processed. */
  pending = "";
  terminal = false;
  dials = 0;
  /** Acks are held back while set; `releaseAcks` sends them. */
  holdAcks = false;
  readonly held: string[] = [];
  #link: Link | null = null;
  #gen = 0;
  #readerAlive = false;
  #handshaken = false;
  #strikes = 0;
  #seen: string[] = [];
  #delay = 1;
  #stopped = false;
  #sessionDescriptors = 0;
  #work: Promise<void> = Promise.resolve();
  #waiters = new Set<() => void>();
  #requests = new Map<string, (result: Json) => void>();
  #idle: (() => void) | null = null;

  constructor(
    readonly options: GatewayOptions,
    readonly dial: Dial,
  ) {}

  get open(): boolean {
    return this.#link !== null;
  }

  get readerAlive(): boolean {
    return this.#readerAlive;
  }

  /** Waits until `check` holds; fails after `ms`. */
  async until(what: string, check: () => boolean, ms = 5_000): Promise<void> {
    const end = Date.now() + ms;
    while (!check()) {
      if (Date.now() > end)
        throw new Error(
          `${this.options.id}: not within ${ms} ms: ${what}; frames ${JSON.stringify(this.frames).slice(-600)}; closes ${JSON.stringify(this.closes)}; refused ${this.refusals}`,
        );
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          resolve();
        };
        this.#waiters.add(wake);
        setTimeout(wake, 50);
      });
    }
  }

  #changed(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  /** Dials, greets, and waits for a descriptor of each greeting. */
  async connect(): Promise<void> {
    await this.#dialOnce();
    await this.until("every greeting described", () => this.#sessionDescriptors >= this.options.identities.length);
  }

  async #dialOnce(): Promise<void> {
    const { id, secret, skewS = 0 } = this.options;
    const exp = Math.floor(Date.now() / 1000) + skewS + 300;
    const authorization = secret === null ? null : `Bearer ${await upgradeToken(id, secret, exp)}`;
    const gen = ++this.#gen;
    this.dials++;
    this.pending = "";
    this.#sessionDescriptors = 0;
    const early: { code: number; reason: string }[] = [];
    let linked = false;
    try {
      const link = await this.dial(authorization, {
        message: (data) => this.#receive(gen, data),
        close: (code, reason) => {
          if (linked) this.#closed(gen, code, reason);
          else early.push({ code, reason });
        },
      });
      linked = true;
      if (gen !== this.#gen || this.#stopped) return link.close(1000, "stale");
      this.#link = link;
      this.#readerAlive = true;
      const hellos = this.options.identities.map(
        ({ platform, botId = "" }) => `${JSON.stringify({ type: "hello", platform, botId })}\n`,
      );
      for (const data of this.options.together ? [hellos.join("")] : hellos) this.raw(data);
      for (const e of early) this.#closed(gen, e.code, e.reason);
    } catch (error) {
      if (!(error instanceof DialRefused)) throw error;
      this.refusals.push(error.status);
      this.#changed();
      this.#again();
    }
  }

  #closed(gen: number, code: number, reason: string): void {
    this.closes.push({ code, reason });
    if (gen !== this.#gen) {
      this.#changed();
      return;
    }
    this.#link = null;
    this.#readerAlive = false;
    for (const [, answer] of this.#requests) answer({ success: false, error: "connection lost" });
    this.#requests.clear();
    if (code === 4401 && !(this.options.build !== "old" && reason === "expired")) this.#refused();
    else this.#again();
    this.#changed();
  }

  /** 4401: older builds that had a handshake before are done; newer ones dial once more, with a new token. */
  #refused(): void {
    if (!this.#handshaken) {
      this.#again();
      return;
    }
    if (this.options.build === "old" || ++this.#strikes >= 2) {
      this.terminal = true;
      return;
    }
    this.#again(0);
  }

  #again(afterS = this.#delay): void {
    if (this.#stopped || this.terminal || this.options.reconnect === false) return;
    this.#delay = Math.min(30, this.#delay * 2);
    setTimeout(
      () => {
        if (!this.#stopped && this.#link === null) this.#dialOnce().catch(() => this.#again());
      },
      afterS * (this.options.secondMs ?? 1000),
    );
  }

  #receive(gen: number, data: string | Uint8Array): void {
    if (gen !== this.#gen || !this.#readerAlive) return;
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    if (utf8(text).length > MAX_FRAME) {
      this.#link?.close(1009, "message too big");
      return;
    }
    this.pending += text;
    const lines = this.pending.split("\n");
    this.pending = lines.pop()!;
    for (const line of lines) if (line.trim() !== "") this.#frame(gen, JSON.parse(line) as Json);
    this.#changed();
  }

  #frame(gen: number, frame: Json): void {
    this.frames.push(frame);
    const type = frame["type"];
    if (type === "descriptor") this.#descriptor(frame["descriptor"] as Json);
    else if (type === "inbound" || type === "passthrough_forward")
      // Its reader takes one frame after the other; a handler that raises ends it.
      this.#work = this.#work.then(() => this.#inbound(gen, frame)).catch(() => this.#readerDied(gen));
    else if (type === "outbound_result") {
      const id = String(frame["requestId"]);
      this.#requests.get(id)?.(frame["result"] as Json);
      this.#requests.delete(id);
    } else if (type === "going_idle_ack") this.#idle?.();
  }

  #descriptor(d: Json): void {
    // Without one of these its reader raises and dies while the socket stays open.
    if (REQUIRED.some((field) => !(field in d))) {
      this.#readerDied(this.#gen);
      return;
    }
    this.descriptors.push(d);
    this.#sessionDescriptors++;
    this.#handshaken = true;
    this.#strikes = 0;
    if (this.options.build !== "old") this.#delay = 1;
  }

  #readerDied(gen: number): void {
    if (gen !== this.#gen) return;
    this.#readerAlive = false;
    this.#link = null;
    this.#changed();
    this.#again();
  }

  async #inbound(gen: number, frame: Json): Promise<void> {
    const bufferId = typeof frame["bufferId"] === "string" ? frame["bufferId"] : null;
    const passthrough = frame["type"] === "passthrough_forward";
    const event = (passthrough ? {} : frame["event"]) as Json;
    const source = (event["source"] ?? {}) as Json;
    const key = `${source["platform"]}:${source["chat_id"]}:${event["message_id"]}`;
    if (!passthrough && this.options.build !== "old" && this.#seen.includes(key)) this.repeats.push(key);
    else {
      await this.options.handle?.(frame, this);
      if (gen !== this.#gen) return;
      this.handled.push({
        bufferId,
        message_id: (event["message_id"] as string | null) ?? null,
        platform: String(passthrough ? (frame["forward"] as Json)["platform"] : source["platform"]),
        chat_id: String(source["chat_id"]),
        text: String(event["text"]),
        at: Date.now(),
        frame,
      });
      this.#seen.push(key);
      if (this.#seen.length > DEDUPE) this.#seen.shift();
    }
    if (bufferId !== null && (!passthrough || this.options.ackPassthrough !== false)) this.ack(bufferId);
    this.#changed();
  }

  ack(bufferId: string): void {
    if (this.holdAcks) {
      this.held.push(bufferId);
      return;
    }
    this.acked.push(bufferId);
    this.raw(`${JSON.stringify({ type: "inbound_ack", bufferId })}\n`);
  }

  releaseAcks(): void {
    this.holdAcks = false;
    for (const id of this.held.splice(0)) this.ack(id);
  }

  /** Sends as it is: split, merged or malformed frames. */
  raw(data: string | Uint8Array): void {
    try {
      this.#link?.send(data);
    } catch {
      // The close event tells.
    }
  }

  send(frame: Json): void {
    const line = `${JSON.stringify(frame)}\n`;
    if (this.#burst === null) this.raw(line);
    else this.#burst += line;
  }

  /** What `act` sends goes as one message: their order is then sure whatever carries it. */
  burst<T>(act: () => T): T {
    this.#burst = "";
    try {
      return act();
    } finally {
      const lines = this.#burst;
      this.#burst = null;
      this.raw(lines);
    }
  }
  #burst: string | null = null;

  /** One op, and its one result; 30 s as in the field. */
  outbound(action: Json, more: Json = {}): Promise<Json> {
    const requestId = [...crypto.getRandomValues(new Uint8Array(16))]
      .map((b) => b.toString(16).padStart(2, "0"))
      .join("");
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => {
          this.#requests.delete(requestId);
          resolve({ success: false, error: "relay outbound timed out", ambiguous: true });
        },
        30 * (this.options.secondMs ?? 1000),
      );
      this.#requests.set(requestId, (result) => {
        clearTimeout(timer);
        resolve(result);
      });
      this.send({ type: "outbound", requestId, action, ...more });
    });
  }

  /** Asks to sleep. True when it was granted within its 10 s. */
  goingIdle(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), 10 * (this.options.secondMs ?? 1000));
      this.#idle = () => {
        clearTimeout(timer);
        this.#idle = null;
        resolve(true);
      };
      this.send({ type: "going_idle" });
    });
  }

  interrupts(): Json[] {
    return this.frames.filter((f) => f["type"] === "interrupt_inbound");
  }

  /** Closes; does not come back. */
  stop(code = 1000): void {
    this.#stopped = true;
    this.#link?.close(code, "bye");
    this.#link = null;
  }

  /** The process dies: no close frame, its memory is gone. `restart` is a new one with the same credentials. */
  kill(): void {
    this.#gen++;
    this.#readerAlive = false;
    this.#link?.cut();
    this.#link = null;
    this.#seen = [];
    this.#handshaken = false;
    this.#work = Promise.resolve();
    this.#requests.clear();
  }

  async restart(): Promise<void> {
    this.kill();
    this.#stopped = false;
    this.terminal = false;
    await this.connect();
  }

  /** Hears and says nothing any more while its socket stays open: half-open, as a network leaves it. */
  freeze(): void {
    this.#gen++;
    this.#readerAlive = false;
    this.#link = null;
  }
}
