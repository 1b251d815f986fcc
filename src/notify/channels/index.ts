import type { Runtime } from "../../kernel/runtime";
import type { Channel } from "../types";
import { emailChannel } from "./email.channel";
import { slackChannel } from "./slack.channel";
import { telegramChannel } from "./telegram.channel";
import { webhookChannel } from "./webhook.channel";

/** Every push channel, set up or not. */
export const allChannels: readonly Channel[] = [slackChannel, telegramChannel, webhookChannel, emailChannel];

/** The channels that can be used, in the order of `REVEILLE_NOTICE_CHANNELS`. */
export function pushChannels(runtime: Runtime): Channel[] {
  return runtime.config.channels.flatMap((name) =>
    allChannels.filter((channel) => channel.name === name && channel.missing(runtime).length === 0),
  );
}
