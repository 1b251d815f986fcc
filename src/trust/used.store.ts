/** Signed trust requests work once: a claim is the insert of the signature's hash, so two at the same moment are one. */

/** True when it was not used before. `expires_s`: wall seconds after which the signature is refused for its age anyway. @throws on a store error: then refuse. */
export async function claimTrustSignature(db: D1Database, signature_hash: string, expires_s: number): Promise<boolean> {
  const row = await db
    .prepare("INSERT INTO trust_used (signature_hash, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
    .bind(signature_hash, Math.ceil(expires_s))
    .run();
  return row.meta.changes > 0;
}
