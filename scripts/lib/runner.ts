import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type OptionSpec, readArgs } from "./args";
import { EXIT, Exit } from "./exit";
import { lineOf, type Measure, printTable, summary, toJson } from "./measure";
import { makeTerm, type Progress, type Term } from "./term";

export interface RunContext {
  seed: number;
  term: Term;
  progress: Progress;
  /** A whole-number option of the runner's own, or its default. */
  size(name: string, otherwise: number): number;
  /** Aborted on Ctrl-C, so that a runner can end what it started. */
  signal: AbortSignal;
}

export interface RunResult {
  /** What was measured, with its size: `healthy cycle, 1,000 targets`. */
  title: string;
  measures: Measure[];
  /** e.g. `3 runs, median`. */
  note?: string;
  /** A drill with many figures: one a line instead of one line. */
  table?: boolean;
}

/** A bench or a drill: a module in scripts/bench or scripts/drill that exports `runner`. */
export interface Runner {
  name: string;
  what: string;
  /** Options beside `--json` and `--seed`. */
  options?: Record<string, OptionSpec>;
  run(ctx: RunContext): Promise<RunResult>;
}

/** Loads every runner of a folder: each file beside `index.ts` exports one, named like its file. */
export async function loadRunners(dir: string): Promise<Runner[]> {
  const files = readdirSync(dir).filter((f) => f.endsWith(".ts") && f !== "index.ts" && !f.includes(".lib."));
  return Promise.all(
    files.sort().map(async (file) => {
      const { runner } = (await import(pathToFileURL(join(dir, file)).href)) as { runner?: Runner };
      if (!runner || `${runner.name}.ts` !== file)
        throw new Error(`${join(dir, file)} must export a runner named like its file.`);
      return runner;
    }),
  );
}

/** The body of `npm run bench` and `npm run drill`; returns the exit code: 1 when a goal is missed. */
export async function dispatch(kind: "bench" | "drill", dir: string, argv = process.argv.slice(2)): Promise<number> {
  const runners = await loadRunners(dir);
  const list = runners.map((r) => `  ${r.name.padEnd(14)}${r.what}`);
  const args = readArgs(
    {
      command: `npm run ${kind} --`,
      what:
        kind === "bench" ? "Measures the running code against its goals." : "Breaks things and compares the ledgers.",
      positionals: ["NAME"],
      options: {
        json: { type: "boolean", what: "one JSON object a figure on stdout" },
        seed: { type: "string", value: "N", what: "repeat a run" },
        ...Object.assign({}, ...runners.map((r) => r.options ?? {})),
      },
      notes: list.length > 0 ? ["", "NAME is one of", ...list] : [],
    },
    argv,
  );
  const [name] = args.positionals;
  const runner = runners.find((r) => r.name === name);
  if (!runner)
    throw new Exit(
      EXIT.usage,
      name === undefined ? `Which ${kind}?` : `There is no ${kind} "${name}".`,
      ...(list.length ? ["Known:", ...list] : []),
    );
  const seed = args.integer("seed") ?? Math.floor(Math.random() * 10_000);
  const term = makeTerm();
  const progress = term.progress();
  const abort = new AbortController();
  let first: number | null = null;
  const interrupt = (): void => {
    // tsx may pass on the signal that the terminal has sent already; a second one meant as such comes later.
    if (first !== null && performance.now() - first > 1_000) process.exit(EXIT.interrupted);
    first ??= performance.now();
    abort.abort();
  };
  process.on("SIGINT", interrupt);
  const size = (option: string, otherwise: number): number => args.integer(option) ?? otherwise;
  const result = await runner.run({ seed, size, term, progress, signal: abort.signal }).finally(() => progress.clear());
  if (abort.signal.aborted) return EXIT.interrupted;
  const { text, allMet } = summary(result.measures);
  if (args.flag("json")) for (const m of result.measures) term.json(toJson(m, seed));
  else if (kind === "drill" && !result.table) {
    term.out(`  ${result.title}${result.note ? `   ${result.note}` : ""}`);
    term.out(`  ${lineOf(term, result.measures)}     seed ${seed}`);
  } else {
    term.out(`  ${result.title}   seed ${seed}${result.note ? `   ${result.note}` : ""}`);
    printTable(term, result.measures);
  }
  if (!args.flag("json")) term.out(`${text} Repeat: npm run ${kind} -- ${name} --seed ${seed}`);
  return allMet ? EXIT.ok : EXIT.missed;
}
