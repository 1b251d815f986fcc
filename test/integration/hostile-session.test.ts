import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { writeIndex } from "../../src/session";
import {
  act,
  connect,
  connectFrame,
  done,
  event,
  formT,
  get,
  hold,
  host,
  input,
  now,
  objectOf,
  openAt,
  type Payload,
  policy,
  type Signer,
  signedFrame,
  signedGet,
  someone,
} from "./session-kit";
import { audited } from "./trust-kit";

/**
 * What a hostile or merely careless client must not get from the session host: guesses without end, another's identity or row,
 * rows that never go, frames that kill. Each of these was possible once.
 */

const CODE = "let-me-in-4711";
const RATE = /^rate limited/;
const DOORS = `---\nallow: [contact]\nonboard: {invite_code: [${CODE}]}\n---\n`;

const postTo = async (path: string, ip: string, who: Signer, payload: Payload, extra: Payload = {}) => {
  const body = await signedFrame(who, { timestamp: now(), ...payload }, extra, formT);
  const headers = { "cf-connecting-ip": ip };
  const response = await exports.default.fetch(`http://reveille.test${path}`, { method: "POST", body, headers });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
};

/** Uses up what a limiter gives to a key. */
async function exhaust(limiter: "SESSION_LIMIT" | "AUTH_LIMIT", key: string): Promise<void> {
  for (let i = 0; i < 1_000; i++) if (!(await env[limiter].limit({ key })).success) return;
  throw new Error(`${limiter} never ends`);
}

const stateOf = <T>(id: string, look: (state: DurableObjectState) => T): Promise<T> =>
  runInDurableObject(objectOf(id), (_session, state) => look(state));

const question = (key: string) => ({
  key,
  frame: event("approval_needed", { tool: key, arguments: {} }) as ReturnType<typeof event> & { type: string },
});

describe("guessing an invite code", () => {
  beforeAll(() => policy(DOORS));

  it("ends for an address after 20 tries a minute, the right code too, on every way in", async () => {
    const ip = "203.0.113.21";
    const to = await host();
    const http = async (invite_code: string) =>
      postTo("/trust/verify/invite", ip, await someone(), { to, invite_code });
    const line = await openAt("/ws", { "cf-connecting-ip": ip });
    const submit = async (invite_code: string): Promise<string> =>
      signedFrame(await someone(), { timestamp: now(), invite_code }, { type: "ONBOARD_SUBMIT" }, formT);
    for (let i = 0; i < 12; i++) {
      line.send(await submit(`guess-${i}`));
      expect(await line.next("ERROR", i)).toMatchObject({ message: "Invalid invite code" });
    }
    for (let i = 0; i < 8; i++) expect((await http(`guess ${i}`)).status).toBe(403);
    expect(await http(CODE)).toMatchObject({ status: 429 });
    const byInput = await postTo("/input", ip, await someone(), { prompt: "What is down?", invite_code: CODE });
    expect(byInput).toMatchObject({ status: 429 });
    const who = await someone();
    line.send(await signedFrame(who, { timestamp: now(), invite_code: CODE }, { type: "ONBOARD_SUBMIT" }, formT));
    expect((await line.next("ERROR", 12))["message"]).toMatch(RATE);
    expect(await line.close(1_000)).toMatchObject({ code: 4429 });
    expect(await env.DB.prepare("SELECT 1 FROM trust_client WHERE client_id = ?").bind(who.address).first()).toBeNull();
    // Another address is none the worse for it.
    const other = await openAt("/ws", { "cf-connecting-ip": "203.0.113.22" });
    other.send(await signedFrame(who, { timestamp: now() - 1, invite_code: CODE }, { type: "ONBOARD_SUBMIT" }, formT));
    await other.next("ONBOARD_SUCCESS");
    other.leave();
  });

  it("CONNECTs of made-up keys on one socket count against its address", async () => {
    const ip = "203.0.113.23";
    const line = await openAt("/ws", { "cf-connecting-ip": ip });
    line.send(await connectFrame(await someone()));
    await line.next("ONBOARD_REQUIRED");
    await exhaust("SESSION_LIMIT", `connect:${ip}`);
    const last = await someone();
    line.send(await connectFrame(last));
    expect((await line.next("ERROR"))["message"]).toMatch(RATE);
    expect(await line.close(1_000)).toMatchObject({ code: 4429 });
    // Nothing was asked of trust for it.
    expect(await env.DB.prepare("SELECT 1 FROM trust_hour WHERE client_id = ?").bind(last.address).first()).toBeNull();
  });
});

describe("limits", () => {
  beforeAll(() => policy("open"));

  it("hold per address over both doors, and per IP on every path", async () => {
    const who = await someone();
    await exhaust("SESSION_LIMIT", `address:${who.address}`);
    const line = await openAt("/ws");
    line.send(await connectFrame(who));
    expect((await line.next("ERROR"))["message"]).toMatch(RATE);
    expect(await line.close(1_000)).toMatchObject({ code: 4429 });
    expect(await postTo("/input", "203.0.113.31", who, { prompt: "x" })).toMatchObject({ status: 429 });
    const ip = "203.0.113.32";
    for (const what of ["socket", "read", "input"]) await exhaust("SESSION_LIMIT", `${what}:${ip}`);
    const headers = { "cf-connecting-ip": ip };
    const ask = async (path: string, more: Record<string, string> = {}): Promise<number> =>
      (await exports.default.fetch(`http://reveille.test${path}`, { headers: { ...headers, ...more } })).status;
    expect(await ask("/ws", { upgrade: "websocket" })).toBe(429);
    expect(await ask(`/sessions/${crypto.randomUUID()}`)).toBe(429);
    const me = await someone();
    expect((await signedGet(me, "/sessions", headers)).status).toBe(429);
    expect((await signedGet(me, `/sessions/${crypto.randomUUID()}/events`, headers)).status).toBe(429);
    expect(await postTo("/input", ip, me, { prompt: "x" })).toMatchObject({ status: 429 });
  });

  it("of a prompt are the same over HTTP, and what is not taken is said", async () => {
    const who = await someone();
    const ip = "203.0.113.33";
    const long = await postTo("/input", ip, who, { prompt: "x".repeat(40_000) });
    expect(long).toMatchObject({ status: 400, json: { error: expect.stringMatching(/^prompt too long/) } });
    const image = await postTo("/input", ip, who, { prompt: "look" }, { images: ["data:image/png;base64,AAAA"] });
    expect(image).toMatchObject({ status: 400, json: { error: expect.stringMatching(/^images are not accepted/) } });
  });

  it("a frame of many megabytes is too large, not too many", async () => {
    const line = await openAt("/ws");
    line.send("x".repeat(9 * 1_048_576));
    expect((await line.next("ERROR"))["message"]).toMatch(/^frame too large: at most 1048576 bytes$/);
    expect(await line.close(1_000)).toMatchObject({ code: 1009 });
  });
});

describe("another's identity", () => {
  beforeAll(() => policy(`---\nonboard: {invite_code: [${CODE}]}\ndefault: allow\n---\n`));

  it("one signed INPUT opens no line for unsigned ones", async () => {
    const who = await someone();
    const line = await openAt("/ws");
    const signed = async (prompt: string) =>
      signedFrame(who, { prompt, timestamp: now() }, { type: "INPUT", input_id: crypto.randomUUID(), prompt }, formT);
    line.send(await signed("What is down?"));
    await line.next("OUTPUT");
    line.send(input("How much of the budget is left?"));
    expect(await line.next("ERROR")).toMatchObject({ message: "unauthorized: signed request required" });
    line.send(await signed("Is anything down?"));
    await line.next("OUTPUT", 1);
    await line.silent("OUTPUT", 200);
    line.leave();
  });

  it("who onboards another on its line gets nothing of that one's standing, and its own counts as it is now", async () => {
    const me = await someone();
    const friend = await someone();
    const { line, id } = await connect(me);
    line.send(await signedFrame(friend, { timestamp: now(), invite_code: CODE }, { type: "ONBOARD_SUBMIT" }, formT));
    expect(await line.next("ONBOARD_SUCCESS")).toMatchObject({ identity: friend.address, level: "contact" });
    const { run, token } = await hold(id, me);
    await objectOf(id).ask(run, token, question("first"));
    line.send({ type: "APPROVAL_RESPONSE", approved: true });
    expect(await line.next("ERROR")).toMatchObject({ message: expect.stringMatching(/^forbidden/) });
    await act("promote", me.address);
    await act("demote", me.address);
    line.send({ type: "APPROVAL_RESPONSE", approved: true });
    expect(await line.next("ERROR", 1)).toMatchObject({ message: expect.stringMatching(/^forbidden/) });
    await act("promote", me.address);
    line.send({ type: "APPROVAL_RESPONSE", approved: true });
    await line.next("OUTPUT");
    line.leave();
  });

  it("a frame type that every object has is nobody's command", async () => {
    const { line } = await connect(await someone());
    for (const type of ["constructor", "toString", "__proto__", "hasOwnProperty"]) line.send(`{"type":"${type}"}`);
    line.send({ type: "PING" });
    await line.next("PONG");
    expect(line.count("ERROR")).toBe(0);
    line.leave();
  });
});

describe("another's session", () => {
  beforeAll(() => policy("open"));

  it("its row in the index can't be taken or deleted by a session of the same name elsewhere", async () => {
    const [victim, thief] = [await someone(), await someone()];
    const id = crypto.randomUUID();
    const at = Date.now();
    const row = { id, status: "done", updated: at };
    await writeIndex(env.DB, { ...row, owner: victim.address }, "0xagent");
    await writeIndex(env.DB, { ...row, owner: thief.address, updated: at + 1 }, "0xother");
    await writeIndex(env.DB, { ...row, owner: thief.address, status: null, updated: at + 2 }, "0xother");
    const kept = () => env.DB.prepare("SELECT owner, agent FROM session_index WHERE id = ?").bind(id).first();
    expect(await kept()).toEqual({ owner: victim.address, agent: "0xagent" });
    // Its own owner may move it, and its own home may remove it.
    await writeIndex(env.DB, { ...row, owner: victim.address, updated: at + 3 }, "0xmoved");
    expect(await kept()).toEqual({ owner: victim.address, agent: "0xmoved" });
    await writeIndex(env.DB, { ...row, owner: victim.address, status: null, updated: at + 4 }, "0xmoved");
    expect(await kept()).toBeNull();
  });

  it("its owner finds it though the index names another's of the same name", async () => {
    const [victim, thief] = [await someone(), await someone()];
    const { line, id } = await connect(victim);
    await env.DB.prepare(
      "INSERT INTO session_index (id, owner, agent, status, updated) VALUES (?, ?, '0xother', 'done', ?)",
    )
      .bind(id, thief.address, Date.now() + 60_000)
      .run();
    line.send(input("What is down?"));
    await line.next("OUTPUT");
    expect(await (await signedGet(victim, `/sessions/${id}`)).json()).toMatchObject({ status: "done" });
    expect((await signedGet(await someone(), `/sessions/${id}`)).status).toBe(404);
    line.leave();
  });

  it("is not read unsigned by an id that can be guessed, known or not", async () => {
    const who = await someone();
    const { line } = await connect(who, { session_id: "default" });
    line.send(input("What is down?"));
    await line.next("OUTPUT");
    const [known, unknown] = [await get("/sessions/default"), await get("/sessions/nobodys")];
    expect([known.status, await known.json()]).toEqual([401, { error: "unauthorized: signed request required" }]);
    expect([unknown.status, await unknown.json()]).toEqual([401, { error: "unauthorized: signed request required" }]);
    expect((await signedGet(who, "/sessions/default")).status).toBe(200);
    line.leave();
  });

  it("an open event stream ends when its session expires and becomes another's", async () => {
    const [first, second] = [await someone(), await someone()];
    const { line, id } = await connect(first);
    const { run, token } = await hold(id, first);
    await objectOf(id).finish(run, token, done("the first one's"), 1);
    line.leave();
    const stream = await signedGet(first, `/sessions/${id}/events`);
    const reader = stream.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toContain("the first one's");
    const next = reader.read();
    await new Promise((wake) => setTimeout(wake, 50));
    await stateOf(id, (s) => s.storage.sql.exec("UPDATE run SET created = 1, finished = 1").toArray());
    const other = await connect(second, { session_id: id });
    expect(other.id).toBe(id);
    const held = await hold(id, second);
    await objectOf(id).events(held.run, held.token, [event("assistant", { content: "the second one's" })]);
    const { done: ended, value } = await next;
    expect([ended, new TextDecoder().decode(value)]).toEqual([true, ""]);
    other.line.leave();
  });
});

describe("what is kept", () => {
  beforeAll(() => policy("open"));

  const talk = async (id: string, who: Signer, rounds: number, prompt: string): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      const { run, token } = await hold(id, who, prompt);
      await objectOf(id).finish(run, token, done(`answer ${i}`), 1);
    }
  };

  it("of a long conversation stays small enough to be stored, sent, and brought back by its client", async () => {
    const who = await someone();
    const { line, id } = await connect(who);
    await talk(id, who, 40, "深".repeat(32_000));
    await line.next("OUTPUT", 39);
    const last = line.frames.findLast((f) => f.type === "OUTPUT")!;
    expect(last).toMatchObject({ result: "answer 39", session: { iteration: 40 } });
    expect(new TextEncoder().encode(JSON.stringify(last["session"])).length).toBeLessThan(900_000);
    line.leave();
    // A client echoes it in its next CONNECT.
    const back = await connect(who, { session_id: id, session: last["session"] as Payload });
    expect(back.connected).toMatchObject({ session_id: id, status: "connected" });
    back.line.leave();
  });

  it("is told once in a replay, not with each of its runs", async () => {
    const who = await someone();
    const { line, id } = await connect(who);
    await talk(id, who, 3, "hello");
    line.leave();
    const direct = await openAt(`/sessions/${id}/ws`);
    direct.send(await connectFrame(who, {}, { timestamp: now() - 1 }));
    await direct.next("OUTPUT", 2);
    const told = direct.frames.filter((f) => f.type === "OUTPUT");
    expect(told.map((f) => (f["session"] as { session_id: string }).session_id)).toEqual([id, id, id]);
    expect(told.map((f) => JSON.stringify(f).includes("messages"))).toEqual([false, false, true]);
    direct.leave();
  });

  it("of a session without a run goes after a day, by the alarm and by a look", async () => {
    const who = await someone();
    for (const by of ["session", "mode"] as const) {
      const id = crypto.randomUUID();
      const extra: Record<string, unknown> =
        by === "session" ? { session: { session_id: id, iteration: 3, note: "x".repeat(10_000) } } : {};
      const { line } = await connect(who, { session_id: id, ...extra });
      if (by === "mode") {
        line.send({ type: "mode_change", mode: "plan" });
        await line.next("mode_changed");
      }
      line.leave();
      await new Promise((wake) => setTimeout(wake, 100));
      expect(await stateOf(id, (s) => s.storage.getAlarm())).toBeGreaterThan(Date.now() + 80_000_000);
      await stateOf(id, (state) => {
        const { json } = state.storage.sql.exec<{ json: string }>("SELECT json FROM home").one();
        const old = { ...JSON.parse(json), created: Date.now() - 86_500_000 };
        state.storage.sql.exec("UPDATE home SET json = ?", JSON.stringify(old));
      });
      await abortAllDurableObjects();
      const again = await connect(await someone(), { session_id: id });
      // Nobody's any more, so whoever comes next may have it.
      expect(again.connected).toMatchObject({ session_id: id, status: "new" });
      again.line.leave();
    }
  });

  it("of an id that was only tried is nothing", async () => {
    const id = crypto.randomUUID();
    const { line } = await connect(await someone(), { session_id: id });
    expect(await stateOf(id, (s) => s.storage.sql.exec("SELECT COUNT(*) AS n FROM line").one()["n"])).toBe(1);
    line.leave();
    await new Promise((wake) => setTimeout(wake, 100));
    expect(await stateOf(id, (s) => s.storage.sql.databaseSize)).toBeLessThan(9_000);
  });

  it("a cursor may be a number, as frames carry it", async () => {
    const who = await someone();
    const { line, id } = await connect(who);
    line.send(input("What is down?"));
    const { seq } = await line.next("OUTPUT");
    line.leave();
    const direct = await openAt(`/sessions/${id}/ws`);
    direct.send(await connectFrame(who, { last_msg_id: Number(seq) - 1 }, { timestamp: now() - 1 }));
    await direct.next("OUTPUT");
    expect(direct.count("assistant")).toBe(0);
    direct.leave();
  });
});

describe("a decision", () => {
  it("is a row: the first refusal and the first welcome of a client in an hour", async () => {
    await policy(DOORS);
    const who = await someone();
    for (let i = 0; i < 3; i++) {
      const line = await openAt("/ws");
      line.send(await connectFrame(who, {}, { timestamp: now() - i }));
      await line.next("ONBOARD_REQUIRED");
      line.leave();
    }
    await act("promote", who.address);
    for (let i = 0; i < 2; i++) (await connect(who)).line.leave();
    expect(await audited(who.address, "trust.decided")).toMatchObject([
      { actor: "fast_rule", action: "deny", target: who.address, from_level: "stranger", to_level: "stranger" },
      { actor: "fast_rule", action: "allow", target: who.address, from_level: "contact", to_level: "contact" },
    ]);
  });
});
