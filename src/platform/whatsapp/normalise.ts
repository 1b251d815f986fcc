import * as z from "zod";
import { parsePromptToken } from "../prompt-token";
import type { Inbound, MediaRef, MessageEvent, MessageType } from "../types";

/** WhatsApp's messages as events (chat-platforms §4): scope = our phone number id, chat = the person's number. Pure. */

const text = (max: number) => z.string().max(max);
const id = text(256).regex(/^[^\s]+$/);
const file = z.object({
  id,
  mime_type: text(200).nullish(),
  caption: z.string().nullish(),
  filename: text(500).nullish(),
  voice: z.boolean().nullish(),
});
const reply = z.object({ id: text(256), title: text(300).nullish() });

const message = z.object({
  from: id,
  id,
  type: text(40),
  context: z.object({ id: id.nullish(), from: id.nullish() }).nullish().catch(null),
  text: z.object({ body: z.string() }).nullish(),
  image: file.nullish(),
  video: file.nullish(),
  audio: file.nullish(),
  document: file.nullish(),
  sticker: file.nullish(),
  location: z
    .object({ latitude: z.number(), longitude: z.number(), name: z.string().nullish(), address: z.string().nullish() })
    .nullish(),
  contacts: z
    .array(
      z.object({
        name: z.object({ formatted_name: z.string().nullish() }).nullish(),
        phones: z.array(z.object({ phone: z.string().nullish() })).nullish(),
      }),
    )
    .nullish(),
  interactive: z.object({ button_reply: reply.nullish(), list_reply: reply.nullish() }).nullish(),
  button: z.object({ payload: text(256).nullish(), text: z.string().nullish() }).nullish(),
});
type Message = z.infer<typeof message>;

export const batch = z.object({
  object: z.literal("whatsapp_business_account"),
  entry: z
    .array(
      z.object({
        changes: z
          .array(
            z.object({
              field: text(60).default("messages"),
              value: z.object({
                metadata: z.object({ phone_number_id: id, display_phone_number: text(40).nullish() }).nullish(),
                contacts: z
                  .array(z.object({ wa_id: id, profile: z.object({ name: text(300).nullish() }).nullish() }))
                  .nullish()
                  .catch(null),
                messages: z.array(z.unknown()).max(1_000).nullish(),
                statuses: z.array(z.unknown()).nullish(),
              }),
            }),
          )
          .max(1_000),
      }),
    )
    .max(1_000),
});
type Change = z.infer<typeof batch>["entry"][number]["changes"][number];

type Read = Pick<MessageEvent, "text" | "message_type" | "prompt_response"> & { media: MediaRef[] };

const FILES: [keyof Message & ("image" | "video" | "audio" | "document" | "sticker"), MessageType][] = [
  ["image", "photo"],
  ["video", "video"],
  ["audio", "audio"],
  ["document", "document"],
  ["sticker", "sticker"],
];

function contentOf(m: Message): Read | null {
  if (m.text) return { text: m.text.body, message_type: "text", media: [] };
  for (const [kind, type] of FILES) {
    const f = m[kind];
    if (!f) continue;
    const voice = kind === "audio" && f.voice === true;
    const one: MediaRef = {
      ref: f.id,
      kind: voice ? "voice" : kind,
      mime: f.mime_type ?? null,
      size: null,
      filename: f.filename ?? null,
      caption: f.caption ?? null,
    };
    return { text: f.caption ?? "", message_type: voice ? "voice" : type, media: [one] };
  }
  if (m.location) {
    const { name, address, latitude, longitude } = m.location;
    return {
      text: [name, address, `${latitude}, ${longitude}`].filter(Boolean).join(", "),
      message_type: "location",
      media: [],
    };
  }
  if (m.contacts)
    return {
      text: m.contacts
        .map((c) => `${c.name?.formatted_name ?? ""}: ${c.phones?.map((p) => p.phone).join(", ") ?? ""}`)
        .join("\n"),
      message_type: "text",
      media: [],
    };
  const chosen = m.interactive?.button_reply ?? m.interactive?.list_reply;
  const token = chosen?.id ?? m.button?.payload;
  const title = chosen?.title ?? m.button?.text ?? token;
  if (title == null) return null;
  const press = parsePromptToken(token ?? "");
  if (!press) return { text: title, message_type: "text", media: [] };
  const prompt_message_id = m.context?.id;
  return {
    text: `/${press.option_id}`,
    message_type: "command",
    prompt_response: { ...press, label: title, ...(prompt_message_id ? { prompt_message_id } : {}) },
    media: [],
  };
}

/** Events of one change, and why the rest of it makes none. `phone`: the only number that is this app's, or "". */
export function readChange(change: Change, app: string, phone: string): { events: Inbound[]; ignored: string[] } {
  const { field, value } = change;
  const scope = value.metadata?.phone_number_id;
  if (field !== "messages" || !scope) return { events: [], ignored: [`field ${field}`] };
  if (phone && scope !== phone) return { events: [], ignored: ["another phone number"] };
  const events: Inbound[] = [];
  const ignored: string[] = value.statuses?.length ? ["statuses"] : [];
  const display = value.metadata?.display_phone_number?.replace(/\D/g, "");
  for (const raw of value.messages ?? []) {
    const parsed = message.safeParse(raw);
    const content = parsed.success ? contentOf(parsed.data) : null;
    if (!parsed.success || !content) {
      ignored.push(parsed.success ? `message ${parsed.data.type}` : "message of another shape");
      continue;
    }
    const m = parsed.data;
    const { media, ...words } = content;
    const name = value.contacts?.find((c) => c.wa_id === m.from)?.profile?.name ?? null;
    const quoted = words.prompt_response ? null : (m.context?.id ?? null);
    const is_own = m.context?.from === display || m.context?.from === scope;
    events.push({
      platform: "whatsapp",
      app,
      d1: `whatsapp:${app}:${m.id}`,
      d2: `whatsapp:${scope}:${m.from}:${m.id}:message:0`,
      event: {
        ...words,
        message_id: m.id,
        reply_to_message_id: quoted,
        ...(quoted ? { reply_to: { is_own } } : {}),
        media_urls: [],
        media: [],
        source: {
          platform: "whatsapp",
          chat_id: m.from,
          chat_type: "dm",
          chat_name: name,
          user_id: m.from,
          user_name: name,
          thread_id: null,
          chat_topic: null,
          scope_id: scope,
          message_id: m.id,
          is_bot: false,
          message_is_edit: false,
          one_to_one_verified: true,
        },
      },
      addressed: true,
      own: m.from === display,
      media,
      album: null,
      capabilities: [],
      passthrough: null,
    });
  }
  return { events, ignored };
}
