import type { Adaptor } from "./adaptor";
import { discordAdaptor } from "./discord/adaptor";
import { slackAdaptor } from "./slack/adaptor";
import { smsAdaptor } from "./sms/adaptor";
import { telegramAdaptor } from "./telegram/adaptor";
import { whatsappAdaptor } from "./whatsapp/adaptor";

/** Every platform we take webhooks of. */
export const ADAPTORS: readonly Adaptor[] = [
  slackAdaptor,
  discordAdaptor,
  telegramAdaptor,
  whatsappAdaptor,
  smsAdaptor,
];
