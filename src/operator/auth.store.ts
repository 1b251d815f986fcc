/** Rows of sign-in: single-use codes, sessions, used form keys. Only hashes are kept. */

/** A login code as stored. */
export const insertCode = (db: D1Database, hash: string, now: number, expires: number): D1PreparedStatement =>
  db.prepare("INSERT INTO login_code (hash, created_at, expires_at) VALUES (?, ?, ?)").bind(hash, now, expires);

/** Codes that ended over a day ago; run with each new code, so the table stays small. */
export const dropOldCodes = (db: D1Database, before: number): D1PreparedStatement =>
  db.prepare("DELETE FROM login_code WHERE expires_at < ?").bind(before);

/** Marks a code used and says whether this call did it: two readers of one code can't both win. */
export async function useCode(db: D1Database, hash: string, now: number): Promise<boolean> {
  const row = await db
    .prepare(
      "UPDATE login_code SET used_at = ?1 WHERE hash = ?2 AND used_at IS NULL AND expires_at > ?1 RETURNING hash",
    )
    .bind(now, hash)
    .first();
  return row !== null;
}

/** Why a code was refused, for words. */
export async function readCode(
  db: D1Database,
  hash: string,
): Promise<{ used_at: number | null; expires_at: number } | null> {
  return db.prepare("SELECT used_at, expires_at FROM login_code WHERE hash = ?").bind(hash).first();
}

export async function insertSession(db: D1Database, hash: string, now: number, expires: number): Promise<void> {
  await db.batch([
    db.prepare("DELETE FROM operator_session WHERE expires_at < ?").bind(now),
    db.prepare("INSERT INTO operator_session (hash, created_at, expires_at) VALUES (?, ?, ?)").bind(hash, now, expires),
  ]);
}

export async function sessionAlive(db: D1Database, hash: string, now: number): Promise<boolean> {
  const row = await db
    .prepare("SELECT 1 FROM operator_session WHERE hash = ? AND expires_at > ?")
    .bind(hash, now)
    .first();
  return row !== null;
}

export const dropSession = (db: D1Database, hash: string): D1PreparedStatement =>
  db.prepare("DELETE FROM operator_session WHERE hash = ?").bind(hash);

/** Claims a form for one run; false = it ran before. Claims older than `before` are forgotten. */
export async function claimForm(db: D1Database, key: string, now: number, before: number): Promise<boolean> {
  const [, claimed] = await db.batch<{ key: string }>([
    db.prepare("DELETE FROM form_use WHERE used_at < ?").bind(before),
    db.prepare("INSERT INTO form_use (key, used_at) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING key").bind(key, now),
  ]);
  return (claimed?.results.length ?? 0) > 0;
}

/** Gives a claim back: the act failed, so the form may be sent again. */
export async function releaseForm(db: D1Database, key: string): Promise<void> {
  await db.prepare("DELETE FROM form_use WHERE key = ?").bind(key).run();
}
