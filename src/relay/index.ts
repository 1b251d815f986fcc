/** The relay between clients and announced agents (connectonion.md (d)). */
export { Bindings } from "./bindings.store";
export {
  type AgentRow,
  type AgentShape,
  expireAgents,
  lookupBody,
  readAgent,
  readAgents,
  saveAgent,
  saveOffline,
} from "./directory.store";
export { accountable, endEntry, type HearAsk, type Heard, hear, stageAfter, type Told, toTell } from "./hear";
export { type HostPorts, hostFrame } from "./host";
export { ridOf } from "./legacy";
export {
  AGENT_SILENCE,
  ANNOUNCES,
  type Bucket,
  CLIENTS_PER_AGENT,
  CLOSE,
  closeFor,
  EARLY_FRAMES,
  errorFrame,
  FIRST_FRAME_WITHIN,
  FRAME_LIMIT,
  fullBucket,
  PING,
  PING_EVERY,
  RUN_LOST_AFTER,
  TOO_MANY_ANNOUNCES,
  TOO_MANY_FRAMES,
  take,
  tooLarge,
  WAITING_BYTES,
  WAITING_FRAMES,
} from "./limits";
export { type Bound, type Delivery, type Down, freshOf, type Up } from "./line";
export { isKept, type Page, RelayLog } from "./log.store";
export { type Claimable, type Opened, openLine } from "./open";
export { type AgentFrame, type ClientFrame, peekAgent, peekClient } from "./peek";
export {
  askedOf,
  endOf,
  idleTurns,
  type RelayRecord,
  type RelayRun,
  type RelayView,
  type RunEnd,
  type Turn,
  viewOf,
} from "./record";
export { type BindAsk, type Binding, bind, holds, leave, lineOf, type Table } from "./routing";
export { RelayRuns, type RunStart } from "./runs.store";
