import * as z from "zod";

/** Telegram's `Update` as bytes to checked values (chat-platforms §3). Ids are texts from here on. */

const id = z.union([z.number().int(), z.string().regex(/^-?\d{1,20}$/)]).transform(String);

const user = z.object({
  id,
  is_bot: z.boolean().default(false),
  first_name: z.string().default(""),
  last_name: z.string().nullish(),
  username: z.string().nullish(),
});
export type TelegramUser = z.infer<typeof user>;

const chat = z.object({
  id,
  type: z.enum(["private", "group", "supergroup", "channel"]),
  title: z.string().nullish(),
  username: z.string().nullish(),
  first_name: z.string().nullish(),
  last_name: z.string().nullish(),
  is_forum: z.boolean().nullish(),
});
export type TelegramChat = z.infer<typeof chat>;

const entity = z.object({
  type: z.string(),
  // UTF-16 units, as our own texts are counted.
  offset: z.number().int().nonnegative(),
  length: z.number().int().nonnegative(),
  user: user.nullish(),
});
export type Entity = z.infer<typeof entity>;

const media = z.object({
  file_id: z.string().min(1).max(300),
  file_size: z.number().int().nonnegative().nullish(),
  mime_type: z.string().max(200).nullish(),
  file_name: z.string().nullish(),
});
export type TelegramFile = z.infer<typeof media>;

const place = z.object({ latitude: z.number(), longitude: z.number() });

const replied = z.object({
  message_id: id,
  from: user.nullish(),
  sender_chat: chat.nullish(),
  text: z.string().nullish(),
  caption: z.string().nullish(),
  forum_topic_created: z.unknown().optional(),
});

export const message = z.object({
  message_id: id,
  from: user.nullish(),
  sender_chat: chat.nullish(),
  chat,
  message_thread_id: id.nullish(),
  is_topic_message: z.boolean().nullish(),
  is_automatic_forward: z.boolean().nullish(),
  via_bot: user.nullish(),
  text: z.string().nullish(),
  entities: z.array(entity).nullish(),
  caption: z.string().nullish(),
  caption_entities: z.array(entity).nullish(),
  reply_to_message: replied.nullish(),
  quote: z.object({ text: z.string() }).nullish(),
  media_group_id: z.string().max(100).nullish(),
  photo: z.array(media).nullish(),
  voice: media.nullish(),
  audio: media.nullish(),
  video: media.nullish(),
  video_note: media.nullish(),
  animation: media.nullish(),
  document: media.nullish(),
  sticker: media.extend({ emoji: z.string().nullish() }).nullish(),
  location: place.nullish(),
  venue: z.object({ title: z.string(), address: z.string() }).nullish(),
  contact: z.object({ phone_number: z.string(), first_name: z.string(), last_name: z.string().nullish() }).nullish(),
  migrate_to_chat_id: id.nullish(),
  migrate_from_chat_id: id.nullish(),
});
export type TelegramMessage = z.infer<typeof message>;

export const callbackQuery = z.object({
  id: z.string().min(1).max(100),
  from: user,
  // A message too old for Telegram has only its chat and its id.
  message: message
    .extend({
      reply_markup: z
        .object({
          inline_keyboard: z.array(z.array(z.object({ text: z.string(), callback_data: z.string().nullish() }))),
        })
        .nullish()
        .catch(null),
    })
    .nullish()
    .catch(null),
  inline_message_id: z.string().nullish(),
  data: z.string().max(64).nullish(),
});
export type CallbackQuery = z.infer<typeof callbackQuery>;

export const update = z.object({ update_id: id }).loose();
