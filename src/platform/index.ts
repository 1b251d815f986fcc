export { judgeMail, type MailHeader, type MailRules, type MailVerdict, messageIdOf, newWords } from "./mail/verify";
export { type DirectMessage, readDirectMessage } from "./slack/message";
export { verifySlack } from "./slack/verify";
export { verifyTelegram } from "./telegram/verify";
export type { Verdict } from "./verdict";
