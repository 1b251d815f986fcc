/**
 * The typed client of Reveille, for browsers, Node and Workers: sessions with the built-in agent or an agent behind the relay,
 * that survive lost lines, reloads and restarts (docs/sessions.md). It uses WebSocket, fetch and WebCrypto, nothing else.
 */

import { type ConnectOptions, settle } from "./options";
import { Session } from "./session";

export type { Seq } from "./cursor";
export { ClientError, type ClientErrorCode } from "./errors";
export type { Answer, Frame, GapEvent, RunEvent, SessionEvents, StreamEvent } from "./events";
export type { SessionRecord } from "./http";
export { type Identity, identityOf, newSeed } from "./identity";
export type { OnboardAnswer, OnboardRequired, SocketClass, SocketLike } from "./line";
export type { ConnectOptions } from "./options";
export type { RunStream } from "./run";
export type { Session } from "./session";
export { memoryStore, type Store } from "./store";

/**
 * Connects to an agent, and goes on with the remembered session.
 * @throws ClientError: what is missing here, why the host refused, or that it can't be reached (`retryable`).
 */
export const connect = async (options: ConnectOptions): Promise<Session> =>
  Session.open(await settle(options), options.sessionId);
