import { auditIfChanged, type Source } from "../audit";
import { all } from "../kernel/d1";
import { ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { CHANGES, type Change, levelOf, type Marks, matches, NO_MARKS, sameMarks } from "./levels";
import type { ClientLevel } from "./types";

/** Table `trust_client`: the only place that changes a level. Every change and its audit row are one batch. */

/** A client as decisions need it: its own marks, and the level that patterns may raise or block. */
export interface Standing {
  id: string;
  level: ClientLevel;
  admin: boolean;
  marks: Marks;
  /** 0 = no row. */
  version: number;
  /** The pattern that gives the level, when it is not the client's own marks. */
  pattern: string | null;
}

interface Row extends Marks {
  client_id: string;
  pattern: number;
  version: number;
}

export const standingStatement = (db: D1Database, id: string): D1PreparedStatement =>
  db
    .prepare(
      `SELECT client_id, pattern, contact, whitelist, blocked, admin, version FROM trust_client WHERE client_id = ?1
       UNION ALL
       SELECT client_id, pattern, contact, whitelist, blocked, admin, version FROM trust_client
       WHERE pattern = 1 AND client_id <> ?1`,
    )
    .bind(id);

export function standingOf(id: string, rows: Row[]): Standing {
  const own = rows.find((r) => r.client_id === id);
  const marks: Marks = own
    ? { contact: own.contact, whitelist: own.whitelist, blocked: own.blocked, admin: own.admin }
    : NO_MARKS;
  let merged: Marks = marks;
  let pattern: string | null = null;
  for (const row of rows) {
    if (row.pattern !== 1 || row.client_id === id || !matches(row.client_id, id)) continue;
    const next: Marks = {
      contact: merged.contact ?? row.contact,
      whitelist: merged.whitelist ?? row.whitelist,
      blocked: merged.blocked ?? row.blocked,
      // A pattern makes nobody an admin.
      admin: merged.admin,
    };
    if (levelOf(next) !== levelOf(merged)) pattern = row.client_id;
    merged = next;
  }
  const version = own?.version ?? 0;
  return { id, level: levelOf(merged), admin: marks.admin !== null, marks, version, pattern };
}

/** @throws when the store does not answer: an unreadable list is nobody's permission. */
export const readStanding = async (db: D1Database, id: string): Promise<Standing> =>
  standingOf(id, await all<Row>(standingStatement(db, id)));

/** A person with the right to it: an admin by signature, or the operator. */
export interface ByAdmin {
  kind: "admin" | "operator";
  /** Address of the admin, or the operator's name. */
  name: string;
  /** SHA-256 of the signature that asked for it. */
  signature_hash?: string | null;
  request?: string | null;
}
/** A rule of the policy in force; `invite_hash` stands for the code, which is never kept. */
export interface ByRule {
  kind: "rule" | "invite" | "payment";
  name: string;
  invite_hash?: string | null;
  payment_reference?: string | null;
}

export interface Changed {
  changed: boolean;
  from: ClientLevel;
  to: ClientLevel;
  standing: Standing;
}

interface Deps {
  db: D1Database;
  runtime: Runtime;
}

const SOURCE: Record<(ByAdmin | ByRule)["kind"], Source | null> = {
  admin: "api",
  operator: "operator",
  rule: null,
  invite: null,
  payment: null,
};

const TRIES = 4;

/** Applies one change under the row's version and proves it in the same batch. Nothing to change writes nothing. */
async function change(
  deps: Deps,
  id: string,
  action: Change | "revert",
  make: (marks: Marks, at: number, before: Standing) => Marks,
  by: ByAdmin | ByRule,
  reason: string | null,
  more: Record<string, unknown> = {},
): Promise<Changed> {
  const { db, runtime } = deps;
  for (let tries = 0; tries < TRIES; tries++) {
    const before = await readStanding(db, id);
    const at = runtime.clock.now();
    const marks = make(before.marks, at, before);
    if (sameMarks(marks, before.marks))
      return { changed: false, from: before.level, to: before.level, standing: before };
    const [from, to] = [levelOf(before.marks), levelOf(marks)];
    const { kind, name, ...proof } = by;
    const details = {
      actor: name,
      via: kind,
      action,
      target: id,
      from_level: from,
      to_level: to,
      before: before.marks,
      version: before.version + 1,
      ...(reason ? { reason } : {}),
      ...Object.fromEntries(Object.entries(proof).filter(([, v]) => v !== undefined && v !== null)),
      ...more,
    };
    const pattern = id.includes("*") ? 1 : 0;
    const results = await db.batch([
      db
        .prepare(
          `INSERT INTO trust_client (client_id, pattern, contact, whitelist, blocked, admin, by, via, version, updated_at)
           SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9
             WHERE ?10 = 0 OR EXISTS (SELECT 1 FROM trust_client WHERE client_id = ?1)
           ON CONFLICT (client_id) DO UPDATE SET contact = ?3, whitelist = ?4, blocked = ?5, admin = ?6, by = ?7, via = ?8,
             version = version + 1, updated_at = ?9 WHERE version = ?10`,
        )
        .bind(id, pattern, marks.contact, marks.whitelist, marks.blocked, marks.admin, name, kind, at, before.version),
      auditIfChanged(db, { at, seam: "trust.changed", source: SOURCE[kind], details: runtime.redact.json(details) }),
      // A kept verdict belongs to a level; a change of any kind asks anew.
      pattern
        ? db.prepare("DELETE FROM trust_verdict")
        : db.prepare("DELETE FROM trust_verdict WHERE client_id = ?").bind(id),
    ]);
    if ((results[0]?.meta.changes ?? 0) === 0) continue;
    const after = await readStanding(db, id);
    return { changed: true, from: before.level, to: after.level, standing: after };
  }
  throw new ReveilleError({
    status: 409,
    code: "busy",
    message: `${id} is being changed by somebody else.`,
    hint: "Look at it again, then repeat.",
  });
}

const named =
  <By extends ByAdmin | ByRule>(action: Change) =>
  (deps: Deps, id: string, by: By, reason: string | null = null): Promise<Changed> =>
    change(deps, id, action, CHANGES[action], by, reason);

/** Stranger to contact. A rule may do it; a blocked client and a whitelisted one stay as they are. */
export const promoteToContact = (deps: Deps, id: string, by: ByAdmin | ByRule, reason: string | null = null) =>
  change(
    deps,
    id,
    "promote_to_contact",
    (m, at) => (levelOf(m) === "stranger" ? CHANGES.promote_to_contact(m, at) : m),
    by,
    reason,
  );
/** Only a person puts a client on the whitelist: the type of `by` says so. */
export const promoteToWhitelist = named<ByAdmin>("promote_to_whitelist");
export const demoteToContact = named<ByAdmin | ByRule>("demote_to_contact");
export const demoteToStranger = named<ByAdmin | ByRule>("demote_to_stranger");
export const block = named<ByAdmin | ByRule>("block");
export const unblock = named<ByAdmin>("unblock");
/** Only the agent itself or the operator makes admins (`by_admin`). */
export const setAdmin = named<ByAdmin>("set_admin");
export const removeAdmin = named<ByAdmin>("remove_admin");

const REVERTABLE = ["promote_to_contact", "promote_to_whitelist"];

/**
 * Takes a promotion back by its audit row: the marks before it return. Refused when the client was changed since.
 * @throws ReveilleError 404 when the row is no promotion, 409 `changed_since`.
 */
export async function revertPromotion(deps: Deps, auditId: number, by: ByAdmin): Promise<Changed> {
  const row = await deps.db
    .prepare("SELECT details FROM audit WHERE id = ? AND seam = 'trust.changed'")
    .bind(auditId)
    .first<{ details: string }>();
  const d = row ? (JSON.parse(row.details) as Record<string, unknown>) : {};
  if (!REVERTABLE.includes(String(d["action"])))
    throw new ReveilleError({ status: 404, code: "not_found", message: `Audit row ${auditId} is no promotion.` });
  const id = String(d["target"]);
  const back = (m: Marks, _at: number, now: Standing): Marks => {
    if (now.version !== d["version"])
      throw new ReveilleError({
        status: 409,
        code: "changed_since",
        message: `${id} was changed after that promotion, so it can't be taken back as it was.`,
        hint: "Demote or block it instead.",
      });
    // The admin mark is not part of a promotion.
    return { ...(d["before"] as Marks), admin: m.admin };
  };
  return change(deps, id, "revert", back, by, null, { of: auditId });
}
