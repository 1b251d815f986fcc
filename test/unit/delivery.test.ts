import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AWAKE_MS,
  type Flip,
  type Listener,
  listenerOf,
  MAX_ATTEMPTS,
  nextStep,
  type Scene,
  type Step,
  type Waiting,
} from "../../src/gateway";
import {
  ACK_MS,
  ALBUM_MS,
  expiry,
  GREETING_MS,
  LEASE_MS,
  PASSTHROUGH_MS,
  PRESS_MS,
  RETENTION_MS,
} from "../../src/gateway/delivery";

/** The drain's rules, alone (hermes-relay §4.3, §4.4). */

const row = (seq: number, more: Partial<Waiting> = {}): Waiting => ({
  seq,
  platform: "slack",
  chat: "c",
  held: false,
  kind: "message",
  album: null,
  at: 0,
  attempts: 0,
  ...more,
});
const line = (n: number, more: Partial<Listener> = {}): Listener => ({
  id: `l${n}`,
  n,
  ready_at: 0,
  platforms: ["slack"],
  sent: null,
  idle: null,
  ...more,
});
const step = (rows: Waiting[], listeners: Listener[], now = 1_000, flip: Flip | null = null): Step =>
  nextStep({ rows, listeners, flip }, now);
const sent = (seqs: number[], at = 0, passthrough = false) => ({ seqs, at, passthrough });

describe("who gets the next event", () => {
  it("the newest socket that greeted", () => {
    expect(step([row(1), row(2)], [line(1), line(2)])).toEqual({ do: "send", to: "l2", seqs: [1], passthrough: false });
  });
  it("nobody before 250 ms have passed for more greetings", () => {
    const l = line(1, { ready_at: 1_000 + GREETING_MS });
    expect(step([row(1)], [l])).toEqual({ do: "wait", until: 1_250 });
    expect(step([row(1)], [l], 1_250)).toMatchObject({ do: "send" });
  });
  it("nobody, when nobody listens", () => {
    expect(step([row(1)], [])).toEqual({ do: "wait", until: null });
  });
  it("an event of a platform that was not greeted waits, and holds up no other platform", () => {
    expect(step([row(1, { platform: "discord" }), row(2)], [line(1)])).toMatchObject({ do: "send", seqs: [2] });
    expect(step([row(1, { platform: "discord" })], [line(1)])).toEqual({ do: "wait", until: null });
  });
});

describe("one at a time", () => {
  it("waits for the ack, 120 s, then closes the socket", () => {
    const l = line(1, { sent: sent([1], 500) });
    expect(step([row(1), row(2)], [l])).toEqual({ do: "wait", until: 500 + ACK_MS });
    expect(step([row(1)], [l], 500 + ACK_MS)).toEqual({ do: "timeout", to: "l1" });
  });
  it("a passthrough without an ack is passed after 10 s", () => {
    const l = line(1, { sent: sent([1], 0, true) });
    expect(step([row(1)], [l], PASSTHROUGH_MS - 1)).toMatchObject({ do: "wait" });
    expect(step([row(1)], [l], PASSTHROUGH_MS)).toEqual({ do: "advance", to: "l1" });
  });
  it("a newer handshake takes over what an older socket never acked", () => {
    expect(step([row(1)], [line(1, { sent: sent([1]) }), line(2)])).toEqual({ do: "supersede", to: "l1" });
    expect(step([row(1)], [line(1, { sent: sent([1]) }), line(2, { ready_at: 2_000 })])).toMatchObject({ do: "wait" });
  });
});

describe("what can't be sent", () => {
  it("five attempts, a press of an hour, 72 hours: dead", () => {
    expect(step([row(1, { attempts: MAX_ATTEMPTS })], [line(1)])).toMatchObject({ do: "bury", seq: 1 });
    expect(expiry(row(1, { kind: "press" }), PRESS_MS - 1)).toBeNull();
    expect(expiry(row(1, { kind: "press" }), PRESS_MS)).toMatch(/press/);
    expect(expiry(row(1), RETENTION_MS - 1)).toBeNull();
    expect(expiry(row(1), RETENTION_MS)).toMatch(/72 h/);
    expect(expiry(row(1, { held: true }), RETENTION_MS)).toMatch(/sealed/);
  });
  it("an event being sealed holds up the next for its lease and no longer", () => {
    const rows = [row(1, { held: true }), row(2)];
    expect(step(rows, [line(1)])).toEqual({ do: "wait", until: LEASE_MS });
    expect(step(rows, [line(1)], LEASE_MS)).toMatchObject({ do: "send", seqs: [2] });
  });
});

describe("albums", () => {
  const a = (seq: number, more: Partial<Waiting> = {}): Waiting => row(seq, { album: "g", ...more });
  it("are gathered for a second and go as one", () => {
    expect(step([a(1)], [line(1)], ALBUM_MS - 1)).toEqual({ do: "wait", until: ALBUM_MS });
    expect(step([a(1), row(2, { chat: "other" }), a(3)], [line(1)])).toMatchObject({ do: "send", seqs: [1, 3] });
  });
  it("end where another message of the chat stands between", () => {
    expect(step([a(1), row(2), a(3)], [line(1)])).toMatchObject({ seqs: [1] });
    expect(step([a(1), a(2, { album: "h" })], [line(1)])).toMatchObject({ seqs: [1] });
  });
});

describe("going idle", () => {
  const asked = line(1, { idle: { acked_at: null } });
  it("is granted when nothing is in flight, and nothing new goes down", () => {
    expect(step([row(1)], [asked], 1_000, { n: 1 })).toEqual({ do: "idle_ack", to: "l1" });
    expect(step([row(1)], [{ ...asked, sent: sent([1]) }], 1_000, { n: 1 })).toMatchObject({ do: "wait" });
    expect(step([row(1)], [line(1, { idle: { acked_at: 5 } })], 1_000, { n: 1 })).toEqual({ do: "wait", until: null });
  });
  it("holds for every socket up to it, until a new handshake has drained the rest", () => {
    expect(listenerOf({ rows: [], listeners: [line(1), asked], flip: { n: 1 } })).toBeNull();
    expect(step([row(1)], [line(2)], 1_000, { n: 1 })).toMatchObject({ do: "send", to: "l2" });
    expect(step([], [line(2)], 1_000, { n: 1 })).toEqual({ do: "awake" });
    expect(step([], [line(2, { sent: sent([1]) })], 1_000, { n: 1 })).toMatchObject({ do: "wait" });
  });
});

/** The object's part, in memory, and gateways that behave and misbehave. The ledger is kept by the gateways. */
class World {
  now = 0;
  rows: Waiting[] = [];
  listeners: Listener[] = [];
  flip: Flip | null = null;
  /** What each gateway got, in order, and what became of it. */
  readonly ledger: { seq: number; chat: string; to: string; ackLost: boolean }[] = [];
  readonly dead = new Set<number>();
  readonly delivered = new Set<number>();
  #seq = 0;
  #n = 0;

  get scene(): Scene {
    return { rows: this.rows, listeners: this.listeners, flip: this.flip };
  }

  run(): void {
    for (let i = 0; ; i++) {
      if (i > 1_000) throw new Error("The machine does not come to rest.");
      const s = nextStep(this.scene, this.now);
      if (s.do === "wait") {
        this.#rest(s.until);
        return;
      }
      this.#do(s);
    }
  }

  #rest(until: number | null): void {
    if (until !== null) expect(until).toBeGreaterThan(this.now);
    expect(this.listeners.filter((l) => l.sent).length).toBeLessThanOrEqual(1);
  }

  #do(s: Exclude<Step, { do: "wait" }>): void {
    if (s.do === "send") {
      expect(this.listeners.some((l) => l.sent)).toBe(false);
      const to = this.listeners.find((l) => l.id === s.to)!;
      expect(to.idle).toBeNull();
      for (const seq of s.seqs) {
        const r = this.rows.find((x) => x.seq === seq)!;
        expect(r.held).toBe(false);
        // Nothing of its chat that could have gone is left behind, and a repeat is of an event whose ack was lost.
        const left = this.rows.filter((x) => x.seq < seq && x.platform === r.platform && x.chat === r.chat && !x.held);
        expect(left.filter((x) => !s.seqs.includes(x.seq))).toEqual([]);
        expect(this.ledger.filter((e) => e.seq === seq && !e.ackLost)).toEqual([]);
        expect(r.attempts).toBeLessThan(MAX_ATTEMPTS);
        this.ledger.push({ seq, chat: r.chat, to: s.to, ackLost: false });
      }
      to.sent = { seqs: s.seqs, at: this.now, passthrough: s.passthrough };
    } else if (s.do === "bury") {
      this.rows = this.rows.filter((r) => r.seq !== s.seq);
      this.dead.add(s.seq);
    } else if (s.do === "awake") this.flip = null;
    else {
      const l = this.listeners.find((x) => x.id === s.to)!;
      if (s.do === "idle_ack") l.idle = { acked_at: this.now };
      else if (s.do === "advance") this.#done(l.sent!.seqs);
      else this.#failed(l);
      if (s.do !== "idle_ack") l.sent = null;
      if (s.do === "timeout") this.listeners = this.listeners.filter((x) => x !== l);
    }
  }

  #failed(l: Listener): void {
    for (const seq of l.sent?.seqs ?? []) {
      const r = this.rows.find((x) => x.seq === seq);
      if (r) r.attempts++;
      for (const e of this.ledger) if (e.seq === seq && e.to === l.id) e.ackLost = true;
    }
  }

  #done(seqs: number[]): void {
    this.rows = this.rows.filter((r) => !seqs.includes(r.seq));
    for (const seq of seqs) this.delivered.add(seq);
  }

  offer(more: Partial<Waiting>): void {
    this.rows.push(row(++this.#seq, { at: this.now, ...more }));
  }
  settle(): void {
    const r = this.rows.find((x) => x.held);
    if (r) r.held = false;
  }
  connect(): void {
    this.#n = Math.max(this.#n, this.flip?.n ?? 0) + 1;
    this.listeners.push(line(this.#n, { ready_at: this.now + GREETING_MS, platforms: ["slack", "telegram"] }));
  }
  ack(): void {
    const l = this.listeners.find((x) => x.sent);
    if (!l) return;
    this.#done(l.sent!.seqs);
    l.sent = null;
  }
  close(i: number): void {
    const l = this.listeners[i % Math.max(1, this.listeners.length)];
    if (!l) return;
    this.#failed(l);
    this.listeners = this.listeners.filter((x) => x !== l);
  }
  idle(i: number): void {
    const l = this.listeners[i % Math.max(1, this.listeners.length)];
    if (!l) return;
    if (!this.flip || this.flip.n < l.n) this.flip = { n: l.n };
    l.idle = { acked_at: null };
  }
  /** It speaks after it was let go. */
  speak(i: number): void {
    const l = this.listeners[i % Math.max(1, this.listeners.length)];
    if (!l?.idle || l.idle.acked_at === null || this.now < l.idle.acked_at + AWAKE_MS) return;
    l.idle = null;
    this.flip = null;
  }
}

type Command =
  | { c: "offer"; chat: string; platform: string; held: boolean; kind: Waiting["kind"]; album: string | null }
  | { c: "settle" | "connect" | "ack" }
  | { c: "close" | "idle" | "speak"; i: number }
  | { c: "time"; ms: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      c: fc.constant("offer" as const),
      chat: fc.constantFrom("a", "b"),
      platform: fc.constantFrom("slack", "telegram", "discord"),
      held: fc.boolean(),
      kind: fc.constantFrom("message" as const, "press" as const, "passthrough" as const),
      album: fc.option(fc.constantFrom("g", "h")),
    }),
  },
  { weight: 6, arbitrary: fc.record({ c: fc.constantFrom("ack" as const, "settle" as const) }) },
  { weight: 2, arbitrary: fc.record({ c: fc.constant("connect" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ c: fc.constantFrom("close" as const, "idle" as const, "speak" as const), i: fc.nat(5) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      c: fc.constant("time" as const),
      ms: fc.constantFrom(1, 250, 1_000, 10_000, 31_000, 121_000, 4e6),
    }),
  },
);

function apply(w: World, c: Command): void {
  if (c.c === "offer") w.offer({ ...c, album: c.kind === "message" ? c.album : null });
  else if (c.c === "time") w.now += c.ms;
  else if (c.c === "settle") w.settle();
  else if (c.c === "connect") w.connect();
  else if (c.c === "ack") w.ack();
  else if ("i" in c) w[c.c](c.i);
  w.run();
}

describe("whatever happens", () => {
  it("one event in flight; nothing overtakes; a repeat only where an ack was lost; all ends delivered, dead or waiting", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const w = new World();
        for (const c of commands) apply(w, c);
        for (const seq of new Set(w.ledger.map((e) => e.seq))) {
          const sends = w.ledger.filter((e) => e.seq === seq);
          expect(sends.length).toBeLessThanOrEqual(MAX_ATTEMPTS);
          if (w.delivered.has(seq)) expect(sends.filter((e) => !e.ackLost)).toHaveLength(1);
        }
        const offered = commands.filter((c) => c.c === "offer").length;
        const waiting = new Set(w.rows.map((r) => r.seq));
        for (let seq = 1; seq <= offered; seq++)
          expect([w.delivered.has(seq), w.dead.has(seq), waiting.has(seq)].filter(Boolean)).toHaveLength(1);
      }),
      { numRuns: 400 },
    );
  });

  it("with a gateway that acks, all of its platforms is delivered", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
        const w = new World();
        for (const c of commands) apply(w, c);
        for (const r of w.rows) r.held = false;
        w.connect();
        for (let i = 0; i < 200; i++) {
          w.now += ALBUM_MS + GREETING_MS;
          w.run();
          w.ack();
        }
        w.run();
        expect(w.rows.filter((r) => r.platform !== "discord")).toEqual([]);
        expect(w.flip === null || w.rows.length > 0).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
