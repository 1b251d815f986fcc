import { DAY } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import { envelopeOf } from "../../watch";
import { compare, dominant } from "./text";
import type { Finding, PromoteLoop } from "./types";

/** Faults that come again and are never fixed: 14 days of investigations without a fix, by probe and category. */

const WINDOW = 14 * DAY;
const MIN_CLUSTER = 3;
const SAMPLES = 3;
/** How much of a summary counts as its wording. */
const HEAD = 240;
/** The newest investigations looked at; the table keeps everything. */
const MAX_ROWS = 5_000;

export interface Investigated {
  probe: string;
  category: string;
  session_id: string | null;
  incident_id: string | null;
  wake_id: string | null;
  summary: string;
}

/** The narrow patterns of one machine that is down: the only ones whose blast radius is known. */
const LOW = ["machine_down", "machine_not_started"];

function blastRadius(probe: string, category: string): { level: "low" | "high"; text: string } {
  if (probe === "fly" && LOW.some((word) => category.includes(word)))
    return { level: "low", text: "One machine of one app; a start or restart, which the envelope of fly bounds." };
  return { level: "high", text: "Not classified: read it as wide until you have narrowed it yourself." };
}

const plain = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");

/** One finding per (probe, category) with three investigations or more. */
export function proposeFixes(rows: readonly Investigated[]): Finding[] {
  const groups = new Map<string, Investigated[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.probe, row.category]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups]
    .filter(([, members]) => members.length >= MIN_CLUSTER)
    .sort((a, b) => b[1].length - a[1].length || compare(a[0], b[0]))
    .map(([cluster, members]) => {
      const { probe, category } = members[0]!;
      const declared = envelopeOf(probe).fix_name;
      const fix_name = declared === "(none)" ? `proposed_${plain(probe)}_${plain(category)}` : declared;
      const radius = blastRadius(probe, category);
      const sessions = members.map((m) => m.incident_id ?? m.session_id).filter((s): s is string => s !== null);
      const summary = dominant(members.map((m) => m.summary.trim().slice(0, HEAD)));
      return {
        cluster,
        title: `${probe}, ${category}: investigated ${members.length} times in 14 days, never fixed`,
        confidence: Math.min(1, members.length / (2 * MIN_CLUSTER)),
        cluster_size: members.length,
        facts: {
          "fix name": fix_name,
          "most common summary": summary === "" ? "none" : summary,
          incidents: [...new Set(sessions)].sort(compare).slice(-SAMPLES),
          "blast radius": `${radius.level}: ${radius.text}`,
        },
        vocabulary: { probe, category, fix_name, blast_radius: radius.level, summary },
      };
    });
}

const SQL = `SELECT probe, category, session_id, incident_id, wake_id, COALESCE(summary, '') AS summary FROM (
    SELECT emitted_at, session_id, incident_id, wake_id,
      json_extract(details, '$.probe') AS probe, json_extract(details, '$.issue_category') AS category,
      substr(json_extract(details, '$.investigation_summary_text'), 1, 400) AS summary,
      json_extract(details, '$.autofix_attempted') AS fixed, json_extract(details, '$.rehearsal') AS rehearsal
    FROM audit WHERE seam = 'probe.investigation_completed' ORDER BY id DESC LIMIT ${MAX_ROWS}) a
  WHERE emitted_at >= ? AND typeof(probe) = 'text' AND typeof(category) = 'text'
    AND COALESCE(fixed, 0) = 0 AND COALESCE(rehearsal, 0) = 0
    AND NOT EXISTS (SELECT 1 FROM autofix f WHERE f.incident_id = a.incident_id AND f.started_at IS NOT NULL)`;

export const probeFixEnvelopes: PromoteLoop = {
  name: "probe_fix_envelopes",
  variable: "REVEILLE_PROMOTE_PROBE_FIX_ENVELOPES_ENABLED",
  seam: "promotion.probe_envelope_action_proposed",
  kind: "fix",
  approval: "Adds the name of this fix to the vocabulary. No envelope is declared, enabled or run by it.",
  find: async (db, now) => proposeFixes(await all<Investigated>(db.prepare(SQL).bind(now - WINDOW))),
};
