import { DAY, MINUTE } from "../kernel/clock";
import { hmacSha256, sameSecret, sha256Hex, toBase64Url } from "../kernel/crypto";
import { ReveilleError } from "../kernel/errors";
import { randomToken } from "../kernel/ids";
import { dropOldCodes, dropSession, insertCode, insertSession, readCode, sessionAlive, useCode } from "./auth.store";

/**
 * Signing in (design §8): a single-use code becomes a session cookie. Only hashes are stored, so a copy of the database
 * opens nothing. Times are Reveille ms except the cookie's Max-Age, which is the browser's.
 */

export const SESSION_COOKIE = "reveille_session";
export const CODE_LIFE = 10 * MINUTE;
export const SESSION_LIFE = 30 * DAY;

/** No 0/O, 1/I/L: a code may be read aloud or typed from another screen. */
const LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";

function letters(n: number): string {
  let text = "";
  while (text.length < n)
    // Bytes past the last whole multiple are thrown away, so that every letter is equally likely.
    for (const b of crypto.getRandomValues(new Uint8Array(n)))
      if (b < 256 - (256 % LETTERS.length) && text.length < n) text += LETTERS[b % LETTERS.length];
  return text;
}

/** A code as typed: case, spaces and dashes do not matter. */
const canonical = (code: string): string => code.toUpperCase().replace(/[^A-Z0-9]/g, "");

const codeHash = (code: string): Promise<string> => sha256Hex(`login:${canonical(code)}`);

/** Makes a login code: XXXX-XXXX, once, 10 minutes (operator-experience §4). Returns the code and its end (Reveille ms). */
export async function createLoginCode(db: D1Database, now: number): Promise<{ code: string; expires_at: number }> {
  const code = `${letters(4)}-${letters(4)}`;
  const expires_at = now + CODE_LIFE;
  await db.batch([dropOldCodes(db, now - DAY), insertCode(db, await codeHash(code), now, expires_at)]);
  return { code, expires_at };
}

export type CodeRefusal = "unknown" | "used" | "expired";

/** Spends a code and opens a session. The token goes into the cookie; only its hash is kept. */
export async function spendCode(
  db: D1Database,
  code: string,
  now: number,
): Promise<{ ok: true; token: string } | { ok: false; why: CodeRefusal }> {
  const hash = await codeHash(code);
  if (canonical(code).length !== 8) return { ok: false, why: "unknown" };
  if (!(await useCode(db, hash, now))) {
    const row = await readCode(db, hash);
    return { ok: false, why: row === null ? "unknown" : row.used_at !== null ? "used" : "expired" };
  }
  const token = randomToken(32);
  await insertSession(db, await sessionHash(token), now, now + SESSION_LIFE);
  return { ok: true, token };
}

export const sessionHash = (token: string): Promise<string> => sha256Hex(`session:${token}`);

/** The session a cookie opens, by its hash, or null. */
export async function openSession(db: D1Database, token: string | undefined, now: number): Promise<string | null> {
  if (!token || token.length > 100) return null;
  const hash = await sessionHash(token);
  return (await sessionAlive(db, hash, now)) ? hash : null;
}

export async function closeSession(db: D1Database, hash: string): Promise<void> {
  await dropSession(db, hash).run();
}

/** The CSRF token of a session: derived, so nothing more is stored. @throws 503 when the key is not set (fail closed). */
export async function csrfToken(key: string, session: string): Promise<string> {
  if (key === "")
    throw new ReveilleError({
      status: 503,
      code: "no_session_key",
      message: "REVEILLE_SESSION_KEY is not set: the operator pages can't be used safely.",
      hint: "Set it to 32 random characters: npx wrangler secret put REVEILLE_SESSION_KEY",
    });
  return toBase64Url(await hmacSha256(key, `csrf:${session}`));
}

/** Does a form carry this session's token? Constant time. */
export async function csrfGood(key: string, session: string, given: unknown): Promise<boolean> {
  return typeof given === "string" && given.length <= 100 && sameSecret(given, await csrfToken(key, session));
}

/** The cookie that carries a session. `Secure` only over https: a local http page could not send it back. */
export function sessionCookie(token: string, secure: boolean): string {
  const life = token === "" ? 0 : SESSION_LIFE / 1000;
  return `${SESSION_COOKIE}=${token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${life}${secure ? "; Secure" : ""}`;
}
