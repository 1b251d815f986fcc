import { DAY } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import { clip } from "../../kernel/errors";
import type { Intent } from "../agent/intents";
import { clusters, commonTokens, compare, dominant, patternOf } from "./text";
import type { Finding, PromoteLoop } from "./types";

/** Questions that a model keeps answering the same way: 7 days of answers. */

const WINDOW = 7 * DAY;
const MIN_CLUSTER = 5;
/** Likeness of questions to the centre of their group. */
const COHESION = 0.85;
/** Answers this alike count as one answer ... */
const SAME_ANSWER = 0.92;
/** ... which must be given to this share of the group, or a reply would mislead. */
const CONSISTENT = 0.75;
const SAMPLES = 3;
/** Pairs are compared, so the newest questions only. */
const MAX_ROWS = 400;

export interface Answered {
  question: string;
  text: string;
  intent: string | null;
}

/** Words that say which of the agent's intents a question belongs to, when no answer named one. */
const CATEGORIES: [RegExp, Intent][] = [
  [/^(budget|costs?|spend|spent|spending|burn|price)$/, "budget"],
  [/^(maintenance|windows?|planned)$/, "maintenance"],
  [/^(acked|ack|acknowledged)$/, "who_acked"],
  [/^(why|cause|incidents?|happened)$/, "why"],
  [/^(changed|changes?|today|new)$/, "changed"],
  [/^(listeners?|tasks?|alive)$/, "listeners"],
  [/^(down|up|wrong|broken|healthy|health|ok|fine|outages?|status|state)$/, "overall"],
];

const categoryOf = (words: readonly string[]): Intent | "operator_query" =>
  CATEGORIES.find(([pattern]) => words.some((w) => pattern.test(w)))?.[1] ?? "operator_query";

/** One finding per group of like questions with like answers. */
export function proposePhrases(rows: readonly Answered[]): Finding[] {
  const out = new Map<string, Finding>();
  for (const group of clusters(
    rows.map((r) => r.question),
    COHESION,
  )) {
    if (group.length < MIN_CLUSTER) continue;
    const members = group.map((i) => rows[i]!);
    const answers = members.map((m) => m.text);
    const same = clusters(answers, SAME_ANSWER)[0] ?? [];
    const share = same.length / members.length;
    const words = commonTokens(members.map((m) => m.question));
    if (share < CONSISTENT || words.length === 0) continue;
    const cluster = JSON.stringify(words);
    // Two groups may share their commonest words; the larger one speaks for both.
    if (out.has(cluster)) continue;
    const template = clip(dominant(same.map((i) => answers[i]!)), 900);
    const category = dominant(members.map((m) => m.intent ?? "")) || categoryOf(words);
    out.set(cluster, {
      cluster,
      title: `${members.length} questions about “${words.join(" ")}” got the same answer`,
      confidence: Math.min(1, members.length / (2 * MIN_CLUSTER)) * share,
      cluster_size: members.length,
      facts: {
        pattern: patternOf(words),
        reply: template,
        questions: [...new Set(members.map((m) => clip(m.question.trim(), 160)))].sort(compare).slice(0, SAMPLES),
        "same answer": `${Math.round(share * 100)} %`,
        category,
      },
      vocabulary: {
        pattern: patternOf(words),
        tokens: words,
        template,
        category,
      },
    });
  }
  return [...out.values()];
}

/** Answers a model gave; what rules answered is free already. */
const SQL = `SELECT question, json_extract(answer, '$.text') AS text, json_extract(answer, '$.intent') AS intent FROM ask
  WHERE created_at >= ? AND state = 'answered' AND answer IS NOT NULL AND source <> 'email'
    AND json_extract(answer, '$.engine') <> 'by rules' AND typeof(json_extract(answer, '$.text')) = 'text'
  ORDER BY created_at DESC LIMIT ${MAX_ROWS}`;

export const phrasebook: PromoteLoop = {
  name: "phrasebook",
  variable: "REVEILLE_PROMOTE_PHRASEBOOK_ENABLED",
  seam: null,
  kind: "phrase",
  approval:
    "Adds these words and their category to the phrasebook. Where rules know the category, they answer it from live state without a model.",
  find: async (db, now) => proposePhrases(await all<Answered>(db.prepare(SQL).bind(now - WINDOW))),
};
