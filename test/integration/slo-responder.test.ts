import { runInDurableObject } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import { describe, expect, inject, it } from "vitest";
import type { Agent } from "../../durable-objects/agent.do";
import { sloClaims } from "../../durable-objects/slo-claims.stub";
import { makeRedactor } from "../../src/kernel/redact";
import { callTool, respond } from "../../src/slo";
import { edge, makeHook, message, PING, probe, rowsOf, SECRET, TOPIC, wake } from "./hooks-kit";
import * as mail from "./messaging-kit";
import { consume, KEY, queued, recordOf, type Setting, STEWARD, setting } from "./slo-kit";

/**
 * The responder against a peer on the official SDK's server over loopback: acceptance (b), (c), (e)-(i) of wake-slo.md, and every
 * other way a peer can fail. Real objects and D1; queue `slo`'s handler is called with batches. What it does not prove: the
 * queue's own redelivery (that is the drill's).
 */

const PONG = PING.replace("PING", "PONG");

/** It fell through: one row with the payload as it came, one queue message, and no pong. */
async function fellThrough(at: Setting, bodies: unknown[], status: string, more: Record<string, unknown> = {}) {
  const result = await consume(bodies, more);
  expect(result.acked).toBe(bodies.length);
  const rows = await rowsOf(at.hook);
  expect(rows.map((r) => r.via)).toEqual(["fall_through"]);
  expect(JSON.parse(rows[0]!.payload)).toMatchObject({ topic: TOPIC, body: PING, message_id: "M1" });
  expect(result.wakes).toEqual([{ wake_id: rows[0]!.wake_id, kind: "message" }]);
  expect(await recordOf(at)).toMatchObject({ state: "fell_through", status });
  return result;
}

const called = async (at: Setting): Promise<string[]> => (await at.ledger()).calls.map((c) => c.tool);

async function counted(at: Setting, status: string): Promise<number> {
  const row = await edge.DB.prepare("SELECT SUM(n) AS n FROM slo_count WHERE name = ?")
    .bind(`responder:${at.agent}:${status}`)
    .first<{ n: number | null }>();
  return row?.n ?? 0;
}

describe("a probe", () => {
  it("is acked, then answered with the exact echo, under the recipient's own key", async () => {
    const at = await setting();
    expect(await consume([queued(at)])).toMatchObject({ acked: 1, retried: 0, wakes: [] });
    const ledger = await at.ledger();
    expect(ledger.calls.map(({ tool, by, args }) => ({ tool, by, args }))).toEqual([
      { tool: "agent_ack", by: at.agent, args: { message_id: "M1", status: "auto_pong" } },
      {
        tool: "agent_reply",
        by: at.agent,
        args: {
          session_id: "s-M1",
          body: PONG,
          close: true,
          reply_to_message_id: "M1",
          idempotency_key: "wake-slo:M1",
        },
      },
    ]);
    expect(ledger.requests).toBe(2);
    expect(ledger.closed).toEqual(["s-M1"]);
    const record = (await recordOf(at))!;
    expect(record).toMatchObject({ state: "ponged", status: "ok" });
    expect(record.ack_done_at).toBeGreaterThanOrEqual(record.dequeued_at);
    expect(record.reply_done_at).toBeGreaterThanOrEqual(record.ack_done_at!);
    expect(await counted(at, "ok")).toBe(1);
    const hook = await edge.DB.prepare("SELECT last_status, last_error FROM hook WHERE id = ?").bind(at.hook).first();
    expect(hook).toEqual({ last_status: "success:wake_slo_probe", last_error: null });
    expect(await rowsOf(at.hook)).toEqual([]);
  });

  it("is answered by a JSON peer, and by one that sends one byte at a time", async () => {
    for (const mode of ["json", "bytes"] as const) {
      const at = await setting();
      await at.control({ mode });
      expect(await consume([queued(at)])).toMatchObject({ acked: 1, wakes: [] });
      expect((await at.ledger()).pongs.map((p) => p.body)).toEqual([PONG]);
    }
  });

  it("is answered with the plain arguments when extended_reply is off", async () => {
    const at = await setting({ slo: { extended_reply: false } });
    await consume([queued(at)]);
    expect((await at.ledger()).calls.at(-1)?.args).toEqual({ session_id: "s-M1", body: PONG, close: true });
  });

  it("(c) in five concurrent copies is answered once", async () => {
    const at = await setting();
    await at.control({ delay: 250 });
    const copies = [0, 1, 2, 3, 4].map(() => queued(at));
    const first = await Promise.all(copies.map((c) => consume([c])));
    expect(first.reduce((n, r) => n + r.acked, 0)).toBe(1);
    expect(first.reduce((n, r) => n + r.retried, 0)).toBe(4);
    // The four come again.
    expect(await consume(copies.slice(1))).toEqual({ acked: 4, retried: 0, wakes: [] });
    const ledger = await at.ledger();
    expect(ledger.pongs).toHaveLength(1);
    expect(ledger.acks).toEqual({ M1: 1 });
    expect(ledger.deduplicated).toBe(0);
  });

  it("is not taken by a copy whose clock was read a moment before the first one's", async () => {
    const at = await setting();
    const claims = sloClaims(edge.AGENT, at.agent);
    const ask = { message_id: "M1", endpoint: at.peer, received_at: 1 };
    expect(await claims.claimProbe({ ...ask, token: "a", now: 100_000 })).toMatchObject({ state: "mine" });
    expect(await claims.claimProbe({ ...ask, token: "b", now: 99_990 })).toEqual({ state: "busy", until: 130_000 });
    expect(await claims.claimProbe({ ...ask, token: "b", now: 129_999 })).toMatchObject({ state: "busy" });
    expect(await claims.claimProbe({ ...ask, token: "b", now: 130_000 })).toMatchObject({ state: "mine" });
    // The clock was set back by an hour: nobody waits that long.
    expect(await claims.claimProbe({ ...ask, token: "c", now: 10_000 })).toMatchObject({ state: "mine" });
  });

  it("(e) whose run died between ack and reply is resumed at the reply", async () => {
    const at = await setting();
    const claims = sloClaims(edge.AGENT, at.agent);
    const dead = { message_id: "M1", token: "dead", endpoint: at.peer, received_at: 1 };
    const then = Date.now() - 31_000;
    expect(await claims.claimProbe({ ...dead, now: then })).toMatchObject({ state: "mine", acked: false });
    expect(await claims.advanceProbe({ message_id: "M1", token: "dead", to: "acked", status: null, now: then })).toBe(
      true,
    );
    expect(await consume([queued(at)])).toMatchObject({ acked: 1, wakes: [] });
    expect(await called(at)).toEqual(["agent_reply"]);
    // The run that was thought dead has lost its claim.
    expect(
      await claims.advanceProbe({ message_id: "M1", token: "dead", to: "fell_through", status: null, now: 0 }),
    ).toBe(false);
  });

  it("whose run died after the reply is replied to again under the same key: one pong", async () => {
    const at = await setting();
    await consume([queued(at)]);
    const object = edge.AGENT.get(edge.AGENT.idFromName(`slo:${at.agent}`)) as unknown as DurableObjectStub<Agent>;
    await runInDurableObject(object, (_o, state) => {
      state.storage.sql.exec("UPDATE slo_claim SET state = 'acked', lease_until = 0");
    });
    expect(await consume([queued(at)])).toMatchObject({ acked: 1, wakes: [] });
    expect(await at.ledger()).toMatchObject({ pongs: [{ key: "wake-slo:M1" }], deduplicated: 1 });
  });

  it("is taken up again after a store failure, and a claim outlives its object", async () => {
    const at = await setting();
    const broken = {
      prepare: () => {
        throw new Error("D1_ERROR: gone");
      },
    };
    expect(await consume([queued(at)], { DB: broken })).toMatchObject({ acked: 0, retried: 1 });
    expect(await called(at)).toEqual([]);
    expect(await consume([queued(at)])).toMatchObject({ acked: 1 });
    expect((await at.ledger()).pongs).toHaveLength(1);
  });

  it("that can be neither answered nor stored is not acked", async () => {
    const at = await setting();
    await at.control({ mode: "500" });
    const queue = {
      sendBatch: async () => {
        throw new Error("queue gone");
      },
    };
    expect(await consume([queued(at)], { WAKE_QUEUE: queue })).toMatchObject({ acked: 0, retried: 1 });
    expect(await recordOf(at)).toMatchObject({ state: "claimed" });
  });
});

describe("a refusing peer", () => {
  it("(b) isError on the ack is no success: no reply, the normal way", async () => {
    const at = await setting();
    await at.control({ refuse: { agent_ack: "BUSY: try later" } });
    await fellThrough(at, [queued(at)], "error:ack_failed");
    expect(await called(at)).toEqual(["agent_ack"]);
    expect(await counted(at, "ok")).toBe(0);
    expect(await counted(at, "error:ack_failed")).toBe(1);
  });

  it("isError on the reply is no success, though the ack passed", async () => {
    const at = await setting();
    await at.control({ refuse: { agent_reply: "STORAGE_FULL: no room" } });
    await fellThrough(at, [queued(at)], "error:reply_failed");
    expect(await called(at)).toEqual(["agent_ack", "agent_reply"]);
    // A copy that comes later is not answered: the recipient has it.
    await at.control({ refuse: {} });
    expect(await consume([queued(at)])).toMatchObject({ acked: 1, wakes: [] });
    expect((await at.ledger()).pongs).toEqual([]);
  });

  it("(f) a steward's key: the ack is refused, the normal way", async () => {
    const at = await setting({ key: STEWARD });
    await fellThrough(at, [queued(at)], "error:ack_failed");
    expect((await at.ledger()).acks).toEqual({});
  });

  it("(g) without agent_ack: auto skips and remembers it, required falls through, off never asks", async () => {
    const auto = await setting({ messages: ["M1", "M2"] });
    await auto.control({ era: "messenger" });
    expect(await consume([queued(auto)])).toMatchObject({ acked: 1, wakes: [] });
    const asked = (await auto.ledger()).requests;
    expect(asked).toBe(2);
    expect(await consume([queued(auto, "M2")])).toMatchObject({ acked: 1, wakes: [] });
    expect((await auto.ledger()).requests - asked).toBe(1);
    expect((await auto.ledger()).pongs.map((p) => p.session)).toEqual(["s-M1", "s-M2"]);

    const required = await setting({ slo: { ack_mode: "required" } });
    await required.control({ era: "messenger" });
    await fellThrough(required, [queued(required)], "error:ack_failed");

    const off = await setting({ slo: { ack_mode: "off" } });
    expect(await consume([queued(off)])).toMatchObject({ acked: 1, wakes: [] });
    expect(await called(off)).toEqual(["agent_reply"]);
  });

  it("a missing agent_ack is asked for again after the hour, and not remembered when the reply failed", async () => {
    const at = await setting({ messages: ["M1", "M2", "M3"] });
    await at.control({ era: "messenger", refuse: { agent_reply: "NOT_FOUND: tool hidden" } });
    await consume([queued(at)]);
    expect((await at.ledger()).requests).toBe(2);
    await at.control({ refuse: {} });
    await consume([queued(at, "M2")]);
    expect((await at.ledger()).requests).toBe(4);
    const claim = { message_id: "X", token: "t", endpoint: at.peer, received_at: 1 };
    const claims = sloClaims(edge.AGENT, at.agent);
    expect(await claims.claimProbe({ ...claim, now: Date.now() + 3_500_000 })).toMatchObject({ skip_ack: true });
    expect(await claims.claimProbe({ ...claim, message_id: "Y", now: Date.now() + 3_700_000 })).toMatchObject({
      skip_ack: false,
    });
  });

  it.each([
    ["401", "error:network"],
    ["500", "error:network"],
    ["redirect", "error:network"],
    ["cut", "error:network"],
    ["accepted", "error:exception"],
    ["garbage", "error:exception"],
    ["half", "error:exception"],
    ["oversize", "error:exception"],
    ["wrong_id", "error:exception"],
  ] as const)("%s is %s, on the ack and on the reply", async (mode, status) => {
    for (const only of ["agent_ack", "agent_reply"] as const) {
      const at = await setting();
      await at.control({ mode, only });
      await fellThrough(at, [queued(at)], status);
    }
  });

  it("a redirect is not followed: the key goes nowhere else", async () => {
    const at = await setting();
    await at.control({ mode: "redirect" });
    const before = ((await (await fetch(`${inject("qoopiaUrl")}/thief/_ledger`)).json()) as { requests: number })
      .requests;
    await consume([queued(at)]);
    const after = ((await (await fetch(`${inject("qoopiaUrl")}/thief/_ledger`)).json()) as { requests: number })
      .requests;
    expect(after).toBe(before);
  });

  it("nobody there is error:network", async () => {
    const at = await setting({ slo: { peer_url: "http://127.0.0.1:1" } });
    await fellThrough(at, [queued(at)], "error:network");
  });
});

describe("a stalled peer", () => {
  it.each(["stall", "hang"] as const)("(i) %s is error:timeout", async (mode) => {
    const at = await setting();
    await at.control({ mode });
    const said = await respond(
      queued(at),
      {
        ...{ mode: "wake", enabled: true, agent_id: at.agent, agent_name: at.agent, answering: true },
        ...{ ack_mode: "auto", extended_reply: true, endpoint: () => new URL(`${at.peer}/mcp`) },
        key: async () => ({ key: KEY }),
      },
      { acked: false, skip_ack: false },
      {
        call: (ask) => callTool({ ...ask, timeout: 200 }, (url, init) => fetch(url, init)),
        acked: async () => true,
        redact: makeRedactor([]),
      },
    );
    expect(said).toEqual({ status: "error:timeout", detail: "no answer within 200 ms" });
  });
});

describe("our own messaging as the peer", () => {
  it("is answered without a network: acked, replied and closed by the recipient itself", async () => {
    const workspace = mail.newWorkspace();
    const north = await mail.newAgent(workspace, "north");
    const south = await mail.newAgent(workspace, "south");
    const sent = await mail.ok(north.key, "agent_send", { to_agent: "south", topic: TOPIC, body: PING });
    const hook = await makeHook({
      ...{ agent_id: south.id, agent_name: "south", slo_key: south.key },
      slo: { peer_url: "http://reveille.test" },
    });
    const [message_id, session_id] = [String(sent["id"]), String(sent["session_id"])];
    const payload = { ...wake({ ...probe(message_id), session_id }), to_agent_id: south.id };
    const body = {
      ...{ hook_id: hook, agent_id: south.id, message_id, session_id, topic: TOPIC, body: PING },
      ...{ received_at: Date.now(), payload: JSON.stringify(payload) },
    };
    expect(await consume([body])).toMatchObject({ acked: 1, wakes: [] });
    const inbox = await mail.items(north.key);
    expect(inbox).toMatchObject([{ session_id, kind: "reply", body: PONG, session_status: "closed" }]);
  });
});

describe("through the hook and the real queues", () => {
  it("(d) a mixed batch: the probe is answered, the ordinary message arrives, and only that", async () => {
    const at = await setting();
    const sender = { to_agent: at.agent.toLowerCase(), to_agent_id: at.agent };
    const response = await exports.default.fetch(`http://reveille.test/hooks/${at.hook}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${SECRET}` },
      body: JSON.stringify({ ...wake(message("real"), probe("M1")), ...sender }),
    });
    expect(response.status).toBe(202);
    await mail.until("the pong", at.ledger, (l) => l.pongs.length === 1);
    const [row, ...more] = await mail.until(
      "the delivery",
      () => rowsOf(at.hook),
      (rows) => rows[0]?.state === "delivered",
    );
    expect(more).toEqual([]);
    expect(JSON.parse(row!.payload)).toMatchObject({ message_id: "real", message_count: 1 });
    expect(row!.payload).not.toContain("WAKE_SLO_PING");
    expect((await at.ledger()).pongs).toHaveLength(1);
  });

  it("five pushes of one probe make one pong", async () => {
    const at = await setting();
    const body = JSON.stringify({ ...wake(probe("M1")), to_agent: at.agent.toLowerCase(), to_agent_id: at.agent });
    const push = () =>
      exports.default.fetch(`http://reveille.test/hooks/${at.hook}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${SECRET}` },
        body,
      });
    const answers = await Promise.all([push(), push(), push(), push(), push()]);
    expect(answers.map((a) => a.status)).toEqual([202, 202, 202, 202, 202]);
    await mail.until("the pong", at.ledger, (l) => l.pongs.length > 0);
    await mail.until(
      "the claim's end",
      () => recordOf(at),
      (r) => r?.state === "ponged",
    );
    expect(await at.ledger()).toMatchObject({ pongs: [{ body: PONG }], acks: { M1: 1 }, deduplicated: 0 });
    expect(await rowsOf(at.hook)).toEqual([]);
  });
});

describe("what is no probe for this hook", () => {
  it.each([
    ["another text", { body: "WAKE_SLO_PING soon" }, "error:body_regex_mismatch"],
    ["an alert's topic", { topic: "WAKE_SLO_P2_ALERT_1" }, "error:body_regex_mismatch"],
    ["no session", { session_id: "" }, "error:missing_ids"],
  ])("%s is %s, without a call", async (_what, more, status) => {
    const at = await setting();
    await fellThrough(at, [queued(at, "M1", more)], status);
    expect((await at.ledger()).requests).toBe(0);
  });

  it("another agent's: error:recipient_mismatch", async () => {
    const at = await setting();
    const payload = JSON.parse(queued(at).payload) as Record<string, unknown>;
    await fellThrough(
      at,
      [queued(at, "M1", { payload: JSON.stringify({ ...payload, to_agent_id: "OTHER" }) })],
      "error:recipient_mismatch",
    );
    expect((await at.ledger()).requests).toBe(0);
  });

  it("answering is off: error:disabled", async () => {
    const at = await setting({ slo: { enabled: false } });
    await fellThrough(at, [queued(at)], "error:disabled");
  });

  it("a message nobody can read goes to the dead letters by retries", async () => {
    expect(await consume([{ what: "ever" }])).toMatchObject({ acked: 0, retried: 1 });
  });
});

describe("keys", () => {
  const key = (at: Setting, more: string = at.agent): string =>
    `WAKE_SLO_KEY__${more.toUpperCase().replace(/[^A-Z0-9]+/g, "_")}`;

  it("the agent's own binding wins; one that is blank means no key at all", async () => {
    const at = await setting({ key: STEWARD });
    expect(await consume([queued(at)], { [key(at)]: KEY })).toMatchObject({ acked: 1, wakes: [] });
    const blank = await setting();
    await fellThrough(blank, [queued(blank)], "error:no_api_key", { [key(blank)]: "  " });
    expect((await blank.ledger()).requests).toBe(0);
  });

  it("a named reference that is not there is no key, whatever is sealed", async () => {
    const at = await setting({ slo: { key_ref: "WAKE_SLO_KEY__ELSEWHERE" } });
    await fellThrough(at, [queued(at)], "error:no_api_key");
    const store = await setting({ slo: { key_ref: "WAKE_SLO_KEY__STORE" }, key: null });
    const bound = { WAKE_SLO_KEY__STORE: { get: async () => ` ${KEY}\n` } };
    expect(await consume([queued(store)], bound)).toMatchObject({ acked: 1, wakes: [] });
    const unread = await setting({ slo: { key_ref: "WAKE_SLO_KEY__STORE" } });
    const failing = { WAKE_SLO_KEY__STORE: { get: () => Promise.reject(new Error("no")) } };
    await fellThrough(unread, [queued(unread)], "error:no_api_key", failing);
  });

  it("with several agents the single key is nobody's", async () => {
    const at = await setting({ key: null });
    await setting();
    await fellThrough(at, [queued(at)], "error:no_api_key", { QOOPIA_API_KEY: KEY });
  });

  it("two agents whose names make one binding share no key", async () => {
    const at = await setting({ key: null });
    await setting({ key: null, hook: { agent_id: "TWIN", agent_name: `${at.agent.toLowerCase()}!` } });
    await fellThrough(at, [queued(at)], "error:no_api_key", { [key(at)]: KEY });
  });

  it("odd characters are no key, and never a header", async () => {
    for (const odd of ["q_ä", "q_a b", "q_a\u0000b", "q_a\r\nx: y"]) {
      const at = await setting({ key: null });
      await fellThrough(at, [queued(at)], "error:no_api_key", { [key(at)]: odd });
      expect((await at.ledger()).requests).toBe(0);
    }
  });

  it("one that a peer repeats stands in no row", async () => {
    const at = await setting();
    await at.control({ mode: "leak" });
    await fellThrough(at, [queued(at)], "error:ack_failed");
    for (const table of ["message_wake", "audit", "hook", "slo_count"]) {
      const { results } = await edge.DB.prepare(`SELECT * FROM ${table}`).all();
      expect(JSON.stringify(results)).not.toContain(KEY);
    }
  });
});
