import { sha256Hex } from "../kernel/crypto";
import { type JsonObject, memberOf, printJson } from "../kernel/lossless-json";
import { type Announce, announceSchema, firstIssue } from "./frames";
import { FORMS, foldAddress, readTimestamp, signatureBytes, signedText } from "./signing";
import { frameValue, readFrame, refuse, type WireFrame } from "./wire";

export interface VerifiedAnnounce {
  ok: true;
  address: string;
  /** Epoch seconds. The caller also requires that it does not go back for one address. */
  timestamp: number;
  announce: Announce;
  /** A 0.6.5 agent: it sends no `relay` key at all, and knows INPUT and OUTPUT only. */
  legacy: boolean;
  signature_hash: string;
}

export interface RefusedAnnounce {
  ok: false;
  status: 400 | 401 | 403;
  error: string;
  /** The address it claims, unproven: a broken 0.6.5 heartbeat on a socket that proved it before is a keep-alive. */
  claimed: string | null;
}

/** Verifies an ANNOUNCE (connectonion.md (d)): form S over the whole frame but its `signature`. `now_s` in wall seconds. */
export async function verifyAnnounce(
  raw: string | WireFrame,
  now_s: number,
): Promise<VerifiedAnnounce | RefusedAnnounce> {
  const read = typeof raw === "string" ? readFrame(raw) : { ok: true as const, frame: raw };
  if (!read.ok) return { ...read, claimed: null };
  const { frame } = read;
  const addressNode = memberOf(frame.root, "address");
  const address = addressNode?.kind === "string" ? foldAddress(addressNode.value) : null;
  const no = (error: string): RefusedAnnounce => ({ ...refuse(error), claimed: address });

  if (frame.type !== "ANNOUNCE") return no("send ANNOUNCE first");
  if (!address) return no("unauthorized: 'address' field required");
  const signature = memberOf(frame.root, "signature");
  if (signature?.kind !== "string" || signature.value === "") return no("unauthorized: signature required");
  const time = readTimestamp(memberOf(frame.root, "timestamp"), now_s);
  if ("error" in time) return no(time.error.replace(" in payload", ""));

  const bytes = signatureBytes(signature.value);
  const signed: JsonObject = { ...frame.root, members: frame.root.members.filter((m) => m.key !== "signature") };
  if (!bytes || (await signedText(address, bytes, [printJson(signed, FORMS.S)])) === null)
    return no("unauthorized: invalid signature");

  const parsed = announceSchema.safeParse(frameValue(frame));
  if (!parsed.success) return no(`invalid ANNOUNCE: ${firstIssue(parsed.error)}`);
  return {
    ok: true,
    address,
    timestamp: time.at,
    announce: parsed.data,
    legacy: memberOf(frame.root, "relay") === undefined,
    signature_hash: await sha256Hex(bytes),
  };
}
