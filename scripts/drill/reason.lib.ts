import type { Llm } from "../../test/support/llm";
import type { LlmCall } from "../../test/support/llm.types";
import type { startPlatforms } from "../../test/support/platforms";
import type { Vendors } from "../../test/support/vendors";
import type { Sandbox, Service } from "../lib/sandbox";

/** What the outside saw of `npm run drill -- reason`, compared with our rows. */

export interface Outside {
  service: Service;
  llm: Llm;
  platforms: Awaited<ReturnType<typeof startPlatforms>>;
  /** One a way in which a machine is unwell. */
  vendors: Vendors[];
}

/** One data folder: its targets, what was broken, and what was seen of it. */
export interface Round {
  box: Sandbox;
  no: number;
  /** Targets that were broken, each once. */
  broken: Set<string>;
  /** Those whose incident is open, as of the last kill. */
  opened: Set<string>;
  mended: Set<string>;
  fly: Set<string>;
  /** Calls of this round: it alone ran while they were made. */
  calls: LlmCall[];
}

/** A target's name, in prompts, notices and vendor paths alike. */
export const NAME = /\br\d\d-[hf]\d\d\b/;

export type Kind = "opened" | "recovered" | "explained" | "fix" | "other";
const KINDS: [Kind, RegExp][] = [
  ["opened", /^(■ Down|▲ Degraded): /],
  ["recovered", /^● OK again/],
  ["explained", /^(Why|A guess) \(|^Not investigated: /],
  ["fix", /^(● (St|Rest)arted|■ (No change|Worse)|Refused by Fly|Not sent|\? Outcome unknown)/],
];

/** What Slack was told, read from its words as a person would. */
export function told(out: Outside): { name: string; kind: Kind; text: string }[] {
  return out.platforms.ledger().slack.map(({ text }) => ({
    name: NAME.exec(text)?.[0] ?? "?",
    kind: KINDS.find(([, words]) => words.test(text))?.[0] ?? "other",
    text,
  }));
}

/** Starts and restarts that reached a vendor, by app. */
export function acts(out: Outside): string[] {
  const rows = out.vendors.flatMap((v) => v.ledger());
  return rows
    .filter((r) => r.method === "POST" && /\/(start|restart)$/.test(r.path))
    .map((r) => NAME.exec(r.path)?.[0] ?? "?");
}

export const count = <T>(list: readonly T[], test: (x: T) => boolean): number => list.filter(test).length;
export const own = (round: Round): string => `r${String(round.no).padStart(2, "0")}-%`;

export async function rows<T>(round: Round, sql: string, ...bound: unknown[]): Promise<T[]> {
  return (
    await round.box.rt.d1
      .prepare(sql)
      .bind(...bound)
      .all<T>()
  ).results;
}

export const ENDED = "('done', 'failed', 'unknown_outcome')";
const UNTOLD = `NOT EXISTS (SELECT 1 FROM notice WHERE id = f.key || ':told:' || f.created_at AND dm_status IS NOT NULL)`;

/** Where the work of a round stands: `wake reserved`, `fix running`, ... with a key each. */
export async function standing(round: Round, out: Outside): Promise<{ key: string; stage: string }[]> {
  const wakes = await rows<{ key: string; stage: string }>(
    round,
    "SELECT wake_id AS key, stage FROM wake WHERE done_at IS NULL AND event = 'opened' AND target_id LIKE ?",
    own(round),
  );
  const fixes = await rows<{ key: string; state: string; outcome: string | null; app: string; untold: number }>(
    round,
    `SELECT key, state, outcome, app, ${UNTOLD} AS untold FROM autofix f`,
  );
  const sent = new Set(acts(out));
  return [
    ...wakes,
    ...fixes.flatMap((f) => {
      const stage =
        f.state === "running"
          ? sent.has(f.app)
            ? "fix sent"
            : "fix running"
          : f.state === "done" && f.outcome === null
            ? "fix unverified"
            : f.state === "approved"
              ? "fix approved"
              : f.untold && f.state !== "expired"
                ? "fix untold"
                : null;
      return stage === null ? [] : [{ key: f.key, stage }];
    }),
  ];
}

export async function undone(round: Round): Promise<number> {
  const [row] = await rows<{ n: number }>(
    round,
    "SELECT COUNT(*) AS n FROM wake WHERE target_id LIKE ? AND done_at IS NULL",
    own(round),
  );
  return row?.n ?? Number.NaN;
}

/** Fixes that are not at their end, or whose end nobody was told. */
export async function openFixes(round: Round): Promise<number> {
  const [row] = await rows<{ n: number }>(
    round,
    `SELECT COUNT(*) AS n FROM autofix f WHERE state IN ('approved', 'running') OR (state = 'done' AND outcome IS NULL)
     OR (state IN ${ENDED} AND ${UNTOLD})`,
  );
  return row?.n ?? Number.NaN;
}
