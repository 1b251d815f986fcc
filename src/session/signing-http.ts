import { sha256Hex } from "../kernel/crypto";
import { type JsonNode, printJson } from "../kernel/lossless-json";
import {
  FORMS,
  foldAddress,
  readTimestamp,
  SIGNATURE_WINDOW_S,
  signatureBytes,
  signedText,
  type Verified,
} from "./signing";
import { type Refusal, refuse } from "./wire";

export interface HeaderOptions {
  /** The method and path of the request itself: what the signature must cover, whatever the client says. */
  method: string;
  /** The path as it came, without the query. */
  path: string;
  /** Wall time in seconds. */
  now_s: number;
  /** Accept the 0.6.5 headers too. They bind neither method nor path, so only for reads that upstream kept them for. */
  legacy?: boolean;
  blacklisted?: (from: string) => boolean;
}

/** A signed request without a body. It works once: claim `signature_hash` where the route must not be replayed. */
export type VerifiedHeaders = Pick<
  Verified,
  "ok" | "from" | "timestamp" | "signature_hash" | "expires_s" | "ts_shape" | "has_nonce"
> & { legacy: boolean };

/** True when a request carries any signature header at all; without one it is anonymous rather than badly signed. */
export function hasSignature(headers: Headers, legacy = false): boolean {
  return headers.has("x-co-signature") || (legacy && headers.has("x-signature"));
}

/**
 * Verifies a signed GET (connectonion.md (b)): `X-Co-From`, `X-Co-Signature`, `X-Co-Timestamp` (whole seconds) over
 * `{method, path, timestamp}` in form A; or, if asked for, the `X-From`, `X-Signature`, `X-Timestamp` of 0.6.5 over
 * `{"timestamp": <float>}`.
 */
export async function verifyHeaders(headers: Headers, opts: HeaderOptions): Promise<VerifiedHeaders | Refusal> {
  const legacy = opts.legacy === true && !headers.has("x-co-signature") && headers.has("x-signature");
  const prefix = legacy ? "x-" : "x-co-";
  const fromText = headers.get(`${prefix}from`) ?? "";
  const signatureText = headers.get(`${prefix}signature`) ?? "";
  const stamp = (headers.get(`${prefix}timestamp`) ?? "").trim();

  const from = foldAddress(fromText);
  if (fromText && opts.blacklisted?.(from ?? fromText)) return refuse("forbidden: blacklisted");
  if (!fromText) return refuse("unauthorized: 'from' field required");
  if (!signatureText) return refuse("unauthorized: signature required");
  const lexeme = legacy ? floatText(stamp) : intText(stamp);
  if (stamp !== "" && lexeme === null) return refuse(`Invalid ${legacy ? "X-Timestamp" : "X-Co-Timestamp"} header`);
  const time = readTimestamp(lexeme === null ? undefined : number(lexeme), opts.now_s);
  if ("error" in time) return refuse(time.error);

  const bytes = signatureBytes(signatureText);
  const texts = legacy ? [printJson(object({ timestamp: number(lexeme!) }), FORMS.A)] : pathTexts(opts, lexeme!);
  if (!from || !bytes || (await signedText(from, bytes, texts)) === null)
    return refuse("unauthorized: invalid signature");
  return {
    ok: true,
    from,
    timestamp: time.at,
    signature_hash: await sha256Hex(bytes),
    expires_s: time.at + SIGNATURE_WINDOW_S,
    ts_shape: false,
    has_nonce: false,
    legacy,
  };
}

/** Python signs the path before it is percent-encoded; others sign what they send. */
function pathTexts(opts: HeaderOptions, lexeme: string): string[] {
  const text = (path: string): string =>
    printJson(
      object({ method: string(opts.method.toUpperCase()), path: string(path), timestamp: number(lexeme) }),
      FORMS.A,
    );
  return [text(opts.path), text(decoded(opts.path))];
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** What Python's `int(header)` prints, or null. */
function intText(stamp: string): string | null {
  return /^[0-9]{1,15}$/.test(stamp) ? String(Number(stamp)) : null;
}

/** What Python's `float(header)` prints: a whole number keeps `.0`, and that is what 0.6.5 clients sign. */
function floatText(stamp: string): string | null {
  if (!/^[0-9]{1,15}(?:\.[0-9]{1,20})?$/.test(stamp)) return null;
  const value = Number(stamp);
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

const NOWHERE = { start: 0, end: 0 };
const string = (value: string): JsonNode => ({ kind: "string", value, ...NOWHERE });
const number = (lexeme: string): JsonNode => ({ kind: "number", lexeme, ...NOWHERE });
const object = (fields: Record<string, JsonNode>): JsonNode => ({
  kind: "object",
  members: Object.entries(fields).map(([key, value]) => ({ key, value })),
  ...NOWHERE,
});
