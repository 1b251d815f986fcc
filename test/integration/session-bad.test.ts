import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import type { LineState } from "../../src/session";
import {
  act,
  connect,
  connectFrame,
  formT,
  host,
  input,
  now,
  objectOf,
  open,
  policy,
  type Signer,
  signedFrame,
  someone,
} from "./session-kit";

/**
 * What a line gets for what it should not send: the protocol's words and close code, within a second, while the object and
 * everybody else go on. Then onboarding and admins over the socket, the PING, and lines that say nothing.
 */

let me: Signer;
let to = "";
beforeAll(async () => {
  await policy("open");
  me = await someone();
  to = await host();
});

describe("before anybody is known", () => {
  const signed = (payload: object, extra: object = {}) =>
    signedFrame(me, payload as never, { type: "CONNECT", ...extra } as never, formT);
  const cases: [string, () => Promise<string | ArrayBuffer>, RegExp, number][] = [
    ["an unsigned CONNECT", async () => '{"type":"CONNECT"}', /^unauthorized: signed request required$/, 4401],
    [
      "a tampered one",
      async () => (await connectFrame(me)).replace(/"timestamp":(\d+)/, (_, t) => `"timestamp":${Number(t) - 1}`),
      /^unauthorized: invalid signature$/,
      4401,
    ],
    ["a stale one", () => signed({ timestamp: now() - 301, to }), /^unauthorized: signature expired$/, 4401],
    ["one from the future", () => signed({ timestamp: now() + 310, to }), /^unauthorized: signature expired$/, 4401],
    ["one without recipient", () => signed({ timestamp: now() }), /^unauthorized: wrong recipient$/, 4401],
    ["one for another", () => signed({ timestamp: now(), to: me.address }), /^unauthorized: wrong recipient$/, 4401],
    ["a boolean time", () => signed({ timestamp: true, to }), /^unauthorized: timestamp must be numeric$/, 4401],
    ["no JSON", async () => "{nope", /^Invalid JSON$/, 4400],
    ["an array", async () => "[]", /^Invalid JSON/, 4400],
    ["a key twice", async () => '{"type":"CONNECT","type":"INPUT"}', /^Invalid JSON: the same key twice/, 4400],
    [
      "deep nesting",
      async () => `{"type":"CONNECT","x":${"[".repeat(70)}${"]".repeat(70)}}`,
      /^frame too deep: at most 64 levels$/,
      4400,
    ],
    ["an oversize frame", async () => `{"type":"CONNECT","x":"${"a".repeat(1_100_000)}"}`, /^frame too large/, 1009],
    ["a binary frame", async () => new Uint8Array([1, 2, 3]).buffer, /^Invalid JSON: text frames only$/, 1003],
  ];

  it.each(cases)("%s", async (_name, frame, words, code) => {
    const line = await open();
    const data = await frame();
    const began = Date.now();
    line.send(data);
    const error = await line.next("ERROR", 0, 1_000);
    expect(error["message"]).toMatch(words);
    expect(error["error"]).toBe(error["message"]);
    expect(await line.close(1_000)).toMatchObject({ code });
    expect(Date.now() - began).toBeLessThan(1_000);
    expect(line.frames).toHaveLength(1);
  });

  it("a replayed CONNECT, once it is older than the tolerance", async () => {
    const frame = await signedFrame(me, { timestamp: now(), to, extra: 1 }, { type: "CONNECT" }, formT);
    const first = await open();
    first.send(frame);
    await first.next("CONNECTED");
    const second = await open();
    second.send(frame);
    expect(await second.next("ERROR", 0, 1_000)).toMatchObject({
      message: "unauthorized: this CONNECT was already used",
    });
    expect(await second.close(1_000)).toMatchObject({ code: 4401 });
    first.leave();
  });

  it("an INPUT, a question for a status, a type nobody knows", async () => {
    const line = await open();
    line.send(input("hello"));
    expect(await line.next("ERROR")).toMatchObject({ message: "authenticate first (send CONNECT)" });
    line.send({ type: "SESSION_STATUS", session: { session_id: "s" } });
    expect(await line.next("SESSION_STATUS")).toMatchObject({ status: "not_found" });
    line.send({ type: "WHATEVER" });
    line.send({ type: "PONG" });
    line.send(await connectFrame(me));
    await line.next("CONNECTED");
    expect(line.count("ERROR")).toBe(1);
    line.leave();
  });
});

describe("on a known line", () => {
  it("bad frames get words and the line stays; a flood does not", async () => {
    const { line } = await connect(await someone());
    line.send("{nope");
    line.send({ type: "INPUT", input_id: 7, prompt: {} });
    line.send(input("x".repeat(40_000)));
    line.send(input("look", { images: ["data:image/png;base64,AAAA"] }));
    await line.next("ERROR", 3);
    // The test pool hands an object its socket events in any order; the runtime itself keeps it (test/node).
    const said = line.frames.filter((f) => f.type === "ERROR").map((f) => String(f["message"]));
    expect(said.sort()).toEqual([
      "Invalid JSON",
      expect.stringMatching(/^images are not accepted/),
      expect.stringMatching(/^invalid INPUT/),
      expect.stringMatching(/^prompt too long/),
    ]);
    line.send(input("What is down?"));
    await line.next("OUTPUT");
    const other = await connect(await someone());
    for (let i = 0; i < 400; i++) line.send({ type: "PONG" });
    expect(await line.close(1_000)).toMatchObject({ code: 4429 });
    other.line.send(input("What is down?"));
    await other.line.next("OUTPUT");
    other.line.leave();
  });

  it("who is blocked meanwhile is out with the next command", async () => {
    const who = await someone();
    const { line, id } = await connect(who);
    await act("block", who.address);
    line.send(input("What is down?"));
    expect(await line.next("ERROR")).toMatchObject({ message: "forbidden: blocked" });
    expect(await line.close(1_000)).toMatchObject({ code: 4403 });
    const again = await open();
    again.send(await connectFrame(who, { session_id: id }, { timestamp: now() - 1 }));
    expect((await again.next("ERROR"))["message"]).toMatch(/^forbidden/);
    expect(await again.close(1_000)).toMatchObject({ code: 4403 });
  });
});

describe("time", () => {
  const linesOf = (id: string, work: (line: LineState, ws: WebSocket) => void): Promise<void> =>
    runInDurableObject(objectOf(id), (_session, state) => {
      for (const ws of state.getWebSockets()) work(ws.deserializeAttachment() as LineState, ws);
    });

  it("each line gets a PING by the alarm, idle or not, and none is dropped for a missing PONG", async () => {
    const { line, id } = await connect(await someone());
    for (let i = 0; i < 4; i++) {
      await linesOf(id, (state, ws) => ws.serializeAttachment({ ...state, ping_at: 0 }));
      expect(await runDurableObjectAlarm(objectOf(id))).toBe(true);
      await line.next("PING", i);
    }
    expect(line.closed).toBeNull();
    const due = await runInDurableObject(objectOf(id), (_s, state) => state.storage.getAlarm());
    expect(due! - Date.now()).toBeGreaterThan(25_000);
    expect(due! - Date.now()).toBeLessThan(31_500);
    line.leave();
  });

  it("a line that proves nothing is closed after a minute, and its object leaves nothing", async () => {
    // Its object is found by the id it would give a session.
    const line = await open();
    line.send({ type: "SESSION_STATUS", session: { session_id: "x" } });
    await line.next("SESSION_STATUS");
    const own = await ownOf();
    await linesOf(own, (state, ws) => ws.serializeAttachment({ ...state, ping_at: 0, opened_at: Date.now() - 61_000 }));
    await runDurableObjectAlarm(objectOf(own));
    expect((await line.next("ERROR"))["message"]).toMatch(/^unauthorized/);
    expect(await line.close()).toMatchObject({ code: 4408 });
    await new Promise((wake) => setTimeout(wake, 50));
    await runDurableObjectAlarm(objectOf(own));
    const tables = await runInDurableObject(objectOf(own), (_s, state) => state.storage.sql.databaseSize);
    expect(tables).toBeLessThan(9_000);
  });

  /** The only object with an unproven line: every other test has closed its own or proven it. */
  async function ownOf(): Promise<string> {
    const { listDurableObjectIds } = await import("cloudflare:test");
    for (const id of await listDurableObjectIds(env.SESSION)) {
      const stub = env.SESSION.get(id);
      let own = "";
      await runInDurableObject(stub as never, (_s, state) => {
        for (const ws of state.getWebSockets()) {
          const line = ws.deserializeAttachment() as LineState;
          if (line.from === null && ws.readyState === WebSocket.OPEN) own = line.own;
        }
      });
      if (own) return own;
    }
    throw new Error("No object holds an unproven line.");
  }
});

describe("onboarding over the socket", () => {
  const CODE = "open-sesame-7";
  beforeAll(() =>
    policy(
      `---\nallow: [whitelisted, contact]\ndeny: [blocked]\nonboard:\n  invite_code: [${CODE}]\ndefault: deny\n---\n`,
    ),
  );

  it("keeps the CONNECT, takes the code once, and ignores the one empty INPUT after it", async () => {
    const who = await someone();
    const line = await open();
    line.send(await connectFrame(who));
    const required = await line.next("ONBOARD_REQUIRED");
    expect(required).toMatchObject({ identity: who.address, methods: ["invite_code"] });
    expect(required).not.toHaveProperty("prompt");
    const submit = (by: Signer, payload: object) =>
      signedFrame(by, { timestamp: now(), ...payload } as never, { type: "ONBOARD_SUBMIT" }, formT);
    line.send(await submit(who, { invite_code: "wrong" }));
    expect(await line.next("ERROR")).toMatchObject({ message: "Invalid invite code" });
    line.send(await submit(await someone(), { invite_code: CODE }));
    expect(await line.next("ERROR", 1)).toMatchObject({
      message: expect.stringMatching(/does not own this connection/),
    });
    line.send(await submit(who, {}));
    expect(await line.next("ERROR", 2)).toMatchObject({ message: "invite_code or payment required" });
    line.send(await submit(who, { invite_code: CODE }));
    expect(await line.next("ONBOARD_SUCCESS")).toMatchObject({ identity: who.address, level: "contact" });
    await line.next("CONNECTED");
    line.send({ type: "INPUT", input_id: "empty", prompt: "" });
    line.send(input("What is down?"));
    await line.next("OUTPUT");
    expect([line.count("OUTPUT"), line.count("ERROR")]).toEqual([1, 3]);
    line.send({ type: "INPUT", input_id: "empty2", prompt: "" });
    expect(await line.next("ERROR", 3)).toMatchObject({ message: "prompt required" });
    line.leave();
    const again = await connect(who);
    again.line.leave();
  });

  it("a client of the first generation resends its INPUT by itself", async () => {
    const who = await someone();
    const line = await open();
    const frame = await signedFrame(
      who,
      { prompt: "What is down?", timestamp: now() },
      { type: "INPUT", input_id: "g1", prompt: "What is down?" },
      formT,
    );
    line.send(frame);
    await line.next("ONBOARD_REQUIRED");
    line.send(await signedFrame(who, { timestamp: now(), invite_code: CODE }, { type: "ONBOARD_SUBMIT" }, formT));
    await line.next("ONBOARD_SUCCESS");
    line.send(frame);
    await line.next("OUTPUT");
    expect([line.count("ERROR"), line.count("CONNECTED")]).toEqual([0, 0]);
    line.leave();
  });

  it("who is blocked stays out, whatever it shows", async () => {
    const who = await someone();
    await act("block", who.address);
    const line = await open();
    line.send(await signedFrame(who, { timestamp: now(), invite_code: CODE }, { type: "ONBOARD_SUBMIT" }, formT));
    expect(await line.next("ERROR")).toMatchObject({ message: "forbidden: blocked" });
    line.leave();
  });
});

describe("admins over the socket", () => {
  it("promote and read levels; nobody else does", async () => {
    await policy("open");
    const [admin, client] = [await someone(), await someone()];
    await act("add_admin", admin.address);
    const frame = (by: Signer, type: string, extra: object = {}) =>
      signedFrame(by, { timestamp: now(), client_id: client.address, ...extra } as never, { type }, formT);
    const { line } = await connect(admin);
    line.send(await frame(admin, "ADMIN_PROMOTE"));
    expect(await line.next("ADMIN_RESULT")).toMatchObject({ action: "promote", success: true, level: "contact" });
    line.send(await frame(admin, "ADMIN_GET_LEVEL", { reason: "look" }));
    expect(await line.next("ADMIN_RESULT", 1)).toMatchObject({ action: "get_level", level: "contact" });
    const replay = await frame(admin, "ADMIN_PROMOTE", { reason: "again" });
    line.send(replay);
    await line.next("ADMIN_RESULT", 2);
    line.send(replay);
    expect(await line.next("ERROR")).toMatchObject({ message: "unauthorized: signed command already used" });
    const other = await connect(client);
    other.line.send(await frame(client, "ADMIN_PROMOTE"));
    expect(await other.line.next("ERROR")).toMatchObject({ message: "forbidden: admin only" });
    for (const l of [line, other.line]) l.leave();
  });
});
