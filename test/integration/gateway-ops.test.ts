import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { type OpAsk, Ops } from "../../durable-objects/gateway.ops";
import type { Line } from "../../durable-objects/gateway.sockets";
import { runtimeOf } from "../../src/kernel/runtime";
import type { OpResult } from "../../src/platform";

/** The order of outbound ops (hermes-relay §8), with senders that take their time. */

const line: Line = {
  id: "l",
  gateway_id: "g",
  tenant: "t",
  instance: "i",
  identities: [
    ["slack", "B"],
    ["telegram", "1"],
  ],
  origin: "http://reveille.test",
  opened_at: 0,
  proved_at: 0,
  greeted: [["slack", "B"]],
  listener: null,
  rest: new Uint8Array(),
};

function world(answerMs = 5_000) {
  const log: string[] = [];
  const gates = new Map<string, () => void>();
  const ops = new Ops(
    runtimeOf(env, "test"),
    async ({ action, platform }: OpAsk): Promise<OpResult> => {
      const name = String(action["name"] ?? action.op);
      log.push(`${name} begins`);
      if (action["slow"]) await new Promise<void>((resolve) => gates.set(name, resolve));
      if (action["fails"]) throw new Error("xoxb-1234567890-secret");
      log.push(`${name} ends`);
      return { success: true, message_id: `${platform}-${name}` };
    },
    (chat, among) => among.filter((p) => p === "telegram" && chat === "42"),
    answerMs,
  );
  let serial = 0;
  const run = (action: Record<string, unknown>, more: { platform?: string; requestId?: string } = {}) =>
    ops.run(line, { type: "outbound", requestId: `r${++serial}`, action: { op: "send", ...action }, ...more });
  const tick = (): Promise<void> => new Promise((r) => setTimeout(r, 5));
  return { log, gates, run, tick };
}

it("one chat in the order it came; another chat beside it; typing and reactions wait for no message", async () => {
  const { log, gates, run, tick } = world();
  const all = [
    run({ chat_id: "A", name: "a1", slow: true }),
    run({ chat_id: "A", name: "a2" }),
    run({ chat_id: "B", name: "b1" }),
    run({ op: "typing", chat_id: "A", name: "typing", slow: true }),
    run({ op: "react", chat_id: "A", name: "react" }),
    run({ chat_id: "A", name: "a3", op: "edit" }),
    run({ op: "get_chat_info", chat_id: "A", name: "info" }),
    run({ chat_id: "A", name: "t1", op: "send" }, { platform: "telegram" }),
  ];
  await tick();
  expect([...log].sort()).toEqual(
    ["a1 begins", "b1 begins", "typing begins", "info begins", "t1 begins", "b1 ends", "info ends", "t1 ends"].sort(),
  );
  gates.get("a1")!();
  await tick();
  expect(log.slice(8)).toEqual(["a1 ends", "a2 begins", "a2 ends", "a3 begins", "a3 ends"]);
  gates.get("typing")!();
  expect((await Promise.all(all)).every((r) => r?.success)).toBe(true);
});

it("a follow-up waits for its chat's messages, whichever build named the session", async () => {
  const { log, gates, run, tick } = world();
  const all = [
    run({ chat_id: "D1", name: "send", slow: true }),
    run({ op: "follow_up", session_key: "agent:main:slack:dm:T1:D1", name: "new build" }),
    run({ op: "follow_up", session_key: "agent:main:slack:dm:D1", name: "old build" }),
  ];
  await tick();
  expect(log).toEqual(["send begins"]);
  gates.get("send")!();
  await Promise.all(all);
  expect(log).toEqual([
    "send begins",
    "send ends",
    "new build begins",
    "new build ends",
    "old build begins",
    "old build ends",
  ]);
});

it("is answered in time: what waits is never sent any more, what is under way may have arrived", async () => {
  const { log, gates, run, tick } = world(60);
  const slow = run({ chat_id: "A", name: "slow", slow: true });
  const behind = run({ chat_id: "A", name: "behind" });
  expect(await slow).toEqual({ success: false, error: "timed out", ambiguous: true });
  expect(await behind).toEqual({ success: false, error: "timed out behind earlier messages of this chat" });
  gates.get("slow")!();
  await tick();
  expect(log).toEqual(["slow begins", "slow ends"]);
  expect(await run({ chat_id: "A", name: "next" })).toMatchObject({ success: true });
});

it("a sender that throws is one failed answer, without its words, and the chat goes on", async () => {
  const { run } = world();
  const failed = await run({ chat_id: "A", fails: true });
  expect(failed).toEqual({ success: false, error: "internal error", ambiguous: true });
  expect(await run({ chat_id: "A" })).toMatchObject({ success: true });
});

it("bounds: the same request twice, too many at once, a heap of typing", async () => {
  const { gates, run, tick } = world();
  const first = run({ chat_id: "A", slow: true, name: "s" }, { requestId: "same" });
  expect(await run({ chat_id: "A" }, { requestId: "same" })).toBeNull();
  const typing = Array.from({ length: 9 }, (_, i) => run({ op: "typing", chat_id: "A", name: `t${i}`, slow: i === 0 }));
  expect((await Promise.all(typing.slice(4))).every((r) => r?.error?.startsWith("rate limited"))).toBe(true);
  const many = Array.from({ length: 300 }, () => run({ chat_id: "A" }));
  expect((await Promise.all(many.slice(260)))[0]).toMatchObject({ success: false, retryable: true });
  await tick();
  gates.get("s")!();
  gates.get("t0")!();
  await Promise.all([first, ...typing, ...many]);
});

it("an untagged question about a chat goes to the platform where the chat is known", async () => {
  const { run } = world();
  expect(await run({ op: "get_chat_info", chat_id: "42", name: "x" })).toMatchObject({ message_id: "telegram-x" });
  expect(await run({ op: "get_chat_info", chat_id: "C9", name: "x" })).toMatchObject({ message_id: "slack-x" });
  expect(await run({ op: "send", chat_id: "42", name: "x" })).toMatchObject({ message_id: "slack-x" });
});
