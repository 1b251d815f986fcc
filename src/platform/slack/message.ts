import * as z from "zod";

/** Direct messages of Slack's Events API, read to the few fields a question needs (chat-platforms §1.2). Pure. */

/** A message a person typed to the bot in its DM. Ids are texts: parsing a `ts` to a number would lose its end. */
export interface DirectMessage {
  event_id: string;
  team: string;
  channel: string;
  user: string;
  ts: string;
  /** The thread's root: what an answer must name. The message itself when it is in no thread. */
  root: string;
  text: string;
}

export type SlackMessage = { ok: true; message: DirectMessage } | { ok: false; why: string };

const envelope = z.object({
  type: z.literal("event_callback"),
  team_id: z.string().regex(/^[TE][A-Z0-9]{2,30}$/),
  event_id: z.string().min(1).max(100),
  event: z.object({ type: z.string().max(100) }).loose(),
});

const ts = z.string().regex(/^\d{1,12}\.\d{1,10}$/);
const typed = z.object({
  channel: z.string().regex(/^D[A-Z0-9]{2,30}$/),
  user: z.string().regex(/^[UW][A-Z0-9]{2,30}$/),
  ts,
  thread_ts: ts.optional(),
  text: z.string(),
});

const no = (why: string): SlackMessage => ({ ok: false, why });

/** Subtypes that are still something a person typed. */
const TYPED = ["file_share", "me_message"];

/** Reads an event; everything but a person's own, new message in a DM is refused with the reason. */
export function readDirectMessage(value: unknown): SlackMessage {
  const outer = envelope.safeParse(value);
  if (!outer.success) return no("no event");
  const { event, event_id, team_id } = outer.data;
  if (event.type !== "message") return no("another event");
  if (event["channel_type"] !== "im") return no("not a DM");
  if (event["bot_id"] !== undefined || event["bot_profile"] !== undefined) return no("a bot");
  const { subtype } = event as { subtype?: unknown };
  if (subtype !== undefined && !TYPED.includes(String(subtype))) return no(`subtype ${String(subtype).slice(0, 40)}`);
  if (event["edited"] !== undefined || event["hidden"] === true) return no("an edit");
  const inner = typed.safeParse(event);
  if (!inner.success) return no("another shape");
  const { channel, user, ts, thread_ts, text } = inner.data;
  const words = plainSlack(text);
  if (words === "") return no("no text");
  return { ok: true, message: { event_id, team: team_id, channel, user, ts, root: thread_ts ?? ts, text: words } };
}

/** What the person saw: `<url|label>`, `<#C1|name>` and mentions as words, entities decoded once. */
export function plainSlack(text: string): string {
  return text
    .replace(/<@[UW][A-Z0-9]+(?:\|[^>]*)?>/g, "")
    .replace(/<[#!]?([^>|]*)\|([^>]*)>/g, "$2")
    .replace(/<[#!]?([^>]*)>/g, "$1")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&")
    .trim();
}
