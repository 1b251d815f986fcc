import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { readArgs } from "./args";
import { EXIT, Exit } from "./exit";
import { judge, type Measure, printTable, toJson } from "./measure";
import { ROOT, WORKERS } from "./paths";
import { makeTerm, type Term } from "./term";
import { type WranglerResult, wrangler } from "./wrangler";

/** Design §9: a Worker's bundle stays under this, gzip. */
const GOAL_KIB = 400;

/** `npm run deploy`: both Workers to Cloudflare, safe to repeat; `--dry-run` builds and weighs them offline. */
export async function main(): Promise<number> {
  const args = readArgs({
    command: "npm run deploy --",
    what: "Creates what is missing (database, queues, bucket), applies migrations, uploads both Workers. Safe to repeat.",
    options: {
      "dry-run": { type: "boolean", what: "build and weigh both Workers, offline; nothing is sent" },
      json: { type: "boolean", what: "with --dry-run: one JSON object a figure" },
    },
  });
  const term = makeTerm();
  return args.flag("dry-run") ? dryRun(term, args.flag("json")) : deploy(term);
}

async function dryRun(term: Term, json: boolean): Promise<number> {
  const out = mkdtempSync(join(tmpdir(), "reveille-deploy-"));
  const measures: Measure[] = [];
  try {
    for (const worker of WORKERS) {
      const dir = join(out, worker.name);
      const built = await wrangler(["deploy", "--dry-run", "--outdir", dir, "-c", worker.config, ...worker.target]);
      if (built.code !== 0) throw new Exit(EXIT.missed, `${worker.name} does not build:`, said(built));
      const code = readFileSync(join(dir, `${basename(worker.entry, ".ts")}.js`));
      const figure = { unit: "KiB", compare: "<" as const };
      measures.push({
        ...figure,
        name: `deploy.${worker.name}.raw`,
        label: `${worker.name}, raw`,
        value: kib(code.length),
        goal: null,
      });
      measures.push({
        ...figure,
        name: `deploy.${worker.name}.gzip`,
        label: `${worker.name}, gzip`,
        value: kib(gzipSync(code).length),
        // The edge answers people and platforms; the consumer's start is behind a queue.
        goal: worker.name === "reveille" ? GOAL_KIB : null,
      });
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
  if (json) for (const m of measures) term.json(toJson(m, 0));
  else {
    printTable(term, measures);
    term.out("Both Workers build. Nothing was sent.");
  }
  return measures.every((m) => judge(m) !== false) ? EXIT.ok : EXIT.missed;
}

const kib = (bytes: number): number => Math.round((bytes / 1024) * 10) / 10;

const said = (r: WranglerResult): string => `${r.stdout}\n${r.stderr}`.trim();

async function deploy(term: Term): Promise<number> {
  await requireLogin();
  const names = resourceNames(WORKERS.map((w) => readFileSync(join(ROOT, w.config), "utf8")));
  const id = await ensureDatabase(term, names.database);
  for (const worker of WORKERS) writeDatabaseId(join(ROOT, worker.config), id);
  for (const queue of names.queues)
    await ensure(term, `queue ${queue}`, ["queues", "info", queue], ["queues", "create", queue]);
  for (const bucket of names.buckets)
    await ensure(term, `bucket ${bucket}`, ["r2", "bucket", "info", bucket], ["r2", "bucket", "create", bucket]);
  await must(term, "migrations", ["d1", "migrations", "apply", names.database, "--remote", "-c", WORKERS[0].config]);
  // Each names the other: the consumer's object bindings the edge, the edge's binding REASON the consumer. So the first time
  // the edge goes up without that one, and again once the consumer is there.
  const [edge, consumer] = WORKERS;
  if ((await wrangler(["deployments", "list", "--name", consumer.name])).code !== 0) {
    await withConfig(withoutServices(readFileSync(join(ROOT, edge.config), "utf8")), (config) =>
      must(term, `upload ${edge.name}, first without the consumer`, ["deploy", "-c", config]),
    );
    await must(term, `upload ${consumer.name}`, ["deploy", "-c", consumer.config, ...consumer.target]);
  }
  for (const worker of WORKERS)
    await must(term, `upload ${worker.name}`, ["deploy", "-c", worker.config, ...worker.target]);
  term.out("Deployed. Set the secrets once, for example:");
  term.out("  npx wrangler secret put REVEILLE_OPERATOR_TOKEN -c wrangler.toml");
  term.out("docs/configuration.md lists which Worker holds which.");
  return EXIT.ok;
}

/** A wrangler file without its `[[services]]` tables. */
export const withoutServices = (config: string): string => config.replace(/^\[\[services\]\]\n(?:(?!\[).*\n?)*/gm, "");

/** Runs something with a wrangler file that exists only for it; its paths are relative to the root, so it stands there. */
async function withConfig(text: string, work: (config: string) => Promise<void>): Promise<void> {
  const config = "wrangler.first.toml";
  writeFileSync(join(ROOT, config), text);
  try {
    await work(config);
  } finally {
    rmSync(join(ROOT, config), { force: true });
  }
}

async function requireLogin(): Promise<void> {
  const who = await wrangler(["whoami"]);
  if (who.code === 0 && !/not authenticated/i.test(said(who))) return;
  throw new Exit(
    EXIT.environment,
    "Not logged in to Cloudflare, so nothing was done.  Log in:  npx wrangler login   (or set CLOUDFLARE_API_TOKEN), then repeat.",
    "Without an account:  npm run deploy -- --dry-run",
  );
}

/** The names both wrangler files use, each once. */
export function resourceNames(configs: string[]): { database: string; queues: string[]; buckets: string[] } {
  const text = configs.join("\n");
  const all = (pattern: RegExp): string[] => [...new Set([...text.matchAll(pattern)].map((m) => m[1]!))].sort();
  const [database] = all(/^database_name\s*=\s*"([^"]+)"/gm);
  if (!database) throw new Error("No database_name in the wrangler files.");
  return {
    database,
    queues: all(/^(?:queue|dead_letter_queue)\s*=\s*"([^"]+)"/gm),
    buckets: all(/^bucket_name\s*=\s*"([^"]+)"/gm),
  };
}

async function ensureDatabase(term: Term, name: string): Promise<string> {
  const find = async (): Promise<string | undefined> => {
    const list = await wrangler(["d1", "list", "--json"]);
    if (list.code !== 0) throw new Exit(EXIT.missed, "The databases can't be listed:", said(list));
    return (JSON.parse(list.stdout) as { name: string; uuid: string }[]).find((d) => d.name === name)?.uuid;
  };
  const found = await find();
  if (found) {
    term.out(`  ok   database ${name} exists`);
    return found;
  }
  await must(term, `database ${name}`, ["d1", "create", name]);
  const made = await find();
  if (!made) throw new Exit(EXIT.missed, `Database ${name} was created but is not listed yet. Repeat in a minute.`);
  return made;
}

/** Puts the database's id into a wrangler file; the comment behind it stays. */
export function setDatabaseId(config: string, id: string): string {
  return config.replace(/^(database_id\s*=\s*)"[^"]*"/gm, `$1"${id}"`);
}

function writeDatabaseId(path: string, id: string): void {
  const before = readFileSync(path, "utf8");
  const after = setDatabaseId(before, id);
  if (after !== before) writeFileSync(path, after);
}

async function ensure(term: Term, what: string, look: string[], create: string[]): Promise<void> {
  if ((await wrangler(look)).code === 0) term.out(`  ok   ${what} exists`);
  else await must(term, what, create);
}

async function must(term: Term, what: string, args: string[]): Promise<void> {
  const result = await wrangler(args, true);
  if (result.code !== 0)
    throw new Exit(
      EXIT.missed,
      `${what} failed (npx wrangler ${args.join(" ")}). What was done stays; repeat to go on.`,
    );
  term.out(`  ok   ${what}`);
}
