import { join } from "node:path";
import { readVar } from "../../src/kernel/config";
import { type Api, ApiError, operatorApi } from "./api";
import { type Parsed, readArgs } from "./args";
import { EXIT, Exit } from "./exit";
import { ROOT } from "./paths";
import { readPort } from "./port";
import { SAMPLE_APP } from "./sample";
import { makeTerm, type Style, type Term } from "./term";
import { localVars, readVarsFile } from "./vars";

/** `npm run platforms -- VERB ...`: what of the chat platforms is set up, on the edge that runs here or at `--url`. */

const VERBS = ["list", "check", "connect"] as const;
type Verb = (typeof VERBS)[number];
const PLATFORMS = ["slack", "discord", "telegram", "whatsapp", "sms"];

export interface Platform {
  platform: string;
  app: string;
  state: "ok" | "unset" | "refused" | "unreachable" | "unchecked";
  bot_id: string | null;
  username: string | null;
  checks: { check: string; ok: boolean; detail: string }[];
  webhooks: string[];
  missing: string[];
}

const SPEC = {
  command: "npm run platforms --",
  what: "What of the chat platforms is set up, and what is missing.",
  positionals: ["VERB", "PLATFORM"],
  options: {
    app: { type: "string", value: "NAME", what: "the app as named in the webhook's URL (default main)" },
    url: { type: "string", value: "URL", what: "a deployed edge (token from REVEILLE_OPERATOR_TOKEN)" },
    json: { type: "boolean", what: "one JSON object a line" },
  },
  notes: [
    "",
    "  list                 every platform as last checked (default)",
    "  check [PLATFORM]     asks the platform; without a name all that have a credential",
    "  connect telegram     sets the bot's webhook (setWebhook) and its /link command",
    "  connect discord      registers the commands /link and /ask",
    `  platforms: ${PLATFORMS.join(", ")}; docs/platforms/ has each`,
  ],
} as const;

export async function main(argv?: string[]): Promise<number> {
  const args = readArgs({ ...SPEC, positionals: [...SPEC.positionals], notes: [...SPEC.notes] }, argv);
  const given = args.positionals[0] ?? "list";
  const verb = VERBS.find((v) => v === given);
  if (!verb) throw new Exit(EXIT.usage, `"${given}" is no verb: ${VERBS.join(", ")}.`);
  const platform = args.positionals[1];
  if (platform !== undefined && !PLATFORMS.includes(platform))
    throw new Exit(EXIT.usage, `"${platform}" is no platform: ${PLATFORMS.join(", ")}.`);
  const vars = localVars(readVarsFile(join(ROOT, ".dev.vars")), process.env);
  const base = args.text("url")?.replace(/\/+$/, "") ?? `http://127.0.0.1:${readPort(readVar(vars, "PORT"))}`;
  const token = readVar(vars, "REVEILLE_OPERATOR_TOKEN");
  if (!token)
    throw new Exit(
      EXIT.environment,
      "No OPERATOR_TOKEN in .dev.vars and no REVEILLE_OPERATOR_TOKEN set.  Make one:  npm start",
    );
  try {
    return await run(operatorApi(base, token), makeTerm(), verb, args);
  } catch (error) {
    if (error instanceof Exit) throw error;
    if (error instanceof ApiError) throw new Exit(EXIT.missed, error.message);
    throw new Exit(EXIT.environment, `Nothing answers at ${base}.  Start it:  npm start`);
  }
}

async function run(api: Api, term: Term, verb: Verb, args: Parsed): Promise<number> {
  const json = args.flag("json");
  const platform = args.positionals[1];
  const app = args.text("app");
  const show = (p: Platform): void => (json ? term.json(p) : print(term, p));
  if (verb === "connect") {
    if (!platform) throw new Exit(EXIT.usage, "connect needs a platform: telegram or discord.");
    const made = await api.call<{ done: string; platform: Platform }>(
      "POST",
      `/api/v1/platforms/${platform}/connect`,
      app ? { app } : {},
    );
    if (!json) term.out(`${made.done}.`);
    show(made.platform);
    return made.platform.state === "ok" ? EXIT.ok : EXIT.missed;
  }
  const { items } = await api.call<{ items: Platform[] }>("GET", "/api/v1/platforms");
  const wanted = items.filter((p) => (!platform || p.platform === platform) && (!app || p.app === app));
  if (verb === "list") {
    for (const p of wanted) show(p);
    return EXIT.ok;
  }
  // Named or set in part: what nobody uses is not a fault. The sample app's platform runs during `npm run send` alone.
  const own = wanted.filter((p) => p.app !== SAMPLE_APP || app === SAMPLE_APP);
  const asked: { platform: string; app: string }[] =
    platform && app ? [{ platform, app }] : own.filter((p) => platform || p.missing.length < 2);
  if (asked.length === 0) term.out(`No platform is set up yet.  Begin:  docs/platforms/`);
  let good = true;
  for (const p of asked) {
    const found = await api.call<Platform>("POST", `/api/v1/platforms/${p.platform}/check`, { app: p.app });
    good &&= found.state === "ok";
    show(found);
  }
  return good ? EXIT.ok : EXIT.missed;
}

const STYLE: Record<Platform["state"], Style> = {
  ok: "ok",
  unset: "degraded",
  refused: "down",
  unreachable: "down",
  unchecked: "unknown",
};

/** One line, and below it what is wrong, then where it is to be entered. */
function print(term: Term, p: Platform): void {
  const who = p.username ? `${p.username} (${p.bot_id})` : (p.bot_id ?? "");
  term.out(`${`${p.platform}/${p.app}`.padEnd(18)} ${term.paint(STYLE[p.state], p.state.padEnd(12))} ${who}`.trimEnd());
  for (const c of p.checks) if (!c.ok) term.out(`  ${c.check}: ${c.detail}`);
  if (p.state === "unchecked" && p.missing.length > 0) term.out(`  not set: ${p.missing.join(", ")}`);
  else if (p.state !== "ok") for (const url of p.webhooks) term.out(`  webhook ${url}`);
}
