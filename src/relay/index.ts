/** The relay between clients and announced agents (connectonion.md (d)). */
export { Bindings } from "./bindings.store";
export {
  type AgentRow,
  type AgentShape,
  lookupBody,
  readAgent,
  readAgents,
  saveAgent,
  saveOffline,
} from "./directory.store";
export { type HostPorts, hostAnswer, hostFrame } from "./host";
export { ridOf } from "./legacy";
export {
  AGENT_SILENCE,
  type Bucket,
  CLIENTS_PER_AGENT,
  CLOSE,
  closeFor,
  errorFrame,
  FIRST_FRAME_WITHIN,
  FRAME_LIMIT,
  fullBucket,
  PING,
  PING_EVERY,
  RUN_LOST_AFTER,
  TOO_MANY_FRAMES,
  take,
  WAITING_BYTES,
  WAITING_FRAMES,
} from "./limits";
export { type Bound, type Delivery, type Down, freshOf, type Up } from "./line";
export { type Claimable, type Opened, openLine } from "./open";
export { type AgentFrame, type ClientFrame, peekAgent, peekClient } from "./peek";
export { endOf, type RelayRecord, type RelayRun, type RunEnd, type Turn } from "./record";
export { type BindAsk, type Binding, bind, holds, leave, lineOf, type Table } from "./routing";
export { RelayRuns, type RunStart } from "./runs.store";
