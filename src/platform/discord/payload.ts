import * as z from "zod";

/** Discord's interaction as far as we read it (chat-platforms §2.2). Ids are texts; the rest of the body is passed on unread. */

const id = z.union([z.number().int(), z.string().regex(/^\d{1,20}$/)]).transform(String);
const name = z.string().max(500).nullish().catch(null);
const value = z.union([z.string(), z.number(), z.boolean()]);

const user = z.object({ id, username: name, global_name: name, bot: z.boolean().nullish() });

export interface Option {
  name: string;
  type: number;
  value?: string | number | boolean | null | undefined;
  options?: Option[] | null | undefined;
}
const option: z.ZodType<Option> = z.lazy(() =>
  z.object({
    name: z.string().max(100),
    type: z.number(),
    value: value.nullish(),
    options: z.array(option).nullish(),
  }),
);

const attachment = z.object({
  url: z.string().max(4_000),
  filename: name,
  content_type: name,
  size: z.number().nullish(),
});
const message = z.object({
  id,
  content: z.string().nullish(),
  flags: z.number().nullish(),
  author: user.nullish().catch(null),
  components: z.unknown().optional(),
});

const resolved = z.object({
  users: z.record(z.string(), user).nullish().catch(null),
  messages: z.record(z.string(), message).nullish().catch(null),
  attachments: z.record(z.string(), attachment).nullish().catch(null),
});

export const interaction = z.object({
  id,
  application_id: id,
  type: z.number(),
  guild_id: id.nullish(),
  channel_id: id.nullish(),
  channel: z
    .object({ id, type: z.number().nullish(), name, topic: z.string().nullish(), parent_id: id.nullish().catch(null) })
    .nullish(),
  /** 0 a server, 1 the bot's own DM, 2 any other DM. */
  context: z.number().nullish(),
  member: z.object({ user, nick: name }).nullish(),
  user: user.nullish(),
  authorizing_integration_owners: z.record(z.string(), z.unknown()).nullish().catch(null),
  message: message.nullish().catch(null),
  data: z
    .object({
      name: z.string().max(100).nullish(),
      custom_id: z.string().max(100).nullish(),
      values: z.array(value).nullish().catch(null),
      target_id: id.nullish(),
      options: z.array(option).nullish(),
      components: z.unknown().optional(),
      resolved: resolved.nullish().catch(null),
    })
    .nullish(),
});
export type Payload = z.infer<typeof interaction>;

/** What every body has, whatever its type; a webhook event has no id. */
export const head = z.object({ type: z.number(), application_id: id.nullish() });
