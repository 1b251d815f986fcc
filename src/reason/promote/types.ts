import type { Seam } from "../../audit";
import { DAY } from "../../kernel/clock";

/** Words of the promote loops (`kora-watch.md` §4.4). */

export const LOOPS = [
  "probe_fix_envelopes",
  "phrasebook",
  "snapshot_expand",
  "router_tuning",
  "tool_trimming",
  "email_intent",
] as const;
export type LoopName = (typeof LOOPS)[number];

export const PROPOSAL_STATES = ["pending", "approved", "rejected", "expired"] as const;
export type ProposalState = (typeof PROPOSAL_STATES)[number];

/** What an approval adds to the table `vocabulary`. */
export type VocabularyKind = "phrase" | "email_intent" | "fix" | "snapshot_field" | "router" | "tool_trim";

/** A pending proposal whose cluster was not seen again for this long is over. */
export const EXPIRES_AFTER = 14 * DAY;
/** A rejected cluster stays quiet for this long. */
export const REJECTION_HOLDS = 90 * DAY;

/** One thing a loop has found. The same cluster has the same key every day, whatever else of it changes. */
export interface Finding {
  cluster: string;
  title: string;
  /** 0 to 1. */
  confidence: number;
  cluster_size: number;
  /** What the operator is shown, by label. */
  facts: Record<string, string | number | string[]>;
  /** What an approval adds, word for word. */
  vocabulary: Record<string, unknown>;
}

/** One loop: where it looks and what its findings would become. Nothing here calls a model or changes what runs. */
export interface PromoteLoop {
  name: LoopName;
  /** Kill variable; true unless set to something else. */
  variable: string;
  /** The loop's own seam beside `promotion.proposed`; null: it has none. */
  seam: Seam | null;
  kind: VocabularyKind;
  /** One sentence: what approving does, and what it does not. */
  approval: string;
  find(db: D1Database, now: number): Promise<Finding[]>;
}
