import { all, marks } from "../../kernel/d1";
import { shortId } from "../../kernel/format";
import { CITE_KINDS, type Cite, type CiteKind } from "./types";

/** Citations: what a model writes as `[incident:01KB…]`, checked against the live rows. A row that is not there is not cited. */

/** What an answer names, before anybody looked whether it is there. */
export interface Claim {
  kind: CiteKind;
  id: string;
}

const enc = encodeURIComponent;

/** The operator page of a row. */
export function pathOf({ kind, id }: Claim): string {
  switch (kind) {
    case "target":
      return `/targets/${enc(id)}`;
    case "incident":
      return `/incidents/${enc(id)}`;
    case "maintenance":
      return "/maintenance";
    case "listener":
      return "/listeners";
    case "budget":
      return "/budget";
    case "switchboard":
      return "/switchboard";
    default:
      return `/audit?q=${enc(id)}`;
  }
}

const SQL: Partial<Record<CiteKind, (n: number) => string>> = {
  target: (n) => `SELECT id, name AS label FROM target WHERE id IN (${marks(n)})`,
  incident: (n) => `SELECT id, target_name AS label FROM incident WHERE id IN (${marks(n)})`,
  wake: (n) => `SELECT wake_id AS id, event AS label FROM wake WHERE wake_id IN (${marks(n)})`,
  audit: (n) => `SELECT CAST(id AS TEXT) AS id, seam AS label FROM audit WHERE id IN (${marks(n)})`,
  listener: (n) => `SELECT name AS id, name AS label FROM listener_state WHERE name IN (${marks(n)})`,
  maintenance: (n) => `SELECT id, reason AS label FROM maintenance WHERE id IN (${marks(n)})`,
};

/** Not rows but single values of our own; they always exist. */
const SINGLE: readonly CiteKind[] = ["budget", "switchboard"];

const labelOf = (kind: CiteKind, id: string, name: string): string =>
  kind === "incident"
    ? `incident ${shortId(id)}`
    : kind === "wake"
      ? `wake ${shortId(id)}`
      : SINGLE.includes(kind)
        ? kind
        : `${kind} ${kind === "audit" ? id : name}`;

/** Most rows one answer cites. */
export const MAX_CITES = 12;

/** The claims that name a live row, in their order, each once; `dropped` counts the others. */
export async function checkClaims(
  db: D1Database,
  claims: readonly Claim[],
): Promise<{ cites: Cite[]; dropped: number }> {
  const seen = new Map(claims.map((c) => [`${c.kind}:${c.id}`, c]));
  const found = new Map<string, string>();
  await Promise.all(
    CITE_KINDS.map(async (kind) => {
      const ids = [...seen.values()]
        .filter((c) => c.kind === kind)
        .map((c) => c.id)
        .slice(0, 90);
      if (ids.length === 0) return;
      if (SINGLE.includes(kind)) {
        for (const id of ids) found.set(`${kind}:${id}`, kind);
        return;
      }
      const values = kind === "audit" ? ids.filter((id) => /^\d{1,15}$/.test(id)).map(Number) : ids;
      if (values.length === 0) return;
      const rows = await all<{ id: string; label: string }>(db.prepare(SQL[kind]!(values.length)).bind(...values));
      for (const r of rows) found.set(`${kind}:${r.id}`, r.label);
    }),
  );
  const kept = [...seen].filter(([key]) => found.has(key));
  const cites = kept
    .slice(0, MAX_CITES)
    .map(([key, c]): Cite => ({ ...c, label: labelOf(c.kind, c.id, found.get(key)!.slice(0, 80)), path: pathOf(c) }));
  return { cites, dropped: seen.size - kept.length };
}

const MARK =
  /\[(target|incident|wake|audit|listener|maintenance|budget|switchboard)(?::\s*([A-Za-z0-9_.:-]{1,100}))?\]/gi;

/** The claims of a model's text, and the text with each mark replaced by what `shown` says (null = taken out). */
export function readMarks(text: string): { claims: Claim[]; replace(shown: (claim: Claim) => string | null): string } {
  const claimOf = (kind: string, id: string | undefined): Claim => {
    const k = kind.toLowerCase() as CiteKind;
    return { kind: k, id: id ?? k };
  };
  const claims = [...text.matchAll(MARK)].map((m) => claimOf(m[1]!, m[2]));
  return {
    claims,
    replace: (shown) =>
      text
        .replace(MARK, (_all, kind: string, id: string | undefined) => shown(claimOf(kind, id)) ?? "")
        .replace(/[ \t]+([.,;:])/g, "$1")
        .replace(/[ \t]{2,}/g, " ")
        .trim(),
  };
}
