import type { Inbound } from "../types";

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

/** What the built-in agent may answer: a person's own words in a Slack DM of two. Null for everything else. */
export function directMessageOf(inbound: Inbound): DirectMessage | null {
  const { source, message_id, prompt_response, text } = inbound.event;
  if (inbound.platform !== "slack" || inbound.own || source.is_bot || source.one_to_one_verified !== true) return null;
  // A press or a slash command has no message to answer to.
  if (prompt_response || message_id === null || !source.user_id || !source.scope_id || text === "") return null;
  return {
    event_id: inbound.d1.slice(`slack:${inbound.app}:`.length),
    team: source.scope_id,
    channel: source.chat_id,
    user: source.user_id,
    ts: message_id,
    root: source.thread_id ?? message_id,
    text,
  };
}
