import { fromHex, sha256Hex, utf8 } from "../kernel/crypto";
import { type JsonNode, type JsonObject, type JsonStyle, memberOf, printJson } from "../kernel/lossless-json";
import { type Refusal, readFrame, refuse, type WireFrame } from "./wire";

/** A signature is good this many seconds before and after its timestamp. */
export const SIGNATURE_WINDOW_S = 300;

/** The canonical forms of connectonion.md (a). */
export const FORMS: Record<"A" | "B" | "T" | "S", JsonStyle> = {
  A: { order: "code-point", ascii: true, spaced: false },
  B: { order: "code-point", ascii: false, spaced: false },
  T: { order: "js-top", ascii: false, spaced: false },
  S: { order: "code-point", ascii: true, spaced: true },
};

export interface VerifyOptions {
  /** Wall time in seconds. */
  now_s: number;
  /** Our own address. A payload that names another recipient is refused. */
  address?: string;
  /** The payload must name us: CONNECT and signed commands. */
  requireTo?: boolean;
  /** The signature works once and never twice (admin routes, /input, commands): `ts_shape` is then always false. */
  requireOneUse?: boolean;
  /** Asked before any crypto, with the address folded, or the sender's own text when it is no address. */
  blacklisted?: (from: string) => boolean;
}

export interface Verified {
  ok: true;
  /** The signer, `0x` and 64 lowercase hex digits. */
  from: string;
  payload: Record<string, unknown>;
  /** The payload as it stood on the wire. */
  payload_text: string;
  /** Epoch seconds, maybe with a fraction. */
  timestamp: number;
  /** SHA-256 of the signature's bytes, hex: the key of the one-use ledger. */
  signature_hash: string;
  /** The signature can't be valid after this second; the ledger keeps it until then. */
  expires_s: number;
  /** A TypeScript client's CONNECT: `{timestamp, to}` only, so the same bytes twice within one second are honest. */
  ts_shape: boolean;
  has_nonce: boolean;
  /** The payload asks that every later command be signed (third generation). */
  signed_commands: boolean;
  /** The recipient that was signed, folded, or null. */
  to: string | null;
  form: "A" | "B" | "T";
}

/** An address in its one spelling (`0x` + 64 lowercase hex), or null. `0x` and capitals are optional on the wire. */
export function foldAddress(text: unknown): string | null {
  if (typeof text !== "string") return null;
  const hex = /^(?:0[xX])?([0-9a-fA-F]{64})$/.exec(text)?.[1];
  return hex === undefined ? null : `0x${hex.toLowerCase()}`;
}

/** The 64 bytes of a signature in hex, `0x` optional, or null. */
export function signatureBytes(text: unknown): Uint8Array | null {
  if (typeof text !== "string") return null;
  const hex = /^(?:0[xX])?([0-9a-fA-F]{128})$/.exec(text)?.[1];
  return hex === undefined ? null : fromHex(hex);
}

/** True when the Ed25519 key behind `address` signed one of `texts`; says which. At most four are ever tried. */
export async function signedText(address: string, signature: Uint8Array, texts: string[]): Promise<number | null> {
  const key = await importKey(address);
  if (!key) return null;
  for (const text of new Set(texts.slice(0, 4)))
    if (await crypto.subtle.verify("Ed25519", key, signature, utf8(text))) return texts.indexOf(text);
  return null;
}

async function importKey(address: string): Promise<CryptoKey | null> {
  const raw = fromHex(address.slice(2));
  if (!raw) return null;
  try {
    return await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  } catch {
    // Not a point of the curve: nobody can hold its key.
    return null;
  }
}

/** Python's idea of "nothing here": absent, null, false, 0 and empty. The upstream checks are written with it. */
function isFalsy(node: JsonNode | undefined): boolean {
  switch (node?.kind) {
    case undefined:
      return true;
    case "constant":
      return node.value !== true;
    case "string":
      return node.value === "";
    case "number":
      return Number(node.lexeme) === 0;
    case "object":
      return node.members.length === 0;
    case "array":
      return node.items.length === 0;
  }
}

/** The error text for a timestamp, or its value in seconds. */
export function readTimestamp(node: JsonNode | undefined, now_s: number): { error: string } | { at: number } {
  if (isFalsy(node)) return { error: "unauthorized: timestamp required in payload" };
  if (node?.kind !== "number") return { error: "unauthorized: timestamp must be numeric" };
  const at = Number(node.lexeme);
  if (!Number.isFinite(at)) return { error: "unauthorized: timestamp must be finite" };
  if (Math.abs(now_s - at) > SIGNATURE_WINDOW_S) return { error: "unauthorized: signature expired" };
  return { at };
}

/** Why the payload's recipient is not us, or null. */
function wrongRecipient(to: JsonNode | undefined, opts: VerifyOptions): boolean {
  if (isFalsy(to)) return opts.requireTo === true;
  const named = to?.kind === "string" ? foldAddress(to.value) : null;
  if (opts.address === undefined) return opts.requireTo === true && named === null;
  return named === null || named !== foldAddress(opts.address);
}

/**
 * Verifies one signed frame or body, in the order of connectonion.md (a) steps 1 to 7. The ledger (step 8) and trust
 * (9, 10) are the caller's: claim `signature_hash` before any policy is asked.
 */
export async function verifyEnvelope(raw: string | WireFrame, opts: VerifyOptions): Promise<Verified | Refusal> {
  let frame: WireFrame;
  if (typeof raw === "string") {
    const read = readFrame(raw);
    if (!read.ok) return read;
    frame = read.frame;
  } else frame = raw;

  const payload = memberOf(frame.root, "payload");
  const signature = memberOf(frame.root, "signature");
  if (payload?.kind !== "object" || signature === undefined) return refuse("unauthorized: signed request required");

  const fromNode = memberOf(frame.root, "from");
  const fromText = fromNode?.kind === "string" ? fromNode.value : null;
  const from = foldAddress(fromText);
  if (fromText && opts.blacklisted?.(from ?? fromText)) return refuse("forbidden: blacklisted");
  if (isFalsy(fromNode)) return refuse("unauthorized: 'from' field required");
  if (isFalsy(signature)) return refuse("unauthorized: signature required");

  const time = readTimestamp(memberOf(payload, "timestamp"), opts.now_s);
  if ("error" in time) return refuse(time.error);
  const to = memberOf(payload, "to");
  if (wrongRecipient(to, opts)) return refuse("unauthorized: wrong recipient");

  const bytes = signature.kind === "string" ? signatureBytes(signature.value) : null;
  const form = from && bytes ? await formOf(payload, from, bytes) : null;
  if (!from || !bytes || !form) return refuse("unauthorized: invalid signature");

  const nonce = memberOf(payload, "nonce");
  const has_nonce = nonce?.kind === "string" && nonce.value !== "";
  const commands = memberOf(payload, "signed_commands");
  return {
    ok: true,
    from,
    ...textAndValue(frame, payload),
    timestamp: time.at,
    signature_hash: await sha256Hex(bytes),
    expires_s: time.at + SIGNATURE_WINDOW_S,
    ts_shape: opts.requireOneUse !== true && isTsConnect(payload),
    has_nonce,
    signed_commands: commands?.kind === "number" && Number(commands.lexeme) === 1,
    to: to?.kind === "string" ? foldAddress(to.value) : null,
    form,
  };
}

const TRIED = ["A", "B", "T"] as const;

async function formOf(payload: JsonObject, from: string, signature: Uint8Array): Promise<"A" | "B" | "T" | null> {
  const texts = TRIED.map((form) => printJson(payload, FORMS[form]));
  const found = await signedText(from, signature, texts);
  return found === null ? null : TRIED[found]!;
}

function textAndValue(frame: WireFrame, payload: JsonObject): Pick<Verified, "payload" | "payload_text"> {
  const payload_text = frame.raw.slice(payload.start, payload.end);
  return { payload_text, payload: JSON.parse(payload_text) as Record<string, unknown> };
}

function isTsConnect(payload: JsonObject): boolean {
  const timestamp = memberOf(payload, "timestamp");
  return (
    payload.members.length === 2 &&
    timestamp?.kind === "number" &&
    /^[0-9]+$/.test(timestamp.lexeme) &&
    memberOf(payload, "to")?.kind === "string"
  );
}

export interface CommandOptions extends VerifyOptions {
  /** Who opened the connection. */
  caller: string;
}

/**
 * Verifies a command on a connection whose CONNECT asked for signed commands (connectonion.md (c), third generation).
 * `opts.address` is the recipient of that CONNECT. Act on `payload` only; claim the signature before acting.
 */
export async function verifyCommand(raw: string | WireFrame, opts: CommandOptions): Promise<Verified | Refusal> {
  const read = typeof raw === "string" ? readFrame(raw) : { ok: true as const, frame: raw };
  if (!read.ok) return read;
  if (memberOf(read.frame.root, "payload")?.kind !== "object") return refuse("unauthorized: signed command required");
  // The payload is there, so a missing signature has its own words from here on.
  if (isFalsy(memberOf(read.frame.root, "signature"))) {
    const from = memberOf(read.frame.root, "from");
    return refuse(isFalsy(from) ? "unauthorized: 'from' field required" : "unauthorized: signature required");
  }
  const verified = await verifyEnvelope(read.frame, { ...opts, requireTo: true, requireOneUse: true });
  if (!verified.ok) return verified;
  if (verified.from !== foldAddress(opts.caller))
    return refuse("unauthorized: command signer does not own this connection");
  if (verified.payload.type !== read.frame.type) return refuse("unauthorized: signed command type mismatch");
  if (!verified.has_nonce) return refuse("unauthorized: signed command nonce required");
  return verified;
}
