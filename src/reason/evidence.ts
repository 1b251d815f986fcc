import { envelopeOf, type Snapshot } from "../watch";
import { actionsOf, TARGET_ID } from "./autofix";
import { strange } from "./fence";
import { type Evidence, type Investigation, investigationSchema } from "./types";

/** Evidence of one investigation, in the order shown; tools add to it. Ids are E1, E2, ... */
export interface Book {
  add(kind: Evidence["kind"], at: number | null, text: string, ref?: string): Evidence;
  list(): readonly Evidence[];
}

/** Rows that may be shown to a model in one investigation, those of its tools included. */
export const MAX_EVIDENCE = 120;

export function makeBook(): Book {
  const rows: Evidence[] = [];
  const known = new Map<string, Evidence>();
  return {
    add(kind, at, text, ref) {
      // A tool may find again what the context showed: one fact keeps one id.
      const key = `${kind} ${at} ${text}`;
      const found = known.get(key);
      if (found) return found;
      const row: Evidence = { id: `E${rows.length + 1}`, at, kind, text, ...(ref === undefined ? {} : { ref }) };
      rows.push(row);
      known.set(key, row);
      return row;
    },
    list: () => rows,
  };
}

/** What an investigation may rest on and ask for. */
export interface Scope {
  evidence: readonly Evidence[];
  /** Kind of the incident's target. */
  probe: string;
  snapshots: readonly (Snapshot | null)[];
}

/** A reply after the check: what it claims with evidence, and how much of it had none. */
export interface Checked {
  result: Investigation;
  /** Citations of rows that were never shown, and a proposed action outside the envelope or the incident. */
  dropped: number;
  dropped_action: boolean;
  guess: boolean;
}

const CITED = /\bE(\d{1,6})\b/g;

/** `[E2, E9]` → `[E2]` when E9 was never shown. */
function stripUnknown(text: string, known: ReadonlySet<string>): string {
  return text
    .replace(/[[(]\s*E\d{1,6}(?:\s*[,;]\s*E\d{1,6})*\s*[\])]/g, (group) => {
      const kept = [...group.matchAll(CITED)].map((m) => m[0]).filter((id) => known.has(id));
      return kept.length ? `[${kept.join(", ")}]` : "";
    })
    .replace(CITED, (id) => (known.has(id) ? id : ""))
    .replace(/ +([.,;:])/g, "$1")
    .replace(/ {2,}/g, " ")
    .trim();
}

/**
 * Holds a reply against what was shown: an id that was never shown is dropped and counted, a proposed action must be one of
 * the envelope and name something in the incident's own snapshots (`kora-watch.md` §4.3, §6). Links in the words go. It never
 * touches severity, target or state: the reply has no field for them.
 */
export function checkEvidence(reply: Investigation, scope: Scope): Checked {
  const known = new Set(scope.evidence.map((e) => e.id));
  const words = [reply.summary, reply.likely_cause, reply.next_step];
  const cited = new Set([...reply.evidence, ...words.flatMap((t) => [...t.matchAll(CITED)].map((m) => m[0]))]);
  const kept = [...cited].filter((id) => known.has(id)).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
  const action = reply.proposed_action ?? null;
  const dropped_action = action !== null && !actionAllowed(action, scope);
  // Cleaning may lengthen a text; what is kept must still fit the schema it is read by.
  const clean = (text: string, max: number): string => strange(stripUnknown(text, known), max);
  return {
    result: {
      summary: clean(reply.summary, 2_000),
      evidence: kept,
      confidence: reply.confidence,
      likely_cause: clean(reply.likely_cause, 600),
      next_step: clean(reply.next_step, 600),
      ...(action === null || dropped_action
        ? {}
        : { proposed_action: { ...action, reason: clean(action.reason, 400) } }),
    },
    dropped: cited.size - kept.length + (dropped_action ? 1 : 0),
    dropped_action,
    guess: kept.length === 0,
  };
}

/** Actions an incident of this kind may ask for; none for most. */
export const allowedActions = (probe: string): readonly string[] =>
  envelopeOf(probe).capability === null ? [] : actionsOf(probe);

function actionAllowed(
  action: NonNullable<Investigation["proposed_action"]>,
  { probe, snapshots }: Pick<Scope, "probe" | "snapshots">,
): boolean {
  return (
    allowedActions(probe).includes(action.action) &&
    TARGET_ID.test(action.target_id) &&
    snapshots.some((s) => s !== null && sickIn(s).includes(action.target_id))
  );
}

/** Ids that a snapshot itself calls unhealthy (Fly: machines, by app). */
export function sickIn(snapshot: Snapshot): string[] {
  const { apps } = snapshot.details;
  if (apps === null || typeof apps !== "object" || Array.isArray(apps)) return [];
  return Object.values(apps).flatMap((app) => {
    const list = app !== null && typeof app === "object" && !Array.isArray(app) ? app["unhealthy"] : null;
    return Array.isArray(list) ? list.filter((x) => typeof x === "string") : [];
  });
}

/** The JSON of a reply: alone, in a code fence, or between words. Null when there is none. */
function jsonIn(text: string): unknown {
  const from = text.indexOf("{");
  const to = text.lastIndexOf("}");
  if (from < 0 || to <= from) return null;
  try {
    return JSON.parse(text.slice(from, to + 1));
  } catch {
    return null;
  }
}

/** Longest reply that is read at all; no answer of the allowed size comes near it. */
const MAX_REPLY = 64_000;

/**
 * Reads a reply by its schema. Small faults are mended in the safe direction: ids that are no ids can't match, a proposed
 * action that can't be read is none. Null: not an investigation.
 */
export function parseReply(text: string): { reply: Investigation; mended: number } | null {
  if (text.length > MAX_REPLY) return null;
  const value = jsonIn(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const raw = { ...(value as Record<string, unknown>) };
  let mended = 0;
  if (Array.isArray(raw["evidence"])) {
    const ids = raw["evidence"].filter((x): x is string => typeof x === "string" && x.length <= 20).slice(0, 30);
    mended += raw["evidence"].length - ids.length;
    raw["evidence"] = ids;
  }
  const action = investigationSchema.shape.proposed_action.safeParse(raw["proposed_action"]);
  if (!action.success) {
    mended++;
    raw["proposed_action"] = null;
  }
  const parsed = investigationSchema.safeParse(raw);
  return parsed.success && parsed.data.summary.trim() !== "" ? { reply: parsed.data, mended } : null;
}
