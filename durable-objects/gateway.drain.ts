import {
  AWAKE_MS,
  type Buffer,
  composeFrame,
  formatBufferId,
  type Listener,
  listenerOf,
  mediaOf,
  mergeAlbum,
  nextStep,
  type OutFrame,
  readBufferId,
  type Scene,
  type Sent,
  type Step,
  type StoredEvent,
  writeFrame,
} from "../src/gateway";
import { SECOND } from "../src/kernel/clock";
import { describe } from "../src/kernel/errors";
import type { Runtime } from "../src/kernel/runtime";
import type { MessageEvent } from "../src/platform";
import type { Kept } from "./gateway.kept";
import { closeSocket, type Line, type Sockets } from "./gateway.sockets";

/** What the drain needs of its object. */
export interface DrainPorts {
  runtime: Runtime;
  buffer: Buffer;
  sockets: Sockets;
  kept: Kept;
  /** Fetches and re-hosts an event's files for this line; never throws for a file that can't be had. */
  prepare(stored: StoredEvent, line: Line): Promise<MessageEvent>;
  /** Sees to it that the object looks again at this time (Reveille ms), whatever becomes of it until then. */
  guard(at: number): void;
}

interface Ready {
  key: string;
  frame: OutFrame | null;
}

/** Cancels that found nobody listening go within this time or never (hermes-relay §4.3). Reveille ms. */
const INTERRUPT_MS = 60 * SECOND;
/** Files of an event are fetched well within this. Reveille ms. */
const PREPARE_MS = 120 * SECOND;
const MAX_INTERRUPTS = 32;

/** Carries out the steps of src/gateway/delivery.ts on sockets and storage: one run at a time, whoever asks. */
export class Drain {
  #running = false;
  #run: Promise<number | null> = Promise.resolve(null);
  #interrupts: { frame: OutFrame; until: number }[] = [];

  constructor(readonly ports: DrainPorts) {}

  get #now(): number {
    return this.ports.runtime.clock.now();
  }

  get scene(): Scene {
    const { buffer, kept, sockets } = this.ports;
    return { rows: buffer.rows, listeners: sockets.listeners(), flip: kept.flip };
  }

  /** Does all that can be done now. Returns when to look again, Reveille ms; null: when something happens. */
  pump(): Promise<number | null> {
    if (this.#running) return this.#run;
    this.#running = true;
    this.#run = this.#steps();
    return this.#run;
  }

  async #steps(): Promise<number | null> {
    let ready = null as Ready | null;
    try {
      for (;;) {
        this.#sayInterrupts();
        const step = nextStep(this.scene, this.#now);
        if (step.do === "wait") return step.until;
        if (step.do !== "send") {
          this.#act(step);
          continue;
        }
        const key = `${step.to} ${step.seqs.join(" ")}`;
        if (ready?.key === key) {
          this.#send(step, ready.frame);
          ready = null;
          continue;
        }
        const made = this.#compose(step);
        // Files are fetched outside: afterwards it is judged anew who listens and what goes.
        ready = { key, frame: made instanceof Promise ? await made : made };
      }
    } finally {
      // In the same tick as the last look: who comes next must find the run over, or would be left waiting.
      this.#running = false;
    }
  }

  /** The frame of what goes next; null when it can't be sent at all. */
  #compose(step: Step & { do: "send" }): OutFrame | null | Promise<OutFrame | null> {
    const { buffer, sockets, kept, runtime } = this.ports;
    const events = step.seqs.flatMap((seq) => buffer.read(seq) ?? []);
    if (events.length === 0) return null;
    const stored = mergeAlbum(events);
    const id = formatBufferId(kept.tag, step.seqs[0]!);
    const ws = sockets.byId(step.to);
    const line = ws && sockets.lineOf(ws);
    if (mediaOf(stored).length === 0 || !line) return composeFrame(stored, stored.event, id);
    // Nothing is in flight yet that would bring a lost object back to this.
    this.ports.guard(this.#now + PREPARE_MS);
    return this.ports.prepare(stored, line).then(
      (event) => composeFrame(stored, event, id),
      (error) => {
        runtime.log("error", "gateway.media_failed", { error: describe(error) });
        const text = `${stored.event.text}\n[${stored.media.length} file(s) could not be fetched]`.trim();
        return composeFrame(stored, { ...stored.event, text }, id);
      },
    );
  }

  #send(step: Step & { do: "send" }, frame: OutFrame | null): void {
    const { buffer, sockets, runtime } = this.ports;
    const ws = sockets.byId(step.to);
    const outcome = frame === null ? "oversize" : ws ? writeFrame(ws, frame) : "gone";
    if (outcome === "oversize") {
      runtime.log("warn", "gateway.oversize", { seq: step.seqs[0] });
      for (const seq of step.seqs) buffer.bury(seq, "larger than a gateway takes", this.#now);
    } else if (outcome === "gone") this.#lost(step.to);
    else sockets.change(step.to, { sent: { seqs: step.seqs, at: this.#now, passthrough: step.passthrough } });
  }

  /** A socket that can't be written to is closed; its close event does the rest. */
  #lost(id: string): void {
    const ws = this.ports.sockets.byId(id);
    if (!ws) return;
    this.failed(this.ports.sockets.leave(ws));
    closeSocket(ws, 1011, "not writable");
  }

  #act(step: Exclude<Step, { do: "send" | "wait" }>): void {
    const { buffer, sockets, runtime } = this.ports;
    const now = this.#now;
    if (step.do === "bury") buffer.bury(step.seq, step.why, now);
    else if (step.do === "awake") this.ports.kept.flip = null;
    else if (step.do === "idle_ack") {
      const ws = sockets.byId(step.to);
      // First: what is written after it must find the line asleep.
      sockets.change(step.to, { idle: { acked_at: now } });
      if (ws && writeFrame(ws, { type: "going_idle_ack" }) === "gone") this.#lost(step.to);
    } else {
      const sent = this.#listener(step.to)?.sent;
      sockets.change(step.to, { sent: null });
      if (!sent) return;
      if (step.do === "advance")
        for (const seq of sent.seqs) buffer.deliver(seq, sent.at, now, "sent; no ack is asked");
      else this.failed(sent);
      if (step.do !== "timeout") return;
      runtime.log("warn", "gateway.ack_timeout", { seq: sent.seqs[0] });
      const ws = sockets.byId(step.to);
      if (!ws) return;
      sockets.leave(ws);
      closeSocket(ws, 1012, "ack timeout");
    }
  }

  #listener(id: string): Listener | undefined {
    return this.ports.sockets.listeners().find((l) => l.id === id);
  }

  /** What was in flight is not acked: it is sent again, or given up. */
  failed(sent: Sent | null): void {
    for (const seq of sent?.seqs ?? []) this.ports.buffer.failed(seq);
  }

  /** A gateway's receipt. False: it names nothing of this instance. A second one of the same event is nothing new. */
  ack(bufferId: string): boolean {
    const { buffer, sockets, kept } = this.ports;
    const seq = readBufferId(kept.tag, bufferId);
    if (seq === null) return false;
    let at: number | null = null;
    let seqs = [seq];
    for (const l of sockets.listeners())
      if (l.sent?.seqs[0] === seq) {
        at = l.sent.at;
        seqs = l.sent.seqs;
        sockets.change(l.id, { sent: null });
      }
    const known = seqs.map((s) => buffer.deliver(s, at, this.#now)).includes(true);
    return known || buffer.stateOf(seq) !== null;
  }

  /** A gateway goes to sleep: remembered before anything else (hermes-relay §4.4). */
  goingIdle(line: Line): void {
    const { listener } = line;
    // Before a greeting there is nothing to hold back, but the answer is still due.
    if (!listener) return;
    const { flip } = this.ports.kept;
    if (!flip || flip.n < listener.n) this.ports.kept.flip = { n: listener.n };
    this.ports.sockets.change(line.id, { idle: { acked_at: null } });
  }

  /** A gateway that speaks long after it was let go has stayed: it gets events again. */
  spoke(line: Line): void {
    const acked = line.listener?.idle?.acked_at;
    if (acked === null || acked === undefined || this.#now < acked + AWAKE_MS) return;
    this.ports.kept.flip = null;
    this.ports.sockets.change(line.id, { idle: null });
  }

  /** Cancels a turn at whoever listens; with nobody there it is kept for a minute and never stored. */
  interrupt(session_key: string, chat_id: string): void {
    if (this.#interrupts.length >= MAX_INTERRUPTS) this.#interrupts.shift();
    const frame: OutFrame = { type: "interrupt_inbound", session_key, chat_id };
    this.#interrupts.push({ frame, until: this.#now + INTERRUPT_MS });
    this.#sayInterrupts();
  }

  #sayInterrupts(): void {
    if (this.#interrupts.length === 0) return;
    const now = this.#now;
    const listener = listenerOf(this.scene);
    const ws = listener && now >= listener.ready_at ? this.ports.sockets.byId(listener.id) : null;
    if (ws) for (const i of this.#interrupts) if (now < i.until) writeFrame(ws, i.frame);
    this.#interrupts = ws ? [] : this.#interrupts.filter((i) => now < i.until);
  }
}
