import { beforeEach, describe, expect, inject, test } from "vitest";
import type { Channel, Outgoing, SendResult } from "../../src/notify";
import { allChannels, pushChannels } from "../../src/notify";
import { emailChannel } from "../../src/notify/channels/email.channel";
import { slackChannel } from "../../src/notify/channels/slack.channel";
import { answerCallback, telegramChannel } from "../../src/notify/channels/telegram.channel";
import { webhookChannel } from "../../src/notify/channels/webhook.channel";
import { control, ledger, notice, runtimeWith } from "./notify-kit";

/**
 * Each channel against a stand-in that speaks the platform's wire format: what is sent, and how each kind of answer is read.
 * Not proven here: that the real platforms agree with the stand-in.
 */

const out = (more: Partial<Outgoing> = {}): Outgoing => ({
  notice: notice({
    actions: [
      { label: "Ack", id: "A".repeat(20) },
      { label: "Snooze 1 h", id: "B".repeat(20) },
    ],
  }),
  thread: null,
  broadcast: false,
  idempotency_key: crypto.randomUUID(),
  ...more,
});
const failure = (r: SendResult) => {
  if (r.ok) throw new Error("expected a failure");
  return r;
};

beforeEach(() => control({ reset: true }));

describe("slack", () => {
  test("a first message goes to the operator's DM with text, blocks and opaque buttons", async () => {
    const rt = runtimeWith();
    const sent = await slackChannel.send(rt, out());
    const [message] = (await ledger()).slack;
    expect(sent).toEqual({ ok: true, ref: `D0OPERATOR:${message?.ts}` });
    expect(message?.text).toContain("■ Down: fly-web, no serving machine");
    expect(message?.client_msg_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const actions = (message?.blocks ?? []).at(-1) as {
      elements: { action_id: string; value?: string; url?: string }[];
    };
    expect(actions.elements.map((e) => [e.action_id, e.value ?? e.url])).toEqual([
      [`rv1:${"A".repeat(20)}`, "A".repeat(20)],
      [`rv1:${"B".repeat(20)}`, "B".repeat(20)],
      ["rv1-open", "http://reveille.test/incidents/1"],
    ]);
  });

  test("later messages are in the thread, broadcast when asked; the same key gives the same client_msg_id", async () => {
    const rt = runtimeWith({ REVEILLE_SLACK_CHANNEL: "C0OPS" });
    const root = await slackChannel.send(rt, out());
    const ref = root.ok ? root.ref! : "";
    expect(ref).toMatch(/^C0OPS:/);
    await slackChannel.send(rt, out({ thread: ref, broadcast: true, idempotency_key: "k" }));
    await slackChannel.send(rt, out({ thread: ref, idempotency_key: "k" }));
    const [first, second, third] = (await ledger()).slack;
    expect(second).toMatchObject({ channel: "C0OPS", thread_ts: first?.ts, reply_broadcast: true });
    expect(third).toMatchObject({ thread_ts: first?.ts, reply_broadcast: false, client_msg_id: second?.client_msg_id });
  });

  test("vendor markup never comes alive", async () => {
    const hostile = "<!channel> <@U0OPERATOR> <https://evil.example|login> ``` *x* & :bomb:";
    await slackChannel.send(runtimeWith(), out({ notice: notice({ title: hostile, body: hostile, quote: hostile }) }));
    const [message] = (await ledger()).slack;
    const all = JSON.stringify([message?.text, message?.blocks]);
    expect(all).not.toMatch(/<[!@h]/);
    expect(all).toContain("&lt;!channel&gt;");
    const quote = message?.blocks[1] as { text: { text: string } };
    expect(quote.text.text.split("```")).toHaveLength(3);
  });

  test("the root is rewritten with its buttons", async () => {
    const rt = runtimeWith();
    const root = await slackChannel.send(rt, out());
    const edited = await slackChannel.edit!(
      rt,
      root.ok ? root.ref! : "",
      notice({ title: "● OK again: fly-web, down 6 min" }),
    );
    expect(edited.ok).toBe(true);
    const edit = (await ledger()).slack[0]?.edits[0];
    expect(edit?.text).toContain("OK again");
    expect(JSON.stringify(edit?.blocks)).not.toContain("rv1:");
    expect(failure(await slackChannel.edit!(rt, "D0OPERATOR:1.2", notice()))).toMatchObject({
      error: "message_not_found",
      retryable: false,
    });
  });

  test.each<[Parameters<typeof control>[0], Partial<Extract<SendResult, { ok: false }>>]>([
    [
      { slack: { mode: "ratelimited", retry_after: 7 } },
      { error: "ratelimited", retryable: true, retry_after_ms: 7_000 },
    ],
    [{ slack: { mode: "5xx" } }, { error: "service_unavailable", retryable: true }],
    [{ slack: { mode: "invalid_auth" } }, { error: "invalid_auth", retryable: false }],
    [{ slack: { mode: "ok_false", error: "channel_not_found" } }, { error: "channel_not_found", retryable: false }],
    [{ slack: { mode: "ok_false", error: "internal_error" } }, { error: "internal_error", retryable: true }],
    [{ slack: { mode: "html" } }, { error: "HTTP 200, not Slack's JSON", retryable: true, ambiguous: true }],
    [{ slack: { mode: "redirect" } }, { retryable: false }],
  ])("%j reads as %j", async (mode, expected) => {
    await control(mode);
    expect(failure(await slackChannel.send(runtimeWith(), out()))).toMatchObject(expected);
  });
});

describe("telegram", () => {
  test("title bold, vendor text as code, buttons within 64 bytes, link in the text", async () => {
    const n = out({ notice: { ...out().notice, quote: "error: *boom* [x](y) @admin" } });
    const sent = await telegramChannel.send(runtimeWith(), n);
    const [message] = (await ledger()).telegram;
    expect(sent).toEqual({ ok: true, ref: `7001:${message?.message_id}` });
    const cut = (e: { offset: number; length: number }) => message?.text.slice(e.offset, e.offset + e.length);
    const [bold, pre] = (message?.entities ?? []) as { type: string; offset: number; length: number }[];
    expect([bold?.type, cut(bold!)]).toEqual(["bold", n.notice.title]);
    expect([pre?.type, cut(pre!)]).toEqual(["pre", n.notice.quote]);
    expect(message?.text.endsWith(n.notice.url)).toBe(true);
    expect(message?.reply_markup).toEqual({
      inline_keyboard: [
        [
          { text: "Ack", callback_data: `rv1:${"A".repeat(20)}` },
          { text: "Snooze 1 h", callback_data: `rv1:${"B".repeat(20)}` },
        ],
      ],
    });
  });

  test("an https link becomes a button too", async () => {
    await telegramChannel.send(runtimeWith(), out({ notice: notice({ url: "https://reveille.example/incidents/1" }) }));
    expect(JSON.stringify((await ledger()).telegram[0]?.reply_markup)).toContain('"url":"https://reveille.example');
  });

  test("replies to the root, edits it, and an unchanged edit is a success", async () => {
    const rt = runtimeWith();
    const root = await telegramChannel.send(rt, out());
    const ref = root.ok ? root.ref! : "";
    await telegramChannel.send(rt, out({ thread: ref }));
    const later = notice({ title: "● OK again: fly-web, down 6 min" });
    expect((await telegramChannel.edit!(rt, ref, later)).ok).toBe(true);
    expect(await telegramChannel.edit!(rt, ref, later)).toEqual({ ok: true, ref });
    const [first, reply] = (await ledger()).telegram;
    expect(reply?.reply_to).toBe(first?.message_id);
    expect(first?.edits).toHaveLength(1);
    expect(first?.edits[0]?.reply_markup).toEqual({ inline_keyboard: [] });
    expect(failure(await telegramChannel.edit!(rt, "7001:9", later)).retryable).toBe(false);
  });

  test.each<[Parameters<typeof control>[0], Partial<Extract<SendResult, { ok: false }>>]>([
    [{ telegram: { mode: "ratelimited", retry_after: 9 } }, { retryable: true, retry_after_ms: 9_000 }],
    [{ telegram: { mode: "5xx" } }, { retryable: true }],
    [{ telegram: { mode: "invalid_auth" } }, { error: "Unauthorized", retryable: false }],
    [{ telegram: { mode: "ok_false" } }, { error: "Forbidden: bot was blocked by the user", retryable: false }],
    [{ telegram: { mode: "html" } }, { retryable: true, ambiguous: true }],
  ])("%j reads as %j", async (mode, expected) => {
    await control(mode);
    expect(failure(await telegramChannel.send(runtimeWith(), out()))).toMatchObject(expected);
  });

  test("a token that the platform refuses is never in the error", async () => {
    const token = "7000009:planted-token-that-must-not-leak-000";
    const rt = runtimeWith({ REVEILLE_TELEGRAM_BOT_TOKEN: token, REVEILLE_TELEGRAM_API_URL: "http://127.0.0.1:1" });
    const refused = failure(await telegramChannel.send(rt, out()));
    expect(refused.retryable).toBe(true);
    expect(JSON.stringify(refused)).not.toContain("planted");
  });

  test("a press is answered", async () => {
    expect((await answerCallback(runtimeWith(), "cb-1", "Acked.")).ok).toBe(true);
    expect((await ledger()).telegram_answers).toEqual([
      { callback_query_id: "cb-1", text: "Acked.", show_alert: false },
    ]);
  });
});

describe("webhook", () => {
  test("signed JSON with a key that stays the same over tries, and no buttons", async () => {
    const o = out();
    expect(await webhookChannel.send(runtimeWith(), o)).toEqual({ ok: true, ref: null });
    const [call] = (await ledger()).webhook;
    expect(call).toMatchObject({ signature: "ok", idempotency_key: o.idempotency_key });
    expect(call?.body).toMatchObject({
      version: 1,
      event: "opened",
      title: o.notice.title,
      at: "2026-11-20T13:47:00.000Z",
    });
    expect(JSON.stringify(call?.body)).not.toContain("AAAA");
  });

  test("a wrong secret is seen by the receiver", async () => {
    await webhookChannel.send(runtimeWith({ REVEILLE_WEBHOOK_SECRET: "another-secret-of-ours" }), out());
    expect((await ledger()).webhook[0]?.signature).toBe("bad");
  });

  test.each<[Parameters<typeof control>[0], boolean]>([
    [{ webhook: { mode: "ratelimited" } }, true],
    [{ webhook: { mode: "5xx" } }, true],
    [{ webhook: { mode: "invalid_auth" } }, false],
    [{ webhook: { mode: "redirect" } }, false],
  ])("%j: retryable %s", async (mode, retryable) => {
    await control(mode);
    expect(failure(await webhookChannel.send(runtimeWith(), out())).retryable).toBe(retryable);
  });

  test("redirects are not followed", async () => {
    await control({ webhook: { mode: "redirect" } });
    expect(failure(await webhookChannel.send(runtimeWith(), out())).error).toContain("redirects are not followed");
    expect((await ledger()).calls).toHaveLength(1);
  });
});

describe("email", () => {
  test("hands a MIME mail to the binding; the reference is the Message-ID, the same for every try", async () => {
    const o = out({ idempotency_key: "mail-key" });
    const first = await emailChannel.send(runtimeWith(), o);
    expect(first).toEqual({ ok: true, ref: expect.stringMatching(/^[0-9a-f]{32}@example\.com$/) });
    expect(await emailChannel.send(runtimeWith(), o)).toEqual(first);
  });

  test("an address with a line break is refused before the binding", async () => {
    const rt = runtimeWith({ REVEILLE_EMAIL_TO: "a@b.example\r\nBcc: c@d.example" });
    expect(failure(await emailChannel.send(rt, out())).retryable).toBe(false);
  });

  test.each([
    ["destination address is not a verified address", false],
    ["internal error; reference = 1", true],
  ])("the platform's refusal %j: retryable %s", async (words, retryable) => {
    const platform = { send: () => Promise.reject(new Error(words)) };
    expect(failure(await emailChannel.send(runtimeWith({ EMAIL: platform }), out())).retryable).toBe(retryable);
  });
});

test("a platform that never answers is given up after 10 s, as unknown", async () => {
  const hang = { mode: "hang" as const };
  await control({ slack: hang, telegram: hang, webhook: { mode: "apply_then_hang" } });
  const began = Date.now();
  const all = await Promise.all(
    [slackChannel, telegramChannel, webhookChannel].map((c: Channel) => c.send(runtimeWith(), out())),
  );
  for (const r of all)
    expect(failure(r)).toMatchObject({ error: "no answer within 10 s", retryable: true, ambiguous: true });
  expect(Date.now() - began).toBeLessThan(12_000);
});

describe("which channels are used", () => {
  test("the configured ones in the configured order", () => {
    const rt = runtimeWith({ REVEILLE_NOTICE_CHANNELS: "webhook, slack" });
    expect(pushChannels(rt).map((c) => c.name)).toEqual(["webhook", "slack"]);
  });
  test("a channel without its secret is left out and names what is missing", () => {
    const rt = runtimeWith({ REVEILLE_SLACK_BOT_TOKEN: "", REVEILLE_WEBHOOK_SECRET: "", EMAIL: undefined });
    expect(pushChannels(rt).map((c) => c.name)).toEqual(["telegram"]);
    expect(Object.fromEntries(allChannels.map((c) => [c.name, c.missing(rt)]))).toEqual({
      slack: ["REVEILLE_SLACK_BOT_TOKEN"],
      telegram: [],
      webhook: ["REVEILLE_WEBHOOK_SECRET"],
      email: ["EMAIL (the send_email binding)"],
    });
  });
  test("the stand-in is where the channels point", () =>
    expect(inject("platformsUrl")).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/));
});
