import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readVar } from "../../src/kernel/config";
import { type Api, ApiError, operatorApi } from "./api";
import { type Parsed, readArgs } from "./args";
import { EXIT, Exit } from "./exit";
import { ROOT } from "./paths";
import { readPort } from "./port";
import { makeTerm, type Term } from "./term";
import { localVars, readVarsFile } from "./vars";

/** `npm run trust -- VERB ...`: who may do what, on the edge that runs here or at `--url`. */

const VERBS = ["list", "level", "promote", "demote", "block", "unblock", "admin", "policy"] as const;
type Verb = (typeof VERBS)[number];

interface Client {
  client_id: string;
  level: string;
  admin: boolean;
  via: string | null;
  requests_24h: number;
  denied_24h: number;
}
interface Level {
  client_id: string;
  level: string;
  admin?: boolean;
  message: string;
}
interface Policy {
  from: string;
  name: string | null;
  hash: string | null;
  error: string | null;
  text: string;
}

const SPEC = {
  command: "npm run trust --",
  what: "Levels, admins and the trust policy.",
  positionals: ["VERB", "WHO"],
  required: 1,
  options: {
    remove: { type: "boolean", what: "with admin: takes the mark away" },
    reason: { type: "string", value: "TEXT", what: "kept in the audit row" },
    url: { type: "string", value: "URL", what: "a deployed edge (token from REVEILLE_OPERATOR_TOKEN)" },
    json: { type: "boolean", what: "one JSON object a line" },
  },
  notes: [
    "",
    "  list [LEVEL]            clients: blocked, stranger, contact, whitelist",
    "  level ADDRESS           the level of one client",
    "  promote | demote ADDRESS    one step: stranger, contact, whitelist",
    "  block | unblock ADDRESS     a pattern with * is allowed",
    "  admin ADDRESS [--remove]    admins may change everybody's level",
    "  policy [NAME | FILE | default]  shows or sets: open, careful, strict, or a file",
  ],
} as const;

export async function main(argv?: string[]): Promise<number> {
  const args = readArgs({ ...SPEC, positionals: [...SPEC.positionals], notes: [...SPEC.notes] }, argv);
  const verb = VERBS.find((v) => v === args.positionals[0]);
  if (!verb) throw new Exit(EXIT.usage, `"${args.positionals[0]}" is no verb: ${VERBS.join(", ")}.`);
  const vars = localVars(readVarsFile(join(ROOT, ".dev.vars")), process.env);
  const base = args.text("url")?.replace(/\/+$/, "") ?? `http://127.0.0.1:${readPort(readVar(vars, "PORT"))}`;
  const token = readVar(vars, "REVEILLE_OPERATOR_TOKEN");
  if (!token)
    throw new Exit(
      EXIT.environment,
      "No OPERATOR_TOKEN in .dev.vars and no REVEILLE_OPERATOR_TOKEN set.  Make one:  npm start",
    );
  try {
    await run(operatorApi(base, token), makeTerm(), verb, args);
    return EXIT.ok;
  } catch (error) {
    if (error instanceof Exit) throw error;
    if (error instanceof ApiError) throw new Exit(EXIT.missed, error.message);
    throw new Exit(EXIT.environment, `Nothing answers at ${base}.  Start it:  npm start`);
  }
}

async function run(api: Api, term: Term, verb: Verb, args: Parsed): Promise<void> {
  const who = args.positionals[1];
  const json = args.flag("json");
  if (verb === "list") return list(api, term, who, json);
  if (verb === "policy") return policy(api, term, who, json);
  if (!who) throw new Exit(EXIT.usage, `${verb} needs an address: 0x and 64 hex digits.`);
  const id = encodeURIComponent(who);
  const reason = args.text("reason");
  const done =
    verb === "level"
      ? await api.call<Level>("GET", `/api/v1/trust/clients/${id}`)
      : verb === "admin"
        ? await api.call<Level>(args.flag("remove") ? "DELETE" : "PUT", `/api/v1/trust/admins/${id}`)
        : await api.call<Level>("POST", `/api/v1/trust/clients/${id}/${verb}`, reason ? { reason } : {});
  if (json) return term.json(done);
  term.out(verb === "level" ? `${done.client_id} ${done.level}${done.admin ? ", admin" : ""}` : `${done.message}.`);
}

async function list(api: Api, term: Term, level: string | undefined, json: boolean): Promise<void> {
  const query = level ? `&level=${encodeURIComponent(level)}` : "";
  const { items } = await api.call<{ items: Client[] }>("GET", `/api/v1/trust/clients?limit=500${query}`);
  if (json) {
    for (const item of items) term.json(item);
    return;
  }
  if (items.length === 0) return term.out(level ? `No ${level}.` : "No one has knocked.");
  for (const c of items)
    term.out(
      [
        c.level.padEnd(9),
        // Whole, because the other verbs want it whole.
        c.client_id.padEnd(66),
        c.admin ? "admin" : "     ",
        `${c.requests_24h} in 24 h`.padEnd(14),
        c.denied_24h > 0 ? `${c.denied_24h} denied` : "",
        c.via ? `by ${c.via}` : "",
      ]
        .join("  ")
        .trimEnd(),
    );
}

async function policy(api: Api, term: Term, given: string | undefined, json: boolean): Promise<void> {
  let now: Policy;
  if (given === undefined) now = await api.call<Policy>("GET", "/api/v1/trust/policy");
  else {
    const preset = /^(open|careful|strict)$/i.test(given);
    if (!preset && given !== "default" && !existsSync(given))
      throw new Exit(EXIT.usage, `"${given}" is no preset (open, careful, strict, default) and no file.`);
    const text = given === "default" ? "" : preset ? given.toLowerCase() : readFileSync(given, "utf8");
    now = await api.call<Policy>("PUT", "/api/v1/trust/policy", { policy: text });
  }
  if (json) return term.json(now);
  term.out(`${now.name ?? "unreadable"} (${now.from})${now.error ? `: ${now.error}` : ""}`);
  if (given === undefined) term.out(now.text.trimEnd());
}
