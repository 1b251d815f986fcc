export { type BeatTokenTarget, beatToken, readBeatToken } from "./beat-url";
export { issueOf } from "./classify";
export { plan, RESEND_AFTER, sessionId } from "./commit";
export { type CycleDeps, type CycleResult, lookAndPack, runCycle, SHARD_TOO_OLD, shardMessage } from "./cycle";
export { FARTHEST_LOOK, nextDue } from "./due";
export { envelopeOf, isEnvelopeEnabled } from "./envelopes";
export { type Beat, type BeatKind, readBeat, recordBeat } from "./heartbeat.store";
export { type Hour, latestSamples, readDays, readHours, type Series, targetSeries } from "./history.store";
export { fresh, type Input, type Machine, step, verdict } from "./incident";
export { type IncidentQuery, type IncidentView, readIncident, readIncidents } from "./incident.store";
export { lookAt } from "./look";
export { type Look, lookStatement, readLooks } from "./look.store";
export type { MaintenanceWindow, NewWindow, Occurrence } from "./maintenance";
export { activeAt, needsConfirm, nextOccurrences, occurrenceAt, windowInput } from "./maintenance";
export { createWindow, endWindow, extendWindow, listWindows, readLiveWindows, reopenWindow } from "./maintenance.store";
export { policyOf } from "./policy";
export { authorization as flyAuthorization, machine as flyMachine, roleOf as flyRole } from "./probes/fly.probe";
export { bindingsOf } from "./probes/setup";
export { rehearsed, unchanged } from "./rehearsal";
export { report } from "./report";
export {
  addTally,
  emptyTally,
  expectedMs,
  mergeRollups,
  type Rollup,
  rollupTarget,
  type Tally,
  type Uptime,
  uptime,
} from "./rollup";
export { expireHistory, liveHour, rollupDue } from "./rollup.store";
export { RULES, type RuleFacts, readCounts, ruleSnapshot } from "./rules";
export { lastPacked, type Sample } from "./sample.store";
export { sweepWakes } from "./sweep";
export { applyPatch, OPEN, type Switches, type SwitchPatch, switchesSchema, switchPatch, UNREADABLE } from "./switches";
export { flyConfig } from "./target.config";
export {
  hostsOf,
  idFromName,
  parseTarget,
  patchTarget,
  schemaError,
  type TargetInput,
  targetInput,
  targetPatch,
  urlsOf,
} from "./target.schema";
export {
  deleteTarget,
  insertTarget,
  lostRace,
  muteTarget,
  type NewTarget,
  pauseTarget,
  readState,
  readStates,
  readTarget,
  readTargets,
  saveState,
  updateTarget,
} from "./target.store";
export type { TimelineRow } from "./timeline";
export { incidentTimeline } from "./timeline.store";
export type { Json, Kind, Reason, Severity, Snapshot, Status, Target, Thresholds } from "./types";
export { KINDS } from "./types";
export { readWakes, type WakeView } from "./wake.store";
export { noteWatcher, readCycle, watcherSnapshot } from "./watcher";
