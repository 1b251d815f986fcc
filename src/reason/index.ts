/**
 * What others may use of reasoning. Nothing here may lead to an LLM library: the edge imports this. The engine and the MCP
 * client are imported by the consumer from `engine.ts` and `mcp.ts`, the only other entrances (test/node/structure.test.ts).
 */
export * from "./agent";
export { readApproval, readWaiting, stuckFixes } from "./approval.store";
export {
  APPROVAL_LIFE,
  actionsOf,
  CAPS,
  FIX_ACTION,
  FIX_CODES,
  FIX_MODES,
  type FixCaller,
  type FixCode,
  type FixMode,
  type FixOutcome,
  type FixState,
  fixableMachines,
  operatorCaller,
  REASONING,
} from "./autofix";
export { type FixRow, readFix, readFixes } from "./autofix.store";
export {
  chooseModel,
  INCIDENT_CALLS_A_DAY,
  monthOf,
  monthStart,
  needsEscalation,
  nextMonth,
  project,
  refusal,
  routeCap,
  rungOf,
  THRESHOLDS,
} from "./budget";
export { type CostView, type DaySpend, readCalls, readDays, reconcile } from "./cost.store";
export { abandonExplanation, type ExplainDeps, type ExplainResult, explainWake } from "./explain";
export { withoutLinks } from "./fence";
export { type FixAsked, type Proposed, proposeFix, unwrapProposed } from "./fix";
export { type Answered, answerFix, approvalOf } from "./fix.answer";
export { type FixDeps, looksFor, modeOf, type SwitchesNow } from "./fix.load";
export { advanceFix, staleRun } from "./fix.run";
export type { FixStep, RunDeps } from "./fix.tell";
export { type FixView, fixView, readFixViews } from "./fix.view";
export {
  type Identity,
  type IdentityInput,
  identityFor,
  identityHash,
  identityInput,
  identityVersions,
  resetIdentity,
  saveIdentity,
} from "./identity";
export { type InvestigationView, latestInvestigation, readInvestigation } from "./investigation.store";
export {
  checkMcpServer,
  deleteMcpServer,
  MAX_SERVERS,
  type McpServer,
  type McpServerInput,
  mcpName,
  mcpServerInput,
  mcpServerView,
  putMcpServer,
  readMcpServer,
  readMcpServers,
} from "./mcp.store";
export { type ModelRef, type Provider, resolveModel } from "./models";
export { type ProposalView, readProposals } from "./promote/proposal.store";
export { answerProposal, PROMOTE_LOOPS, promoteBodies, runLoop } from "./promote/run";
export { LOOPS, PROPOSAL_STATES, type ProposalState } from "./promote/types";
export { engineLine, type ReasonSettings, readSettings } from "./settings";
export { type SpendCall, type SpendDeps, type SpendResult, settingsOf, spend } from "./spend";
export * from "./types";
export {
  carryOut,
  doneBefore,
  previewWish,
  WISH_TOOL,
  type Wish,
  wishFrame,
  wishKey,
  wishOf,
  wishSchema,
  wishTool,
} from "./wish";
export type { AiBinding } from "./workers-ai";
