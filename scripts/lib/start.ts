import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { readConfig, readVar } from "../../src/kernel/config";
import { engineLine, readSettings } from "../../src/reason/settings";
import { loginLink, operatorApi } from "./api";
import { readArgs } from "./args";
import { startCrons } from "./crons";
import { EXIT, Exit } from "./exit";
import { ROOT } from "./paths";
import { readPort, requirePort } from "./port";
import { type LocalRuntime, startRuntime } from "./runtime";
import { sampleVars, standInPort } from "./sample";
import { parseSeed, type Seed } from "./seed";
import { applySeed, SEED_HEADERS, type SeedOutcome } from "./seed-apply";
import { clockText, Stream } from "./stream";
import { fileSize, makeTerm, seconds, type Term } from "./term";
import { createVarsFile, localVars, readVarsFile, splitVars, type Vars } from "./vars";

const VARS_FILE = ".dev.vars";

/** `npm start`: both Workers on this machine, until Ctrl-C. Returns the exit code. */
export async function main(): Promise<number> {
  readArgs({
    command: "npm start --",
    what: "Runs Reveille on this machine: no account, no network. Ctrl-C stops it; data is kept.",
    notes: ["", "PORT=8788 npm start uses another port. All settings: docs/configuration.md"],
  });
  // From the first moment on: a Ctrl-C while it starts stops it as cleanly, once it stands.
  const stopped = interrupted();
  const term = makeTerm();
  const file = join(ROOT, VARS_FILE);
  const before = localVars(readVarsFile(file), process.env);
  const port = await requirePort(readPort(readVar(before, "PORT")));
  const seed = readSeed(before);
  const made = createVarsFile(file);
  const vars = localVars(readVarsFile(file), process.env);
  const local: Vars = {
    ...vars,
    REVEILLE_PUBLIC_URL: vars["REVEILLE_PUBLIC_URL"]?.trim() || `http://localhost:${port}`,
  };
  requireOperatorToken(local);
  const standIn = `http://127.0.0.1:${standInPort(port)}`;
  const sample = sampleVars(readVar(local, "REVEILLE_OPERATOR_TOKEN"), standIn);
  const dataDir = resolve(ROOT, readVar(local, "REVEILLE_DATA_DIR"));
  greet(term, dataDir);
  row(
    term,
    "secrets",
    made > 0 ? `created ${VARS_FILE} (${made} new; delete the file to start over)` : `kept ${VARS_FILE}`,
  );
  sayProblems(term, local);

  const stream = new Stream(term);
  mkdirSync(dataDir, { recursive: true });
  const runtime = await startRuntime({
    port,
    dataDir,
    vars: { ...sample, ...local },
    onLog: (event) => stream.take(event),
    // The runtime prints a stack for every refused connection of a look; the look itself says it better.
    onText: (line) => {
      if (
        !/^(uncaught exception|stack:|workerd\/|\S*exception =|e = kj\/)|jsg\.Error: (internal error|Network connection lost)/.test(
          line,
        )
      )
        term.err(`  ${line}`);
    },
  });
  try {
    return await serve(term, runtime, local, dataDir, seed, stopped);
  } finally {
    stream.flush();
    await runtime.stop();
  }
}

async function serve(
  term: Term,
  runtime: LocalRuntime,
  vars: Vars,
  dataDir: string,
  seed: Seed | null,
  stopped: Promise<void>,
): Promise<number> {
  const { names, ms } = runtime.migrated;
  const migrations = `${names.length} migration${names.length === 1 ? "" : "s"} applied in ${seconds(ms)}`;
  row(term, "database", names.length === 0 ? "up to date" : migrations);
  const token = readVar(vars, "REVEILLE_OPERATOR_TOKEN");
  if (seed)
    sayApplied(
      term,
      seedFile(vars),
      await applySeed(operatorApi(runtime.url, token, SEED_HEADERS), seed.entries, dataDir),
    );
  const crons = startCrons(runtime, (message) => term.err(message));
  row(term, "cron", `ticking every minute, first look ${clockText(crons.firstAt)} UTC`);
  row(term, "engine", engineLine(readSettings(vars)));
  const link = await loginLink(operatorApi(runtime.url, token), readVar(vars, "REVEILLE_PUBLIC_URL"));
  term.out(`Ready in ${seconds(performance.now())}.   Open  ${link}   (once, 10 min)`);
  term.out(nextLine());
  await stopped;
  crons.stop();
  return EXIT.ok;
}

const row = (term: Term, name: string, text: string): void => term.out(`  ${name.padEnd(10)}${text}`);

function greet(term: Term, dataDir: string): void {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  const shown = relative(process.cwd(), dataDir) || ".";
  const state = existsSync(dataDir) ? `(${fileSize(sizeOf(dataDir))}, kept)` : "(new)";
  term.out(`${term.paint("bold", `Reveille ${version}`)}   local workerd, data in ${shown} ${state}`);
}

function sizeOf(dir: string): number {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .reduce((sum, e) => sum + statSync(join(e.parentPath, e.name)).size, 0);
}

function requireOperatorToken(vars: Vars): void {
  if (readVar(vars, "REVEILLE_OPERATOR_TOKEN")) return;
  throw new Exit(
    EXIT.environment,
    `${VARS_FILE} has no OPERATOR_TOKEN, so nobody could log in.  Add one:  echo "OPERATOR_TOKEN=$(openssl rand -hex 32)" >> ${VARS_FILE}`,
  );
}

/** Secrets that parts of the edge can't work without; `.dev.vars` files of older versions lack the newer ones. */
const NEEDED = [
  "REVEILLE_SESSION_KEY",
  "REVEILLE_BEAT_KEY",
  "REVEILLE_AGENT_SEED",
  "REVEILLE_VAULT_KEY",
  "REVEILLE_GATEWAY_KEY",
  "REVEILLE_HOOK_KEY",
];

/** Settings that can't be used as they are, and names nobody knows: said, not fatal (the pages say it too). */
function sayProblems(term: Term, vars: Vars): void {
  for (const problem of readConfig(vars).problems) row(term, "setting", problem.message);
  for (const name of splitVars(vars).unknown)
    row(term, "setting", `${name} is not known and is ignored; docs/configuration.md lists all.`);
  for (const name of NEEDED)
    if (!readVar(vars, name))
      row(term, "setting", `${name} is not set.  Add it:  echo "${name}=$(openssl rand -hex 32)" >> ${VARS_FILE}`);
}

const seedFile = (vars: Vars): string => readVar(vars, "REVEILLE_SEED_FILE");

/** The seed, or null when there is none. @throws Exit 3 with file, line and reason when it is broken or named but missing. */
function readSeed(vars: Vars): Seed | null {
  const name = seedFile(vars);
  const path = resolve(ROOT, name);
  if (!existsSync(path)) {
    if (!vars["REVEILLE_SEED_FILE"]?.trim()) return null;
    throw new Exit(EXIT.environment, `REVEILLE_SEED_FILE names ${name}, which does not exist.`);
  }
  const seed = parseSeed(readFileSync(path, "utf8"), readConfig(vars).config.allowPrivate);
  if (seed.problems.length === 0) return seed;
  const lines = seed.problems.map((p) => `${name}:${p.line}  ${p.message}`);
  throw new Exit(EXIT.environment, ...lines, `Nothing was started. Correct ${name} and start again.`);
}

function sayApplied(term: Term, name: string, o: SeedOutcome): void {
  const parts = [`${o.created} created`, `${o.changed} changed`, `${o.unchanged} unchanged`];
  row(term, "targets", `${name}: ${parts.filter((p) => !p.startsWith("0 ")).join(", ") || "empty"}`);
  for (const { entry, message } of o.failed)
    row(term, "", term.paint("down", `${name}:${entry.line}  ${entry.id} was refused: ${message}`));
}

function nextLine(): string {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const offers = [
    ...(scripts["demo"] ? ["npm run demo"] : []),
    ...(scripts["send"] ? ["npm run send -- slack message"] : []),
    "Ctrl-C stops",
  ];
  return `Next  ${offers.join("   ·   ")}`;
}

/** A starter such as tsx may pass on a signal that the terminal has already sent: within this time two are one, ms. */
const SAME_SIGNAL_MS = 1_000;

/** Resolves at the first Ctrl-C or SIGTERM; another one a while later ends at once. */
function interrupted(): Promise<void> {
  return new Promise((done) => {
    let first: number | null = null;
    const stop = (): void => {
      if (first !== null && performance.now() - first > SAME_SIGNAL_MS) process.exit(EXIT.interrupted);
      first ??= performance.now();
      done();
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
  });
}
