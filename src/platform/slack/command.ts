import * as z from "zod";
import { sha256Hex } from "../../kernel/crypto";
import type { MessageEvent } from "../types";
import { id } from "./events";
import { capability, empty, type Given, type InteractionReading, inbound, nothing, source } from "./interact.parts";
import { readSlackText } from "./text";

const command = z.object({
  command: z.string().regex(/^\/[^\s]{1,100}$/),
  text: z.string().default(""),
  team_id: id.optional(),
  enterprise_id: id.optional(),
  channel_id: id,
  channel_name: z.string().max(200).optional(),
  user_id: id,
  user_name: z.string().max(200).optional(),
});

/** A slash command, from its form fields with the credentials stripped. It is no message: it has no id (§1.2). */
export async function readCommand(fields: Record<string, unknown>, given: Given): Promise<InteractionReading> {
  const parsed = command.safeParse(fields);
  const team = parsed.data?.team_id ?? parsed.data?.enterprise_id;
  if (!parsed.success || !team) return nothing("command of another shape");
  const c = parsed.data;
  const trigger = given.taken.get("trigger_id")?.[0] ?? given.taken.get("response_url")?.[0];
  // Without either there is nothing that names this one call.
  if (!trigger) return nothing("command without a trigger");
  const hash = await sha256Hex(`${trigger}:${c.user_id}:${c.command}`);
  const event: MessageEvent = {
    ...empty,
    text: `${c.command} ${readSlackText(c.text, null)}`.trim(),
    message_type: "command",
    message_id: null,
    source: source(team, c.channel_id, c.channel_name, { id: c.user_id, username: c.user_name }),
  };
  const caps = capability(given.taken.get("response_url")?.[0], given.facts);
  const one = inbound(
    given,
    event,
    `slack:${given.app}:${hash}`,
    `slack:${team}:${c.channel_id}::command-${hash}:0`,
    caps,
  );
  return { events: [one], presses: [], ignored: null, modal: false };
}
