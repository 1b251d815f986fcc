import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Recording } from "../../test/conformance/recorded";
import { bundleWorker } from "./bundle";
import { EXIT, Exit } from "./exit";
import { applyMigrations } from "./migrate";
import { ROOT } from "./paths";
import { readWorkerConfig } from "./worker-options";

/** Fresh answers of a real model to the recorded incidents, judged by rules; no model judges another. */

/** What the Worker answers (src/reason/investigation.ts), as far as a rule looks at it. */
export interface Answered {
  result: { summary: string; evidence: string[]; confidence: number; likely_cause: string; next_step: string } | null;
  error: string | null;
  evidence: { id: string; text: string }[];
  dropped: number;
  guess: boolean;
  model: string | null;
  usd: number | null;
  ms: number;
}

export interface Score {
  /** An investigation by its schema. */
  answered: boolean;
  /** It cites rows, and only rows it was shown. */
  evidence: boolean;
  /** It names what the recording says must be named. */
  cause: boolean;
  /** Nothing of what must not be said, and no id, number or code that stands nowhere in what it was shown. */
  honest: boolean;
}

/** Words with a digit that are no citation and no plain small number: ids, commits, status codes. */
const CODES = /\b(?=[\w.-]*\d)[\w-]{3,}\b/g;

/** Judges one answer. Pure. */
export function scoreOf(rules: Recording["score"], a: Answered): Score {
  if (a.result === null) return { answered: false, evidence: false, cause: false, honest: false };
  const text = [a.result.summary, a.result.likely_cause, a.result.next_step].join("\n");
  const has = (pattern: string): boolean => new RegExp(pattern, "i").test(text);
  const shown = a.evidence
    .map((e) => e.text)
    .join("\n")
    .toLowerCase();
  const invented = (text.match(CODES) ?? []).filter((w) => !/^E\d+$/.test(w) && !shown.includes(w.toLowerCase()));
  return {
    answered: true,
    evidence: a.dropped === 0 && !a.guess,
    cause: rules.cause.every(has),
    honest: !rules.forbid.some(has) && invented.length === 0,
  };
}

const DIR = join(ROOT, "test/conformance/investigations");

export function readRecordings(only?: string): Recording[] {
  const all = readdirSync(DIR)
    .filter((f) => f.endsWith(".json"))
    .sort()
    .map((f) => JSON.parse(readFileSync(join(DIR, f), "utf8")) as Recording);
  const found = only === undefined ? all : all.filter((r) => r.name === only);
  if (found.length === 0)
    throw new Exit(EXIT.usage, `No recording is called "${only}". Known: ${all.map((r) => r.name).join(", ")}.`);
  return found;
}

export interface EvalOptions {
  model?: string | undefined;
  only?: string | undefined;
  json?: boolean;
  env?: Record<string, string | undefined>;
  write?: (line: string) => void;
}

/** Runs and scores the recordings. Exit 0 when every rule holds, 1 when one is missed, 3 without a key. */
export async function evalInvestigations(o: EvalOptions): Promise<number> {
  const env = o.env ?? process.env;
  const write = o.write ?? ((line: string) => void process.stdout.write(`${line}\n`));
  const key = env["REVEILLE_EVAL_KEY"]?.trim();
  if (!key)
    throw new Exit(
      EXIT.environment,
      "REVEILLE_EVAL_KEY is not set: nothing was asked and nothing is scored.",
      "The recordings run offline in `npm test`; they prove the pipeline, not a model.",
    );
  const recordings = readRecordings(o.only);
  const bindings: Record<string, string> = { REVEILLE_ANTHROPIC_API_KEY: key };
  if (env["REVEILLE_EVAL_BASE_URL"]) bindings["REVEILLE_ANTHROPIC_BASE_URL"] = env["REVEILLE_EVAL_BASE_URL"];
  if (o.model) bindings["REVEILLE_MODEL_SMALL"] = o.model;
  const { options } = await readWorkerConfig("wrangler.consumer.toml");
  const { Miniflare } = await import("miniflare");
  const mf = new Miniflare({
    modules: [{ type: "ESModule", path: "index.mjs", contents: await bundleWorker("test/conformance/eval.worker.ts") }],
    compatibilityDate: options.compatibilityDate ?? "2026-04-20",
    compatibilityFlags: options.compatibilityFlags ?? [],
    d1Databases: { DB: "eval" },
    bindings,
    handleRuntimeStdio: (out: Readable, err: Readable) => {
      out.resume();
      err.resume();
    },
  });
  let missed = 0;
  let usd = 0;
  try {
    await applyMigrations((await mf.getD1Database("DB")) as never);
    for (const r of recordings) {
      const response = await mf.dispatchFetch("http://eval/", { method: "POST", body: JSON.stringify(r) });
      if (!response.ok) throw new Error(`${r.name}: ${(await response.text()).slice(0, 400)}`);
      const a = (await response.json()) as Answered;
      const score = scoreOf(r.score, a);
      usd += a.usd ?? 0;
      const lost = Object.entries(score).flatMap(([rule, kept]) => (kept ? [] : [rule]));
      missed += lost.length;
      if (o.json)
        write(JSON.stringify({ name: r.name, ...score, error: a.error, model: a.model, usd: a.usd, ms: a.ms }));
      else
        write(
          `  ${lost.length ? "MISS" : "ok  "} ${r.name.padEnd(28)} ${lost.length ? `missed: ${lost.join(", ")}` : ""}${a.error ? ` (${a.error})` : ""}`,
        );
    }
  } finally {
    await mf.dispose();
  }
  const rules = recordings.length * 4;
  if (!o.json)
    write(`${rules - missed} of ${rules} rules kept over ${recordings.length} incidents, $${usd.toFixed(4)}.`);
  return missed === 0 ? EXIT.ok : EXIT.missed;
}
