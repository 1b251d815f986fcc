import { type Claim, LEDGER_DOWN, USED, type Verified, verifyEnvelope } from "../session";
import type { AgentShape } from "./directory.store";
import { CLOSE, closeFor, errorFrame, TOO_MANY_LINES } from "./limits";
import type { Bound } from "./line";
import type { ClientFrame } from "./peek";

/** The one-use part of a verified signature. */
export type Claimable = Pick<Verified, "signature_hash" | "expires_s" | "ts_shape" | "has_nonce">;

/** What opening a line asks of the other objects. */
export interface OpenPorts {
  /** Where the agent is, and the claim of the signature in the same step. */
  locate(
    agent: string,
    claim: Claimable | null,
  ): Promise<{ line: string | null; claim: Claim | "down" | null; shape: AgentShape }>;
  /** Who owns a session the relay knows, or null when it knows none. */
  ownerOf(rid: string): Promise<{ owner: string | null } | null>;
  bind(
    agentLine: string,
    ask: { rid: string | null; owner: string | null },
  ): Promise<{ rid: string; shape: AgentShape } | { refused: string } | null>;
  /** Room for one more connection of this signer? */
  mayConnect(from: string): Promise<boolean>;
  /** Wall seconds. */
  now_s: number;
}

export type Opened =
  | { ok: true; bound: Bound; verified: Verified | null }
  /** `frame` is what the client is told before the close. */
  | { ok: false; error: string; frame: string; close: number };

const no = (error: string, close: number): Opened => ({ ok: false, error, frame: errorFrame(error), close });

/** Frames that may stand first on a line. */
const FIRST = ["CONNECT", "INPUT", "SESSION_STATUS", "ONBOARD_SUBMIT"];

/**
 * Opens a client's line by its first frame (connectonion.md (d)): `to` selects the agent, a signature proves who it is, and
 * only a proven signer gets the session it names. Refusals are told and closed, because an ERROR alone leaves stock clients
 * waiting for 30 s.
 */
export async function openLine(frame: ClientFrame, ports: OpenPorts): Promise<Opened> {
  if (!FIRST.includes(frame.type))
    return frame.type.startsWith("ADMIN_") || frame.type === ""
      ? no("authenticate first (send CONNECT)", CLOSE.unauthorized)
      : no(`authenticate first (send CONNECT), not ${frame.type.slice(0, 40)}`, CLOSE.unauthorized);
  if (frame.to === null) return no('no agent selected: the first frame needs "to", an agent address', CLOSE.badFrame);
  if (frame.type === "INPUT" && !frame.signed) return no("authenticate first (send CONNECT)", CLOSE.unauthorized);

  const proof = await prove(frame, frame.to, ports.now_s);
  if (proof && !proof.ok) return no(proof.error, closeFor(proof.error));
  if (proof && !(await ports.mayConnect(proof.from))) return no(TOO_MANY_LINES, CLOSE.rateLimited);
  const claim: Claimable | null = proof && {
    signature_hash: proof.signature_hash,
    expires_s: proof.expires_s,
    has_nonce: proof.has_nonce,
    // The oldest clients sign their INPUT, and sign the same bytes when they ask the same twice within a second.
    ts_shape: proof.ts_shape || (frame.type === "INPUT" && !proof.has_nonce),
  };
  const found = await ports.locate(frame.to, claim);
  if (found.claim === "down") return no(LEDGER_DOWN, CLOSE.badFrame);
  if (found.claim === "refused") return no(frame.type === "CONNECT" ? USED.connect : USED.command, CLOSE.unauthorized);
  if (found.line === null) return offline(frame);
  // Nothing can translate it: the agent wants a CONNECT signed by the client.
  if (frame.type === "INPUT" && found.shape === "host")
    return no("authenticate first (send CONNECT): this agent does not take a signed INPUT alone", CLOSE.unauthorized);

  const owner = proof?.from ?? null;
  const known = frame.names !== null && owner !== null ? await ports.ownerOf(frame.names) : null;
  const rid = known !== null && known.owner !== owner ? null : frame.names;
  const bound = await ports.bind(found.line, { rid, owner });
  if (bound === null) return offline(frame);
  if ("refused" in bound) return no(bound.refused, CLOSE.agentGone);
  return {
    ok: true,
    verified: proof,
    bound: {
      agent: frame.to,
      agent_line: found.line,
      rid: bound.rid,
      owner,
      shape: bound.shape,
      stage: proof === null ? "unproven" : "connecting",
      pings: 0,
      cursor: null,
    },
  };
}

function prove(frame: ClientFrame, address: string, now_s: number) {
  if (frame.type === "CONNECT") return verifyEnvelope(frame.frame, { now_s, address, requireTo: true });
  return frame.type === "INPUT" ? verifyEnvelope(frame.frame, { now_s, address }) : null;
}

/** A status question about an agent that is not here has its own answer; all else is an error. */
function offline(frame: ClientFrame): Opened {
  const answer = JSON.stringify({ type: "SESSION_STATUS", session_id: frame.names, status: "not_found" });
  const refused = no("agent offline", CLOSE.agentOffline);
  return frame.type === "SESSION_STATUS" && !refused.ok ? { ...refused, frame: answer } : refused;
}
