import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { workspaceObject } from "../../durable-objects/workspace.stub";
import { type Agent, api, call, items, newAgent, newWorkspace, ok, workspaceStub } from "./messaging-kit";

/** The tools and rules of the embedded messaging (wake-slo §3.2, §7), over /mcp with real objects and D1. */

let north: Agent;
let south: Agent;
let east: Agent;
const workspace = newWorkspace();

beforeAll(async () => {
  [north, south, east] = await Promise.all([
    newAgent(workspace, "north"),
    newAgent(workspace, "South"),
    newAgent(workspace, "east"),
  ]);
});

describe("messages", () => {
  it("go from one agent to another, new ones first, and are stamped once", async () => {
    const first = await ok(north.key, "agent_send", { to_agent: "South", body: "  one\n", topic: "a\u2028b\tc" });
    expect(first).toMatchObject({ to: "South", kind: "request", wake: { status: "ignored" } });
    expect(first["created_at"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const second = await ok(north.key, "agent_send", {
      to_agent: south.id,
      body: "two",
      session_id: first["session_id"],
    });
    const box = await items(south.key);
    expect(box.map((m) => m.body)).toEqual(["one", "two"]);
    expect(box[0]).toMatchObject({
      id: first["id"],
      topic: "a b c",
      session_status: "open",
      from: "north",
      to: "South",
      delivered_at: null,
      acked_at: null,
      ack_required: false,
      parent_message_id: null,
    });
    expect(await items(south.key, { status: "undelivered" })).toEqual([]);
    const again = await items(south.key, { status: "delivered", limit: 1 });
    expect(again.map((m) => m.id)).toEqual([second["id"]]);
    expect(again[0]!["delivered_at"]).toEqual(expect.any(String));
    expect(await items(east.key)).toEqual([]);
    await ok(north.key, "agent_send", { to_agent: south.id, body: "three", session_id: first["session_id"] });
    expect((await items(south.key, { limit: 2 })).map((m) => m.body)).toEqual(["three", "two"]);
  });

  it("keep their order when many are sent at once", async () => {
    const { session_id } = await ok(north.key, "agent_send", { to_agent: "east", body: "0" });
    const sent = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        ok(north.key, "agent_send", { to_agent: "east", body: `n${i}`, session_id }),
      ),
    );
    const ids = sent.map((m) => m["id"] as string).sort();
    expect(new Set(ids).size).toBe(20);
    const box = await items(east.key, { limit: 100 });
    expect(box.slice(1, 21).map((m) => m.id)).toEqual(ids);
  });

  it("open a session named after the recipient when none is given", async () => {
    await ok(north.key, "agent_send", { to_agent: "EAST", body: "hello", metadata: { b: 1, a: ["x"] } });
    const [message] = await items(east.key, { status: "undelivered" });
    expect(message).toMatchObject({ topic: "Message to east", metadata: { a: ["x"], b: 1 } });
  });
});

describe("recipients", () => {
  it("are found by id, name, and the one name in another case", async () => {
    const place = newWorkspace();
    const [me, upper] = [await newAgent(place, "me"), await newAgent(place, "Leo")];
    for (const to_agent of [upper.id, "Leo", "lEO"])
      expect(await ok(me.key, "agent_send", { to_agent, body: "x" })).toMatchObject({ to: "Leo" });
    // Two names that differ in case alone are refused by the API, so they are put in by hand.
    await env.DB.prepare(
      "INSERT INTO msg_agent (id, workspace, name, owner, key_hash, created_at) VALUES ('leo-2', ?, 'LEO', 'o', 'h-leo-2', 1)",
    )
      .bind(place)
      .run();
    expect((await call(me.key, "agent_send", { to_agent: "leo", body: "x" })).error).toMatch(/^CONFLICT: /);
    expect(await ok(me.key, "agent_send", { to_agent: "LEO", body: "x" })).toMatchObject({ to: "LEO" });
  });

  it("of other workspaces and inactive ones are not found", async () => {
    const place = newWorkspace();
    const [me, other] = [await newAgent(place, "me"), await newAgent(place, "other")];
    expect((await call(me.key, "agent_send", { to_agent: "north", body: "x" })).error).toMatch(/^NOT_FOUND: /);
    expect((await call(me.key, "agent_send", { to_agent: north.id, body: "x" })).error).toMatch(/^NOT_FOUND: /);
    await api("POST", `/messaging/agents/${other.id}/deactivate`);
    expect((await call(me.key, "agent_send", { to_agent: other.id, body: "x" })).error).toMatch(/^NOT_FOUND: /);
  });
});

describe("replies", () => {
  it("go to whoever wrote last, else to the creator, and close with the message", async () => {
    const { session_id, id } = await ok(north.key, "agent_send", { to_agent: "South", body: "q" });
    const answer = await ok(south.key, "agent_reply", { session_id, body: "a", reply_to_message_id: id, close: true });
    expect(answer).toMatchObject({ to: "north", kind: "reply", session_status: "closed" });
    const got = (await items(north.key)).find((m) => m.id === answer["id"]);
    expect(got).toMatchObject({ session_status: "closed", parent_message_id: id, body: "a" });
    for (const tool of ["agent_reply", "agent_send"])
      expect((await call(north.key, tool, { session_id, body: "late", to_agent: "South" })).error).toBe(
        "CONFLICT: agent session is closed",
      );
  });

  it("to a message go to its sender, whoever wrote since", async () => {
    const { session_id, id } = await ok(north.key, "agent_send", { to_agent: "South", body: "q1" });
    await ok(north.key, "agent_send", { to_agent: "east", session_id, body: "you too" });
    await ok(east.key, "agent_send", { to_agent: "South", session_id, body: "q2" });
    expect(await ok(south.key, "agent_reply", { session_id, body: "a" })).toMatchObject({ to: "east" });
    expect(await ok(south.key, "agent_reply", { session_id, body: "a", reply_to_message_id: id })).toMatchObject({
      to: "north",
    });
    // A named recipient that is not the asker is rerouted too: the answer belongs to who asked.
    const pinned = { session_id, body: "a", reply_to_message_id: id, to_agent: "east" };
    expect(await ok(south.key, "agent_reply", pinned)).toMatchObject({ to: "north" });
    expect(await ok(south.key, "agent_reply", { session_id, body: "a", to_agent: "north" })).toMatchObject({
      to: "north",
    });
  });

  it("need a message of the same session, and a participant", async () => {
    const one = await ok(north.key, "agent_send", { to_agent: "South", body: "q" });
    const two = await ok(north.key, "agent_send", { to_agent: "South", body: "q" });
    const crossed = { session_id: one["session_id"], body: "a", reply_to_message_id: two["id"] };
    expect((await call(south.key, "agent_reply", crossed)).error).toMatch(/^NOT_FOUND: /);
    for (const [tool, args] of [
      ["agent_reply", { body: "x" }],
      ["agent_send", { body: "x", to_agent: "north" }],
      ["agent_session_close", {}],
    ] as const)
      expect((await call(east.key, tool, { session_id: one["session_id"], ...args })).error).toBe(
        "NOT_FOUND: agent session not found",
      );
  });
});

describe("sessions", () => {
  it("are made with a first message or without, and close once", async () => {
    const bare = await ok(north.key, "agent_session_create", { topic: " plan " });
    expect(bare).toMatchObject({ topic: "plan", status: "open", initial_message: null });
    const full = await ok(north.key, "agent_session_create", { topic: "plan", to_agent: "South", message: "go" });
    expect(full["initial_message"]).toMatchObject({ to: "South", session_id: full["id"] });
    expect((await call(north.key, "agent_session_create", { topic: "t", to_agent: "South" })).error).toMatch(
      /^INVALID_INPUT: /,
    );
    const end = await ok(south.key, "agent_session_close", { session_id: full["id"], reason: "done" });
    expect(end).toMatchObject({ session_id: full["id"], status: "closed" });
    expect(end["noop"]).toBeUndefined();
    expect(await ok(north.key, "agent_session_close", { session_id: full["id"] })).toMatchObject({
      noop: true,
      closed_at: end["closed_at"],
    });
  });
});

describe("acknowledgements", () => {
  it("are the recipient's alone, and kept as they were first", async () => {
    const { id, session_id } = await ok(north.key, "agent_send", { to_agent: "South", body: "q" });
    expect((await call(north.key, "agent_ack", { message_id: id, status: "auto_pong" })).error).toMatch(/^FORBIDDEN: /);
    expect((await call(east.key, "agent_ack", { message_id: id })).error).toMatch(/^NOT_FOUND: /);
    const first = await ok(south.key, "agent_ack", { message_id: id, status: "auto_pong" });
    expect(first).toMatchObject({
      message_id: id,
      session_id,
      ack_status: "auto_pong",
      delivered_at: expect.any(String),
    });
    expect(await ok(south.key, "agent_ack", { message_id: id, status: "other" })).toEqual(first);
  });

  it("of a message that was read before keep the time of its reading", async () => {
    const { id } = await ok(north.key, "agent_send", { to_agent: "South", body: "q" });
    await items(south.key);
    await runInDurableObject(workspaceStub(workspace), (_, state) => {
      state.storage.sql.exec("UPDATE message SET delivered_ms = 1000 WHERE id = ?", id);
    });
    const acked = await ok(south.key, "agent_ack", { message_id: id });
    expect(acked["delivered_at"]).toBe("1970-01-01T00:00:01Z");
  });
});

describe("idempotency", () => {
  it("returns the stored result, even after close and deactivation", async () => {
    const place = newWorkspace();
    const [a, b] = [await newAgent(place, "a"), await newAgent(place, "b")];
    const ask = { to_agent: "b", body: "once", metadata: { x: 1, y: 2 }, idempotency_key: "k:1" };
    const first = await ok(a.key, "agent_send", ask);
    expect(first["deduplicated"]).toBeUndefined();
    await ok(a.key, "agent_session_close", { session_id: first["session_id"] });
    await api("POST", `/messaging/agents/${b.id}/deactivate`);
    expect(await ok(a.key, "agent_send", { ...ask, metadata: { y: 2, x: 1 } })).toEqual({
      ...first,
      deduplicated: true,
    });
    expect(await ok(a.key, "agent_send", { ...ask, to_agent: b.id })).toMatchObject({ id: first["id"] });
    for (const other of [{ body: "twice" }, { kind: "status" }, { metadata: {} }, { to_agent: "a" }, { topic: "t" }])
      expect((await call(a.key, "agent_send", { ...ask, ...other })).error, JSON.stringify(other)).toMatch(
        /^CONFLICT: /,
      );
    const create = { topic: "t", idempotency_key: "k:1" };
    expect((await call(a.key, "agent_session_create", create)).error).toMatch(/^CONFLICT: /);
  });

  it("makes one message of many equal calls at once, and of a reply after its own close", async () => {
    const place = newWorkspace();
    const [a, b] = [await newAgent(place, "a"), await newAgent(place, "b")];
    const args = { to_agent: "b", body: "x", idempotency_key: "race" };
    const sent = await Promise.all(Array.from({ length: 8 }, () => ok(a.key, "agent_send", args)));
    expect(new Set(sent.map((m) => m["id"])).size).toBe(1);
    expect(sent.filter((m) => m["deduplicated"] === true)).toHaveLength(7);
    expect(await items(b.key)).toHaveLength(1);
    const { session_id } = sent[0]!;
    const reply = { session_id, body: "WAKE_SLO_PONG x", close: true, idempotency_key: "wake-slo:1" };
    const first = await ok(b.key, "agent_reply", reply);
    expect(await ok(b.key, "agent_reply", reply)).toMatchObject({ id: first["id"], deduplicated: true });
    expect(await items(a.key)).toHaveLength(1);
    expect((await call(b.key, "agent_reply", { ...reply, close: false })).error).toMatch(/^CONFLICT: /);
    const made = await Promise.all(
      [1, 2, 3].map(() => ok(a.key, "agent_session_create", { topic: "t", idempotency_key: "s" })),
    );
    expect(new Set(made.map((s) => s["id"])).size).toBe(1);
  });
});

describe("what is refused", () => {
  const key = `q_${"k".repeat(43)}`;
  it.each<[string, string, Record<string, unknown>]>([
    ["a key in the body", "agent_send", { to_agent: "South", body: `use ${key}` }],
    ["a key in the topic", "agent_send", { to_agent: "South", body: "x", topic: key }],
    ["a key in metadata", "agent_send", { to_agent: "South", body: "x", metadata: { deep: [{ t: key }] } }],
    ["a key of a vendor", "agent_send", { to_agent: "South", body: "sk-ant-0123456789abcdefghij" }],
    ["an empty body", "agent_send", { to_agent: "South", body: " \n" }],
    ["a topic of control characters", "agent_session_create", { topic: "\u0000\u2029" }],
    ["large metadata", "agent_send", { to_agent: "South", body: "x", metadata: { t: "ü".repeat(9_000) } }],
  ])("%s", async (_, tool, args) => {
    expect((await call(north.key, tool, args)).error).toMatch(/^INVALID_INPUT: /);
  });

  it.each<[string, string, Record<string, unknown>]>([
    ["kind system", "agent_send", { to_agent: "South", body: "x", kind: "system" }],
    ["a body of 50,001 characters", "agent_send", { to_agent: "South", body: "x".repeat(50_001) }],
    ["an odd idempotency key", "agent_send", { to_agent: "South", body: "x", idempotency_key: "a b" }],
    ["a limit of 101", "agent_inbox", { limit: 101 }],
    ["no body", "agent_reply", { session_id: "x" }],
  ])("%s, by its schema", async (_, tool, args) => {
    expect((await call(north.key, tool, args)).error).toMatch(/^MCP error -32602: Input validation error/);
  });

  it("a key in a close's reason, which leaves the session open", async () => {
    const { session_id } = await ok(north.key, "agent_send", { to_agent: "South", body: "q" });
    expect((await call(north.key, "agent_session_close", { session_id, reason: key })).error).toMatch(/^INVALID_INPUT/);
    expect((await ok(north.key, "agent_session_close", { session_id }))["noop"]).toBeUndefined();
  });

  it("a body of 50,000 characters is not, and an inbox of many is read in parts", async () => {
    const place = newWorkspace();
    const [a, b] = [await newAgent(place, "a"), await newAgent(place, "b")];
    for (let i = 0; i < 8; i++) await ok(a.key, "agent_send", { to_agent: "b", body: String(i).repeat(50_000) });
    const read = async (): Promise<string> =>
      (await items(b.key, { status: "undelivered", limit: 100 })).map((m) => m.body[0]).join("");
    expect([await read(), await read(), await read()]).toEqual(["012345", "67", ""]);
  });
});

describe("mail of a hook", () => {
  it("is put in once, wakes nobody, and is read like any other", async () => {
    const place = newWorkspace();
    const reader = await newAgent(place, "reader", { wake: { url: "/hooks/the-same-hook" } });
    const mail = {
      wake_id: "hook:h1:m1",
      hook_id: "h1",
      to_agent_id: reader.id,
      topic: "a\nb",
      body: "x".repeat(60_000),
    };
    const put = () => workspaceObject(env.WORKSPACE, place).mail(place, mail);
    const [first, second] = await Promise.all([put(), put()]);
    expect([first, second].map((r) => r.ok && r.value["again"]).sort()).toEqual([false, true]);
    const box = await items(reader.key);
    expect(box).toMatchObject([{ from: "hook:h1", topic: "a b", kind: "request" }]);
    expect(box[0]!.body).toHaveLength(50_000);
    expect(box[0]!.body.endsWith("(cut)")).toBe(true);
    // A message of an agent wakes; the mail beside it does not travel with it.
    expect((await call(reader.key, "agent_reply", { session_id: box[0]!.session_id, body: "who?" })).error).toMatch(
      /^NOT_FOUND: /,
    );
    const gone = await workspaceObject(env.WORKSPACE, place).mail(place, {
      ...mail,
      wake_id: "2",
      to_agent_id: "none",
    });
    expect(gone).toMatchObject({ ok: false, code: "NOT_FOUND" });
  });
});

describe("keys", () => {
  it("are told once, kept as a hash, rotate with a grace, and end at once", async () => {
    const place = newWorkspace();
    const a = await newAgent(place, "a");
    expect(a.key).toMatch(/^q_[A-Za-z0-9_-]{43}$/);
    const shown = await api<Record<string, unknown>>("GET", `/messaging/agents/${a.id}`);
    const row = await env.DB.prepare("SELECT * FROM msg_agent WHERE id = ?").bind(a.id).first();
    expect(JSON.stringify([shown.body, row])).not.toContain(a.key.slice(2));
    const next = await api<Agent>("POST", `/messaging/agents/${a.id}/rotate`, { grace_s: 60 });
    expect((await ok(a.key, "agent_status"))["agents"]).toHaveLength(1);
    expect((await ok(next.body.key, "agent_status"))["agents"]).toHaveLength(1);
    const last = await api<Agent>("POST", `/messaging/agents/${a.id}/rotate`, { grace_s: 0 });
    await expect(call(next.body.key, "agent_status")).rejects.toThrow("HTTP 401");
    await expect(call(a.key, "agent_status")).rejects.toThrow("HTTP 401");
    await ok(last.body.key, "agent_status");
    await api("POST", `/messaging/agents/${a.id}/deactivate`);
    await expect(call(last.body.key, "agent_status")).rejects.toThrow("HTTP 401");
    await api("POST", `/messaging/agents/${a.id}/activate`);
    await ok(last.body.key, "agent_status");
    const audit = await env.DB.prepare(
      "SELECT details FROM audit WHERE seam = 'messaging.changed' AND details LIKE ? ORDER BY id",
    )
      .bind(`%${a.id}%`)
      .all<{ details: string }>();
    expect(audit.results.map((r) => (JSON.parse(r.details) as { act: string }).act)).toEqual([
      "create",
      "rotate",
      "rotate",
      "deactivate",
      "activate",
    ]);
  });

  it("are one name's each, and listed by workspace", async () => {
    const place = newWorkspace();
    await newAgent(place, "a");
    expect(
      (await api<{ error: { code: string } }>("POST", "/messaging/agents", { workspace: place, name: "A" })).body,
    ).toMatchObject({ error: { code: "name_taken" } });
    const list = await api<{ items: { name: string }[] }>("GET", `/messaging/agents?workspace=${place}`);
    expect(list.body.items.map((a) => a.name)).toEqual(["a"]);
    const all = await api<{ items: { id: string; agents: number }[] }>("GET", "/messaging/workspaces");
    expect(all.body.items).toContainEqual({ id: place, agents: 1, active: 1 });
  });

  it("that may only read see no tool that writes", async () => {
    const place = newWorkspace();
    const a = await newAgent(place, "a", { tool_profile: "read_only" });
    await ok(a.key, "agent_inbox");
    expect((await call(a.key, "agent_reply", { session_id: "s", body: "x" })).error).toBe(
      "MCP error -32602: Tool agent_reply not found",
    );
  });
});
