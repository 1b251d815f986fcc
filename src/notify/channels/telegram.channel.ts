import * as z from "zod";
import { readVar } from "../../kernel/config";
import type { Runtime } from "../../kernel/runtime";
import { BUTTON_PREFIX } from "../buttons";
import type { Channel, Notice, Outgoing, SendResult } from "../types";
import { line, post, refused } from "./call";

const answer = z.object({
  ok: z.boolean(),
  description: z.string().optional(),
  result: z.union([z.object({ message_id: z.int() }), z.boolean()]).optional(),
  parameters: z.object({ retry_after: z.number().optional() }).optional(),
});

const TEXT_MAX = 4_096;

interface Entity {
  type: "bold" | "pre";
  /** UTF-16 units, as Telegram counts. */
  offset: number;
  length: number;
}

/** A bare host name; what belongs to a whole URL (ours) stays. */
const HOST = /(?<![\p{L}\p{N}_:/.@?=&#-])(?:[\p{L}\p{N}_-]{1,63}\.){1,10}\p{L}{2,63}(?![\p{L}\p{N}_])/gu;

/** A word joiner in each bare host name, after each `@` and before each `/`-command: Telegram makes links of them by itself. */
const inert = (text: string): string =>
  text
    .replace(HOST, (host) => host.replaceAll(".", ".\u2060"))
    .replaceAll("@", "@\u2060")
    .replace(/(^|\s)\/(?=\w)/g, "$1\u2060/");

/** Text with entities; MarkdownV2 would need escapes that a stranger's text could break. */
function render(notice: Notice): { text: string; entities: Entity[] } {
  const entities: Entity[] = [];
  let text = "";
  const add = (part: string, type?: Entity["type"]): void => {
    if (part === "") return;
    if (text !== "") text += "\n";
    if (type) entities.push({ type, offset: text.length, length: part.length });
    text += part;
  };
  add(inert(notice.title), "bold");
  add(inert(notice.body));
  add(notice.quote, "pre");
  add(notice.url);
  return { text: text.slice(0, TEXT_MAX), entities };
}

function keyboard(notice: Notice): unknown[][] {
  const row: unknown[] = notice.actions.map((a) => ({ text: a.label, callback_data: `${BUTTON_PREFIX}${a.id}` }));
  // Telegram refuses a whole message for a button URL without a public host name; the text holds the link anyway.
  if (/^https:\/\/[^/:]+\.[a-z]{2,}(?:[:/]|$)/i.test(notice.url)) row.push({ text: "Open", url: notice.url });
  return row.length > 0 ? [row] : [];
}

/** The token stands in the path: this URL must never reach a log, a row or an error. */
const urlOf = (runtime: Runtime, method: string): string =>
  `${readVar(runtime.vars, "REVEILLE_TELEGRAM_API_URL").replace(/\/+$/, "")}/bot${readVar(runtime.vars, "REVEILLE_TELEGRAM_BOT_TOKEN")}/${method}`;

async function call(
  runtime: Runtime,
  method: string,
  body: Record<string, unknown>,
  timeoutMs?: number,
): Promise<{ result: SendResult; description: string }> {
  const reply = await post(
    runtime,
    urlOf(runtime, method),
    { "content-type": "application/json" },
    JSON.stringify(body),
    timeoutMs,
  );
  if (!reply.got) return { result: reply.result, description: "" };
  const parsed = answer.safeParse(reply.json);
  if (!parsed.success) {
    const odd = refused(runtime, reply, `HTTP ${reply.status}, not Telegram's JSON`);
    const passing = odd.ok || reply.status >= 300 ? odd : { ...odd, retryable: true, ambiguous: true };
    return { result: passing, description: "" };
  }
  const { ok, description = "", result, parameters } = parsed.data;
  if (ok) {
    const id = typeof result === "object" ? result.message_id : null;
    return { result: { ok: true, ref: id === null ? null : `${String(body["chat_id"])}:${id}` }, description };
  }
  const failure = refused(runtime, reply, description || `HTTP ${reply.status}`);
  const wait = parameters?.retry_after;
  if (!failure.ok && wait !== undefined) failure.retry_after_ms = wait * 1000;
  return { result: failure, description };
}

function split(ref: string): { chat_id: string; message_id: number } | null {
  const m = /^(-?\d+):(\d+)$/.exec(ref);
  return m ? { chat_id: m[1]!, message_id: Number(m[2]) } : null;
}

/** Answers a button press: stops the spinner and shows `text`. Best effort, once, from the edge (chat-platforms §3.3). */
export async function answerCallback(runtime: Runtime, callbackId: string, text: string): Promise<SendResult> {
  const body = { callback_query_id: callbackId, text: text.slice(0, 200) };
  return (await call(runtime, "answerCallbackQuery", body, 5_000)).result;
}

/** Telegram by `sendMessage` and `editMessageText` (chat-platforms §3.4). */
export const telegramChannel: Channel = {
  name: "telegram",
  missing: (runtime) =>
    ["REVEILLE_TELEGRAM_BOT_TOKEN", "REVEILLE_TELEGRAM_CHAT_ID"].filter((name) => readVar(runtime.vars, name) === ""),
  async send(runtime: Runtime, out: Outgoing): Promise<SendResult> {
    const root = out.thread === null ? null : split(out.thread);
    const buttons = keyboard(out.notice);
    const { text, entities } = render(out.notice);
    const body = {
      chat_id: root?.chat_id ?? readVar(runtime.vars, "REVEILLE_TELEGRAM_CHAT_ID"),
      text,
      link_preview_options: { is_disabled: true },
      ...(buttons.length > 0 ? { reply_markup: { inline_keyboard: buttons } } : {}),
      ...(root ? { reply_parameters: { message_id: root.message_id, allow_sending_without_reply: true } } : {}),
    };
    const first = await call(runtime, "sendMessage", { ...body, entities });
    if (!/can't parse entities/i.test(first.description)) return first.result;
    return (await call(runtime, "sendMessage", body)).result;
  },
  async edit(runtime: Runtime, ref: string, root: Notice): Promise<SendResult> {
    const at = split(ref);
    if (!at) return { ok: false, error: line(runtime, "the thread's reference is not chat:message"), retryable: false };
    const { result, description } = await call(runtime, "editMessageText", {
      ...at,
      ...render(root),
      link_preview_options: { is_disabled: true },
      // An empty keyboard removes the buttons; leaving it out would do the same, but says less.
      reply_markup: { inline_keyboard: keyboard(root) },
    });
    return /message is not modified/i.test(description) ? { ok: true, ref } : result;
  },
};
