export {
  CONSUMER_STALE,
  DOWN_AFTER,
  type EngineFacts,
  health,
  type ListenerHealth,
  type ListenerState,
  type ListenerWord,
  type Overall,
  type Readiness,
  readiness,
  type Started,
  startAll,
  startEngine,
} from "./health";
export { claimRun, countFailures, markFailed, markOk, noteSetup, readListenerStates } from "./listener.store";
export { type Home, isFatal, type Listener, makeRegistry, type Registry } from "./registry";
export { type Body, isDue, type Ran, type RunDeps, runDue } from "./run";
export { LISTENERS, registry } from "./table";
