import { parsePromptToken } from "../prompt-token";
import type { ChatType, Inbound, MediaRef, MessageEvent, SessionSource, StrippedCapability } from "../types";
import { isEphemeral } from "./answer";
import { snowflakeTime } from "./interaction";
import type { Option, Payload } from "./payload";

/** Discord's interactions as events (chat-platforms §2.2, hermes-relay §6.6). Pure. */

const TOKEN_MS = 14 * 60_000;
/** Follow-ups where only the person installed the app, not the server. */
const USER_INSTALL_USES = 5;
/** Deeper than any real form. */
const MAX_DEPTH = 10;

type Node = Record<string, unknown>;

const isThread = (type: number | null | undefined): boolean => type === 10 || type === 11 || type === 12;

function placeOf(
  i: Payload,
): Pick<SessionSource, "chat_type" | "thread_id" | "parent_chat_id" | "one_to_one_verified"> {
  if (!i.guild_id)
    return {
      chat_type: "dm",
      thread_id: null,
      one_to_one_verified: i.context == null ? i.channel?.type === 1 : i.context === 1,
    };
  const thread = isThread(i.channel?.type);
  const chat_type: ChatType = thread ? "thread" : "group";
  const parent = i.channel?.parent_id;
  return {
    chat_type,
    thread_id: thread ? i.channel!.id : null,
    ...(thread && parent ? { parent_chat_id: parent } : {}),
  };
}

/** Words of options in their order; an attachment's value is its id, and it comes as media. */
const optionWords = (options: readonly Option[], depth = 0): string[] =>
  options.flatMap((o) => {
    if (o.type === 1 || o.type === 2)
      return [o.name, ...(depth < MAX_DEPTH ? optionWords(o.options ?? [], depth + 1) : [])];
    return o.type === 11 || o.value == null ? [] : [String(o.value)];
  });

/** Every object among a message's or a form's components, outermost first. */
function components(value: unknown, depth = 0): Node[] {
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return [];
  if (Array.isArray(value)) return value.flatMap((v) => components(v, depth + 1));
  const node = value as Node;
  return [node, ...components(node["components"], depth + 1), ...components(node["component"], depth + 1)];
}

const fieldValues = (form: unknown): string[] =>
  components(form).flatMap((c) => {
    const given = Array.isArray(c["values"]) ? c["values"] : [c["value"]];
    return given.filter((v) => typeof v === "string" || typeof v === "number" || typeof v === "boolean").map(String);
  });

/** What a press's button, or a select's chosen option, was called. */
function labelOf(i: Payload, token: string): string | null {
  for (const c of components(i.message?.components)) {
    const options = Array.isArray(c["options"]) ? (c["options"] as Node[]) : [];
    const found =
      c["custom_id"] === token && typeof c["label"] === "string" ? c : options.find((o) => o?.["value"] === token);
    if (typeof found?.["label"] === "string") return found["label"];
  }
  return null;
}

type Words = Pick<MessageEvent, "text" | "message_type" | "reply_to_message_id" | "reply_to" | "prompt_response">;

function wordsOf(i: Payload): Words {
  const { data } = i;
  const bare = { reply_to_message_id: null };
  if (i.type === 2) {
    const text = [`/${(data?.name ?? "").replace(/\s+/g, "-")}`, ...optionWords(data?.options ?? [])].join(" ");
    const target = data?.target_id ?? null;
    const about = target === null ? null : data?.resolved?.messages?.[target];
    const author = (about?.author ?? (target === null ? null : data?.resolved?.users?.[target]))?.username;
    return {
      text,
      message_type: "command",
      reply_to_message_id: about ? target : null,
      ...(about || author
        ? {
            reply_to: {
              ...(about?.content ? { text: about.content } : {}),
              ...(author ? { author } : {}),
              is_own: about?.author?.id === i.application_id,
            },
          }
        : {}),
    };
  }
  if (i.type === 5) return { text: fieldValues(data?.components).join("\n"), message_type: "text", ...bare };
  const values = (data?.values ?? []).map(String);
  const token = [data?.custom_id ?? "", values[0] ?? ""].find((t) => parsePromptToken(t)) ?? "";
  const press = parsePromptToken(token);
  if (!press)
    return { text: values.length > 0 ? values.join(" ") : (data?.custom_id ?? ""), message_type: "text", ...bare };
  const label = labelOf(i, token);
  return {
    text: `/${press.option_id}`,
    message_type: "command",
    ...bare,
    prompt_response: {
      ...press,
      ...(label ? { label } : {}),
      ...(i.message ? { prompt_message_id: i.message.id } : {}),
    },
  };
}

const kindOf = (mime: string | null): MediaRef["kind"] =>
  mime?.startsWith("image/")
    ? "image"
    : mime?.startsWith("video/")
      ? "video"
      : mime?.startsWith("audio/")
        ? "audio"
        : "document";

const mediaOf = (i: Payload): MediaRef[] =>
  Object.values(i.data?.resolved?.attachments ?? {}).map((a) => ({
    ref: a.url,
    kind: kindOf(a.content_type ?? null),
    mime: a.content_type ?? null,
    size: a.size ?? null,
    filename: a.filename ?? null,
    caption: null,
  }));

/**
 * Will only this person see the reply? Where they asked about somebody's message or account, and where they answered what only
 * they saw. It is fixed when the reply is put off.
 */
export const isPrivate = (i: Payload): boolean =>
  (i.type === 2 && i.data?.target_id != null) || isEphemeral(i.message?.flags);

/** The token acts for us in this one interaction; its time is in the interaction's id. Wall ms. */
export function capabilityOf(i: Payload, token: string | undefined, now: number): StrippedCapability[] {
  if (!token) return [];
  const owners = i.authorizing_integration_owners;
  const elsewhere = i.guild_id != null && owners != null && !Object.hasOwn(owners, "0");
  return [
    {
      kind: "discord.interaction_token",
      value: token,
      // An id from the future lives no longer than one of now.
      expires_at: Math.min(snowflakeTime(i.id), now) + TOKEN_MS,
      uses: elsewhere ? USER_INSTALL_USES : null,
      meta: {
        application_id: i.application_id,
        interaction_id: i.id,
        ephemeral: String(isPrivate(i)),
        // A press is no "thinking…": `@original` is then the message with the button.
        deferred: i.type === 3 ? "update" : "reply",
      },
    },
  ];
}

/** The event of a command, a press or a form; null: it has no person or no channel. */
export function readInteraction(i: Payload, app: string): Omit<Inbound, "capabilities" | "passthrough"> | null {
  const who = i.member?.user ?? i.user;
  const chat = i.channel?.id ?? i.channel_id;
  if (!who || !chat) return null;
  const display = i.member?.nick || who.global_name || who.username;
  const source: SessionSource = {
    platform: "discord",
    chat_id: chat,
    chat_name: i.guild_id ? (i.channel?.name ?? null) : null,
    chat_topic: i.channel?.topic ?? null,
    user_id: who.id,
    user_name: who.username ?? null,
    ...(display ? { user_display_name: display } : {}),
    ...placeOf(i),
    ...(i.guild_id ? { scope_id: i.guild_id } : {}),
    is_bot: who.bot === true,
    message_id: i.id,
    message_is_edit: false,
  };
  return {
    platform: "discord",
    app,
    d1: `discord:${app}:${i.id}`,
    d2: `discord:${i.guild_id ?? ""}:${chat}:${i.id}:interaction:0`,
    event: { ...wordsOf(i), message_id: i.id, media_urls: [], media: [], source },
    addressed: true,
    own: false,
    media: mediaOf(i),
    album: null,
  };
}
