import { auditIfChanged } from "../audit";
import { DAY, MINUTE } from "../kernel/clock";
import { sha256Hex } from "../kernel/crypto";
import { ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import type { Inbound, PlatformName } from "../platform";
import { forgetFacts, scopesOf } from "./facts.store";
import { oneToOne } from "./gate";
import { isUnique, type ManageDeps, mustInstance, told } from "./tenants.store";
import type { Destination } from "./types";

/**
 * `/link <code>`: how a person proves on a platform that an instance is theirs (hermes-relay §9). The edge consumes
 * it: it reaches no agent, and the code is in no row and no log, only its hash.
 */

/** Reveille ms that a code can be used. */
export const LINK_LIFE = 10 * MINUTE;
/** Tries of one person within `LINK_LIFE`, good ones too. */
export const LINK_TRIES = 5;
/** A platform may repeat an event for days (chat-platforms §0). */
const CONSUMED_LIFE = 7 * DAY;
/** Codes of one instance that may wait at once. */
const MAX_OPEN = 20;

/** No 0/O, 1/I/L: a code may be read from another screen. 13 letters of 31 are 64 bits. */
const LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";
const LENGTH = 13;

function newCode(): string {
  let text = "";
  while (text.length < LENGTH)
    // Bytes past the last whole multiple are thrown away, so that every letter is equally likely.
    for (const b of crypto.getRandomValues(new Uint8Array(LENGTH)))
      if (b < 248 && text.length < LENGTH) text += LETTERS[b % LETTERS.length];
  return `${text.slice(0, 4)}-${text.slice(4, 8)}-${text.slice(8)}`;
}

/** As typed: case and dashes do not matter. */
const hashOf = (code: string): Promise<string> =>
  sha256Hex(
    `link:${code
      .slice(0, 200)
      .toUpperCase()
      .replace(/[^A-Z0-9]/g, "")}`,
  );

export interface LinkCode {
  code: string;
  /** Reveille ms. */
  expires_at: number;
}

/** Makes a code for an instance, for one platform or any. @throws ReveilleError 404, 429 when too many wait. */
export async function createLink(deps: ManageDeps, d: Destination, platform: PlatformName | null): Promise<LinkCode> {
  await mustInstance(deps.db, d);
  const now = deps.runtime.clock.now();
  const code = newCode();
  const [, made] = await deps.db.batch([
    deps.db.prepare("DELETE FROM link_code WHERE expires_at < ?").bind(now - LINK_LIFE),
    deps.db
      .prepare(
        `INSERT INTO link_code (hash, tenant, instance, platform, expires_at) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE (SELECT COUNT(*) FROM link_code
                WHERE tenant = ?2 AND instance = ?3 AND used_at IS NULL AND expires_at > ?6) < ?7`,
      )
      .bind(await hashOf(code), d.tenant, d.instance, platform, now + LINK_LIFE, now, MAX_OPEN),
    told(deps, "connector.changed", { action: "link.created", ...d, platform }),
  ]);
  if ((made?.meta.changes ?? 0) === 0)
    throw new ReveilleError({
      status: 429,
      code: "too_many_codes",
      message: `${MAX_OPEN} codes of this instance wait to be used; each ends after 10 minutes.`,
    });
  return { code, expires_at: now + LINK_LIFE };
}

/** Codes that were made within the last minutes, without the code. */
export interface LinkRow extends Destination {
  platform: PlatformName | null;
  expires_at: number;
  used_at: number | null;
}

export async function listLinks(db: D1Database, now: number): Promise<LinkRow[]> {
  const { results } = await db
    .prepare(
      `SELECT tenant, instance, platform, expires_at, used_at FROM link_code WHERE expires_at > ?
       ORDER BY expires_at DESC LIMIT 200`,
    )
    .bind(now - LINK_LIFE)
    .all<LinkRow>();
  return results;
}

/** The text after `/link`, or null when an event is none. A pressed button named `link` is none. */
export function linkCodeOf(inbound: Inbound): string | null {
  const { text, prompt_response } = inbound.event;
  if (prompt_response || inbound.own) return null;
  // The platform's own command may stand in front (`/hermes link`), and Telegram's bot name behind.
  const match = /^\s*\/(?:hermes\s+\/?)?link(?:@\w+)?(?![^\s])\s*(\S*)/i.exec(text);
  return match ? match[1]! : null;
}

export const LINKED = "Linked: messages you send here now reach your agent.";
export const NOT_LINKED = "This code is invalid or expired. Ask for a new one and send it as: /link CODE";

/** What to answer in the DM; null: nothing, since others would read it or it was answered before. */
export type LinkReply = { reply: string | null };

/**
 * Consumes a `/link` event once, whatever the platform repeats: the event's keys, the try, the code and the binding
 * change in one transaction.
 *
 * @param code what followed `/link`; never logged.
 */
export async function consumeLink(
  deps: { db: D1Database; runtime: Runtime },
  inbound: Inbound,
  code: string,
): Promise<LinkReply> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const { source } = inbound.event;
  const hash = await hashOf(code);
  const once = [inbound.d1, ...(inbound.d2 && inbound.d2 !== inbound.d1 ? [inbound.d2] : [])].map((key) =>
    // Plain inserts: a key that is there undoes the whole batch.
    db.prepare("INSERT INTO consumed_event (key, at) VALUES (?, ?)").bind(`link:${key}`, now),
  );
  // A Discord command is shown to nobody else, wherever it is given, when its answer is not.
  const secret = (oneToOne(source) || inbound.passthrough !== null) && source.user_id !== null;
  const outcome = secret
    ? redeem(db, inbound, source.user_id!, hash, now)
    : // Others have read it: it binds nobody, and never will.
      [db.prepare("UPDATE link_code SET used_at = ? WHERE hash = ? AND used_at IS NULL").bind(now, hash)];
  let results: D1Result[];
  try {
    const old = db.prepare("DELETE FROM consumed_event WHERE at < ?").bind(now - CONSUMED_LIFE);
    results = await db.batch([...once, ...outcome, old]);
  } catch (error) {
    if (isUnique(error)) return { reply: null };
    throw error;
  }
  if (!secret) {
    runtime.log("warn", "link.in_shared_channel", { platform: source.platform });
    return { reply: null };
  }
  const linked = (results[once.length + 1]?.meta.changes ?? 0) > 0;
  if (linked) forgetFacts(db);
  runtime.log("info", linked ? "link.made" : "link.refused", { platform: source.platform });
  return { reply: linked ? LINKED : NOT_LINKED };
}

/** Counts the try; spends the code if it is good, live, of the scope's tenant and within the tries; then binds. */
function redeem(db: D1Database, inbound: Inbound, user_id: string, hash: string, now: number): D1PreparedStatement[] {
  const { source } = inbound.event;
  const { platform } = source;
  const scopes = scopesOf(source, inbound.app);
  const [first, second] = [scopes[0]!, scopes[1] ?? scopes[0]!];
  return [
    db
      .prepare(
        `INSERT INTO link_try (platform, user_id, since, tries) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET tries = CASE WHEN since > ?3 - ?4 THEN tries + 1 ELSE 1 END,
                                   since = CASE WHEN since > ?3 - ?4 THEN since ELSE ?3 END`,
      )
      .bind(platform, user_id, now, LINK_LIFE),
    // Nobody's scope takes the code's tenant only where a DM has no scope at all; else the only tenant's codes alone.
    db
      .prepare(
        `UPDATE link_code SET used_at = ?1
         WHERE hash = ?2 AND used_at IS NULL AND expires_at > ?1 AND (platform IS NULL OR platform = ?3)
           AND (SELECT tries FROM link_try WHERE platform = ?3 AND user_id = ?4) <= ?5
           AND EXISTS (SELECT 1 FROM instance i WHERE i.tenant = link_code.tenant AND i.id = link_code.instance)
           AND tenant = COALESCE(
             (SELECT tenant FROM scope_route WHERE platform = ?3 AND scope_id = ?6),
             (SELECT tenant FROM scope_route WHERE platform = ?3 AND scope_id = ?7),
             (SELECT MIN(id) FROM tenant HAVING COUNT(*) = 1),
             CASE WHEN ?8 = '' THEN tenant END)`,
      )
      .bind(now, hash, platform, user_id, LINK_TRIES, first, second, source.scope_id ?? ""),
    db
      .prepare(
        `INSERT INTO binding (platform, user_id, tenant, instance, scope_id, created_at)
         SELECT ?1, ?2, tenant, instance, ?3, ?4 FROM link_code WHERE hash = ?5 AND changes() > 0
         ON CONFLICT DO UPDATE SET created_at = excluded.created_at, scope_id = excluded.scope_id`,
      )
      .bind(platform, user_id, source.scope_id ?? "", now, hash),
    auditIfChanged(db, {
      at: now,
      seam: "link.used",
      source: "gateway",
      details: { platform, user_id, scope_id: source.scope_id ?? null, chat_id: source.chat_id, app: inbound.app },
    }),
  ];
}
