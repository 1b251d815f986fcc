import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArgs } from "./args";
import { findChromium, NO_CHROMIUM } from "./chromium";
import { EXIT } from "./exit";
import { ROOT } from "./paths";
import { makeTerm, seconds, type Term } from "./term";

export interface Count {
  passed: number;
  failed: number;
}

/** What vitest's JSON reporter writes, as far as it is counted here. */
interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests?: number;
  testResults: { status: string; assertionResults: { status: string }[] }[];
}

/**
 * Adds up a vitest run. A file that fails without a failed test (it could not be loaded) counts as one, and so does a run
 * that ends badly with nothing failed (an unhandled error), or that left no report.
 */
export function countTests(report: VitestReport | null, exitCode: number): Count {
  if (!report) return { passed: 0, failed: 1 };
  const broken = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  const failed = report.numFailedTests + broken;
  return { passed: report.numPassedTests, failed: failed === 0 && exitCode !== 0 ? 1 : failed };
}

/**
 * What a run left out, in words; null: nothing. Only a machine without a browser leaves anything out, so CI, which installs
 * one, takes it for a failure.
 */
export function skippedWords(skipped: number, chromium: string | null, ci: boolean): string | null {
  if (skipped === 0) return null;
  const why = chromium === null ? NO_CHROMIUM : "see above";
  return `${skipped} skipped: ${why}${ci ? ". In CI nothing may be skipped" : ""}`;
}

const CONFIGS = ["tsconfig.json", "tsconfig.test.json", "tsconfig.node.json"];

/** `npm test`: types, lint, all tests, offline; the last line is `N passed, N failed`. */
export async function main(): Promise<number> {
  const args = readArgs({
    command: "npm test --",
    what: "Types, lint and all tests. Words are a filter for the names of test files (then only those run, after types and lint).",
    positionals: ["FILTER..."],
  });
  const term = makeTerm();
  const total: Count = { passed: 0, failed: 0 };
  const add = (count: Count): void => {
    total.passed += count.passed;
    total.failed += count.failed;
  };
  for (const config of CONFIGS) add(await step(term, `types ${config}`, "tsc", ["--noEmit", "-p", config]));
  add(await step(term, "lint", "biome", ["check", "."]));
  const { count, skipped } = await vitest(args.positionals);
  add(count);
  const ci = !["", "0", "false"].includes(process.env["CI"] ?? "");
  const left = skippedWords(skipped, findChromium(), ci);
  if (left !== null) term.out(`  ${term.paint(ci ? "down" : "degraded", ci ? "FAIL" : "SKIP")} ${left}`);
  if (left !== null && ci) add({ passed: 0, failed: 1 });
  term.out(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? EXIT.ok : EXIT.missed;
}

/** Runs one tool of node_modules; it counts as one test. */
async function step(term: Term, name: string, tool: string, args: string[]): Promise<Count> {
  const started = performance.now();
  const ok = (await run(tool, args)) === 0;
  term.out(
    `  ${ok ? term.paint("ok", "ok  ") : term.paint("down", "FAIL")} ${name.padEnd(28)} ${seconds(performance.now() - started)}`,
  );
  return ok ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** What a vitest run came to. */
interface Ran {
  count: Count;
  skipped: number;
}

/**
 * All tests in three runs: the tests in workerd in two halves side by side, each with stand-ins of its own, as much of their time is
 * waiting; then those that start whole systems, with the machine to themselves. With a filter, one run.
 */
async function vitest(filter: string[]): Promise<Ran> {
  if (filter.length > 0) return vitestRun(filter, "inherit");
  const half = (n: number): string[] => ["--project=unit", "--project=integration", `--shard=${n}/2`];
  const halves = await Promise.all([vitestRun(half(1), "inherit"), vitestRun(half(2), "at the end")]);
  const systems = await vitestRun(["--project=node", "--project=browser"], "inherit");
  const all = [...halves, systems];
  const sum = (of: (ran: Ran) => number): number => all.reduce((n, ran) => n + of(ran), 0);
  return {
    count: { passed: sum((r) => r.count.passed), failed: sum((r) => r.count.failed) },
    skipped: sum((r) => r.skipped),
  };
}

async function vitestRun(args: string[], output: Output): Promise<Ran> {
  const dir = mkdtempSync(join(tmpdir(), "reveille-test-"));
  const file = join(dir, "report.json");
  try {
    const code = await run(
      "vitest",
      ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...args],
      output,
    );
    const report = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as VitestReport) : null;
    return { count: countTests(report, code), skipped: report?.numPendingTests ?? 0 };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** `at the end`: what runs beside another run prints in one piece. */
type Output = "inherit" | "at the end";

function run(tool: string, args: string[], output: Output = "inherit"): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(ROOT, "node_modules/.bin", tool), args, {
      cwd: ROOT,
      stdio: output === "inherit" ? "inherit" : ["ignore", "pipe", "pipe"],
      shell: process.platform === "win32",
      env: {
        ...process.env,
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
        WRANGLER_SEND_METRICS: "false",
        VITE_CONFIG_NATIVE_IGNORE_WARNING: "true",
      },
    });
    const held: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => held.push(chunk));
    child.once("error", reject);
    child.once("close", (code) => {
      process.stdout.write(Buffer.concat(held));
      resolve(code ?? 1);
    });
  });
}
