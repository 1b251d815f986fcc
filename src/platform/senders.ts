import { discordSender } from "./discord/send";
import type { Sender } from "./sender";
import { slackSender } from "./slack/send";
import { smsSender } from "./sms/send";
import { telegramSender } from "./telegram/send";
import { whatsappSender } from "./whatsapp/send";

const SENDERS: readonly Sender[] = [slackSender, discordSender, telegramSender, whatsappSender, smsSender];

/** The sender of a platform; null: none is of that name. */
export const senderOf = (platform: string): Sender | null => SENDERS.find((s) => s.name === platform) ?? null;
