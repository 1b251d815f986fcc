/**
 * The one-use ledger's rule (connectonion.md (a), step 8 and its replay trap). Ed25519 is deterministic and a TypeScript
 * client signs only `{timestamp in seconds, to}`, so two honest CONNECTs within one second are the same bytes.
 */

/** Uses of one signature in all, the first included. */
export const MAX_USES = 5;
/** A repeat younger than this may be the same client's next tab or its quick reconnect. */
export const TOLERANCE_S = 2;

/** What is kept of a used signature. Times are wall seconds. */
export interface LedgerEntry {
  first_s: number;
  uses: number;
  /** Whether the first use was a TypeScript CONNECT. */
  ts_shape: boolean;
  expires_s: number;
}

export interface ClaimShape {
  /** `Verified.ts_shape`: false for everything that works once. */
  ts_shape: boolean;
  /** A CONNECT that names a session its signer owns. Never set it for commands, /input or admin routes. */
  owns_session?: boolean;
  /** `Verified.has_nonce`: a nonce makes every signature unique, so a repeat is a replay. */
  has_nonce?: boolean;
}

export type Claim = "fresh" | "tolerated" | "refused";

/** May this signature be used now? `now_s` in wall seconds. */
export function claimDecision(entry: LedgerEntry | null | undefined, now_s: number, shape: ClaimShape): Claim {
  if (!entry || now_s > entry.expires_s) return "fresh";
  if (shape.has_nonce || entry.uses >= MAX_USES) return "refused";
  if (shape.owns_session) return "tolerated";
  // A clock that went back makes the age negative: that is no proof of youth.
  const age = now_s - entry.first_s;
  return shape.ts_shape && entry.ts_shape && age >= 0 && age < TOLERANCE_S ? "tolerated" : "refused";
}

/** The entry to keep after `claim`; a refusal changes nothing. */
export function entryAfter(
  entry: LedgerEntry | null | undefined,
  claim: Claim,
  use: { now_s: number; expires_s: number; ts_shape: boolean },
): LedgerEntry {
  if (claim === "fresh" || !entry)
    return { first_s: use.now_s, uses: 1, ts_shape: use.ts_shape, expires_s: use.expires_s };
  return claim === "tolerated" ? { ...entry, uses: entry.uses + 1 } : entry;
}

/** The words of a refused claim: one text for CONNECT, one for commands, one for HTTP. */
export const USED = {
  connect: "unauthorized: this CONNECT was already used",
  command: "unauthorized: signed command already used",
  http: "unauthorized: signature already used",
} as const;

/** The ledger could not be read or written: refuse, never guess. */
export const LEDGER_DOWN = "misconfigured: replay protection unavailable";
