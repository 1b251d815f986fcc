import type { Inbound, MessageEvent, SessionSource } from "../../src/platform";

/** A verified, normalised event for tests of what comes after the adaptors. */

let serial = 0;

interface More {
  source?: Partial<SessionSource>;
  event?: Partial<MessageEvent>;
}

/** A Slack DM of U1 unless told otherwise; each has keys of its own. */
export function inbound(more: More & Partial<Omit<Inbound, "event">> = {}): Inbound {
  const { source, event, ...rest } = more;
  const n = ++serial;
  const whole: SessionSource = {
    platform: "slack",
    chat_id: "D1",
    chat_type: "dm",
    chat_name: null,
    user_id: "U1",
    user_name: null,
    thread_id: null,
    chat_topic: null,
    scope_id: "T1",
    is_bot: false,
    message_is_edit: false,
    one_to_one_verified: source?.chat_type === undefined,
    ...source,
  };
  return {
    platform: whole.platform,
    app: "app",
    d1: `${whole.platform}:app:Ev${n}`,
    d2: `${whole.platform}:T1:${whole.chat_id}:${n}:message:`,
    event: {
      text: "hello",
      message_type: "text",
      message_id: String(n),
      reply_to_message_id: null,
      media_urls: [],
      media: [],
      source: whole,
      ...event,
    },
    addressed: false,
    own: false,
    media: [],
    album: null,
    capabilities: [],
    passthrough: null,
    ...rest,
  };
}

/** A message in a channel of team T1. */
export const inChannel = (source: Partial<SessionSource> = {}, rest: Partial<Omit<Inbound, "event">> = {}): Inbound =>
  inbound({ source: { chat_id: "C1", chat_type: "group", one_to_one_verified: false, ...source }, ...rest });
