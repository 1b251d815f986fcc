import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type AcceptorPort, type Delivery, receive } from "../../src/session";
import { Lending, type Out, type Received } from "../../src/session/lending";
import { MAX_ATTEMPTS } from "../../src/session/run";
import {
  act,
  connect,
  connectFrame,
  done,
  event,
  get,
  hold,
  host,
  input,
  objectOf,
  openAt,
  policy,
  signedGet,
  someone,
} from "./session-kit";

/**
 * Runs, their events and results on the real Session object, with the test as the executor: what a dying client, executor or
 * object leaves behind. Every accepted INPUT has one result.
 */

beforeAll(() => policy("open"));

const sqlOf = <T>(id: string, work: (sql: SqlStorage) => T): Promise<T> =>
  runInDurableObject(objectOf(id), (_session, state) => work(state.storage.sql));

/** Moves a session's runs into the past, as time would. */
const age = (id: string, ms: number): Promise<unknown> =>
  sqlOf(id, (sql) =>
    sql
      .exec(
        "UPDATE run SET created = created - ?1, finished = finished - ?1, lease_until = lease_until - ?1, sent_at = sent_at - ?1",
        ms,
      )
      .toArray(),
  );

describe("a run", () => {
  it("outlives its client, and the answer waits", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me, "long work");
    await line.next("OUTPUT", 0, 200).catch(() => {});
    line.leave();
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({
      status: "running",
      result: null,
      prompt: null,
    });
    const object = objectOf(id);
    expect(await object.events(run, token, [event("assistant", { content: "half" })])).toBe(true);
    expect(await object.finish(run, token, done("whole"), 1)).toBe("ended");
    expect(await (await signedGet(me, `/sessions/${id}`)).json()).toMatchObject({
      status: "done",
      result: "whole",
      prompt: "long work",
    });
    const again = await connect(me, { session_id: id });
    expect(again.connected).toMatchObject({
      status: "connected",
      server_newer: true,
      chat_items: [{}, { content: "whole" }],
    });
    await again.line.silent("OUTPUT", 100);
    again.line.leave();
  });

  it("streams to a lent line, and a client that comes back gets the events after its cursor, once", async () => {
    const me = await someone();
    const first = await connect(me);
    const { run, token } = await hold(first.id, me);
    const second = await connect(me, { session_id: first.id });
    expect(second.connected).toMatchObject({ status: "running", session_id: first.id });
    const object = objectOf(first.id);
    const events = [event("thinking"), event("assistant", { content: "1" }), event("assistant", { content: "2" })];
    await object.events(run, token, events);
    await second.line.next("assistant", 1);
    second.line.leave();
    const third = await connect(me, { session_id: first.id, last_msg_id: events[1]!.id });
    const seen = await third.line.next("assistant");
    expect([seen["content"], third.line.count("assistant"), third.line.count("thinking")]).toEqual(["2", 1, 0]);
    const all = await connect(me, { session_id: first.id });
    await all.line.next("assistant", 1);
    expect(all.line.count("gap")).toBe(0);
    const unknown = await connect(me, { session_id: first.id, last_msg_id: "never-sent" });
    expect(await unknown.line.next("gap")).toMatchObject({ session_id: first.id, last_msg_id: "never-sent" });
    await unknown.line.next("assistant", 1);
    await object.finish(run, token, done("end"), 1);
    for (const { line } of [first, third, all, unknown]) {
      expect(await line.next("OUTPUT")).toMatchObject({ result: "end" });
      line.leave();
    }
  });

  it("takes inputs that come meanwhile: one OUTPUT for all of them", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me, "first");
    line.send(input("second", { input_id: "i2" }));
    expect(await line.next("RUNTIME_INPUT_ACK")).toEqual({ type: "RUNTIME_INPUT_ACK", session_id: id, id: "i2" });
    line.send(input("second", { input_id: "i2" }));
    await line.next("RUNTIME_INPUT_ACK", 1);
    const object = objectOf(id);
    expect(await object.finish(run, token, done("a"), 1)).toEqual({ more: ["second"] });
    expect(await object.finish(run, token, done("a\n\nb"), 2)).toBe("ended");
    expect(await line.next("OUTPUT")).toMatchObject({
      result: "a\n\nb",
      session: { messages: [{}, { content: "second" }, {}] },
    });
    line.leave();
  });

  it("ends once, whoever ends it and however often", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me);
    const object = objectOf(id);
    const ends = await Promise.all(Array.from({ length: 10 }, (_, i) => object.finish(run, token, done(`r${i}`), 1)));
    expect(new Set(ends)).toEqual(new Set(["ended"]));
    expect(await object.finish(run, "another", done("x"), 1)).toBe("lost");
    expect(await object.events(run, token, [event("assistant", { content: "late" })])).toBe(false);
    expect(await object.giveUp(run)).toBe(false);
    await line.next("OUTPUT");
    await line.silent("OUTPUT", 100);
    expect([line.count("OUTPUT"), line.count("assistant")]).toEqual([1, 0]);
    line.leave();
  });

  it("whose executor died is taken up by the queue again, and the old one is shut out", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me, "How much of the budget is left?");
    await age(id, 200_000);
    expect(await runDurableObjectAlarm(objectOf(id))).toBe(true);
    const output = await line.next("OUTPUT");
    expect(output["result"]).toMatch(/\$/);
    expect(await objectOf(id).finish(run, token, done("old"), 1)).toBe("lost");
    await line.silent("OUTPUT", 100);
    line.leave();
  });

  it("that kills every executor ends as interrupted, and its client is told", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    await hold(id, me);
    await sqlOf(id, (sql) => sql.exec("UPDATE run SET attempts = ?", MAX_ATTEMPTS).toArray());
    await age(id, 200_000);
    await runDurableObjectAlarm(objectOf(id));
    expect(await line.next("ERROR")).toMatchObject({ message: "Unable to run agent", code: -32603, session_id: id });
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({ status: "interrupted", result: null });
    // The session goes on.
    line.send(input("What is down?"));
    await line.next("OUTPUT");
    line.leave();
  });

  it("that failed says so, and can be interrupted by its owner alone", async () => {
    const [me, other] = [await someone(), await someone()];
    const { line, id } = await connect(me);
    const one = await hold(id, me);
    await objectOf(id).finish(one.run, one.token, { status: "failed", result: null, error: "Unable to run agent" }, 1);
    await line.next("ERROR");
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({ status: "failed" });
    await hold(id, me);
    const stranger = await connect(other, { session_id: id });
    stranger.line.send({ type: "INTERRUPT" });
    expect(await stranger.line.next("ERROR")).toMatchObject({ message: "no active turn" });
    line.send({ type: "INTERRUPT" });
    expect(await line.next("ERROR", 1)).toMatchObject({ message: "interrupted" });
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({ status: "interrupted" });
    for (const l of [line, stranger.line]) l.leave();
  });
});

describe("an approval", () => {
  const question = (key: string) => ({
    key,
    frame: event("approval_needed", { tool: "restart", arguments: { app: key } }) as ReturnType<typeof event> & {
      type: string;
    },
  });

  it("survives its client, is shown again, and is answered once", async () => {
    const me = await someone();
    await act("promote", me.address);
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me, "How much of the budget is left?");
    const object = objectOf(id);
    const asked = question("shop");
    expect(await object.ask(run, token, asked)).toEqual({ parked: true });
    expect(await line.next("approval_needed")).toMatchObject({ tool: "restart", id: asked.frame.id });
    line.leave();
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({ status: "waiting_approval" });
    // Nobody runs it meanwhile, however long it takes.
    expect(await object.claim(run, "someone")).toEqual({ state: "parked" });
    const again = await connect(me, { session_id: id, last_msg_id: "9999999" });
    expect(again.connected).toMatchObject({ status: "running" });
    await again.line.next("approval_needed");
    expect(again.line.count("approval_needed")).toBe(1);
    again.line.send({ type: "ASK_USER_RESPONSE", answer: "no question of this kind" });
    again.line.send({ type: "APPROVAL_RESPONSE", approved: true, scope: "session" });
    // Queued again: the consumer takes it, and answers by itself.
    await again.line.next("OUTPUT");
    again.line.send({ type: "APPROVAL_RESPONSE", approved: false, scope: "once" });
    const answers = await sqlOf(id, (sql) =>
      JSON.parse(sql.exec<{ answers: string }>("SELECT answers FROM run").one().answers),
    );
    expect(answers).toMatchObject({ shop: { approved: true, scope: "session" } });
    const next = await hold(id, me);
    expect(await object.ask(next.run, next.token, question("other"))).toMatchObject({ answer: { approved: true } });
    again.line.leave();
  });

  it("is not a stranger's to give", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me);
    await objectOf(id).ask(run, token, question("shop"));
    await line.next("approval_needed");
    line.send({ type: "APPROVAL_RESPONSE", approved: true });
    expect(await line.next("ERROR")).toMatchObject({ message: expect.stringMatching(/^forbidden/) });
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({ status: "waiting_approval" });
    line.leave();
  });
});

describe("a restart of every object", () => {
  it("loses no event: the log goes on, over sockets and over SSE with the same cursor", async () => {
    const me = await someone();
    const { id } = await connect(me);
    const { run, token } = await hold(id, me);
    const first = [event("thinking"), event("assistant", { content: "before" })];
    await objectOf(id).events(run, token, first);
    await abortAllDurableObjects();
    const second = [event("assistant", { content: "after" })];
    expect(await objectOf(id).events(run, token, second)).toBe(true);
    const back = await connect(me, { session_id: id, last_msg_id: first[1]!.id });
    expect(back.connected).toMatchObject({ status: "running" });
    expect(await back.line.next("assistant")).toMatchObject({ content: "after", seq: 3 });
    expect(back.line.count("assistant")).toBe(1);
    expect(await objectOf(id).finish(run, token, done("end"), 1)).toBe("ended");
    await back.line.next("OUTPUT");
    const sse = await signedGet(me, `/sessions/${id}/events?last_msg_id=${first[0]!.id}`);
    const text = await readUntil(sse, /event: OUTPUT/);
    expect([...text.matchAll(/^id: (\d+)$/gm)].map((m) => Number(m[1]))).toEqual([2, 3, 4]);
    const resumed = await signedGet(me, `/sessions/${id}/events`, { "last-event-id": "3" });
    expect([...(await readUntil(resumed, /event: OUTPUT/)).matchAll(/^id: (\d+)$/gm)].map((m) => m[1])).toEqual(["4"]);
    back.line.leave();
  });

  it("with a lent line: the home's new life brings the line up to date", async () => {
    const me = await someone();
    const first = await connect(me);
    const { run, token } = await hold(first.id, me);
    const lent = await connect(me, { session_id: first.id });
    await objectOf(first.id).events(run, token, [event("assistant", { content: "1" })]);
    await lent.line.next("assistant");
    // A second life of the home over the same storage, while the acceptor lives on.
    await runInDurableObject(objectOf(first.id), async (session, state) => {
      const Again = session.constructor as new (s: DurableObjectState, e: unknown) => typeof session;
      const woken = new Again(state, env);
      await woken.events(run, token, [event("assistant", { content: "2" })]);
      await woken.finish(run, token, done("end"), 1);
    });
    await lent.line.next("OUTPUT");
    expect(lent.line.frames.filter((f) => f.type === "assistant").map((f) => f["content"])).toEqual(["1", "2"]);
    expect(lent.line.count("OUTPUT")).toBe(1);
    for (const { line } of [first, lent]) line.leave();
  });
});

async function readUntil(response: Response, pattern: RegExp): Promise<string> {
  expect(response.status).toBe(200);
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const until = Date.now() + 5_000;
  while (!pattern.test(text) && Date.now() < until) {
    const { done: over, value } = await reader.read();
    if (over) break;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  expect(text).toMatch(pattern);
  return text;
}

describe("a result", () => {
  it("is deleted a day after its end by the alarm, and by a look before that", async () => {
    const me = await someone();
    for (const by of ["alarm", "look"] as const) {
      const { line, id } = await connect(me);
      const { run, token } = await hold(id, me);
      await objectOf(id).finish(run, token, done("secret answer"), 1);
      await age(id, 86_000_000);
      expect((await get(`/sessions/${id}`)).status).toBe(200);
      await age(id, 500_000);
      if (by === "alarm") await runDurableObjectAlarm(objectOf(id));
      const gone = await get(`/sessions/${id}`);
      expect([gone.status, await gone.json()]).toEqual([404, { error: "not found" }]);
      const left = await sqlOf(id, (sql) =>
        ["home", "run", "log", "joined"].map((t) => sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${t}`).one().n),
      );
      expect(left).toEqual([0, 0, 0, 0]);
      const row = await env.DB.prepare("SELECT 1 FROM session_index WHERE id = ?").bind(id).first();
      expect(row).toBeNull();
      // The line is still there and may start anew, under the same id.
      line.send(input("What is down?"));
      expect(await line.next("OUTPUT", 1)).toMatchObject({ session_id: id, session: { iteration: 1 } });
      line.leave();
    }
  });

  it("of a run that goes on never expires", async () => {
    const me = await someone();
    const { id } = await connect(me);
    await hold(id, me);
    await sqlOf(id, (sql) => sql.exec("UPDATE run SET created = created - 1000000000").toArray());
    expect(await (await get(`/sessions/${id}`)).json()).toMatchObject({ status: "running" });
  });

  it("beyond the log's reach gets a gap signal, over sockets and SSE", async () => {
    const me = await someone();
    const { id } = await connect(me);
    const { run, token } = await hold(id, me);
    const object = objectOf(id);
    const many = Array.from({ length: 1_200 }, (_, i) => event("assistant", { content: String(i) }));
    await object.events(run, token, many);
    await object.events(
      run,
      token,
      many.map((e) => ({ ...e, id: crypto.randomUUID() })),
    );
    const back = await connect(me, { session_id: id, last_msg_id: many[3]!.id });
    const gap = await back.line.next("gap");
    expect(gap["first_seq"]).toBeGreaterThan(4);
    const direct = await openAt(`/sessions/${id}/ws`);
    direct.send(await connectFrame(me, { last_msg_id: "5" }));
    expect(await direct.next("gap")).toMatchObject({ last_msg_id: "5" });
    const sse = await readUntil(await signedGet(me, `/sessions/${id}/events?last_msg_id=5`), /event: gap/);
    expect(sse.indexOf("event: gap")).toBe(0);
    for (const l of [back.line, direct]) l.leave();
  });
});

describe("lending, whatever is lost on the way", () => {
  it("every logged frame reaches the line once and in order", async () => {
    const step = fc.constantFrom(
      "event",
      "event",
      "event",
      "lose request",
      "lose answer",
      "restart",
      "catch up" as const,
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const written = await runInDurableObject(objectOf(`lending-${crypto.randomUUID()}`), async (_s, state) => {
          const { sql } = state.storage;
          const log: Out[] = [];
          const got: string[] = [];
          let known: Received = { epoch: null, n: 0, seq: 0 };
          let fault: string | null = null;
          const port: AcceptorPort = {
            deliver: async (d: Delivery) => {
              const now = fault;
              fault = null;
              if (now === "lose request") throw new Error("lost");
              const { write, next, answer } = receive(known, d);
              known = next;
              got.push(...write);
              if (now === "lose answer") throw new Error("lost");
              return answer;
            },
          };
          const life = (): Lending =>
            new Lending({ sql, log: () => {}, open: () => port, replay: (after) => log.filter((o) => o.seq! > after) });
          let home = life();
          home.add({ id: "l", acceptor: "a", from: "f" });
          for (const s of steps) {
            if (s === "restart") home = life();
            else if (s === "catch up") await home.catchUp();
            else if (s === "event") {
              const out = { seq: log.length + 1, text: `e${log.length + 1}` };
              log.push(out);
              await home.push("l", [out]);
            } else fault = s;
          }
          fault = null;
          await home.catchUp();
          return { got, want: log.map((o) => o.text) };
        });
        expect(written.got).toEqual(written.want);
      }),
      { numRuns: 150 },
    );
  });
});

describe("real hibernation", () => {
  it("a lent line answers after both objects slept, and so does one of the relay's", { timeout: 30_000 }, async () => {
    const me = await someone();
    const first = await connect(me);
    first.line.send(input("What is down?"));
    await first.line.next("OUTPUT");
    first.line.leave();
    const { line, connected } = await connect(me, { session_id: first.id });
    expect(connected["session_id"]).toBe(first.id);
    const lives = new WeakSet<object>();
    const acceptor = await sqlOf(first.id, (sql) => String(sql.exec("SELECT acceptor FROM line").one()["acceptor"]));
    const relayed = await openAt("/ws/input");
    relayed.send(await connectFrame(me, { to: await host(), session_id: first.id }));
    expect((await relayed.next("CONNECTED"))["session_id"]).toBe(first.id);
    const other = await sqlOf(first.id, (sql) =>
      String(sql.exec("SELECT acceptor FROM line WHERE acceptor LIKE 'input:%'").one()["acceptor"]),
    );
    const slept = [
      ...[first.id, acceptor].map(objectOf),
      env.CLIENT_LINE.get(env.CLIENT_LINE.idFromName(other.slice("input:".length))),
    ];
    for (const object of slept)
      await runInDurableObject(object, (instance) => {
        lives.add(instance);
      });
    // The look at the run's queue message, due ten seconds after it was sent, would wake the home in between.
    await runDurableObjectAlarm(objectOf(first.id));
    await new Promise((wake) => setTimeout(wake, 13_000));
    line.send(input("How much of the budget is left?"));
    expect(await line.next("OUTPUT")).toMatchObject({ session_id: first.id, session: { iteration: 2 } });
    expect(await relayed.next("OUTPUT")).toMatchObject({ session_id: first.id, session: { iteration: 2 } });
    relayed.send(input("What is down?"));
    expect(await line.next("OUTPUT", 1)).toMatchObject({ session: { iteration: 3 } });
    for (const [n, object] of slept.entries())
      await runInDurableObject(object, (instance) => {
        expect(lives.has(instance), String(n)).toBe(false);
      });
    for (const l of [line, relayed]) l.leave();
  });
});
