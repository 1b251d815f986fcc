import { appVar } from "../../kernel/config";
import { type Ask, call, type Judged, type Reply, type SendDeps, waitOf } from "../call";
import {
  done,
  type Fetched,
  failure,
  inTurn,
  type OutFile,
  type PromptOption,
  type Sender,
  type Sent,
  text,
  type Where,
} from "../sender";
import { MAX_PARTS, splitMarkdown } from "../split";
import type { MediaRef, OpResult } from "../types";

/** WhatsApp Cloud API (chat-platforms §4). A person is written to within 24 h of their last message; else only by templates. */

const LIMIT = 4_096;
const CAPTION = 1_024;
const WAIT_MS = 20_000;
const LIMITED = new Set([4, 80_007, 130_429, 131_048, 131_056]);

type Body = Record<string, unknown>;

const v = (d: SendDeps, name: string): string => appVar(d.runtime.vars, name, d.app);
const base = (d: SendDeps): string => v(d, "REVEILLE_WHATSAPP_API_URL").replace(/\/+$/, "");
const auth = (d: SendDeps): Record<string, string> => ({
  authorization: `Bearer ${v(d, "REVEILLE_WHATSAPP_ACCESS_TOKEN")}`,
});

const judge =
  (d: SendDeps, bucket: string) =>
  (reply: Reply): Judged => {
    if (reply.status >= 200 && reply.status < 300) return { ok: reply.json };
    const error = (reply.json["error"] ?? {}) as Body;
    const code = Number(error["code"]);
    const words = text(error["message"]) ?? `HTTP ${reply.status}`;
    if (reply.status === 429 || LIMITED.has(code)) return { limited: waitOf(d, reply), bucket };
    if (reply.status >= 500) return { again: `whatsapp: ${words}`, applied: true };
    if (reply.status === 401 || code === 190) {
      d.broken("the access token is refused");
      return { fail: failure("whatsapp: the access token is refused", "invalid_auth") };
    }
    if (code === 131_047)
      return {
        fail: failure("whatsapp: more than 24 h since this person wrote: only a template may be sent", "131047"),
      };
    return { fail: failure(`whatsapp: ${words}`, String(Number.isFinite(code) ? code : reply.status)) };
  };

function ask(d: SendDeps, path: string, body: Body | FormData | null, chat: string, repeatable: boolean) {
  const bucket = `whatsapp:${d.app}:${chat}`;
  const form = body instanceof FormData;
  const request: Ask = {
    url: `${base(d)}/${path}`,
    method: body === null ? "GET" : "POST",
    headers: { ...auth(d), ...(form || body === null ? {} : { "content-type": "application/json" }) },
    ...(body === null ? {} : { body: form ? body : JSON.stringify(body) }),
    repeatable,
    buckets: [bucket],
    judge: judge(d, bucket),
  };
  return call(d, request);
}

const phone = (d: SendDeps): string => encodeURIComponent(v(d, "REVEILLE_WHATSAPP_PHONE_ID"));
const context = (to: Where): Body => (to.reply_to ? { context: { message_id: to.reply_to } } : {});

async function post(d: SendDeps, to: Where, message: Body): Promise<Sent> {
  const body = { messaging_product: "whatsapp", recipient_type: "individual", to: to.chat_id, ...message };
  const result = await ask(d, `${phone(d)}/messages`, body, to.chat_id, false);
  if ("fail" in result) return result.fail;
  const first = Array.isArray(result.ok["messages"]) ? (result.ok["messages"][0] as Body | undefined) : undefined;
  const id = text(first?.["id"]);
  return done(id === null ? [] : [id], { chat_id: to.chat_id });
}

/** Its own marks: one star is bold, one tilde strikes out. Code keeps what it holds. */
export const toWhatsApp = (markdown: string): string =>
  markdown
    .split(/(```[\s\S]*?```|`[^`\n]*`)/)
    .map((piece, i) =>
      i % 2 === 1
        ? piece
        : piece
            .replace(/^ {0,3}#{1,6}[ \t]+([^\n]+)$/gm, (_, title: string) => `*${title.replaceAll("*", "")}*`)
            .replace(/\*\*([^*\n]+)\*\*/g, "*$1*")
            .replace(/~~([^~\n]+)~~/g, "~$1~")
            .replace(/\[([^\][\n]{1,500})\]\((https?:[^()\s]{1,2000})\)/g, "$1 ($2)"),
    )
    .join("");

const empty = (): Sent => failure("nothing to send: the content is empty", "no_text");
const tooMany = (n: number): Sent => failure(`too long: it would be ${n} messages`, "msg_too_long");

async function send(d: SendDeps, to: Where, content: string): Promise<Sent> {
  const parts = splitMarkdown(toWhatsApp(content), LIMIT);
  if (parts.length === 0) return empty();
  if (parts.length > MAX_PARTS) return tooMany(parts.length);
  return inTurn(parts, (body, n) =>
    post(d, to, {
      ...(n === 0 ? context(to) : {}),
      type: "text",
      text: { body, preview_url: to.metadata["unfurl_links"] === true },
    }),
  );
}

async function react(d: SendDeps, to: Where, message_id: string, emoji: string, remove: boolean): Promise<OpResult> {
  const sent = await post(d, to, { type: "reaction", reaction: { message_id, emoji: remove ? "" : emoji } });
  return sent.success ? { success: true } : sent;
}

/** Three buttons, or a list of ten; beyond that a gateway asks in words. */
async function prompt(d: SendDeps, to: Where, content: string, options: PromptOption[]): Promise<Sent> {
  const body = toWhatsApp(content).trim();
  if (body === "") return empty();
  if (options.length > 10 || body.length > CAPTION)
    return failure("whatsapp: this prompt has more than buttons can show", "too_large");
  const interactive =
    options.length <= 3
      ? {
          type: "button",
          body: { text: body },
          action: {
            buttons: options.map((o) => ({ type: "reply", reply: { id: o.token, title: o.label.slice(0, 20) } })),
          },
        }
      : {
          type: "list",
          body: { text: body },
          action: {
            button: "Choose",
            sections: [{ title: "Options", rows: options.map((o) => ({ id: o.token, title: o.label.slice(0, 24) })) }],
          },
        };
  return post(d, to, { ...context(to), type: "interactive", interactive });
}

const TYPE: Record<OutFile["kind"], string> = {
  image: "image",
  voice: "audio",
  audio: "audio",
  video: "video",
  document: "document",
};

async function media(d: SendDeps, to: Where, file: OutFile, caption: string): Promise<Sent> {
  const form = new FormData();
  form.set("messaging_product", "whatsapp");
  form.set("type", file.mime);
  form.set("file", new File([file.bytes], file.filename, { type: file.mime }));
  const put = await ask(d, `${phone(d)}/media`, form, to.chat_id, true);
  if ("fail" in put) return put.fail;
  const id = text(put.ok["id"]);
  if (id === null) return failure("whatsapp: an answer without a media id", "odd_answer");
  const type = TYPE[file.kind];
  const words = toWhatsApp(caption).trim();
  const inside = words !== "" && words.length <= CAPTION && type !== "audio";
  const sent = await post(d, to, {
    ...context(to),
    type,
    [type]: { id, ...(inside ? { caption: words } : {}), ...(type === "document" ? { filename: file.filename } : {}) },
  });
  if (!sent.success || inside || words === "") return sent;
  const more = await send(d, to, caption);
  return more.success ? done([...(sent.ids ?? []), ...(more.ids ?? [])]) : { ...more, ambiguous: true };
}

/** A file of a message: its id gives a link of a few minutes, which wants the token as well. */
async function file(d: SendDeps, ref: MediaRef): Promise<Fetched> {
  const asked = await ask(d, encodeURIComponent(ref.ref), null, "files", true);
  if ("fail" in asked) return { why: (asked.fail.error ?? "refused").replace(/^whatsapp: /, "") };
  const link = text(asked.ok["url"]);
  if (link === null || !URL.canParse(link)) return { why: "WhatsApp named no file" };
  const url = new URL(link);
  // The token goes to Meta's hosts alone.
  const theirs = url.protocol === "https:" && /(?:^|\.)(fbsbx|facebook|fbcdn|whatsapp)\.(com|net)$/.test(url.hostname);
  if (!theirs && url.origin !== new URL(base(d)).origin) return { why: "it is not stored at WhatsApp" };
  try {
    const response = await fetch(url, { headers: auth(d), redirect: "manual", signal: AbortSignal.timeout(WAIT_MS) });
    if (response.ok) return { response };
    await response.body?.cancel();
    return { why: `HTTP ${response.status}` };
  } catch {
    return { why: "no answer from WhatsApp" };
  }
}

export const whatsappSender: Sender = {
  name: "whatsapp",
  limit: LIMIT,
  unset: (vars, app) =>
    ["REVEILLE_WHATSAPP_ACCESS_TOKEN", "REVEILLE_WHATSAPP_PHONE_ID"].find((name) => !appVar(vars, name, app)) ?? null,
  send,
  react,
  prompt,
  media,
  file,
};
