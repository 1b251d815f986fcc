/** Signed frames, the one-use ledger and the merge of sessions (connectonion.md (a) and (c)). */

export { memberOf } from "../kernel/lossless-json";
export { type RefusedAnnounce, type VerifiedAnnounce, verifyAnnounce } from "./announce";
export { attachmentProblem } from "./attachments";
// The host: a session's home, its door, its records.
export { chatItems } from "./conversation";
export { onFrame, usableSessionId } from "./door";
export type { DoorPorts, LineState, TrustAnswer } from "./door.types";
export { errorFrame, inputProblem, newLine, silentLine } from "./door.words";
export {
  ADMIN_ACTIONS,
  type Announce,
  announceSchema,
  CLIENT_FRAME_TYPES,
  type ClientFrame,
  type ClientFrameOf,
  type ClientFrameType,
  clientFrameSchema,
  firstIssue,
  type HostFrame,
  type HostFrameOf,
  hostFrameSchema,
  type ReadClientFrame,
  readClientFrame,
  STREAM_EVENT_TYPES,
  type StreamEvent,
  streamEventSchema,
  UNSIGNED_ALWAYS,
} from "./frames";
export { Home } from "./home";
export { MODES } from "./home.frames";
export type { Attach, Command, Ended, IndexRow, StreamFrame, Submitted } from "./home.types";
export { type HostKey, hostKey } from "./identity";
export {
  allSessions,
  countSessions,
  listSessions,
  readIndex,
  type SessionIndexRow,
  sessionsOf,
  writeIndex,
} from "./index.store";
export {
  type Claim,
  type ClaimShape,
  claimDecision,
  entryAfter,
  LEDGER_DOWN,
  type LedgerEntry,
  MAX_USES,
  TOLERANCE_S,
  USED,
} from "./ledger";
export { claimSignature, forgetExpired, LEDGER_SCHEMA } from "./ledger.store";
export { type AcceptorPort, type Delivered, type Delivery, receive } from "./lending";
export { appendTexts, clearLog, LOG_SCHEMA, type LoggedFrame, logAfter, logEnds, logTail, readCursor } from "./log";
export { type Merged, mergeSessions, type SessionState } from "./merge";
export { type SessionRecord, withoutPrompt } from "./results";
export { type Claimed, type Outcome, type Question, RUN_BEAT, RUN_LEASE } from "./run";
export {
  type CommandOptions,
  FORMS,
  foldAddress,
  SIGNATURE_WINDOW_S,
  type Verified,
  type VerifyOptions,
  verifyCommand,
  verifyEnvelope,
} from "./signing";
export { type HeaderOptions, hasSignature, type VerifiedHeaders, verifyHeaders } from "./signing-http";
export {
  bytesOf,
  type EventView,
  eventView,
  HEARD_EVERY,
  type LineInfo,
  type LineView,
  type RunView,
  type SessionView,
  STALE_AFTER,
  TAIL,
} from "./view";
export {
  frameValue,
  insertSessionId,
  type Refusal,
  readFrame,
  refuse,
  statusOf,
  type WireFrame,
  withSessionId,
} from "./wire";
