import { discordSetup } from "./discord/setup";
import type { Setup } from "./setup";
import { slackSetup } from "./slack/setup";
import { smsSetup } from "./sms/setup";
import { telegramSetup } from "./telegram/setup";
import type { PlatformName } from "./types";
import { whatsappSetup } from "./whatsapp/setup";

export const SETUPS: Record<PlatformName, Setup> = {
  slack: slackSetup,
  discord: discordSetup,
  telegram: telegramSetup,
  whatsapp: whatsappSetup,
  sms: smsSetup,
};
