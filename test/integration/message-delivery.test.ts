import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, inject, it } from "vitest";
import type { WakeMessage } from "../../durable-objects/env";
import { sessionObject } from "../../durable-objects/session.stub";
import type { ConsumerEnv } from "../../src/consumer/env";
import { consumeWakes } from "../../src/consumer/wake.consumer";
import { storeWake, sweepMessages } from "../../src/hooks";
import { DAY, MINUTE } from "../../src/kernel/clock";
import type { Ledger } from "../support/platforms.types";
import { gateway, made, stopAll } from "./gateway-kit";
import { api, edge, makeHook, message, wake } from "./hooks-kit";
import * as mail from "./messaging-kit";
import { keysOf, signAnnounce } from "./onion-kit";

/**
 * A real message of a hook to each kind of recipient, its retries and its end. Real D1, objects and relay; queue `wake`'s handler
 * is called with batches. What it does not prove: the queue's own delays.
 */

type Loose = Record<string, unknown>;

interface Row {
  state: string;
  attempts: number;
  result: string | null;
  last_error: string | null;
  next_at: number;
  received_at: number;
}
const rowOf = async (id: string): Promise<Row> =>
  (await edge.DB.prepare("SELECT * FROM message_wake WHERE wake_id = ?").bind(id).first<Row>())!;

/** Runs queue `wake` over these wakes. What it sends to queues is kept here. */
async function run(ids: string[], more: Loose = {}) {
  const sent: { body: WakeMessage; delay: number }[] = [];
  const runs: Loose[] = [];
  const bindings = {
    ...edge,
    WAKE_QUEUE: {
      send: async (body: WakeMessage, o?: { delaySeconds: number }) =>
        void sent.push({ body, delay: o?.delaySeconds ?? 0 }),
    },
    RUNS_QUEUE: { send: async (body: Loose) => void runs.push(body) },
    ...more,
  } as unknown as ConsumerEnv;
  const batch = createMessageBatch(
    "reveille-wake",
    ids.map((wake_id) => ({
      ...{ id: crypto.randomUUID(), timestamp: new Date(), attempts: 1 },
      body: { wake_id, kind: "message" },
    })),
  );
  const ctx = createExecutionContext();
  await consumeWakes(batch, bindings);
  const result = await getQueueResult(batch, ctx);
  return { acked: result.explicitAcks.length, sent, runs };
}

let n = 0;
/** A wake of a hook with this recipient. */
async function waiting(recipient: Loose, more: Loose = {}, at = Date.now()) {
  const hook = await makeHook({ recipient, ...more });
  const id = `D${++n}`;
  const payload = wake(message(id));
  const { wake_ids } = await storeWake(edge.DB, { hook_id: hook, payload, via: "hook", now: at });
  return { hook, id, payload, wake_id: wake_ids[0]! };
}

const hookRow = (id: string) =>
  edge.DB.prepare("SELECT last_status, last_error FROM hook WHERE id = ?").bind(id).first<Loose>();

describe("an operator's own receiver", () => {
  const url = (): string => `${inject("platformsUrl")}/hook`;
  const control = (body: object) =>
    fetch(`${inject("platformsUrl")}/_control`, { method: "POST", body: JSON.stringify(body) });
  const ledger = async () => (await fetch(`${inject("platformsUrl")}/_ledger`)).json<Ledger>();

  it("gets the message signed, once", async () => {
    await (await control({ reset: true })).text();
    const { wake_id, hook, payload } = await waiting({ kind: "webhook", url: url() });
    expect(await run([wake_id, wake_id])).toMatchObject({ acked: 2, sent: [] });
    expect(await rowOf(wake_id)).toMatchObject({ state: "delivered", attempts: 1, result: "http_200" });
    expect(await hookRow(hook)).toEqual({ last_status: "success", last_error: null });
    const mine = (await ledger()).webhook.filter((h) => h.idempotency_key === wake_id);
    // The receiver checks the signature by itself.
    expect(mine).toMatchObject([{ signature: "ok", body: { id: wake_id, hook_id: hook, payload } }]);
  });
});

describe("an agent's inbox", () => {
  it("gets the message as mail; one that is not there is tried again", async () => {
    const workspace = mail.newWorkspace();
    const agent = await mail.newAgent(workspace, "south");
    const { wake_id, id } = await waiting({ kind: "mail", workspace, agent_id: agent.id });
    expect(await run([wake_id])).toMatchObject({ acked: 1, sent: [] });
    const items = await mail.items(agent.key);
    expect(items).toHaveLength(1);
    expect(items[0]!.body).toContain(`text of ${id}`);
    expect(items[0]!.body).toContain("UNTRUSTED PAYLOAD");
    const gone = await waiting({ kind: "mail", workspace, agent_id: "NOBODY" });
    expect((await run([gone.wake_id])).sent).toEqual([{ body: { wake_id: gone.wake_id, kind: "message" }, delay: 5 }]);
    expect(await rowOf(gone.wake_id)).toMatchObject({
      state: "new",
      attempts: 1,
      last_error: expect.stringContaining("NOT_FOUND"),
    });
  });
});

describe("the built-in agent", () => {
  it("gets a run in the session of the sender's session; the same wake again is no second run", async () => {
    const { wake_id, hook } = await waiting({ kind: "builtin" });
    expect(await run([wake_id])).toMatchObject({ acked: 1 });
    const row = await rowOf(wake_id);
    expect(row).toMatchObject({
      state: "delivered",
      result: expect.stringMatching(`^session hook-${hook}-[0-9a-f]{24}$`),
    });
    const session = sessionObject(edge.SESSION, row.result!.slice("session ".length));
    // The consumer beside this test takes the run off the real queue and answers it by rules.
    const record = await mail.until(
      "an answer",
      () => session.record(),
      (r) => r?.record.status === "done",
    );
    expect(record?.owner).toBe(`hook:${hook}`);
    await edge.DB.prepare("UPDATE message_wake SET state = 'claimed', lease_until = 0 WHERE wake_id = ?")
      .bind(wake_id)
      .run();
    await run([wake_id]);
    expect((await session.record())?.record).toEqual(record?.record);
  });

  it("a session somebody else made under that name does not hold it up", async () => {
    const { wake_id, hook } = await waiting({ kind: "builtin" });
    const { sessionFor } = await import("../../src/hooks");
    const { readHook, readWake } = await import("../../src/hooks");
    const handover = {
      hook: (await readHook(edge.DB, hook))!,
      row: (await readWake(edge.DB, wake_id))!,
      payload: wake(message(`D${n}`)),
    };
    const name = await sessionFor(handover);
    await sessionObject(edge.SESSION, name).submit("0xthief", name, "mine", null, null);
    await run([wake_id]);
    expect(await rowOf(wake_id)).toMatchObject({ state: "delivered", result: expect.stringContaining(`${name}-`) });
  });
});

describe("an agent behind the relay", () => {
  it("gets CONNECT and INPUT in the sender's session; offline it is tried again", async () => {
    const keys = await keysOf(`told-${crypto.randomUUID()}`);
    const { wake_id, hook, id } = await waiting({ kind: "agent", address: keys.address });
    const first = await run([wake_id]);
    expect(first.sent).toEqual([{ body: { wake_id, kind: "message" }, delay: 5 }]);
    expect(await rowOf(wake_id)).toMatchObject({ state: "new", last_error: "agent offline" });
    expect(await hookRow(hook)).toEqual({ last_status: "error:no_response", last_error: "error:no_response" });

    const response = await exports.default.fetch("http://reveille.test/ws/announce", {
      headers: { upgrade: "websocket" },
    });
    const ws = response.webSocket!;
    const heard: Loose[] = [];
    ws.accept();
    ws.addEventListener("message", ({ data }) => {
      const frame = JSON.parse(String(data)) as Loose;
      heard.push(frame);
      const { session_id } = frame;
      if (frame["type"] === "CONNECT") ws.send(JSON.stringify({ type: "CONNECTED", session_id, status: "new" }));
      if (frame["type"] === "INPUT") ws.send(JSON.stringify({ type: "thinking", session_id, id: "t1" }));
    });
    ws.send(await signAnnounce(keys));
    await mail.until(
      "the announcement",
      async () => heard,
      (h) => h.some((f) => f["type"] === "ANNOUNCE_OK"),
    );
    await edge.DB.prepare("UPDATE message_wake SET next_at = 0 WHERE wake_id = ?").bind(wake_id).run();
    await run([wake_id]);
    expect(await rowOf(wake_id)).toMatchObject({ state: "delivered", attempts: 2, result: "answered thinking" });
    const input = heard.find((f) => f["type"] === "INPUT")!;
    expect(input).toMatchObject({ input_id: wake_id, session_id: expect.stringMatching(`^hook-${hook}-`) });
    expect(input["prompt"]).toContain(`text of ${id}`);
    ws.close();
  });
});

describe("a gateway's instance", () => {
  afterEach(stopAll);

  it("gets the message once, through its object, as an event of the chat the hook names", async () => {
    const m = await made(["slack"]);
    const g = gateway(m);
    await g.connect();
    const chat = { platform: "slack", chat_id: "C1", user_id: "U1", scope_id: "T1" };
    const { wake_id } = await waiting({ kind: "gateway", ...m.to, ...chat });
    await run([wake_id]);
    await g.until("handled", () => g.handled.length === 1);
    const row = await rowOf(wake_id);
    expect(row).toMatchObject({ state: "delivered", result: expect.stringMatching(/^gateway stored \d+$/) });
    expect(g.handled[0]!.text).toContain("text of ");
    expect(g.frames.find((f) => f["type"] === "inbound")).toMatchObject({
      event: { message_id: wake_id, source: chat },
    });
    // The queue brings it again, and the row is as it was before: the object knows it.
    await edge.DB.prepare("UPDATE message_wake SET state = 'new', next_at = 0 WHERE wake_id = ?").bind(wake_id).run();
    await run([wake_id]);
    expect(await rowOf(wake_id)).toMatchObject({
      state: "delivered",
      result: expect.stringMatching(/^gateway duplicate/),
    });
    expect(g.handled).toHaveLength(1);
  });
});

describe("a message that can't be delivered", () => {
  const nobody = { kind: "webhook", url: "http://127.0.0.1:1/" };

  it("waits longer each time, dies after a day with a letter and a notice, and can be sent again", async () => {
    const { wake_id, hook } = await waiting(nobody, {}, Date.now() - DAY + 100_000);
    const delays: number[] = [];
    for (let i = 0; i < 4; i++) {
      const { sent } = await run([wake_id]);
      delays.push(sent.find((s) => s.body.kind === "message")?.delay ?? -1);
      await edge.DB.prepare("UPDATE message_wake SET next_at = 0 WHERE wake_id = ? AND state = 'new'")
        .bind(wake_id)
        .run();
    }
    expect(delays).toEqual([5, 15, 60, -1]);
    expect(await rowOf(wake_id)).toMatchObject({ state: "dead", attempts: 4 });
    expect(await hookRow(hook)).toMatchObject({ last_error: "error:no_wake_handler" });
    const letter = await edge.DB.prepare("SELECT id, reason FROM dead_letter WHERE kind = 'message' AND ref = ?")
      .bind(wake_id)
      .first<{ id: string; reason: string }>();
    expect(letter?.reason).toMatch(/^Not delivered within a day: /);
    const told = await edge.DB.prepare("SELECT event, severity FROM wake WHERE wake_id LIKE ?")
      .bind(`undelivered-${wake_id}%`)
      .all();
    expect(told.results).toEqual([{ event: "undelivered", severity: "warning" }]);
    // Nothing moves it but a person.
    expect(await run([wake_id])).toMatchObject({ acked: 1, sent: [] });
    const replayed = await api("POST", `/dead-letters/${letter!.id}/replay`, {});
    expect(replayed.status).toBeLessThan(300);
    expect((await rowOf(wake_id)).state).not.toBe("dead");
  });

  it("of a hook that is gone dies at once", async () => {
    const { wake_id, hook } = await waiting(nobody);
    await api("DELETE", `/hooks/${hook}`);
    await run([wake_id]);
    expect(await rowOf(wake_id)).toMatchObject({ state: "dead", last_error: "the hook is gone" });
  });
});

describe("the sweeper", () => {
  it("sends again what was lost, what is due, and what died in a run; a claim that lives is left alone", async () => {
    const at = Date.now();
    const [lost, held, died] = [
      await waiting({ kind: "builtin" }),
      await waiting({ kind: "builtin" }),
      await waiting({ kind: "builtin" }),
    ];
    const claim =
      "UPDATE message_wake SET state = 'claimed', attempts = 1, claimed_by = 'x', lease_until = ?1, next_at = ?1 WHERE wake_id = ?2";
    await edge.DB.prepare(claim)
      .bind(at + 5 * MINUTE, held.wake_id)
      .run();
    await edge.DB.prepare(claim)
      .bind(at - 1, died.wake_id)
      .run();
    const sent: string[] = [];
    await sweepMessages(edge.DB, at + 2 * MINUTE, async (ids) => void sent.push(...ids));
    expect(sent).toContain(lost.wake_id);
    expect(sent).toContain(died.wake_id);
    expect(sent).not.toContain(held.wake_id);
    await run([held.wake_id]);
    expect(await rowOf(held.wake_id)).toMatchObject({ state: "claimed", attempts: 1 });
    await run([died.wake_id]);
    expect(await rowOf(died.wake_id)).toMatchObject({ state: "delivered", attempts: 2 });
  });
});

it("the whole way through both real Workers: a hook's message reaches its receiver", async () => {
  const hook = await makeHook({ recipient: { kind: "builtin" } });
  const answer = await exports.default.fetch(`http://reveille.test/hooks/${hook}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer hook-secret-0001-abcdef" },
    body: JSON.stringify(wake(message(`D${++n}`))),
  });
  expect(answer.status).toBe(202);
  await mail.until(
    "the delivery",
    () => edge.DB.prepare("SELECT state FROM message_wake WHERE hook_id = ?").bind(hook).first<{ state: string }>(),
    (r) => r?.state === "delivered",
  );
  expect(env).toBeDefined();
});
