import { HOUR } from "../kernel/clock";
import { all, marks } from "../kernel/d1";
import { levelOf, type Marks } from "./levels";
import type { ClientLevel } from "./types";

/** People as the page and the API list them: everybody with a mark, and the strangers who knocked within 24 h. */

export interface Person {
  client_id: string;
  level: ClientLevel;
  admin: boolean;
  /** When the level was given; null for a stranger. */
  since: number | null;
  /** rule, invite, payment, admin or operator; null for a stranger nobody touched. */
  via: string | null;
  by: string | null;
  last_seen: number | null;
  requests_24h: number;
  denied_24h: number;
}

interface Row extends Marks {
  client_id: string;
  by: string;
  via: string;
}
interface Seen {
  client_id: string;
  n: number;
  denied: number;
  last_at: number;
}

const RANK: Record<ClientLevel, number> = { blocked: 0, stranger: 1, contact: 2, whitelist: 3 };

/** Blocked, strangers, contacts, whitelist; within each the last seen first. `level` keeps one of them. */
export async function readPeople(
  db: D1Database,
  now: number,
  query: { level?: ClientLevel | undefined; limit: number },
): Promise<Person[]> {
  const from = Math.floor(now / HOUR) - 24;
  const [known, seen] = await Promise.all([
    all<Row>(db.prepare("SELECT * FROM trust_client ORDER BY updated_at DESC LIMIT 2000")),
    all<Seen>(
      db
        .prepare(
          `SELECT client_id, SUM(n) AS n, SUM(denied) AS denied, MAX(last_at) AS last_at FROM trust_hour WHERE hour > ?
           GROUP BY client_id ORDER BY last_at DESC LIMIT 2000`,
        )
        .bind(from),
    ),
  ]);
  const bySeen = new Map(seen.map((s) => [s.client_id, s]));
  const ids = new Set(known.map((k) => k.client_id));
  const people = known.map((k): Person => {
    const level = levelOf(k);
    const since = level === "stranger" ? null : k[level];
    return {
      ...person(k.client_id, level, bySeen.get(k.client_id)),
      admin: k.admin !== null,
      since,
      via: k.via,
      by: k.by,
    };
  });
  for (const s of seen) if (!ids.has(s.client_id)) people.push(person(s.client_id, "stranger", s));
  return people
    .filter((p) => query.level === undefined || p.level === query.level)
    .sort(
      (a, b) =>
        RANK[a.level] - RANK[b.level] ||
        (b.last_seen ?? 0) - (a.last_seen ?? 0) ||
        (a.client_id < b.client_id ? -1 : 1),
    )
    .slice(0, query.limit);
}

const person = (client_id: string, level: ClientLevel, s: Seen | undefined): Person => ({
  client_id,
  level,
  admin: false,
  since: null,
  via: null,
  by: null,
  last_seen: s?.last_at ?? null,
  requests_24h: s?.n ?? 0,
  denied_24h: s?.denied ?? 0,
});

/** A promotion of the last days that can be taken back, newest first. */
export interface Promotion {
  audit_id: number;
  at: number;
  target: string;
  action: string;
  actor: string;
  from_level: string;
  to_level: string;
}

/** Promotions whose client was not changed since. */
export async function readPromotions(db: D1Database, limit = 20): Promise<Promotion[]> {
  const rows = await all<{ id: number; emitted_at: number; details: string }>(
    db
      .prepare("SELECT id, emitted_at, details FROM audit WHERE seam = 'trust.changed' ORDER BY id DESC LIMIT ?")
      .bind(limit * 3),
  );
  const found = rows
    .map((r) => ({ ...r, d: JSON.parse(r.details) as Record<string, unknown> }))
    .filter(({ d }) => d["action"] === "promote_to_contact" || d["action"] === "promote_to_whitelist")
    .slice(0, limit);
  const targets = [...new Set(found.map((f) => String(f.d["target"])))].slice(0, 90);
  if (targets.length === 0) return [];
  const versions = new Map(
    (
      await all<{ client_id: string; version: number }>(
        db
          .prepare(`SELECT client_id, version FROM trust_client WHERE client_id IN (${marks(targets.length)})`)
          .bind(...targets),
      )
    ).map((v) => [v.client_id, v.version]),
  );
  return found
    .filter(({ d }) => versions.get(String(d["target"])) === d["version"])
    .map(({ id, emitted_at, d }) => ({
      audit_id: id,
      at: emitted_at,
      target: String(d["target"]),
      action: String(d["action"]),
      actor: String(d["actor"]),
      from_level: String(d["from_level"]),
      to_level: String(d["to_level"]),
    }));
}
