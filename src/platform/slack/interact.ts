import * as z from "zod";
import { sha256Hex } from "../../kernel/crypto";
import { parsePromptToken } from "../prompt-token";
import type { Inbound, MessageEvent, OtherPress } from "../types";
import { id, ts } from "./events";
import {
  capability,
  empty,
  type Given,
  type InteractionReading,
  inbound,
  nothing,
  person,
  source,
} from "./interact.parts";
import { readSlackText } from "./text";

/** Slack's buttons, shortcuts and modals (chat-platforms §1.1-§1.3, hermes-relay §8.2). Hashes, else pure. */

const interaction = z.object({
  type: z.string().max(60),
  team: z.object({ id }).nullish(),
  enterprise: z.object({ id }).nullish(),
  user: person.optional(),
  channel: z.object({ id, name: z.string().max(200).nullish() }).nullish(),
  container: z.object({ channel_id: id.nullish(), message_ts: ts.nullish(), thread_ts: ts.nullish() }).nullish(),
  message: z
    .object({ ts, thread_ts: ts.nullish(), text: z.string().nullish(), user: id.nullish(), bot_id: id.nullish() })
    .nullish()
    .catch(null),
  callback_id: z.string().max(255).nullish(),
  response_urls: z
    .array(z.object({ channel_id: id }))
    .nullish()
    .catch(null),
  actions: z
    .array(
      z.object({
        action_id: z.string().max(255),
        action_ts: z.string().max(40).nullish(),
        text: z
          .object({ text: z.string().max(300) })
          .nullish()
          .catch(null),
      }),
    )
    .max(25)
    .optional(),
  view: z
    .object({ callback_id: z.string().max(255).nullish(), state: z.unknown().optional() })
    .nullish()
    .catch(null),
});
type Interaction = z.infer<typeof interaction>;

/** One interaction, its credentials stripped. */
export async function readInteraction(value: unknown, given: Given): Promise<InteractionReading> {
  const parsed = interaction.safeParse(value);
  if (!parsed.success) return nothing("interaction of another shape");
  const i = parsed.data;
  if (!i.user) return nothing(`${i.type} of nobody`);
  switch (i.type) {
    case "block_actions":
      return presses(i, given);
    case "message_action":
    case "shortcut":
      return shortcut(i, given);
    case "view_submission":
      return { ...(await submission(i, given)), modal: true };
    default:
      return nothing(`interaction ${i.type}`);
  }
}

async function presses(i: Interaction, given: Given): Promise<InteractionReading> {
  const team = i.team?.id ?? i.enterprise?.id;
  const chat = i.channel?.id ?? i.container?.channel_id;
  const user = i.user!;
  const trigger = given.taken.get("trigger_id")?.[0] ?? "";
  const events: Inbound[] = [];
  const others: OtherPress[] = [];
  for (const action of i.actions ?? []) {
    const token = parsePromptToken(action.action_id);
    if (!token || !team || !chat) {
      others.push({ token: action.action_id, user_id: user.id, user_name: user.username ?? user.name ?? null });
      continue;
    }
    const prompt_message_id = i.container?.message_ts ?? i.message?.ts;
    const thread = i.message?.thread_ts ?? i.container?.thread_ts ?? null;
    const message_id = `${action.action_ts ?? (await sha256Hex(trigger)).slice(0, 16)}-${user.id}`;
    const from = source(team, chat, i.channel?.name, user);
    const event: MessageEvent = {
      ...empty,
      text: `/${token.option_id}`,
      message_type: "command",
      message_id,
      prompt_response: {
        ...token,
        ...(action.text ? { label: action.text.text } : {}),
        ...(prompt_message_id ? { prompt_message_id } : {}),
      },
      // A thread's root has its own ts as thread_ts.
      source: { ...from, thread_id: thread && thread !== i.message?.ts ? thread : null, message_id },
    };
    // The trigger is a credential: only its hash may be kept (§1.1).
    const hash = await sha256Hex(`${trigger}:${action.action_ts ?? ""}:${user.id}:${action.action_id}`);
    const d2 = `slack:${team}:${chat}:${prompt_message_id ?? ""}:press-${message_id}-${token.option_id}:0`;
    events.push(
      inbound(
        given,
        event,
        `slack:${given.app}:${hash}`,
        d2,
        capability(given.taken.get("response_url")?.[0], given.facts),
      ),
    );
  }
  return { events, presses: others, ignored: events.length + others.length > 0 ? null : "no action", modal: false };
}

async function shortcut(i: Interaction, given: Given): Promise<InteractionReading> {
  const team = i.team?.id ?? i.enterprise?.id;
  const chat = i.channel?.id;
  if (!team || !chat || !i.callback_id) return nothing(`${i.type} without a channel`);
  const message_id = i.message?.ts ?? null;
  const thread = i.message?.thread_ts && i.message.thread_ts !== message_id ? i.message.thread_ts : null;
  const text = readSlackText(i.message?.text ?? "", null);
  const hash = await sha256Hex(`${given.taken.get("trigger_id")?.[0] ?? ""}:${i.callback_id}:${i.user!.id}`);
  const event: MessageEvent = {
    ...empty,
    text: `/${i.callback_id.replace(/\s+/g, "-")}`,
    message_type: "command",
    message_id: null,
    reply_to_message_id: message_id,
    ...(i.message
      ? {
          reply_to: {
            text,
            ...(i.message.user ? { author: i.message.user } : {}),
            is_own: i.message.user != null && i.message.user === given.bot,
          },
        }
      : {}),
    source: { ...source(team, chat, i.channel?.name, i.user!), thread_id: thread },
  };
  const d2 = `slack:${team}:${chat}:${message_id ?? ""}:action-${hash}:0`;
  const caps = capability(given.taken.get("response_url")?.[0], given.facts);
  return {
    events: [inbound(given, event, `slack:${given.app}:${hash}`, d2, caps)],
    presses: [],
    ignored: null,
    modal: false,
  };
}

/** A modal carries a chat only where it was asked for one (`response_urls[]`). Its texts are the values of its fields. */
async function submission(i: Interaction, given: Given): Promise<InteractionReading> {
  const url = given.taken.get("response_url")?.[0];
  const chat = i.response_urls?.[0]?.channel_id;
  const team = i.team?.id ?? i.enterprise?.id;
  if (!team || !chat || !i.view) return nothing("modal without a channel");
  const hash = await sha256Hex(`${given.taken.get("trigger_id")?.[0] ?? ""}:${url ?? ""}:${i.user!.id}`);
  const values = fieldValues(i.view.state);
  const event: MessageEvent = {
    ...empty,
    text: [`/${i.view.callback_id?.replace(/\s+/g, "-") || "submit"}`, ...values].join("\n"),
    message_type: "command",
    message_id: null,
    source: source(team, chat, null, i.user!),
  };
  const one = inbound(
    given,
    event,
    `slack:${given.app}:${hash}`,
    `slack:${team}:${chat}::modal-${hash}:0`,
    capability(url, given.facts),
  );
  return { events: [one], presses: [], ignored: null, modal: true };
}

const field = z.object({
  value: z.string().nullish(),
  selected_option: z.object({ value: z.string() }).nullish(),
  selected_options: z.array(z.object({ value: z.string() })).nullish(),
  selected_user: z.string().nullish(),
  selected_channel: z.string().nullish(),
  selected_conversation: z.string().nullish(),
  selected_date: z.string().nullish(),
  selected_time: z.string().nullish(),
});

function fieldValues(state: unknown): string[] {
  const blocks = z.object({ values: z.record(z.string(), z.record(z.string(), field)) }).safeParse(state);
  if (!blocks.success) return [];
  return Object.values(blocks.data.values).flatMap((block) =>
    Object.values(block).flatMap((f) => {
      const many = f.selected_options?.map((o) => o.value).join(", ");
      const one = f.value ?? f.selected_option?.value ?? many ?? f.selected_user ?? f.selected_channel;
      return one ?? f.selected_conversation ?? f.selected_date ?? f.selected_time ?? [];
    }),
  );
}
