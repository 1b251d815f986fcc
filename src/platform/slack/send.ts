import { appVar } from "../../kernel/config";
import type { SendDeps } from "../call";
import { done, failure, inTurn, type PromptOption, type Sender, type Sent, text, type Where } from "../sender";
import { MAX_PARTS } from "../split";
import type { OpResult } from "../types";
import { slackCall } from "./api";
import { slackEmoji } from "./emoji";
import { sendSlackFile, slackFile } from "./files";
import { toMrkdwn } from "./mrkdwn";

/** Slack cuts a text at 40,000 characters; the descriptor promises 39,000. */
const LIMIT = 39_000;
const SECTION = 2_900;
/** A message takes 50 blocks; the buttons are one more each 5. */
const MAX_SECTIONS = 40;

/** Threads by metadata alone, never by `reply_to`; strings only (hermes-relay §8). */
export const slackThread = (to: Where): string | null => {
  const thread = text(to.metadata["thread_id"]) ?? text(to.metadata["thread_ts"]);
  return thread !== null && /^\d{1,12}\.\d{1,10}$/.test(thread) ? thread : null;
};

const flag = (to: Where, name: string): Record<string, boolean> =>
  typeof to.metadata[name] === "boolean" ? { [name]: to.metadata[name] } : {};

/** What a message is made of besides its place. */
type Content = { text: string; blocks?: unknown[] };

async function post(d: SendDeps, to: Where, content: Content): Promise<Sent> {
  const thread = slackThread(to);
  const nonce = crypto.randomUUID();
  const result = await slackCall(
    d,
    "chat.postMessage",
    {
      channel: to.chat_id,
      unfurl_links: false,
      ...flag(to, "unfurl_links"),
      ...flag(to, "unfurl_media"),
      ...content,
      ...(thread ? { thread_ts: thread } : {}),
      client_msg_id: nonce,
    },
    // That Slack knows a repeat by its id is nowhere promised: after a fault in its midst nothing is sent again.
    { channel: to.chat_id, repeatable: false },
  );
  if ("fail" in result) return result.fail;
  const ts = text(result.ok["ts"]);
  if (ts === null) return failure("slack: an answer without a ts", "odd_answer", { ambiguous: true });
  return done([ts], {
    nonce,
    chat_id: text(result.ok["channel"]) ?? to.chat_id,
    ...(thread ? { thread_id: thread } : {}),
  });
}

const empty = (): Sent => failure("nothing to send: the content is empty", "no_text");
const tooMany = (n: number): Sent => failure(`too long: it would be ${n} messages`, "msg_too_long");

async function send(d: SendDeps, to: Where, content: string): Promise<Sent> {
  const parts = toMrkdwn(content, LIMIT);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  return inTurn(parts, (part) => post(d, to, { text: part }));
}

async function update(d: SendDeps, to: Where, ts: string, part: string): Promise<Sent> {
  const result = await slackCall(
    d,
    "chat.update",
    // Blocks left out of an update would stay.
    { channel: to.chat_id, ts, text: part, blocks: [] },
    { channel: to.chat_id, repeatable: true },
  );
  return "fail" in result ? result.fail : done([ts]);
}

async function edit(d: SendDeps, to: Where, ids: string[], content: string): Promise<Sent> {
  const parts = toMrkdwn(content, LIMIT);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  const changed = await inTurn(parts.slice(0, ids.length), (part, n) => update(d, to, ids[n]!, part));
  if (!changed.success) return changed;
  const kept = changed.ids ?? [];
  for (const ts of ids.slice(parts.length))
    await slackCall(
      d,
      "chat.delete",
      { channel: to.chat_id, ts },
      { channel: to.chat_id, repeatable: true, fine: ["message_not_found"] },
    );
  return inTurn(parts.slice(ids.length), (part) => post(d, to, { text: part }), kept);
}

/** A status needs a thread; a plain channel has none, which is no failure (§1.4). */
async function typing(d: SendDeps, to: Where, content: string | undefined): Promise<OpResult> {
  const thread_ts = slackThread(to);
  if (thread_ts === null) return { success: true };
  const result = await slackCall(
    d,
    "assistant.threads.setStatus",
    { channel_id: to.chat_id, thread_ts, status: (content ?? "is typing…").slice(0, 200) },
    { channel: to.chat_id, repeatable: true },
  );
  return "fail" in result ? result.fail : { success: true };
}

async function react(d: SendDeps, to: Where, ts: string, emoji: string, remove: boolean): Promise<OpResult> {
  const name = slackEmoji(emoji);
  if (name === null) return failure(`slack: no name is known for the emoji ${emoji}`, "invalid_name");
  const result = await slackCall(
    d,
    remove ? "reactions.remove" : "reactions.add",
    { channel: to.chat_id, timestamp: ts, name },
    { channel: to.chat_id, repeatable: true, fine: ["already_reacted", "no_reaction"] },
  );
  return "fail" in result ? result.fail : { success: true };
}

const STYLE: Partial<Record<PromptOption["style"], string>> = {
  primary: "primary",
  success: "primary",
  danger: "danger",
};

async function prompt(d: SendDeps, to: Where, content: string, options: PromptOption[]): Promise<Sent> {
  const sections = toMrkdwn(content, SECTION);
  if (sections.length === 0) return empty();
  if (sections.length > MAX_SECTIONS || options.length > 25) return tooMany(sections.length);
  const elements = options.map((o) => ({
    type: "button",
    text: { type: "plain_text", text: o.label.slice(0, 75), emoji: true },
    action_id: o.token,
    value: o.token.slice(o.token.lastIndexOf(":") + 1),
    ...(STYLE[o.style] ? { style: STYLE[o.style] } : {}),
  }));
  const blocks = [
    ...sections.map((part) => ({ type: "section", text: { type: "mrkdwn", text: part } })),
    { type: "actions", elements },
  ];
  return post(d, to, { text: sections[0]!, blocks });
}

async function info(d: SendDeps, chatId: string): Promise<OpResult> {
  const result = await slackCall(d, "conversations.info", { channel: chatId }, { repeatable: true, form: true });
  if ("fail" in result) return result.fail;
  const channel = (result.ok["channel"] ?? {}) as Record<string, unknown>;
  const dm = channel["is_im"] === true || channel["is_mpim"] === true;
  const name = text(channel["name"]) ?? text(channel["user"]) ?? chatId;
  return { success: true, chat_info: { name, type: dm ? "dm" : "group" } };
}

/** What a gateway sends to Slack (chat-platforms §1.4). */
export const slackSender: Sender = {
  name: "slack",
  limit: LIMIT,
  unset: (vars, app) => (appVar(vars, "REVEILLE_SLACK_BOT_TOKEN", app) ? null : "REVEILLE_SLACK_BOT_TOKEN"),
  send,
  edit,
  typing,
  react,
  prompt,
  info,
  media: (d, to, file, caption) => sendSlackFile(d, to, file, caption, { send, thread: slackThread(to) }),
  file: slackFile,
};
