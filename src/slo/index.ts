export { type Judged, judgeDirections, sloFacts, takeMutes } from "./alerts";
export {
  type Advance,
  advanceProbe,
  CLAIM_LEASE,
  type ClaimAnswer,
  type ClaimAsk,
  type ClaimRecord,
  claimProbe,
  forgetProbes,
  probeRecord,
} from "./claims";
export { countResponder } from "./count.store";
export { type KeyAnswer, responderKey } from "./keys";
export { CALL_TIMEOUT, callTool, type McpFetch, type ToolAnswer, type ToolCall } from "./mcp-call";
export {
  type Breach,
  outcomeOf,
  REASONS,
  type Reason,
  type Sample,
  type Summary,
  slotAt,
  summarise,
  TARGET_24H,
  TARGET_28D,
  tally,
} from "./objectives";
export { knownPongs, recordPong } from "./pong.store";
export { type Outcome, type ProbePorts, runProbe, type Said, topicOf } from "./prober";
export {
  closeHangs,
  type DirectionRow,
  directionPlace,
  expireSlo,
  finishProbe,
  type NewRun,
  noteProbe,
  type ProbeRow,
  RUN_NOW,
  readDirections,
  readPong,
  readProbes,
  sampleOf,
  startRun,
} from "./probes.store";
export {
  directionOf,
  forUs,
  type Item,
  isPong,
  itemsOf,
  MAX_PROBE_PAYLOAD,
  messagesOf,
  type ProbeGate,
  partition,
  pongCandidates,
  pongFor,
  withMessages,
} from "./protocol";
export { renderMessages } from "./render";
export {
  endpointOf,
  isOwnUrl,
  NO_ACK_FOR,
  type Responded,
  type Responder,
  type ResponderPorts,
  respond,
} from "./responder";
export { readTally, rollupSlo } from "./rollup";
export type { AckMode, ClaimState, Direction, ErrorClass, ResponderStatus } from "./types";
