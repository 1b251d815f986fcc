import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import WebSocket from "ws";
import { ClientError, connect, memoryStore, type RunEvent } from "../../src/client";
import { clientOf, collect, type Edge, numbers, SLOW, startEdge, told, until } from "./client-kit";

/**
 * The typed client and the built-in agent, in a running Reveille: streams, lines that are cut, a network without WebSockets,
 * pages that are loaded again, inputs that never arrived. The oracle of "once" is the ledger of the model's stand-in.
 */

let edge: Edge;

beforeAll(async () => {
  edge = await startEdge();
}, 60_000);
beforeEach(() => {
  edge.llm.release();
  edge.llm.control({ reset: true });
  edge.net.freeze(false);
  edge.net.mode("up");
});
afterAll(() => edge?.close());

/** The model's next answer; it comes after `answers()`. */
const thinks = (text = "Nothing is on fire."): void =>
  edge.llm.control({ queue: [{ mode: "good", text, held: true }] });
const answers = (): void => edge.llm.release();
const asked = (): number => edge.llm.ledger().calls.length;

it("asks, streams in order, asks again over the same line, and remembers its session", async () => {
  const store = memoryStore();
  const session = await clientOf(edge, { store });
  const before = edge.net.upgrades();
  const stream = session.stream(SLOW);
  const events = await collect(stream);
  const { text, session_id } = await stream.answer;
  expect(text).not.toBe("");
  expect(session_id).toBe(session.id);
  expect(events.map((e) => e.type)).toEqual(["llm_call", "llm_result", "assistant"]);
  expect(numbers(events)).toEqual([1, 2, 3]);
  // A view may be drawn again from the same stream.
  expect(await collect(stream)).toEqual(events);
  expect((await session.ask("How much of the budget is left?")).text).toMatch(/\$/);
  expect(edge.net.upgrades()).toBe(before);
  expect(await session.record()).toMatchObject({ status: "done", session_id });
  session.close();
  const again = await clientOf(edge, { store });
  expect([again.id, again.address]).toEqual([session_id, session.address]);
  expect(again.resume()).toBeNull();
  again.close();
});

it("a line that is cut mid-run: the result comes by the cursor, each event once, the model asked once", async () => {
  const session = await clientOf(edge);
  const news = told(session);
  thinks();
  const stream = session.stream(SLOW);
  const events: RunEvent[] = [];
  const all = collect(stream, events);
  await until(() => asked() === 1 && events.length === 1);
  edge.net.cut();
  await until(() => news.length === 2);
  answers();
  expect((await stream.answer).text).toContain("Nothing is on fire.");
  await all;
  expect(numbers(events)).toEqual([1, 2, 3]);
  expect(news.map((n) => n.kind)).toEqual(["reconnecting", "connected"]);
  expect(news[1]).toMatchObject({ session_id: session.id, status: "running" });
  expect(asked()).toBe(1);
  session.close();
});

it("an INPUT that was lost on the way is sent again, and one that arrived is not run twice", async () => {
  const session = await clientOf(edge);
  // Lost: the network swallows it, and dies.
  edge.net.freeze(true);
  const lost = session.stream(SLOW);
  await until(() => true);
  edge.net.cut();
  edge.net.freeze(false);
  expect((await lost.answer).text).not.toBe("");
  expect(asked()).toBe(1);
  // Arrived: the network dies before anybody says so.
  thinks();
  const arrived = session.stream(`${SLOW}, again`);
  await until(() => asked() === 2);
  edge.net.cut();
  answers();
  await arrived.answer;
  expect(asked()).toBe(2);
  session.close();
});

it("where no WebSocket gets through any more, the result is polled", async () => {
  const session = await clientOf(edge, { reconnectAttempts: 1 });
  const news = told(session);
  thinks();
  const stream = session.stream(SLOW);
  await until(() => asked() === 1);
  edge.net.mode("no_websockets");
  edge.net.cut();
  await until(() => news.some((n) => n.kind === "polling"));
  answers();
  expect(await stream.answer).toMatchObject({
    text: expect.stringContaining("Nothing is on fire."),
    session_id: session.id,
  });
  expect(news.map((n) => n.kind)).toContain("polling");
  expect(news.find((n) => n.kind === "polling")).toEqual({ kind: "polling", attempt: 1, of: 30, in_ms: 100 });
  session.close();
});

it("patience ends with an error that says so, and the run can still be resumed", async () => {
  const store = memoryStore();
  const session = await clientOf(edge, { store, reconnectAttempts: 1, maxPollAttempts: 2 });
  thinks();
  const stream = session.stream(SLOW);
  await until(() => asked() === 1);
  edge.net.mode("down");
  edge.net.cut();
  await expect(stream.answer).rejects.toMatchObject({ code: "polls_exhausted", retryable: true });
  await expect(collect(stream)).rejects.toBeInstanceOf(ClientError);
  edge.net.mode("up");
  const resumed = session.resume()!;
  answers();
  expect((await resumed.answer).text).toContain("Nothing is on fire.");
  expect(session.resume()).toBeNull();
  expect(asked()).toBe(1);
  session.close();

  const hasty = await clientOf(edge, { timeoutMs: 150 });
  thinks();
  await expect(hasty.ask(SLOW)).rejects.toMatchObject({ code: "timeout", retryable: true });
  answers();
  const impatient = await clientOf(edge, { enablePolling: false, reconnectAttempts: 1 });
  thinks();
  const given = impatient.stream(SLOW);
  await until(() => asked() === 3);
  edge.net.mode("down");
  edge.net.cut();
  await expect(given.answer).rejects.toMatchObject({ code: "unreachable" });
  for (const s of [hasty, impatient]) s.close();
});

it("a page that is loaded again mid-run goes on after the cursor, and a third time there is nothing left", async () => {
  const store = memoryStore();
  const first = await clientOf(edge, { store });
  thinks();
  const stream = first.stream(SLOW);
  const seen: RunEvent[] = [];
  void collect(stream, seen).catch(() => {});
  await until(() => seen.length === 1);
  edge.net.cut();
  first.close();
  await expect(stream.answer).rejects.toMatchObject({ code: "closed" });

  const second = await clientOf(edge, { store });
  expect(() => second.stream("too early")).toThrow(expect.objectContaining({ code: "busy" }));
  const resumed = second.resume()!;
  answers();
  const rest = await collect(resumed);
  expect(numbers([...seen, ...rest])).toEqual([1, 2, 3]);
  expect((await resumed.answer).text).toContain("Nothing is on fire.");
  second.close();
  const third = await clientOf(edge, { store });
  expect(third.resume()).toBeNull();
  expect(asked()).toBe(1);
  third.close();
});

it("a run that ended while nobody was there is resumed with its answer; one that never arrived says so", async () => {
  const store = memoryStore();
  const first = await clientOf(edge, { store });
  thinks();
  void first.stream(SLOW);
  await until(() => asked() === 1);
  first.close();
  answers();
  const observer = await clientOf(edge, { store });
  await until(async () => (await observer.record())?.status === "done");
  observer.close();
  // Found and not taken: still there for the next page.
  const second = await clientOf(edge, { store });
  expect((await second.resume()!.answer).text).toContain("Nothing is on fire.");

  edge.net.freeze(true);
  void second.stream("swallowed");
  second.close();
  edge.net.cut();
  edge.net.freeze(false);
  const third = await clientOf(edge, { store });
  await expect(third.resume()!.answer).rejects.toMatchObject({ code: "run_unknown" });
  expect(third.resume()).toBeNull();
  third.close();
});

it("an answer that another run has followed meanwhile is still the one", async () => {
  const store = memoryStore();
  const first = await clientOf(edge, { store });
  thinks();
  const seen: RunEvent[] = [];
  void collect(first.stream(SLOW), seen).catch(() => {});
  await until(() => seen.length === 1 && asked() === 1);
  first.close();
  const key = memoryStore();
  key.setItem("reveille:key", store.getItem("reveille:key")!);
  const desk = await clientOf(edge, { store: key, sessionId: first.id! });
  const joined = desk.resume()!;
  answers();
  await joined.answer;
  const later = await desk.ask("How much of the budget is left?");
  const second = await clientOf(edge, { store });
  const found = second.resume()!;
  expect((await found.answer).text).toContain("Nothing is on fire.");
  expect((await found.answer).text).not.toBe(later.text);
  expect((await collect(found)).map((e) => e.type)).toEqual(["llm_result", "assistant"]);
  for (const s of [desk, second]) s.close();
});

it("another client with the same key joins in on a run, and does not take an older answer for it", async () => {
  const store = memoryStore();
  const phone = await clientOf(edge, { store });
  await phone.ask("How much of the budget is left?");
  thinks("The second answer.");
  const stream = phone.stream(SLOW);
  await until(() => asked() === 1);
  const key = memoryStore();
  key.setItem("reveille:key", store.getItem("reveille:key")!);
  const desk = await clientOf(edge, { store: key, sessionId: phone.id! });
  expect(desk.address).toBe(phone.address);
  const found = desk.resume()!;
  answers();
  const [a, b] = await Promise.all([stream.answer, found.answer]);
  expect(a.text).toContain("The second answer.");
  expect(b.text).toBe(a.text);
  expect((await collect(found)).map((e) => e.type)).toEqual(["llm_call", "llm_result", "assistant"]);
  for (const s of [phone, desk]) s.close();
});

it("a session that is another's is not opened: a fresh one begins", async () => {
  const owner = await clientOf(edge);
  await owner.ask("How much of the budget is left?");
  const other = await clientOf(edge, { sessionId: owner.id! });
  expect(other.id).not.toBe(owner.id);
  expect(other.resume()).toBeNull();
  expect(await other.record()).toBeNull();
  for (const s of [owner, other]) s.close();
});

it("a cursor the log does not know is told as a gap, and what is left follows", async () => {
  const store = memoryStore();
  const first = await clientOf(edge, { store });
  await first.ask("How much of the budget is left?");
  const scope = `reveille:session:${edge.net.url}:${first.agent}`;
  const kept = JSON.parse(store.getItem(scope)!) as { seq: number };
  expect(kept).toMatchObject({ session_id: first.id, run: null });
  first.close();
  store.setItem(scope, JSON.stringify({ ...kept, seq: 9_000, run: { input_id: "never" } }));
  const second = await clientOf(edge, { store });
  const found = second.resume()!;
  await expect(found.answer).rejects.toMatchObject({ code: "run_unknown" });
  const events: RunEvent[] = [];
  await collect(found, events).catch(() => {});
  expect(events[0]).toMatchObject({ type: "gap", last_msg_id: "9000", first_seq: 1 });
  expect(numbers(events.slice(1))[0]).toBe(1);
  expect(JSON.parse(store.getItem(scope)!)).toMatchObject({ seq: kept.seq });
  second.close();
});

it("the event log as Server-Sent Events: from the beginning, after a cursor, over a cut", async () => {
  const session = await clientOf(edge);
  await session.ask("How much of the budget is left?");
  const first: { type: string; seq?: number }[] = [];
  for await (const frame of session.events()) {
    first.push(frame);
    if (frame.type === "OUTPUT") break;
  }
  expect(first.map((f) => f.seq)).toEqual(first.map((_, i) => i + 1));
  const stop = new AbortController();
  const rest: number[] = [];
  const reading = (async () => {
    for await (const frame of session.events(first.length, stop.signal)) {
      rest.push(frame.seq!);
      if (frame.type === "OUTPUT") stop.abort();
    }
  })();
  thinks();
  const answer = session.ask(SLOW);
  await until(() => rest.length === 1 && asked() === 1);
  edge.net.cut();
  answers();
  await Promise.all([answer, reading]);
  expect(rest).toEqual([1, 2, 3, 4].map((n) => first.length + n));
  session.close();
});

it("a route that is lost without a word is noticed by silence", async () => {
  const session = await clientOf(edge, { silenceMs: 200 });
  const news = told(session);
  thinks();
  const stream = session.stream(SLOW);
  await until(() => asked() === 1);
  edge.net.freeze(true);
  await until(() => news.length > 0);
  expect(news[0]).toMatchObject({ kind: "reconnecting", reason: "the host has gone silent" });
  edge.net.cut();
  edge.net.freeze(false);
  answers();
  expect((await stream.answer).text).toContain("Nothing is on fire.");
  session.close();
});

it("says what is wrong: address, runtime, host", async () => {
  const url = edge.net.url;
  const store = memoryStore();
  await expect(connect({ url: "example.com", WebSocket })).rejects.toMatchObject({ code: "bad_option" });
  await expect(connect({ url, WebSocket, store, agent: "0xabc" })).rejects.toThrow(/64 hex digits/);
  const native = (globalThis as { WebSocket?: unknown }).WebSocket;
  if (native === undefined) await expect(connect({ url, store })).rejects.toMatchObject({ code: "no_websocket" });
  await expect(connect({ url: "http://127.0.0.1:9", WebSocket, store })).rejects.toMatchObject({
    code: "unreachable",
    retryable: true,
  });
  const offline = `0x${"ab".repeat(32)}`;
  await expect(connect({ url, WebSocket, store, agent: offline })).rejects.toMatchObject({
    code: "agent_offline",
    retryable: true,
  });
  const session = await clientOf(edge);
  await expect(session.ask(" ")).rejects.toMatchObject({ code: "run_failed", message: "prompt required" });
  expect(session.resume()).toBeNull();
  session.close();
  await expect(session.ask("more")).rejects.toMatchObject({ code: "closed" });
});
