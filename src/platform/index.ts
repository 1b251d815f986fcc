export { verifySlack } from "./slack/verify";
export { verifyTelegram } from "./telegram/verify";
export type { Verdict } from "./verdict";
