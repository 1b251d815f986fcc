import * as z from "zod";
import { readVar } from "../../kernel/config";
import { sha256Hex } from "../../kernel/crypto";
import type { Runtime } from "../../kernel/runtime";
import { BUTTON_PREFIX, OPEN_BUTTON } from "../buttons";
import type { Channel, Notice, Outgoing, SendResult } from "../types";
import { line, post, refused } from "./call";

/** Slack's answer: HTTP 200 with `ok:false` is the norm for refusals (chat-platforms §1.4). */
const answer = z.object({
  ok: z.boolean(),
  error: z.string().optional(),
  channel: z.string().optional(),
  ts: z.string().optional(),
  needed: z.string().optional(),
});

const RETRYABLE = new Set([
  "ratelimited",
  "rate_limited",
  "internal_error",
  "fatal_error",
  "service_unavailable",
  "request_timeout",
]);
const SECTION_MAX = 3_000;

/** Zero-width space: breaks a mark without changing what is read. */
const BREAK = "\u200b";

/** `&`, `<`, `>` are all that Slack lets a text hide mentions and links in. */
const entities = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Text that shows as typed: no mention, link, bold, italic, strike, code, quote or emoji comes of it. */
export function inert(text: string): string {
  return entities(
    text
      .replaceAll("`", "'")
      // Marks count only at the edge of a word, so names like `checkout_api` stay whole.
      .replace(/(^|[^\p{L}\p{N}])([*_~])/gu, `$1${BREAK}$2${BREAK}`)
      .replace(/([*_~])(?=$|[^\p{L}\p{N}])/gu, `${BREAK}$1`)
      .replace(/:(?=[\w+'-]+:)/g, `:${BREAK}`)
      .replace(/^>/gm, `${BREAK}>`),
  );
}

const code = (text: string): string => `\`\`\`${entities(text.replaceAll("`", "'"))}\`\`\``;

function blocks(notice: Notice): unknown[] {
  const section = (text: string) => ({
    type: "section",
    text: { type: "mrkdwn", verbatim: true, text: text.slice(0, SECTION_MAX) },
  });
  const button = (label: string, action_id: string, more: Record<string, string>) => ({
    type: "button",
    text: { type: "plain_text", text: label.slice(0, 75), emoji: false },
    action_id,
    ...more,
  });
  return [
    section(`*${inert(notice.title)}*${notice.body ? `\n${inert(notice.body)}` : ""}`),
    ...(notice.quote ? [section(code(notice.quote))] : []),
    {
      type: "actions",
      elements: [
        ...notice.actions.map((a) => button(a.label, `${BUTTON_PREFIX}${a.id}`, { value: a.id })),
        button("Open", OPEN_BUTTON, { url: notice.url }),
      ],
    },
  ];
}

/** `text` is the push and what screen readers say; it is always set. */
const textOf = (notice: Notice): string => inert(notice.body ? `${notice.title}\n${notice.body}` : notice.title);

/** A UUID made of the idempotency key: the form of Slack's `client_msg_id`. */
async function messageId(key: string): Promise<string> {
  const hex = await sha256Hex(key);
  const variant = ((Number.parseInt(hex[16]!, 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The first operator; the variable may list several, apart by commas or spaces. */
const target = (runtime: Runtime): string =>
  readVar(runtime.vars, "REVEILLE_SLACK_CHANNEL") ||
  (readVar(runtime.vars, "REVEILLE_SLACK_OPERATOR_ID").split(/[\s,]+/)[0] ?? "");

async function call(runtime: Runtime, method: string, body: Record<string, unknown>): Promise<SendResult> {
  const reply = await post(
    runtime,
    `${readVar(runtime.vars, "REVEILLE_SLACK_API_URL").replace(/\/+$/, "")}/${method}`,
    {
      authorization: `Bearer ${readVar(runtime.vars, "REVEILLE_SLACK_BOT_TOKEN")}`,
      "content-type": "application/json; charset=utf-8",
    },
    JSON.stringify(body),
  );
  if (!reply.got) return reply.result;
  const parsed = answer.safeParse(reply.json);
  if (!parsed.success) {
    const odd = refused(runtime, reply, `HTTP ${reply.status}, not Slack's JSON`);
    // A page where JSON should be is a proxy in the way: it may pass.
    return odd.ok || reply.status >= 300 ? odd : { ...odd, retryable: true, ambiguous: true };
  }
  const { ok, error, channel, ts, needed } = parsed.data;
  if (ok) return { ok: true, ref: channel && ts ? `${channel}:${ts}` : null };
  const words = `${error ?? `HTTP ${reply.status}`}${needed ? ` (needs scope ${needed})` : ""}`;
  const failure = refused(runtime, reply, words);
  return failure.ok
    ? failure
    : { ...failure, error: line(runtime, words), retryable: failure.retryable || RETRYABLE.has(error ?? "") };
}

/** `channel:ts` of a message, or null. A `ts` is text: parsing it to a number would lose its end. */
function split(ref: string): { channel: string; ts: string } | null {
  const at = ref.lastIndexOf(":");
  return at > 0 ? { channel: ref.slice(0, at), ts: ref.slice(at + 1) } : null;
}

/** Slack by `chat.postMessage` and `chat.update` (chat-platforms §1.4). */
export const slackChannel: Channel = {
  name: "slack",
  missing: (runtime) => [
    ...(readVar(runtime.vars, "REVEILLE_SLACK_BOT_TOKEN") ? [] : ["REVEILLE_SLACK_BOT_TOKEN"]),
    ...(target(runtime) ? [] : ["REVEILLE_SLACK_OPERATOR_ID"]),
  ],
  async send(runtime: Runtime, out: Outgoing): Promise<SendResult> {
    const root = out.thread === null ? null : split(out.thread);
    return call(runtime, "chat.postMessage", {
      channel: root?.channel ?? target(runtime),
      text: textOf(out.notice),
      blocks: blocks(out.notice),
      unfurl_links: false,
      unfurl_media: false,
      client_msg_id: await messageId(out.idempotency_key),
      ...(root ? { thread_ts: root.ts, reply_broadcast: out.broadcast } : {}),
    });
  },
  async edit(runtime: Runtime, ref: string, root: Notice): Promise<SendResult> {
    const at = split(ref);
    if (!at) return { ok: false, error: "the thread's reference is not channel:ts", retryable: false };
    // Blocks left out of an update would stay, so both are sent.
    return call(runtime, "chat.update", { ...at, text: textOf(root), blocks: blocks(root) });
  },
};
