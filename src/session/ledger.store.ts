import { type Claim, claimDecision, entryAfter, type LedgerEntry } from "./ledger";
import type { Verified } from "./signing";

/** The ledger's table inside an object; run it in the constructor. */
export const LEDGER_SCHEMA = `CREATE TABLE IF NOT EXISTS used_signature (
  hash TEXT PRIMARY KEY, first_s REAL NOT NULL, uses INTEGER NOT NULL, ts_shape INTEGER NOT NULL, expires_s REAL NOT NULL
) WITHOUT ROWID`;

/**
 * Claims a verified signature, in one synchronous step, so nothing comes between look and write. A throw is a store error:
 * answer LEDGER_DOWN. `now_s` in wall seconds.
 */
export function claimSignature(
  sql: SqlStorage,
  verified: Pick<Verified, "signature_hash" | "expires_s" | "ts_shape" | "has_nonce">,
  now_s: number,
  more: { owns_session?: boolean } = {},
): Claim {
  const row = sql
    .exec<{ first_s: number; uses: number; ts_shape: number; expires_s: number }>(
      "SELECT first_s, uses, ts_shape, expires_s FROM used_signature WHERE hash = ?",
      verified.signature_hash,
    )
    .toArray()[0];
  const entry: LedgerEntry | null = row ? { ...row, ts_shape: row.ts_shape === 1 } : null;
  const { ts_shape, has_nonce } = verified;
  const claim = claimDecision(entry, now_s, { ts_shape, has_nonce, ...more });
  if (claim === "refused") return claim;
  const next = entryAfter(entry, claim, { now_s, expires_s: verified.expires_s, ts_shape });
  sql.exec(
    "INSERT OR REPLACE INTO used_signature (hash, first_s, uses, ts_shape, expires_s) VALUES (?, ?, ?, ?, ?)",
    verified.signature_hash,
    next.first_s,
    next.uses,
    next.ts_shape ? 1 : 0,
    next.expires_s,
  );
  return claim;
}

/** Forgets signatures that can't be valid any more; call it from the object's alarm. */
export function forgetExpired(sql: SqlStorage, now_s: number): void {
  sql.exec("DELETE FROM used_signature WHERE expires_s < ?", now_s);
}
