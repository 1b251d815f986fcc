export {
  type Adaptor,
  type AppFacts,
  decodeBody,
  MalformedPayload,
  parseBody,
  type WebhookCall,
} from "./adaptor";
export { Holds, limited, type SendDeps } from "./call";
export { type Command, commandsOf, registerCommands } from "./discord/commands";
export {
  answerInteraction,
  applicationOf,
  editInteraction,
  endDeferred,
  type Interaction,
  interactionOver,
  interactionParts,
} from "./discord/interaction";
export { verifyDiscord } from "./discord/verify";
export { judgeMail, type MailHeader, type MailRules, type MailVerdict, messageIdOf, newWords } from "./mail/verify";
export { formatPromptToken, type PromptToken, parsePromptToken } from "./prompt-token";
export { ADAPTORS } from "./registry";
export {
  type Fetched,
  failure,
  type OutFile,
  opsOfSender,
  type PromptOption,
  type Sender,
  type Sent,
  type Where,
} from "./sender";
export { senderOf } from "./senders";
export type { Check, Checked } from "./setup";
export { SETUPS } from "./setups";
export { type DirectMessage, directMessageOf } from "./slack/message";
export { respondOver, respondParts, respondSlack } from "./slack/respond";
export { verifySlack } from "./slack/verify";
export { verifyTwilio } from "./sms/verify";
export { STRIP_RULES, type StripRule } from "./strip";
export { verifyTelegram } from "./telegram/verify";
export type * from "./types";
export { PLATFORMS } from "./types";
export type { Verdict } from "./verdict";
export { verifyWhatsApp } from "./whatsapp/verify";
