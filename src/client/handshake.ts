import { lastMsgId, type Seq } from "./cursor";
import type { Frame } from "./events";
import { envelope, type Identity } from "./identity";
import type { OnboardAnswer } from "./line";

/** The signed frames with which a line begins. Each is made for one line: its signature works once. */

const nowS = (): number => Math.floor(Date.now() / 1000);

export interface ConnectAsk {
  who: Identity;
  /** The address that the signature is for. */
  agent: string;
  /** Over the relay the agent is named beside the signature, too. */
  relayed: boolean;
  sessionId: string | null;
  seq: Seq;
}

export async function connectFrame(ask: ConnectAsk): Promise<Frame> {
  const timestamp = nowS();
  const signed = await envelope(ask.who, { nonce: newId(), timestamp, to: ask.agent });
  const last_msg_id = lastMsgId(ask.seq);
  return {
    type: "CONNECT",
    timestamp,
    ...(ask.relayed ? { to: ask.agent } : {}),
    ...(ask.sessionId === null ? {} : { session_id: ask.sessionId }),
    ...(last_msg_id === undefined ? {} : { last_msg_id }),
    ...signed,
  };
}

export async function onboardFrame(who: Identity, { inviteCode, payment }: OnboardAnswer): Promise<Frame> {
  const timestamp = nowS();
  const payload = {
    nonce: newId(),
    timestamp,
    ...(inviteCode === undefined ? {} : { invite_code: inviteCode }),
    ...(payment === undefined ? {} : { payment }),
  };
  return { type: "ONBOARD_SUBMIT", timestamp, ...(await envelope(who, payload)) };
}

/** A random id; pages without https have no `randomUUID`. */
export function newId(): string {
  const { crypto } = globalThis as unknown as { crypto: Crypto };
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
