import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import {
  connect,
  connectFrame,
  formA,
  formT,
  get,
  host,
  input,
  now,
  open,
  openAt,
  policy,
  signedFrame,
  signedGet,
  someone,
} from "./session-kit";

/**
 * The host on its real edge, objects, queue and consumer: the three generations of clients, sessions over several lines, and
 * who may see what. The built-in agent answers by rules.
 */

beforeAll(() => policy("open"));

const budgetQuestion = "How much of the budget is left?";

describe("a client of today (0.1.4)", () => {
  it("connects, asks unsigned, and gets events and one OUTPUT", async () => {
    const me = await someone();
    const { line, connected, id } = await connect(me);
    expect(connected).toMatchObject({ status: "new" });
    expect(connected).not.toHaveProperty("server_newer");
    line.send(input(budgetQuestion));
    const output = await line.next("OUTPUT");
    expect(output).toMatchObject({ session_id: id, session: { session_id: id, iteration: 1 } });
    expect(output["result"]).toMatch(/\$\d+.* left/);
    expect(output["duration_ms"]).toBeGreaterThanOrEqual(0);
    const assistant = await line.next("assistant");
    expect(assistant).toMatchObject({ content: output["result"], session_id: id });
    const numbered = line.frames.filter((f) => "seq" in f);
    expect(numbered.map((f) => f["seq"])).toEqual(numbered.map((_, i) => i + 1));
    line.send(input("What is down?"));
    expect(await line.next("OUTPUT", 1)).toMatchObject({ session: { iteration: 2 } });
    await line.silent("OUTPUT");
    expect(line.count("OUTPUT")).toBe(2);
    const row = await env.DB.prepare("SELECT * FROM session_index WHERE id = ?").bind(id).first();
    expect(row).toMatchObject({ owner: me.address, agent: await host(), status: "done" });
    line.leave();
  });

  it("finds its session again over another line, and its late answer in CONNECTED", async () => {
    const me = await someone();
    const first = await connect(me);
    first.line.send(input(budgetQuestion));
    const { result } = await first.line.next("OUTPUT");
    first.line.leave();
    const again = await connect(me, { session_id: first.id, session: { session_id: first.id } });
    expect(again.connected).toMatchObject({
      session_id: first.id,
      status: "connected",
      server_newer: true,
      session: { session_id: first.id, iteration: 1 },
      chat_items: [
        { type: "user", content: budgetQuestion },
        { type: "agent", content: result },
      ],
    });
    again.line.send(input("What is down?"));
    expect(await again.line.next("OUTPUT")).toMatchObject({ session_id: first.id, session: { iteration: 2 } });
    expect(again.line.count("OUTPUT")).toBe(1);
    // A copy as new as ours is not sent back.
    const third = await connect(me, {
      session_id: first.id,
      session: { session_id: first.id, iteration: 2, updated: 9e9 },
    });
    expect(third.connected).toMatchObject({ status: "connected" });
    expect(third.connected).not.toHaveProperty("server_newer");
    for (const { line } of [again, third]) line.leave();
  });

  it("both of its tabs hear the answer, each once", async () => {
    const me = await someone();
    const one = await connect(me);
    one.line.send(input("What is down?"));
    await one.line.next("OUTPUT");
    const two = await connect(me, { session_id: one.id });
    two.line.send(input(budgetQuestion));
    const [a, b] = await Promise.all([one.line.next("OUTPUT", 1), two.line.next("OUTPUT")]);
    expect(a["result"]).toBe(b["result"]);
    expect([one.line.count("OUTPUT"), two.line.count("OUTPUT")]).toEqual([2, 1]);
    for (const { line } of [one, two]) line.leave();
  });

  it("may repeat an input_id without a second run", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const frame = input(budgetQuestion, { input_id: "same" });
    line.send(frame);
    await line.next("OUTPUT");
    line.send(frame);
    expect(await line.next("OUTPUT", 1)).toMatchObject({ session: { iteration: 1 }, input_id: "same" });
    const { line: later } = await connect(me, { session_id: id });
    later.send(frame);
    expect(await later.next("OUTPUT")).toMatchObject({ session: { iteration: 1 } });
    for (const l of [line, later]) l.leave();
  });

  it("reconnects twice within one second with the same signature", async () => {
    const me = await someone();
    const frame = await connectFrame(me);
    for (let i = 0; i < 3; i++) {
      const line = await open();
      line.send(frame);
      await line.next("CONNECTED");
      line.leave();
    }
  });
});

describe("ownership", () => {
  it("another's session and an unknown one look the same, and nothing leaks", async () => {
    const [me, other] = [await someone(), await someone()];
    const mine = await connect(me);
    mine.line.send(input(budgetQuestion));
    await mine.line.next("OUTPUT");
    const theirs = await connect(other, { session_id: mine.id, session: { session_id: mine.id, iteration: 99 } });
    expect(theirs.connected).toMatchObject({ status: "new" });
    expect(theirs.id).not.toBe(mine.id);
    expect(theirs.connected).not.toHaveProperty("session");
    theirs.line.send(input("What is down?"));
    expect(await theirs.line.next("OUTPUT")).toMatchObject({
      session_id: theirs.id,
      // Their own copy goes on, under an id of its own.
      session: { session_id: theirs.id, iteration: 100 },
    });
    theirs.line.send({ type: "SESSION_STATUS", session: { session_id: mine.id } });
    expect(await theirs.line.next("SESSION_STATUS")).toMatchObject({ status: "not_found" });
    mine.line.send({ type: "SESSION_STATUS", session: { session_id: mine.id } });
    expect(await mine.line.next("SESSION_STATUS")).toMatchObject({ status: "connected" });
    await mine.line.silent("OUTPUT", 100);
    expect((await signedGet(other, `/sessions/${mine.id}`)).status).toBe(404);
    expect((await signedGet(other, `/sessions/${mine.id}/events`)).status).toBe(404);
    expect(await (await signedGet(other, "/sessions")).json()).toMatchObject({ sessions: [{ session_id: theirs.id }] });
    for (const { line } of [mine, theirs]) line.leave();
  });

  it("of an id a client minted goes to who runs it first", async () => {
    const [me, other] = [await someone(), await someone()];
    const id = crypto.randomUUID();
    const mine = await connect(me, { session_id: id });
    const theirs = await connect(other, { session_id: id });
    expect([mine.connected, theirs.connected]).toMatchObject([
      { session_id: id, status: "new" },
      { session_id: id, status: "new" },
    ]);
    mine.line.send(input(budgetQuestion));
    await mine.line.next("OUTPUT");
    theirs.line.send(input("What is down?"));
    expect(await theirs.line.next("ERROR")).toMatchObject({ message: "Session not found", code: -32002 });
    expect(theirs.line.count("OUTPUT") + theirs.line.count("assistant")).toBe(0);
    for (const { line } of [mine, theirs]) line.leave();
  });

  it("of names kept for other objects is nobody's", async () => {
    const { connected } = await connect(await someone(), { session_id: "chat:t:i:slack:C1" });
    expect(connected["session_id"]).not.toBe("chat:t:i:slack:C1");
  });
});

describe("a client of the first generation", () => {
  it("signs each INPUT, and what was signed is what runs", async () => {
    const me = await someone();
    const line = await open();
    const id = crypto.randomUUID();
    const frame = await signedFrame(
      me,
      { prompt: budgetQuestion, timestamp: now() },
      { type: "INPUT", input_id: "g1", prompt: "What is down?", timestamp: now(), session: { session_id: id } },
    );
    line.send(frame);
    const output = await line.next("OUTPUT");
    expect(output).toMatchObject({ session_id: id, input_id: "g1", session: { session_id: id } });
    expect(output["result"]).toMatch(/\$/);
    expect(line.count("CONNECTED")).toBe(0);
    line.send(frame);
    expect(await line.next("ERROR")).toMatchObject({ message: "unauthorized: signed command already used" });
    const record = await (await get(`/sessions/${id}`)).json();
    expect(record).toMatchObject({ session_id: id, status: "done", result: output["result"], prompt: null });
    line.leave();
  });
});

describe("a client of the third generation", () => {
  it("signs every command, and only what it signed counts", async () => {
    const me = await someone();
    const line = await open();
    const to = await host();
    line.send(await signedFrame(me, { to, timestamp: now(), signed_commands: 1 }, { type: "CONNECT" }, formA));
    const { session_id } = await line.next("CONNECTED");
    const payload = {
      type: "INPUT",
      input_id: "g3",
      prompt: budgetQuestion,
      to,
      timestamp: now(),
      nonce: crypto.randomUUID(),
    };
    const frame = await signedFrame(me, payload, { ...payload, prompt: "What is down?" }, formA);
    line.send(frame);
    expect(await line.next("OUTPUT")).toMatchObject({
      session_id,
      input_id: "g3",
      result: expect.stringMatching(/\$/),
    });
    line.send(frame);
    expect(await line.next("ERROR")).toMatchObject({ message: "unauthorized: signed command already used" });
    line.send(input("unsigned"));
    expect(await line.next("ERROR", 1)).toMatchObject({ message: "unauthorized: signed command required" });
    line.send(await signedFrame(await someone(), { ...payload, nonce: "other" }, { type: "INPUT" }, formA));
    expect(await line.next("ERROR", 2)).toMatchObject({
      message: expect.stringMatching(/does not own this connection/),
    });
    line.send(await signedFrame(me, { ...payload, nonce: "b" }, { type: "mode_change", mode: "plan" }, formA));
    expect(await line.next("ERROR", 3)).toMatchObject({ message: "unauthorized: signed command type mismatch" });
    line.send({ type: "SESSION_STATUS", session: { session_id } });
    expect(await line.next("SESSION_STATUS")).toMatchObject({ status: "connected" });
    expect(line.closed).toBeNull();
    line.leave();
  });
});

describe("on a line that is known", () => {
  it("a second CONNECT must be of the same connection", async () => {
    const [me, other] = [await someone(), await someone()];
    const { line, id } = await connect(me);
    line.send(await connectFrame(me, { session_id: id }, { timestamp: now() - 1 }));
    expect(await line.next("CONNECTED", 1)).toMatchObject({ session_id: id });
    line.send(await connectFrame(other));
    expect(await line.next("ERROR")).toMatchObject({ message: "already authenticated: open a new connection" });
    line.send(await connectFrame(me, { session_id: "another" }, { timestamp: now() - 2 }));
    await line.next("ERROR", 1);
    line.leave();
  });

  it("modes change for all of its lines, unknown types are ignored, tools and turns have words", async () => {
    const me = await someone();
    const one = await connect(me);
    one.line.send(input("What is down?"));
    await one.line.next("OUTPUT");
    const two = await connect(me, { session_id: one.id });
    two.line.send({ type: "mode_change", mode: "plan" });
    await Promise.all([one, two].map(({ line }) => line.next("mode_changed")));
    two.line.send({ type: "mode_change", mode: "root" });
    expect(await two.line.next("ERROR")).toMatchObject({ message: expect.stringMatching(/^unknown mode/) });
    two.line.send({ type: "NOBODY_KNOWS", x: 1 });
    two.line.send({ type: "EXEC", exec_id: "e1", tool: "bash", args: {} });
    expect(await two.line.next("EXEC_RESULT")).toMatchObject({ exec_id: "e1", status: "error" });
    two.line.send({ type: "INTERRUPT" });
    expect(await two.line.next("ERROR", 1)).toMatchObject({ message: "no active turn" });
    two.line.send(input("  "));
    expect(await two.line.next("ERROR", 2)).toMatchObject({ message: "prompt required" });
    // The host's mode stands, whatever the client's copy says.
    const three = await connect(me, {
      session_id: one.id,
      session: { session_id: one.id, iteration: 50, mode: "ulw" },
    });
    three.line.send(input("What is down?"));
    expect(await three.line.next("OUTPUT")).toMatchObject({ session: { mode: "plan", iteration: 51 } });
    for (const { line } of [one, two, three]) line.leave();
  });
});

describe("our own URL", () => {
  it("goes straight home and replays everything after a cursor, ended runs too", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    line.send(input(budgetQuestion));
    const output = await line.next("OUTPUT");
    const [first] = line.frames.filter((f) => "seq" in f);
    const direct = await openAt(`/sessions/${id}/ws`);
    direct.send(await connectFrame(me, { session_id: id, last_msg_id: String(first!["id"]) }));
    expect(await direct.next("CONNECTED")).toMatchObject({ session_id: id, status: "connected" });
    expect(await direct.next("OUTPUT")).toMatchObject({ result: output["result"], seq: output["seq"] });
    expect(direct.frames.some((f) => f["seq"] === first!["seq"])).toBe(false);
    direct.send(input("What is down?"));
    await Promise.all([direct.next("OUTPUT", 1), line.next("OUTPUT", 1)]);
    for (const l of [line, direct]) l.leave();
  });

  it("an upgrade anywhere else ends with 4004", async () => {
    for (const path of ["/nowhere", "/api/v1/targets", "/sessions/chat:x/ws"]) {
      const line = await openAt(path);
      expect(await line.close()).toMatchObject({ code: 4004 });
    }
  });
});

describe("over HTTP", () => {
  const post = async (body: string): Promise<Response> =>
    exports.default.fetch("http://reveille.test/input", {
      method: "POST",
      body,
      headers: { "cf-connecting-ip": `198.51.100.${Math.floor(Math.random() * 250)}` },
    });

  it("POST /input answers in its response, once a signature", async () => {
    const me = await someone();
    const body = await signedFrame(me, { prompt: budgetQuestion, timestamp: now() }, {}, formT);
    const response = await post(body);
    expect(response.status).toBe(200);
    const said = await response.json<Record<string, unknown>>();
    expect(said).toMatchObject({ status: "done", result: expect.stringMatching(/\$/), session: { iteration: 1 } });
    const again = await post(body);
    expect([again.status, await again.json()]).toEqual([401, { error: "unauthorized: signature already used" }]);
    const other = await signedFrame(
      await someone(),
      { prompt: "x", timestamp: now() },
      { session: { session_id: String(said["session_id"]) } },
      formT,
    );
    const foreign = await post(other);
    expect([foreign.status, await foreign.json()]).toMatchObject([404, { error: "Session not found", code: -32002 }]);
    for (const [text, status, error] of [
      ["{", 400, "Invalid JSON"],
      ["{}", 401, "unauthorized: signed request required"],
      [await signedFrame(me, { prompt: "", timestamp: now() }, {}, formT), 400, "prompt required"],
      [
        await signedFrame(me, { prompt: "x", timestamp: now() - 301 }, {}, formT),
        401,
        "unauthorized: signature expired",
      ],
    ] as const) {
      const r = await post(text);
      expect([r.status, ((await r.json()) as { error: string }).error]).toEqual([status, error]);
    }
  });

  it("tells who it is, and answers OPTIONS and unknown ids", async () => {
    expect(await (await get("/health")).json()).toMatchObject({ status: "healthy", agent: "reveille" });
    const info = await get("/info");
    expect(info.headers.get("access-control-allow-origin")).toBe("*");
    expect(await info.json()).toMatchObject({
      address: await host(),
      trust: "open",
      protocol: { websocket_path: "/ws" },
    });
    expect((await get("/docs")).headers.get("content-type")).toMatch(/html/);
    const options = await exports.default.fetch("http://reveille.test/sessions/x", { method: "OPTIONS" });
    expect([options.status, await options.text()]).toEqual([204, ""]);
    const unknown = await get(`/sessions/${crypto.randomUUID()}`);
    expect([unknown.status, await unknown.json()]).toEqual([404, { error: "not found" }]);
    expect((await get("/sessions")).status).toBe(401);
    expect((await get("/admin/sessions")).status).toBe(401);
    expect((await get("/ws")).status).toBe(426);
  });
});
