export { type ActionName, createActions, giveBackAction, SNOOZE_MS, type Used, useAction } from "./actions";
export type { BudgetPayload } from "./budget-notice";
export { actionIdOf } from "./buttons";
export { allChannels, pushChannels } from "./channels";
export { answerCallback } from "./channels/telegram.channel";
export { type DeliverDeps, type DeliverOptions, type DeliverResult, deliver } from "./deliver";
export { editSent } from "./edit";
export { composeInvestigation, type Explained } from "./explained";
export type { IncidentEvent, IncidentFacts } from "./facts";
export {
  composeFixAnswered,
  composeFixAsk,
  composeFixDryRun,
  composeFixResult,
  type FixResult,
  type FixWords,
} from "./fix";
export { asText, composeBlind, composeDigest, composeIncident, composeSummary, composeTest, rootAfter } from "./notice";
export { type DmStatus, readFacts } from "./notice.store";
export { clipWords, plain, plainLines } from "./text";
export { deliverInThread } from "./thread";
export type { Channel, ChannelName, Notice, NoticeEvent, Outgoing, SendResult } from "./types";
export { leaseOf, processWake, SWEEP_GRACE, type WakeDeps, type WakeResult } from "./wake";
export { tryWake } from "./wake.dead";
export {
  claim as claimWake,
  finish as finishWake,
  markInvestigated,
  markReserved,
  plainResult,
  release as releaseWake,
  type WakeWork,
} from "./wake.store";
