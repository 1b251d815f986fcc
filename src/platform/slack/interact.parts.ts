import * as z from "zod";
import type { AppFacts } from "../adaptor";
import type { Inbound, MessageEvent, OtherPress, SessionSource, StrippedCapability } from "../types";
import { id } from "./events";

/** What Slack's buttons, shortcuts, modals and commands have in common (chat-platforms §1.2, §1.3). Pure. */

const RESPONSE_URL_MS = 29 * 60_000;
const RESPONSE_URL_USES = 5;

/** The credential was stripped before; it comes back only as a capability. Any other host is not Slack's (§1.3). */
export function capability(url: string | undefined, facts: AppFacts): StrippedCapability[] {
  if (!url || !URL.canParse(url) || new URL(url).protocol !== "https:" || new URL(url).host !== "hooks.slack.com")
    return [];
  return [
    {
      kind: "slack.response_url",
      value: url,
      expires_at: facts.now + RESPONSE_URL_MS,
      uses: RESPONSE_URL_USES,
      meta: {},
    },
  ];
}

export const person = z.object({
  id,
  username: z.string().max(200).nullish(),
  name: z.string().max(200).nullish(),
  team_id: id.nullish(),
});

export type InteractionReading = { events: Inbound[]; presses: OtherPress[]; ignored: string | null; modal: boolean };

export const nothing = (why: string, modal = false): InteractionReading => ({
  events: [],
  presses: [],
  ignored: why,
  modal,
});

export interface Given {
  facts: AppFacts;
  app: string;
  bot: string | null;
  /** The values stripped, by key. */
  taken: Map<string, string[]>;
}

/** `D...` is a DM. The type of other channels is not in an interaction; Slack names the channels of several people "mpdm-". */
export function source(
  team: string,
  chat: string,
  name: string | null | undefined,
  user: z.infer<typeof person>,
): SessionSource {
  const im = chat.startsWith("D");
  const many = name?.startsWith("mpdm-") === true;
  return {
    platform: "slack",
    chat_id: chat,
    chat_type: im || many ? "dm" : "group",
    // "directmessage" and "privategroup" are kinds, not names.
    chat_name: !name || im || many || name === "privategroup" ? null : name,
    user_id: user.id,
    user_name: user.username ?? user.name ?? null,
    thread_id: null,
    chat_topic: null,
    scope_id: team,
    is_bot: false,
    message_is_edit: false,
    ...(im || many ? { one_to_one_verified: im } : {}),
  };
}

export const inbound = (
  given: Given,
  event: MessageEvent,
  d1: string,
  d2: string,
  capabilities: StrippedCapability[],
): Inbound => ({
  platform: "slack",
  app: given.app,
  d1,
  d2,
  event,
  addressed: true,
  own: false,
  media: [],
  album: null,
  capabilities,
  passthrough: null,
});

export const empty = { reply_to_message_id: null, media_urls: [], media: [] };
