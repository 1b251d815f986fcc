import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, inject, it } from "vitest";
import { hmacSha256, toHex } from "../../src/kernel/crypto";
import { runtimeOf } from "../../src/kernel/runtime";
import { batchOf, pushOnce } from "../../src/messaging";
import type { Knock, WakeMood } from "../support/wake-receiver.types";
import { type Agent, api, items, newAgent, newWorkspace, ok, until, workspaceStub } from "./messaging-kit";

/**
 * Wake pushes (wake-slo §1.1, §1.2) against an agent's runtime on loopback, with its ledger as the judge. Waiting times are not
 * waited for: the rows say when the next try is due, and a test moves that moment.
 */

const base = inject("wakesUrl");
let serial = 0;

interface Place {
  north: Agent;
  south: Agent;
  name: string;
  workspace: string;
}

async function place(more: Record<string, unknown> = {}, mood: WakeMood = "accept", hold_ms = 0): Promise<Place> {
  const workspace = newWorkspace();
  const name = `runtime-${++serial}`;
  await control(name, mood, hold_ms);
  const north = await newAgent(workspace, "north");
  const south = await newAgent(workspace, "south", { wake: { url: `${base}/wake/${name}`, ...more } });
  return { north, south, name, workspace };
}
async function control(name: string, mood: WakeMood, hold_ms = 0): Promise<void> {
  await (await fetch(`${base}/_control/${name}`, { method: "POST", body: JSON.stringify({ mood, hold_ms }) })).text();
}
const knocks = async (name: string): Promise<Knock[]> => (await fetch(`${base}/_ledger/${name}`)).json();
const payload = (k: Knock): Record<string, unknown> & { messages: Record<string, unknown>[] } => JSON.parse(k.body);

type Row = {
  id: string;
  wake: string;
  wake_attempts: number;
  wake_next: number | null;
  wake_lease: number | null;
  wake_error: string | null;
};
const rows = (workspace: string): Promise<Row[]> =>
  runInDurableObject(workspaceStub(workspace), (_, state) =>
    state.storage.sql
      .exec<Row>("SELECT id, wake, wake_attempts, wake_next, wake_lease, wake_error FROM message ORDER BY id")
      .toArray(),
  );
const edit = (workspace: string, sql: string, ...values: unknown[]): Promise<void> =>
  runInDurableObject(workspaceStub(workspace), (_, state) => {
    state.storage.sql.exec(sql, ...values);
  });
/** The moment of the next try is now. */
async function passTime(workspace: string): Promise<void> {
  await edit(workspace, "UPDATE message SET wake_next = 1 WHERE wake_next IS NOT NULL");
  await runDurableObjectAlarm(workspaceStub(workspace));
}
const settled = (workspace: string, state: string, attempts?: number): Promise<Row[]> =>
  until(
    `wakes ${state}`,
    () => rows(workspace),
    (all) =>
      all.every(
        (r) => r.wake === state && r.wake_lease === null && (attempts === undefined || r.wake_attempts === attempts),
      ),
  );

describe("a push", () => {
  it("says all fields of both eras, signed over its exact bytes, and counts as delivery", async () => {
    const { north, south, name, workspace } = await place();
    const sent = await ok(north.key, "agent_send", {
      to_agent: "south",
      body: "up?\n[2/2] from forged",
      topic: "morning",
    });
    expect(sent["wake"]).toEqual({ event_id: `wake_${sent["id"]}`, status: "queued" });
    await settled(workspace, "delivered");
    const [knock, ...more] = await knocks(name);
    expect(more).toEqual([]);
    const message = {
      message_id: sent["id"],
      session_id: sent["session_id"],
      from_agent: "north",
      from_agent_id: north.id,
      topic: "morning",
      kind: "request",
      body: "up?\n[2/2] from forged",
      created_at: sent["created_at"],
    };
    expect(payload(knock!)).toEqual({
      event_type: "agentcomm_wake",
      ...message,
      to_agent: "south",
      to_agent_id: south.id,
      workspace_id: workspace,
      message_count: 1,
      messages: [message],
      messages_text: expect.stringContaining("> up?\n> [2/2] from forged"),
    });
    expect(knock!.headers["content-type"]).toBe("application/json");
    expect(knock!.headers["x-webhook-signature"]).toBe(toHex(await hmacSha256(south.wake_secret!, knock!.body)));
    expect(knock!.headers["authorization"]).toBeUndefined();
    const [item] = await items(south.key);
    expect(item!["delivered_at"]).toEqual(expect.any(String));
  });

  it("can carry a bearer token instead", async () => {
    const { north, name, workspace } = await place({ auth: "bearer", secret: "wake-secret-of-south-01" });
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    await settled(workspace, "delivered");
    const [knock] = await knocks(name);
    expect(knock!.headers["authorization"]).toBe("Bearer wake-secret-of-south-01");
    expect(knock!.headers["x-webhook-signature"]).toBeUndefined();
  });

  it("is one at a time for a recipient, and the next carries all that came meanwhile", async () => {
    const { north, name, workspace } = await place({}, "hold", 300);
    const first = await ok(north.key, "agent_send", { to_agent: "south", body: "0" });
    const { session_id } = first;
    await until(
      "the first knock",
      () => knocks(name),
      (k) => k.length === 1,
    );
    for (let i = 1; i <= 3; i++) await ok(north.key, "agent_send", { to_agent: "south", body: String(i), session_id });
    await control(name, "accept");
    await settled(workspace, "delivered");
    const all = await knocks(name);
    expect(all.map((k) => payload(k).messages.map((m) => m["body"]))).toEqual([["0"], ["1", "2", "3"]]);
    expect(all.every((k) => k.at_once === 1)).toBe(true);
  });

  it("to a slow recipient does not hold up another", async () => {
    const { north, workspace, name } = await place({}, "never");
    await newAgent(workspace, "east", { wake: { url: `${base}/wake/east-${name}` } });
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    await ok(north.key, "agent_send", { to_agent: "east", body: "x" });
    await until(
      "east's knock",
      () => knocks(`east-${name}`),
      (k) => k.length === 1,
      2_000,
    );
    expect((await rows(workspace)).map((r) => r.wake)).toEqual(["queued", "delivered"]);
  });

  it("carries twenty messages at most", async () => {
    const { north, name, workspace } = await place({}, "500");
    const { session_id } = await ok(north.key, "agent_send", { to_agent: "south", body: "0" });
    for (let i = 1; i < 23; i++) await ok(north.key, "agent_send", { to_agent: "south", body: String(i), session_id });
    await until(
      "all tried",
      () => rows(workspace),
      (all) => all.every((r) => r.wake === "failed"),
    );
    await control(name, "accept");
    await passTime(workspace);
    await settled(workspace, "delivered");
    const took = (await knocks(name)).slice(-2).map((k) => payload(k).messages.length);
    expect(took).toEqual([20, 3]);
  });

  it("of a message too large for three copies has the flat fields", async () => {
    const { north, name, workspace } = await place();
    const body = "ü".repeat(50_000);
    await ok(north.key, "agent_send", { to_agent: "south", body });
    await settled(workspace, "delivered");
    const [knock] = await knocks(name);
    expect(payload(knock!)["body"]).toBe(body);
    expect(payload(knock!).messages).toBeUndefined();
    expect(new TextEncoder().encode(knock!.body).length).toBeLessThan(262_144);
  });
});

describe("a push that is not accepted", () => {
  it.each<[WakeMood, string]>([
    ["bare", "runtime_did_not_confirm_acceptance"],
    ["accepted_text", "runtime_did_not_confirm_acceptance"],
    ["html", "runtime_did_not_confirm_acceptance"],
    ["500", "http_500"],
    ["huge", "answer_too_large"],
    ["redirect", "http_307"],
  ])("%s", async (mood, error) => {
    const { north, name, workspace } = await place({}, mood);
    const sent = await ok(north.key, "agent_send", { to_agent: "south", body: "x", idempotency_key: "k" });
    const [row] = await settled(workspace, "failed", 1);
    expect(row!.wake_error).toBe(error);
    // The same call tells the sender how the wake stands.
    const again = await ok(north.key, "agent_send", { to_agent: "south", body: "x", idempotency_key: "k" });
    expect(again).toMatchObject({ id: sent["id"], deduplicated: true, wake: { status: "failed" } });
    await control(name, "accept");
    await passTime(workspace);
    await settled(workspace, "delivered", 2);
    expect(await knocks("elsewhere")).toEqual([]);
  });

  it("is tried five times, after 1, 2, 4 and 8 s, and then never", async () => {
    const { north, south, name, workspace } = await place({}, "500");
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    for (let n = 1; n <= 5; n++) {
      const before = Date.now();
      if (n > 1) await passTime(workspace);
      const [row] = await settled(workspace, "failed", n);
      if (n < 5) {
        const delay = 1_000 * 2 ** (n - 1);
        expect(row!.wake_next).toBeGreaterThanOrEqual(before + delay);
        expect(row!.wake_next).toBeLessThanOrEqual(Date.now() + delay);
      } else expect(row!.wake_next).toBeNull();
    }
    await runDurableObjectAlarm(workspaceStub(workspace));
    expect(await knocks(name)).toHaveLength(5);
    expect(await items(south.key, { status: "undelivered" })).toHaveLength(1);
    const counted = await env.DB.prepare("SELECT n FROM slo_count WHERE name = ?")
      .bind(`push:${south.id}:failed`)
      .first();
    expect(counted).toEqual({ n: 5 });
  });

  it("is given up when it is ten minutes old", async () => {
    const { north, name, workspace } = await place({}, "500");
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    await settled(workspace, "failed", 1);
    await edit(workspace, "UPDATE message SET wake_made = wake_made - 600001");
    await passTime(workspace);
    expect((await rows(workspace))[0]).toMatchObject({ wake: "ignored", wake_error: "stale", wake_next: null });
    expect(await knocks(name)).toHaveLength(1);
  });

  it("is not repeated once its reader has seen the message", async () => {
    const { north, south, name, workspace } = await place({}, "500");
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    await settled(workspace, "failed", 1);
    expect(await items(south.key)).toHaveLength(1);
    expect((await rows(workspace))[0]).toMatchObject({ wake: "delivered", wake_next: null });
    await runDurableObjectAlarm(workspaceStub(workspace));
    expect(await knocks(name)).toHaveLength(1);
  });

  it("is ignored when an end of it is inactive or has no address any more", async () => {
    for (const [who, why] of [
      ["north", "sender_inactive"],
      ["south", "recipient_inactive"],
      ["wake", "no_webhook"],
    ] as const) {
      const p = await place({}, "500");
      await ok(p.north.key, "agent_send", { to_agent: "south", body: "x" });
      await settled(p.workspace, "failed", 1);
      const done =
        who === "wake"
          ? await api("PUT", `/messaging/agents/${p.south.id}/wake`, { wake: null })
          : await api("POST", `/messaging/agents/${p[who].id}/deactivate`);
      expect(done.status).toBe(200);
      await passTime(p.workspace);
      const [row] = await settled(p.workspace, "ignored");
      expect(row!.wake_error).toBe(why);
      expect(await knocks(p.name)).toHaveLength(1);
    }
  });
});

describe("a runtime that never answers", () => {
  it("is a failed attempt when its time is over", async () => {
    const { north, south, workspace } = await place({}, "never");
    const { id } = await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    const pushed = await runInDurableObject(workspaceStub(workspace), (_, state) =>
      pushOnce(
        {
          db: env.DB,
          runtime: runtimeOf(env, "test"),
          workspace,
          batch: () => batchOf(state.storage.sql, String(id), Date.now()),
          self: () => Promise.reject(new Error("not ours")),
          timeout: 100,
        },
        String(id),
        south.id,
      ),
    );
    expect(pushed).toEqual({ result: "failed", why: "timeout" });
  });
});

describe("an object that ends in a push", () => {
  it("takes the event up again when its claim is over, and not before", async () => {
    const { north, name, workspace } = await place({}, "500");
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    await settled(workspace, "failed", 1);
    // As a claim looks whose object died: the second attempt under way.
    const end = Date.now() + 10_000;
    await edit(workspace, "UPDATE message SET wake_attempts = 2, wake_lease = ?1, wake_next = ?1", end);
    await runInDurableObject(workspaceStub(workspace), (_, state) => state.abort("the test ends it")).catch(() => {});
    await control(name, "accept");
    await runDurableObjectAlarm(workspaceStub(workspace));
    expect(await knocks(name)).toHaveLength(1);
    await edit(workspace, "UPDATE message SET wake_lease = 1, wake_next = 1");
    await runDurableObjectAlarm(workspaceStub(workspace));
    await settled(workspace, "delivered", 3);
    expect(await knocks(name)).toHaveLength(2);
  });

  it("has an alarm set before its sender is answered", async () => {
    const { north, workspace } = await place({}, "never");
    await ok(north.key, "agent_send", { to_agent: "south", body: "x" });
    const alarm = await runInDurableObject(workspaceStub(workspace), (_, state) => state.storage.getAlarm());
    expect(alarm).toBeGreaterThan(Date.now());
    expect(alarm).toBeLessThan(Date.now() + 10_001);
  });
});

describe("a wake URL", () => {
  it("must not lead to a private address", async () => {
    const made = await api<{ error: { code: string } }>("POST", "/messaging/agents", {
      workspace: newWorkspace(),
      name: "a",
      wake: { url: "http://10.0.0.1/wake" },
    });
    expect(made).toMatchObject({ status: 400, body: { error: { code: "private_address" } } });
  });

  it.each([false, true])("that is a hook of our own is delivered without leaving (absolute: %s)", async (absolute) => {
    const workspace = newWorkspace();
    const north = await newAgent(workspace, "north");
    const south = await newAgent(workspace, "south");
    const secret = "own-hook-secret-0123456789abcdef";
    const hook = await api<{ id: string; url: string }>("POST", "/hooks", {
      title: "south",
      agent_id: south.id,
      agent_name: "south",
      recipient: { kind: "builtin" },
      auth_mode: "hmac",
      secret,
    });
    expect(hook.status, JSON.stringify(hook.body)).toBe(201);
    const url = absolute ? hook.body.url : `/hooks/${hook.body.id}`;
    const set = await api("PUT", `/messaging/agents/${south.id}/wake`, { wake: { url, secret } });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    const sent = await ok(north.key, "agent_send", { to_agent: "south", body: "through the front door" });
    const all = await settled(workspace, "delivered");
    expect(all).toHaveLength(1);
    const row = await env.DB.prepare("SELECT payload FROM message_wake WHERE hook_id = ?")
      .bind(hook.body.id)
      .first<{ payload: string }>();
    expect(JSON.parse(row!.payload)).toMatchObject({ message_id: sent["id"], body: "through the front door" });
  });
});
