import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { type Holder, VARIABLES, variableOfApp } from "../../src/kernel/config";
import { sloKeyName } from "../../src/kernel/config.slo";

export type Vars = Record<string, string>;

/** Secrets without which the edge refuses its own operator or gateways; made at the first start. */
const GENERATED = [
  "OPERATOR_TOKEN",
  "REVEILLE_SESSION_KEY",
  "REVEILLE_BEAT_KEY",
  "REVEILLE_AGENT_SEED",
  "REVEILLE_VAULT_KEY",
  "REVEILLE_GATEWAY_KEY",
  "REVEILLE_HOOK_KEY",
  "REVEILLE_HOOK_TOKEN",
];

/**
 * Creates the variables file with fresh random secrets (mode 0600). An existing file is never touched.
 * @returns how many secrets were made; 0 when the file was there.
 */
export function createVarsFile(path: string): number {
  if (existsSync(path)) return 0;
  const lines = GENERATED.map((name) => `${name}=${randomBytes(32).toString("hex")}`);
  const text = `# Local secrets. Never commit this file; .dev.vars.example lists what else may stand here.\n${lines.join("\n")}\n`;
  writeFileSync(path, text, { mode: 0o600, flag: "wx" });
  return GENERATED.length;
}

/** The variables of a file; none when it does not exist. */
export function readVarsFile(path: string): Vars {
  return existsSync(path) ? (parseEnv(readFileSync(path, "utf8")) as Vars) : {};
}

const STARTER = new Set(VARIABLES.filter((x) => x.holder === "start").flatMap((x) => [x.name, ...x.aliases]));

/**
 * The variables of a local run: the file, overridden by the shell's `REVEILLE_*` and the starter's own (`PORT`). Aliases are
 * read from the file only: a `FLY_API_TOKEN` that happens to be exported in a shell was not meant for Reveille.
 */
export function localVars(file: Vars, shell: Record<string, string | undefined>): Vars {
  const out: Vars = { ...file };
  for (const [name, value] of Object.entries(shell))
    if (value !== undefined && (name.startsWith("REVEILLE_") || STARTER.has(name))) out[name] = value;
  return out;
}

const holders = new Map<string, Holder>(
  VARIABLES.flatMap((x) => [x.name, ...x.aliases].map((name) => [name, x.holder] as const)),
);

/**
 * What each Worker may hold (design §2), and the names nobody knows. `WATCH_*` credentials stay in the edge, but for those of
 * MCP servers, which only the consumer uses. `TRUST_*` are codes and prices that a trust policy names.
 */
export function splitVars(vars: Vars): { edge: Vars; consumer: Vars; unknown: string[] } {
  const edge: Vars = {};
  const consumer: Vars = {};
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(vars)) {
    const own = name.startsWith("WATCH_") || name.startsWith("TRUST_");
    const credential = name.startsWith("WATCH_MCP_") || sloKeyName(name) ? "consumer" : own ? "edge" : null;
    const holder = holders.get(name) ?? variableOfApp(name)?.holder ?? credential;
    if (holder === null) unknown.push(name);
    if (holder === "edge" || holder === "both") edge[name] = value;
    if (holder === "consumer" || holder === "both") consumer[name] = value;
  }
  return { edge, consumer, unknown };
}
