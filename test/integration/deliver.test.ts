import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { readAudit } from "../../src/audit";
import type { Channel, DeliverResult, Notice } from "../../src/notify";
import { createActions, deliver, giveBackAction, useAction } from "../../src/notify";
import { LEASE } from "../../src/notify/attempts";
import { slackChannel } from "../../src/notify/channels/slack.channel";
import { claimAttempt } from "../../src/notify/notice.store";
import { control, handClock, ledger, notice, runtimeWith } from "./notify-kit";

/**
 * Delivery over real D1 rows and real HTTP to the stand-ins: order, fallback, resume after a crash, one send under a race.
 * The oracle is the stand-ins' ledger. Not proven here: that the consumer calls `deliver` at the right time.
 */

const ORDER = { REVEILLE_NOTICE_CHANNELS: "slack,telegram" };

function setup(more: Record<string, unknown> = ORDER) {
  const clock = handClock();
  const runtime = runtimeWith(more, clock);
  const send = (n: Notice, opts: { push?: boolean; reason?: string } = {}, channels?: Channel[]) =>
    deliver({ db: env.DB, runtime, ...(channels ? { channels } : {}) }, n, {
      wake_id: `wake-${n.incident_id}-${n.event}`,
      ...opts,
    });
  /** Calls again at each time asked for, as the queue consumer does. */
  const drive = async (n: Notice, opts = {}): Promise<{ result: DeliverResult; waits: number[] }> => {
    const waits: number[] = [];
    for (let i = 0; i < 20; i++) {
      const result = await send(n, opts);
      if (result.done) return { result, waits };
      waits.push(result.retry_at - clock.now());
      clock.add(result.retry_at - clock.now());
    }
    throw new Error("never done");
  };
  return { clock, runtime, send, drive };
}

const attempts = async (n: Notice) =>
  (
    await env.DB.prepare("SELECT channel, n, state, error FROM notice_attempt WHERE notice_id = ? ORDER BY id")
      .bind(n.id)
      .all<{ channel: string; n: number; state: string; error: string | null }>()
  ).results;
const states = async (n: Notice) => (await attempts(n)).map((a) => `${a.channel} ${a.n} ${a.state}`);
const stored = (n: Notice) =>
  env.DB.prepare("SELECT * FROM notice WHERE id = ?").bind(n.id).first<{ dm_status: string | null; title: string }>();

beforeEach(() => control({ reset: true }));

describe("the ordinary way", () => {
  test("inbox first, then the first channel, once, however often it is called", async () => {
    const { send } = setup();
    const n = notice();
    const first = await send(n);
    expect(first).toEqual({ done: true, channel: "slack", dm: "sent" });
    expect(await send(n)).toEqual(first);
    expect(await send({ ...n, id: "made-again-by-a-retry" })).toEqual(first);
    expect(await states(n)).toEqual(["inbox 1 sent", "slack 1 sent"]);
    expect((await stored(n))?.dm_status).toBe("sent");
    expect((await ledger()).slack).toHaveLength(1);
    expect((await ledger()).telegram).toHaveLength(0);
    const rows = await readAudit(env.DB, { incident_id: n.incident_id!, limit: 10 });
    expect(rows.map((r) => [r.seam, r.source, r.details["channel"], r.details["state"]])).toEqual([
      ["notification.dispatched", "slack_dm", "slack", "sent"],
      ["notification.dispatched", null, "inbox", "sent"],
    ]);
    expect(JSON.stringify(rows)).not.toContain(n.title);
  });

  test("without any channel the inbox is the delivery", async () => {
    const { send } = setup({ REVEILLE_NOTICE_CHANNELS: "email", EMAIL: undefined });
    const n = notice();
    expect(await send(n)).toEqual({ done: true, channel: "inbox", dm: "sent" });
    expect(await states(n)).toEqual(["inbox 1 sent"]);
  });

  test("push:false stays in the inbox and says why", async () => {
    const { send } = setup();
    const n = notice();
    expect(await send(n, { push: false, reason: "muted" })).toEqual({ done: true, channel: null, dm: "suppressed" });
    expect(await attempts(n)).toMatchObject([
      { channel: "inbox" },
      { channel: "slack", state: "suppressed", error: "muted" },
    ]);
    expect((await ledger()).calls).toHaveLength(0);
  });

  test("a secret in a notice is hidden in the row and in the message", async () => {
    const { send } = setup();
    const n = notice({ body: "seen: xoxb-test-slack-bot-token-0001 in a reply" });
    await send(n);
    expect(JSON.stringify([await stored(n), (await ledger()).slack])).not.toContain("bot-token-0001");
  });
});

describe("when a channel fails", () => {
  test("three failures, 5 s and 30 s apart, then the next channel", async () => {
    await control({ slack: { mode: "5xx" } });
    const { drive } = setup();
    const n = notice();
    const { result, waits } = await drive(n);
    expect(result).toEqual({ done: true, channel: "telegram", dm: "sent" });
    expect(waits).toEqual([5_000, 30_000]);
    expect(await states(n)).toEqual([
      "inbox 1 sent",
      "slack 1 failed",
      "slack 2 failed",
      "slack 3 failed",
      "telegram 1 sent",
    ]);
    const log = await ledger();
    expect([log.calls.length, log.slack.length, log.telegram.length]).toEqual([4, 0, 1]);
  });

  test("a permanent refusal falls back at once", async () => {
    await control({ slack: { mode: "invalid_auth" } });
    const { send } = setup();
    const n = notice();
    expect(await send(n)).toEqual({ done: true, channel: "telegram", dm: "sent" });
    expect((await attempts(n))[1]).toMatchObject({ state: "failed", error: "permanent: invalid_auth" });
  });

  test("it recovers on the same channel and keeps the vendor's pause", async () => {
    await control({ slack: { mode: "ratelimited", retry_after: 12, times: 1 } });
    const { drive } = setup();
    const n = notice();
    const { result, waits } = await drive(n);
    expect(result).toMatchObject({ channel: "slack" });
    expect(waits).toEqual([12_000]);
  });

  test("calling too early does not send", async () => {
    await control({ slack: { mode: "5xx" } });
    const { send, clock } = setup();
    const n = notice();
    const first = await send(n);
    clock.add(4_999);
    expect(await send(n)).toEqual(first);
    expect((await ledger()).calls).toHaveLength(1);
  });

  test("all channels down is failed_send, and stays so", async () => {
    await control({ slack: { mode: "5xx" }, telegram: { mode: "5xx" } });
    const { drive, send } = setup();
    const n = notice();
    expect((await drive(n)).result).toEqual({ done: true, channel: null, dm: "failed_send" });
    expect(await states(n)).toHaveLength(7);
    await control({ reset: true });
    expect(await send(n)).toEqual({ done: true, channel: null, dm: "failed_send" });
    expect((await ledger()).slack).toHaveLength(0);
  });

  test("a channel that throws is a failed try, not a failed delivery", async () => {
    const { send } = setup();
    const broken: Channel = { name: "slack", missing: () => [], send: () => Promise.reject(new Error("broken")) };
    const n = notice();
    expect(await send(n, {}, [broken])).toMatchObject({ done: false });
    expect((await attempts(n))[1]).toMatchObject({ state: "unknown", error: "Error: broken" });
  });
});

describe("crash and race", () => {
  /** What a run leaves that was killed after its row was written. */
  const crashed = (n: Notice, at: number) =>
    env.DB.prepare(
      "INSERT INTO notice_attempt (notice_id, incident_id, channel, n, state, started_at) VALUES (?, ?, 'slack', 1, 'sending', ?)",
    )
      .bind(n.id, n.incident_id, at)
      .run();
  const onlyInbox = async (n: Notice, at: number) => {
    await env.DB.prepare(
      `INSERT INTO notice (id, wake_id, incident_id, event, severity, title, body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
      .bind(n.id, `wake-${n.incident_id}-${n.event}`, n.incident_id, n.event, n.severity, n.title, n.body, at)
      .run();
  };

  test("a try that is still under way is waited for, then called unknown and counted", async () => {
    const { send, clock } = setup();
    const n = notice();
    await onlyInbox(n, clock.now());
    await crashed(n, clock.now());
    expect(await send(n)).toEqual({ done: false, retry_at: clock.now() + LEASE });
    expect((await ledger()).calls).toHaveLength(0);
    clock.add(LEASE);
    expect(await send(n)).toEqual({ done: false, retry_at: clock.now() + 5_000 });
    expect(await attempts(n)).toMatchObject([
      { n: 1, state: "unknown", error: expect.stringContaining("may have been sent") },
    ]);
    clock.add(5_000);
    expect(await send(n)).toEqual({ done: true, channel: "slack", dm: "sent" });
    expect(await states(n)).toEqual(["slack 1 unknown", "slack 2 sent"]);
    const [message] = (await ledger()).slack;
    // The key is that of the lost try, so that the platform can drop a repeat.
    await slackChannel.send(runtimeWith(ORDER), {
      notice: n,
      thread: null,
      broadcast: false,
      idempotency_key: `${n.id}:slack`,
    });
    expect((await ledger()).slack[1]?.client_msg_id).toBe(message?.client_msg_id);
  });

  test("three lost tries use the channel up", async () => {
    const { drive, clock } = setup();
    const n = notice();
    await onlyInbox(n, clock.now());
    const lost = env.DB.prepare(
      "INSERT INTO notice_attempt (notice_id, channel, n, state, started_at, finished_at) VALUES (?, 'slack', ?, 'unknown', 0, 0)",
    );
    await env.DB.batch([1, 2, 3].map((i) => lost.bind(n.id, i)));
    expect((await drive(n)).result).toMatchObject({ channel: "telegram" });
  });

  test("a crash after the send and before the status: the next run only settles", async () => {
    const { send } = setup();
    const n = notice();
    await send(n);
    await env.DB.prepare("UPDATE notice SET dm_status = NULL WHERE id = ?").bind(n.id).run();
    expect(await send(n)).toEqual({ done: true, channel: "slack", dm: "sent" });
    expect((await ledger()).slack).toHaveLength(1);
  });

  test("an answer that never comes is unknown; the retry succeeds; the receiver saw the same key twice", async () => {
    await control({ webhook: { mode: "apply_then_hang", times: 1 } });
    const { drive } = setup({ REVEILLE_NOTICE_CHANNELS: "webhook" });
    const n = notice();
    expect((await drive(n)).result).toEqual({ done: true, channel: "webhook", dm: "sent" });
    expect(await states(n)).toEqual(["inbox 1 sent", "webhook 1 unknown", "webhook 2 sent"]);
    const keys = (await ledger()).webhook.map((c) => c.idempotency_key);
    expect(keys).toEqual([`${n.id}:webhook`, `${n.id}:webhook`]);
  });

  test("ten at once, each with an id of its own for the same wake: one notice, one send", async () => {
    await control({ slack: { mode: "ok", delay: 60 } });
    const { send } = setup();
    const n = notice();
    const results = await Promise.all(Array.from({ length: 10 }, (_, i) => send({ ...n, id: `${n.id}-${i}` })));
    expect(results.filter((r) => r.done)).toHaveLength(1);
    expect((await ledger()).slack).toHaveLength(1);
    const { results: rows } = await env.DB.prepare("SELECT id FROM notice WHERE incident_id = ?")
      .bind(n.incident_id)
      .all();
    expect(rows).toHaveLength(1);
    const audit = await readAudit(env.DB, { incident_id: n.incident_id!, limit: 50 });
    expect(audit).toHaveLength(2);
  });

  test("two at once after a failure: still one send a round", async () => {
    await control({ slack: { mode: "5xx", times: 1, delay: 30 } });
    const { send, clock } = setup();
    const n = notice();
    await Promise.all([send(n), send(n), send(n)]);
    expect((await ledger()).calls).toHaveLength(1);
    clock.add(40_000);
    await Promise.all([send(n), send(n), send(n)]);
    const log = await ledger();
    expect([log.calls.length, log.slack.length]).toEqual([2, 1]);
  });
});

test("a run with an old view can't start a second channel while one is sending or has sent", async () => {
  const n = notice();
  const claim = (channel: "slack" | "telegram", at: number) => claimAttempt(env.DB, n, null, channel, 1, at);
  const id = await claim("slack", 1);
  expect(id).toEqual(expect.any(Number));
  expect(await claim("telegram", 2)).toBeNull();
  const state = env.DB.prepare("UPDATE notice_attempt SET state = ? WHERE id = ?");
  await state.bind("sent", id).run();
  expect(await claim("telegram", 3)).toBeNull();
  await state.bind("failed", id).run();
  expect(await claim("telegram", 4)).toEqual(expect.any(Number));
});

describe("threads and root messages", () => {
  const follow = (n: Notice, event: Notice["event"], more: Partial<Notice> = {}): Notice =>
    notice({ event, incident_id: n.incident_id, title: `● ${event}`, at: n.at + 60_000, ...more });

  test("later notices go into the thread, the recovery into the channel too, and the root shows the latest state", async () => {
    const { send } = setup();
    const n = notice({ actions: [{ label: "Ack", id: "A".repeat(20) }] });
    await send(n);
    await send(follow(n, "acked", { title: "■ Acked: fly-web" }), { push: false, reason: "quiet_event" });
    await send(follow(n, "recovered", { title: "● OK again: fly-web, down 6 min 12 s", at: n.at + 120_000 }));
    const [root, reply, ...rest] = (await ledger()).slack;
    expect(rest).toEqual([]);
    expect(reply).toMatchObject({ thread_ts: root?.ts, reply_broadcast: true });
    expect(root?.edits.map((e) => e.text.split("\n")[0])).toEqual([
      "■ Acked: fly-web",
      "● OK again: fly-web, down 6 min 12 s",
    ]);
    expect(root?.edits[1]?.text).toContain("Began as: Down: fly-web");
    expect(JSON.stringify(root?.edits[0]?.blocks)).not.toContain('"rv1:');
  });

  test("an older wake that comes late never hides a newer state", async () => {
    const { send } = setup();
    const n = notice();
    await send(n);
    await send(follow(n, "recovered", { at: n.at + 120_000 }));
    await send(follow(n, "acked", { at: n.at + 60_000 }), { push: false });
    expect((await ledger()).slack[0]?.edits).toHaveLength(1);
  });

  test("a root that can't be edited costs nothing but a row", async () => {
    const { send } = setup();
    const n = notice();
    await send(n);
    await control({ slack: { mode: "ok_false", error: "cant_update_message" } });
    expect(await send(follow(n, "acked"), { push: false })).toEqual({ done: true, channel: null, dm: "suppressed" });
    const [row] = await readAudit(env.DB, { incident_id: n.incident_id!, limit: 1 });
    expect(row?.details).toMatchObject({ edit: true, state: "failed", error: "permanent: cant_update_message" });
  });

  test("after a fallback the second channel has a thread of its own", async () => {
    await control({ slack: { mode: "invalid_auth" } });
    const { send } = setup();
    const n = notice();
    await send(n);
    await send(follow(n, "recovered"));
    const [root, reply] = (await ledger()).telegram;
    expect(reply?.reply_to).toBe(root?.message_id);
    expect(root?.edits).toHaveLength(1);
  });
});

describe("buttons", () => {
  const now = Date.UTC(2026, 10, 20);
  test("an id works once, for one of many presses at the same time", async () => {
    const [ack] = await createActions(env.DB, "inc-1", now);
    expect(ack?.id).toMatch(/^[A-Za-z0-9_-]{20}$/);
    const presses = await Promise.all(["ana", "bo", "cy"].map((by) => useAction(env.DB, ack!.id, by, now + 1)));
    expect(presses.filter((p) => p.ok)).toEqual([{ ok: true, action: "ack", incident_id: "inc-1" }]);
    expect(presses.filter((p) => !p.ok && p.why === "used")).toHaveLength(2);
  });
  test("expired, unknown, given back", async () => {
    const [, snooze] = await createActions(env.DB, "inc-2", now);
    expect(await useAction(env.DB, snooze!.id, "ana", now + 7 * 86_400_000)).toEqual({ ok: false, why: "expired" });
    expect(await useAction(env.DB, "nothing", "ana", now)).toEqual({ ok: false, why: "unknown" });
    expect(await useAction(env.DB, snooze!.id, "ana", now)).toMatchObject({ ok: true, action: "snooze_1h" });
    await giveBackAction(env.DB, snooze!.id, "bo");
    expect(await useAction(env.DB, snooze!.id, "bo", now)).toMatchObject({ why: "used", by: "ana" });
    await giveBackAction(env.DB, snooze!.id, "ana");
    expect((await useAction(env.DB, snooze!.id, "bo", now)).ok).toBe(true);
  });
});
