import { randomUUID } from "node:crypto";
import WebSocket from "ws";
import { type Frame, OnionHost } from "./onion-host";
import { type Keys, keysOf, nowS, pyDumps, signText } from "./onion-keys";

/** Agents that announce themselves at a relay, as ConnectOnion's newest main and its 0.6.5 do on the wire. */

export interface AgentOptions {
  /** `ws://127.0.0.1:port` of the relay. */
  relay: string;
  /** Name its keys are derived from. */
  name: string;
  /** Strangers need this code (newest main only). */
  invite?: string;
  /** Ask for heartbeats this often, ms; 60 s in the original. */
  heartbeatMs?: number;
}

export interface ScriptedAgent {
  readonly address: string;
  readonly keys: Keys;
  /** Every frame the relay sent, oldest first. */
  readonly received: Frame[];
  /** The same, as text. */
  readonly texts: string[];
  /** Close codes seen, newest last. */
  readonly closes: number[];
  /** Frames that would have crashed the original's relay loop (no session_id). */
  readonly crashes: Frame[];
  /** Resolves when the relay has accepted an announcement of the current socket. */
  ready(): Promise<void>;
  /** Resolves when the current socket is gone. */
  gone(): Promise<void>;
  /** Sends as it is. */
  raw(text: string): void;
  announce(): void;
  /** Cuts the connection; what runs, runs on. */
  cut(): void;
  /** Connects again after a cut. */
  again(): Promise<void>;
  stop(): void;
}

abstract class Base implements ScriptedAgent {
  readonly keys: Keys;
  readonly received: Frame[] = [];
  readonly texts: string[] = [];
  readonly closes: number[] = [];
  readonly crashes: Frame[] = [];
  #ws: WebSocket | null = null;
  #ready: Promise<void> = Promise.resolve();
  #gone: Promise<void> = Promise.resolve();
  #beat: ReturnType<typeof setInterval> | null = null;

  constructor(readonly options: AgentOptions) {
    this.keys = keysOf(options.name);
  }

  get address(): string {
    return this.keys.address;
  }

  abstract announcement(): Record<string, unknown>;
  abstract handle(frame: Frame): void;
  abstract heartbeat(): void;
  lost(): void {}

  connect(): Promise<void> {
    const ws = new WebSocket(`${this.options.relay}/ws/announce`, { perMessageDeflate: false });
    this.#ws = ws;
    this.#gone = new Promise((resolve) => ws.on("close", () => resolve()));
    this.#ready = new Promise((resolve, reject) => {
      ws.on("open", () => this.announce());
      ws.on("error", reject);
      ws.on("message", (data) => {
        const frame = JSON.parse(data.toString()) as Frame;
        this.received.push(frame);
        this.texts.push(data.toString());
        if (frame["type"] === "ANNOUNCE_OK") resolve();
        else if (frame["type"] === "ERROR" && frame["session_id"] === undefined)
          reject(new Error(String(frame["error"])));
        else this.handle(frame);
      });
      ws.on("close", (code) => {
        this.closes.push(code);
        reject(new Error(`closed with ${code}`));
        if (this.#ws !== ws) return;
        this.#stopBeat();
        this.lost();
      });
    });
    this.#ready.catch(() => {});
    this.#stopBeat();
    this.#beat = setInterval(() => this.heartbeat(), this.options.heartbeatMs ?? 60_000);
    return this.#ready;
  }

  #stopBeat(): void {
    if (this.#beat) clearInterval(this.#beat);
    this.#beat = null;
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  gone(): Promise<void> {
    return this.#gone;
  }

  raw(text: string): void {
    if (this.#ws?.readyState === WebSocket.OPEN) this.#ws.send(text);
  }

  announce(): void {
    const { signature: _none, ...content } = this.announcement();
    this.raw(JSON.stringify({ ...content, signature: signText(this.keys, pyDumps(content, true)) }));
  }

  cut(): void {
    const ws = this.#ws;
    this.#ws = null;
    this.#stopBeat();
    this.lost();
    ws?.terminate();
  }

  again(): Promise<void> {
    return this.connect();
  }

  stop(): void {
    this.cut();
  }
}

/** Newest main: routes by session_id, is a full host behind the relay. */
export class HostAgent extends Base {
  readonly host: OnionHost;

  constructor(options: AgentOptions) {
    super(options);
    this.host = new OnionHost(this.keys, options.invite ?? null);
  }

  announcement(): Record<string, unknown> {
    return {
      type: "ANNOUNCE",
      address: this.address,
      timestamp: nowS(),
      summary: `${this.options.name} héllo "quoted" 🧅`,
      endpoints: [],
      relay: this.options.relay,
      profile: { alias: this.options.name, tools: ["echo"], model: "scripted", skills: [] },
      profile_signature: "00",
    };
  }

  heartbeat(): void {
    this.announce();
  }

  handle(frame: Frame): void {
    const id = frame["session_id"];
    // The original indexes by it without a check: the loop dies and all sessions with it.
    if (typeof id !== "string") {
      this.crashes.push(frame);
      this.cut();
    } else this.host.receive(id, frame, (out) => this.raw(JSON.stringify({ ...out, session_id: id })));
  }

  override lost(): void {
    this.host.detachAll();
  }

  /** The process dies: its socket and its runs are gone, what it had stored is not. */
  crash(): void {
    this.cut();
    this.host.die();
  }
}

/** 0.6.5: `INPUT{input_id, prompt}` in, `OUTPUT{input_id, result}` out, one at a time, and a heartbeat nobody can verify. */
export class LegacyAgent extends Base {
  #first: string | null = null;
  #work: Promise<void> = Promise.resolve();
  #life = 0;
  /** Prompts that were run, oldest first. */
  readonly ran: string[] = [];
  /** What was answered, by prompt. */
  readonly answers = new Map<string, string>();
  /** Told of each answer before it leaves. */
  onAnswer: (prompt: string) => void = () => {};

  announcement(): Record<string, unknown> {
    return { type: "ANNOUNCE", address: this.address, timestamp: nowS(), summary: this.options.name, endpoints: [] };
  }

  override announce(): void {
    const content = this.announcement();
    this.#first = JSON.stringify({ ...content, signature: signText(this.keys, pyDumps(content, true)) });
    this.raw(this.#first);
  }

  /** The first signature again, over a timestamp of the monotonic clock. */
  heartbeat(): void {
    if (this.#first) this.raw(JSON.stringify({ ...(JSON.parse(this.#first) as Frame), timestamp: 819 }));
  }

  handle(frame: Frame): void {
    if (frame["type"] !== "INPUT") return;
    const prompt = String(frame["prompt"]);
    const life = this.#life;
    this.#work = this.#work.then(async () => {
      if (life !== this.#life) return;
      this.ran.push(prompt);
      const slow = /^slow (\d+) (.*)$/s.exec(prompt);
      if (slow) await new Promise((r) => setTimeout(r, Number(slow[1])));
      const result = String(slow ? slow[2] : `legacy: ${prompt}`);
      this.answers.set(prompt, result);
      this.onAnswer(prompt);
      // Its one loop works and sends over one socket: an answer to a socket that is gone is lost with it.
      if (life !== this.#life) return;
      this.raw(JSON.stringify({ type: "OUTPUT", input_id: frame["input_id"], result }));
    });
  }
}

export async function startHostAgent(options: AgentOptions): Promise<HostAgent> {
  const agent = new HostAgent(options);
  await agent.connect();
  return agent;
}

export async function startLegacyAgent(options: AgentOptions): Promise<LegacyAgent> {
  const agent = new LegacyAgent(options);
  await agent.connect();
  return agent;
}

export const freshName = (what: string): string => `${what}-${randomUUID()}`;
