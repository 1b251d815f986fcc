export { type AnswerDeps, answer as answerAsk, budgetFacts, withoutPrefix } from "./answer";
export {
  ASK_LEASE,
  claimAsk,
  claimSend,
  insertAsk,
  lostAsks,
  MAX_ATTEMPTS,
  markSendFailed,
  markSent,
  type NewAsk,
  readAsk,
  readAsks,
  releaseAsk,
  sendIsOver,
  storeAnswer,
} from "./ask.store";
export {
  currentState,
  FRESH,
  type LiveState,
  readMark,
  readState as readLiveState,
  saveState as saveLiveState,
} from "./state";
export { type Answer, type AskRow, type AskSource, type BudgetFacts, BY_RULES, type Cite, MAX_QUESTION } from "./types";
export { signature } from "./words";
