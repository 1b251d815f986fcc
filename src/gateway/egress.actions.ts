import * as z from "zod";
import { formatPromptToken, type PromptOption } from "../platform";

/** The ops of hermes-relay §8 as a gateway sends them. Unknown fields are left out; unknown metadata is kept as a bag. */

const id = z.union([z.string().min(1).max(256), z.number().int().transform(String)]);
const optionalId = id
  .nullish()
  .or(z.literal(""))
  .transform((v) => v || null);
const metadata = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((v) => v ?? {});
const content = z.string().max(400_000);
const words = content.nullish().transform((v) => v ?? "");
const chat = { chat_id: id, metadata };

const OPTION_STYLE = z.enum(["primary", "success", "danger", "secondary"]).catch("secondary");

export const ACTIONS = {
  send: z.object({ ...chat, content, reply_to: optionalId }),
  edit: z.object({ ...chat, message_id: id, content }),
  typing: z.object({ ...chat, content: z.string().max(10_000).nullish() }),
  react: z.object({ ...chat, message_id: id, emoji: z.string().min(1).max(100), remove: z.boolean().nullish() }),
  get_chat_info: z.object(chat),
  send_media: z.object({
    ...chat,
    media_kind: z.enum(["image", "voice", "audio", "video", "document"]),
    source_url: z.string().min(1).max(8_000),
    content: words,
    filename: z.string().max(255).nullish(),
    reply_to: optionalId,
  }),
  prompt: z.object({
    ...chat,
    content,
    prompt_id: z.string().max(64),
    options: z
      .array(z.object({ id: z.string().max(64), label: z.string().min(1).max(1_000), style: OPTION_STYLE.optional() }))
      .min(1)
      .max(25),
    reply_to: optionalId,
  }),
  follow_up: z.object({
    session_key: z.string().min(1).max(1_024),
    kind: z.string().min(1).max(100),
    content,
    metadata,
  }),
};

export type OpName = keyof typeof ACTIONS;
export type ActionOf<O extends OpName> = z.infer<(typeof ACTIONS)[O]>;

export const isOp = (op: string): op is OpName => Object.hasOwn(ACTIONS, op);

/** An action as its op has it, or what is wrong with it, in words without its content. */
export function readAction<O extends OpName>(op: O, action: unknown): { action: ActionOf<O> } | { wrong: string } {
  const read = ACTIONS[op].safeParse(action);
  if (read.success) return { action: read.data as ActionOf<O> };
  const issue = read.error.issues[0];
  return { wrong: `${issue?.path.join(".") || "it"}: ${issue?.message ?? "has another form"}` };
}

/** The buttons of a prompt, or null: an id that is not allowed, too long, or given twice can't come back to its asker (§8.1). */
export function promptOptions(action: ActionOf<"prompt">): PromptOption[] | null {
  const ids = new Set(action.options.map((o) => o.id));
  if (ids.size !== action.options.length) return null;
  const options = action.options.map((o) => ({
    label: o.label,
    token: formatPromptToken(action.prompt_id, o.id) ?? "",
    style: o.style ?? "secondary",
  }));
  return options.some((o) => o.token === "") ? null : options;
}
