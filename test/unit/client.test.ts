import * as fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import { identityOf, memoryStore, newSeed, type StreamEvent } from "../../src/client";
import { lastMsgId, move, type Seq } from "../../src/client/cursor";
import { errorOf, lossError } from "../../src/client/errors";
import { canonical, envelope, signedHeaders } from "../../src/client/identity";
import { baseOf } from "../../src/client/options";
import { type Act, backoff, nextAct, type Outcome, PATIENCE, UNTRIED } from "../../src/client/recovery";
import { Run } from "../../src/client/run";
import { Memory, readKept } from "../../src/client/store";
import { type StreamEvent as HostEvent, readFrame, verifyEnvelope, verifyHeaders } from "../../src/session";

/** The typed client's rules, without a network: what comes next after a loss, what a frame does to the cursor, what is kept. */

describe("after a loss", () => {
  /** What is done for one outcome after the other. */
  const acts = (outcomes: (Outcome | null)[], patience = PATIENCE): Act[] => {
    let tried = UNTRIED;
    return outcomes.map((outcome) => {
      const next = nextAct(tried, outcome ?? "lost", patience, 0);
      tried = next.tried;
      return next.act;
    });
  };
  const words = (all: Act[]): string[] => all.map((a) => (a.do === "give_up" ? a.code : `${a.do} ${a.attempt}`));

  it("the line is opened again with growing waits, then the host is polled, then it ends", () => {
    const p = { ...PATIENCE, reconnectAttempts: 3, maxPollAttempts: 2 };
    expect(acts(Array(6).fill("lost"), p)).toEqual([
      { do: "reconnect", attempt: 1, waitMs: 125 },
      { do: "reconnect", attempt: 2, waitMs: 250 },
      { do: "reconnect", attempt: 3, waitMs: 500 },
      { do: "poll", attempt: 1, waitMs: 10_000 },
      { do: "poll", attempt: 2, waitMs: 10_000 },
      { do: "give_up", code: "polls_exhausted" },
    ]);
  });

  it("an answered poll tries the line at once, and goes on polling when that fails", () => {
    const p = { ...PATIENCE, reconnectAttempts: 1, maxPollAttempts: 3 };
    expect(words(acts(["lost", "lost", "alive", "lost", "silent", "silent"], p))).toEqual([
      "reconnect 1",
      "poll 1",
      "reconnect 2",
      "poll 2",
      "poll 3",
      "polls_exhausted",
    ]);
  });

  it("without polling it ends as unreachable", () => {
    const p = { ...PATIENCE, reconnectAttempts: 1, enablePolling: false };
    expect(words(acts(["lost", "lost"], p))).toEqual(["reconnect 1", "unreachable"]);
  });

  it("whatever happens it ends, within its limits and never at once for ever", () => {
    const outcome = fc.constantFrom<Outcome>("lost", "alive", "silent");
    fc.assert(
      fc.property(
        fc.array(outcome, { minLength: 100, maxLength: 100 }),
        fc.nat(9),
        fc.nat(9),
        (all, reconnects, polls) => {
          let tried = UNTRIED;
          const done: Act[] = [];
          for (const next of all) {
            // Only a poll can show a host that lives.
            const before = done.at(-1)?.do;
            const seen = before === "poll" ? (next === "lost" ? "silent" : next) : "lost";
            const { tried: after, act } = nextAct(
              tried,
              seen,
              { ...PATIENCE, reconnectAttempts: reconnects, maxPollAttempts: polls },
              0.5,
            );
            tried = after;
            done.push(act);
            if (act.do === "give_up") break;
          }
          const count = (what: string): number => done.filter((a) => a.do === what).length;
          expect(done.at(-1)).toEqual({ do: "give_up", code: "polls_exhausted" });
          expect(count("poll")).toBe(polls);
          expect(count("reconnect")).toBeLessThanOrEqual(reconnects + polls);
        },
      ),
    );
  });

  it("waits double up to 10 s, and differ between clients", () => {
    expect([1, 2, 3, 6, 7, 20].map((n) => backoff(n, 0.999_999))).toEqual([250, 500, 1_000, 8_000, 10_000, 10_000]);
    expect(backoff(7, 0)).toBe(5_000);
  });
});

describe("the cursor", () => {
  it("follows numbers, and takes a repeat for one", () => {
    expect(move(null, { type: "thinking", seq: 1 })).toEqual({ seq: 1, again: false });
    expect(move(4, { type: "thinking", seq: 5 })).toEqual({ seq: 5, again: false });
    expect(move(5, { type: "thinking", seq: 5 })).toEqual({ seq: 5, again: true });
    expect(move(5, { type: "OUTPUT", seq: 3 })).toEqual({ seq: 5, again: true });
    expect(move(5, { type: "PING" })).toEqual({ seq: 5, again: false });
  });

  it("lets a question that is asked again through, and stays where it is", () => {
    expect(move(5, { type: "approval_needed", seq: 4 })).toEqual({ seq: 5, again: false });
  });

  it("counts anew from a gap, also when the log has begun anew", () => {
    expect(move(9_000, { type: "gap", first_seq: 12 })).toEqual({ seq: 11, again: false });
    expect(move(9_000, { type: "gap", first_seq: null })).toEqual({ seq: null, again: false });
    // One that the log itself keeps is an event like any other.
    expect(move(6, { type: "gap", seq: 7, first_seq: null })).toEqual({ seq: 7, again: false });
  });

  it("names events by their ids where nothing is numbered", () => {
    const event = { type: "thinking", id: "e-1", ts: 1 };
    expect(move(null, event)).toEqual({ seq: "e-1", again: false });
    expect(move(3, event)).toEqual({ seq: 3, again: false });
    expect(move("e-1", { type: "RUNTIME_INPUT_ACK", id: "i-1" })).toEqual({ seq: "e-1", again: false });
    expect([null, 3, "e-1"].map((seq) => lastMsgId(seq))).toEqual([undefined, "3", "e-1"]);
  });

  it("gives every frame of a log once and in order, whatever is said again", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 40 }), (starts) => {
        let at: Seq = null;
        const heard: number[] = [];
        // Each time the host goes back to somewhere at or before the cursor, and says what follows.
        for (const start of starts)
          for (let seq = Math.min(start, heard.length) + 1; seq <= Math.min(start + 5, 20); seq++) {
            const moved = move(at, { type: "thinking", seq });
            at = moved.seq;
            if (!moved.again) heard.push(seq);
          }
        expect(heard).toEqual(heard.map((_, i) => i + 1));
      }),
    );
  });
});

describe("what is kept", () => {
  it("survives another life of the page, by host and agent", () => {
    const store = memoryStore();
    new Memory(store, "a").set({ session_id: "s-1", seq: 4, run: { input_id: "i-1" } });
    expect(new Memory(store, "a").now).toEqual({ session_id: "s-1", seq: 4, run: { input_id: "i-1" } });
    expect(new Memory(store, "b").now).toEqual({ session_id: null, seq: null, run: null });
  });

  it("is read with care: a store may hold anything", () => {
    const nothing = { session_id: null, seq: null, run: null };
    for (const text of [null, "", "{", "[]", "7", '"x"', '{"session_id":7}', '{"session_id":""}'])
      expect(readKept(text), String(text)).toEqual(nothing);
    expect(readKept('{"session_id":"s","seq":{},"run":"x"}')).toEqual({ ...nothing, session_id: "s" });
    fc.assert(fc.property(fc.json(), (text) => void readKept(text)));
  });

  it("stays in memory when the store is full", () => {
    const full = {
      getItem: () => null,
      setItem: () => {
        throw new Error("QuotaExceededError");
      },
      removeItem: () => {},
    };
    const memory = new Memory(full, "a");
    memory.set({ session_id: "s-1" });
    expect(memory.now.session_id).toBe("s-1");
  });
});

describe("who we are", () => {
  const seed = "11".repeat(32);
  const now = Date.now();

  it("signs what the host verifies, with any characters", async () => {
    const who = await identityOf(seed);
    expect(who.address).toMatch(/^0x[0-9a-f]{64}$/);
    const payload = { to: who.address, timestamp: Math.floor(now / 1000), invite_code: 'Grüße 🧅 \u007f \u2028 "\\/' };
    const frame = readFrame(JSON.stringify({ type: "CONNECT", ...(await envelope(who, payload)) }));
    expect(frame.ok).toBe(true);
    if (!frame.ok) return;
    const verified = await verifyEnvelope(frame.frame, { now_s: now / 1000, address: who.address, requireTo: true });
    expect(verified).toMatchObject({ ok: true, from: who.address });
    expect(canonical({ b: 1, a: "ü" })).toBe('{"a":"\\u00fc","b":1}');
  });

  it("signs requests for one path", async () => {
    const who = await identityOf(seed);
    const headers = new Headers(await signedHeaders(who, "/sessions/a%20b", now));
    const ask = { method: "GET", now_s: now / 1000 };
    expect(await verifyHeaders(headers, { ...ask, path: "/sessions/a%20b" })).toMatchObject({
      ok: true,
      from: who.address,
    });
    expect(await verifyHeaders(headers, { ...ask, path: "/sessions/b" })).toMatchObject({ ok: false });
  });

  it("is made by chance, and kept from a seed", async () => {
    const fresh = newSeed();
    expect(fresh).toMatch(/^[0-9a-f]{64}$/);
    expect(newSeed()).not.toBe(fresh);
    expect((await identityOf(fresh)).address).toBe((await identityOf(fresh)).address);
    await expect(identityOf("short")).rejects.toMatchObject({ code: "bad_option" });
  });
});

describe("errors", () => {
  it("are named by close codes, then by words", () => {
    expect(lossError(4401, "unauthorized: invalid signature")).toMatchObject({
      code: "unauthorized",
      retryable: false,
    });
    expect(lossError(4404, "agent offline")).toMatchObject({ code: "agent_offline", retryable: true, closeCode: 4404 });
    expect(lossError(4410, "")).toMatchObject({ code: "displaced", retryable: false });
    expect(lossError(1000, "forbidden: blocked")).toMatchObject({ code: "forbidden" });
    for (const code of [1001, 1005, 1006, 1011, 1012, 4408])
      expect(lossError(code, "")).toMatchObject({ code: "unreachable", retryable: true });
    expect(errorOf("rate limited: too many connections, wait a minute")).toBe("rate_limited");
    expect(errorOf("prompt required")).toBeNull();
  });

  it("of addresses say what was expected", () => {
    expect(["https://a.example/", "wss://a.example/ws", "wss://a.example/ws/announce"].map(baseOf)).toEqual(
      Array(3).fill("https://a.example"),
    );
    expect(baseOf("ws://127.0.0.1:8787/ws/input")).toBe("http://127.0.0.1:8787");
    for (const url of ["a.example", "ftp://a.example", "https://a.example/path", "https://"])
      expect(() => baseOf(url), url).toThrow(/expected https:\/\/host/);
  });
});

describe("a run", () => {
  const run = (inputId: string | null = "i-1"): Run => new Run(inputId, "prompt", () => "s-1");

  it("ends by its own OUTPUT, not by another's", async () => {
    const r = run();
    expect(r.endsWith({ type: "OUTPUT", input_id: "i-0" })).toBe(false);
    expect(r.endsWith({ type: "OUTPUT", input_id: "i-1" })).toBe(true);
    expect(r.endsWith({ type: "OUTPUT" })).toBe(true);
    // It joined another's run: they share one answer.
    r.acknowledged();
    expect(r.endsWith({ type: "OUTPUT", input_id: "i-0" })).toBe(true);
    r.end({ type: "OUTPUT", input_id: "i-0", result: { a: 1 }, duration_ms: 5 });
    expect(await r.answer).toEqual({
      text: '{"a":1}',
      result: { a: 1 },
      session_id: "s-1",
      input_id: "i-1",
      duration_ms: 5,
    });
  });

  it("ends by an ERROR that is about it", () => {
    const said = (more: object) => ({ type: "ERROR", message: "no", ...more });
    const r = run();
    expect(r.endsWith(said({}))).toBe(true);
    expect(r.endsWith(said({ message: "agent disconnected" }))).toBe(false);
    r.event({ type: "thinking", id: "e", ts: 1 });
    // The host has it: this is about some other command.
    expect(r.endsWith(said({}))).toBe(false);
    expect(r.endsWith(said({ code: -32603 }))).toBe(true);
    expect(r.endsWith(said({ id: "run-7:end" }))).toBe(true);
    expect(r.endsWith(said({ input_id: "i-1" }))).toBe(true);
    expect(r.endsWith(said({ input_id: "i-2", code: -32603 }))).toBe(false);
  });

  it("gives its events to whoever asks, and the first end stands", async () => {
    const r = run();
    r.event({ type: "thinking", id: "e-1", ts: 1 });
    r.finish("one", "s-1", null);
    r.finish("two", "s-1", null);
    for (let i = 0; i < 2; i++) {
      const ids: unknown[] = [];
      for await (const event of r) ids.push((event as { id: string }).id);
      expect(ids).toEqual(["e-1"]);
    }
    expect((await r.answer).text).toBe("one");
  });
});

it("every event a host may send is one that clients know", () => {
  expectTypeOf<HostEvent["type"]>().toEqualTypeOf<StreamEvent["type"]>();
  expectTypeOf<Extract<HostEvent, { type: "tool_result" }>>().toExtend<Extract<StreamEvent, { type: "tool_result" }>>();
  expectTypeOf<Extract<HostEvent, { type: "ask_user" }>>().toExtend<Extract<StreamEvent, { type: "ask_user" }>>();
  expectTypeOf<Extract<HostEvent, { type: "llm_result" }>>().toExtend<Extract<StreamEvent, { type: "llm_result" }>>();
});
