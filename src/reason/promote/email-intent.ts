import { DAY } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import { clusters, commonTokens, patternOf } from "./text";
import type { Finding, PromoteLoop } from "./types";

/** Mails from the operator that no rule understood: 14 days of them. Mail texts never leave their row; only shared words do. */

const WINDOW = 14 * DAY;
const MIN_CLUSTER = 5;
const COHESION = 0.85;
const MAX_ROWS = 400;

/** One finding per group of like mails. */
export function proposeIntents(questions: readonly string[]): Finding[] {
  const out = new Map<string, Finding>();
  for (const group of clusters(questions, COHESION)) {
    if (group.length < MIN_CLUSTER) continue;
    const words = commonTokens(group.map((i) => questions[i]!));
    const cluster = JSON.stringify(words);
    if (words.length === 0 || out.has(cluster)) continue;
    const pattern = patternOf(words);
    out.set(cluster, {
      cluster,
      title: `${group.length} mails about “${words.join(" ")}” matched no rule`,
      confidence: Math.min(1, group.length / (2 * MIN_CLUSTER)),
      cluster_size: group.length,
      facts: { pattern, words },
      vocabulary: { pattern, tokens: words },
    });
  }
  return [...out.values()];
}

const SQL = `SELECT question FROM ask WHERE source = 'email' AND created_at >= ? AND answered_at IS NOT NULL
    AND json_extract(answer, '$.intent') IS NULL
  ORDER BY created_at DESC LIMIT ${MAX_ROWS}`;

export const emailIntent: PromoteLoop = {
  name: "email_intent",
  variable: "REVEILLE_PROMOTE_EMAIL_INTENT_ENABLED",
  seam: "promotion.email_intent_pattern_proposed",
  kind: "email_intent",
  approval: "Adds the pattern to the vocabulary as a scaffold. No mail is handled in another way by it.",
  find: async (db, now) => {
    const rows = await all<{ question: string }>(db.prepare(SQL).bind(now - WINDOW));
    return proposeIntents(rows.map((r) => r.question));
  },
};
