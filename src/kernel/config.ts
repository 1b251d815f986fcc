import { CONNECTOR_VARIABLES } from "./config.connector";
import { SLO_VARIABLES, sloKeyName } from "./config.slo";
import { type Holder, type Variable, v } from "./config.variable";
import { type AllowEntry, parseAllowList } from "./net-guard";

export type { Holder, Variable };

/** Probes that have a row in the envelope table (`kora-watch.md` §4.1). */
export const VENDORS = ["supabase", "fly", "vercel", "sentry", "doppler"] as const;

/** Vendor read credentials a target may name without the `WATCH_` prefix; the value lives only in the edge Worker. */
const VENDOR_CREDENTIALS: Variable[] = [
  v("REVEILLE_SUPABASE_ACCESS_TOKEN", "edge", "Supabase management token (project health)", { secret: true }),
  v("REVEILLE_SUPABASE_KEY", "edge", "Supabase publishable or anon key (data plane)", {
    secret: true,
    aliases: ["KORA_SUPABASE_ANON_KEY"],
  }),
  v("REVEILLE_FLY_API_TOKEN", "edge", "Fly read token", {
    secret: true,
    aliases: ["KORA_FLY_API_TOKEN", "FLY_API_TOKEN"],
  }),
  v("REVEILLE_VERCEL_API_TOKEN", "edge", "Vercel token", { secret: true, aliases: ["KORA_VERCEL_API_TOKEN"] }),
  v("REVEILLE_SENTRY_API_TOKEN", "edge", "Sentry token", { secret: true, aliases: ["KORA_SENTRY_API_TOKEN"] }),
  v("REVEILLE_DOPPLER_API_TOKEN", "edge", "Doppler token", { secret: true, aliases: ["KORA_DOPPLER_API_TOKEN"] }),
];

/** Kill switches of the promote loops, and the two settings that let one of them approve by itself (`kora-watch.md` §4.4). */
const PROMOTE_VARIABLES: Variable[] = [
  ...(
    [
      ["PHRASEBOOK", "KORA_PROMOTE_PHRASEBOOK_ENABLED"],
      ["SNAPSHOT_EXPAND", "KORA_PROMOTE_SNAPSHOT_EXPAND_ENABLED"],
      ["ROUTER_TUNING", "KORA_PROMOTE_ROUTER_TUNING_ENABLED"],
      ["TOOL_TRIMMING", "KORA_PROMOTE_TOOL_TRIMMING_ENABLED"],
      ["PROBE_FIX_ENVELOPES", "KORA_PROMOTE_PROBE_FIX_ENABLED"],
      ["EMAIL_INTENT", "KORA_PROMOTE_EMAIL_INTENT_ENABLED"],
    ] as const
  ).map(([loop, alias]) =>
    v(`REVEILLE_PROMOTE_${loop}_ENABLED`, "consumer", `Promote loop ${loop.toLowerCase()}: any other text stops it`, {
      aliases: [alias],
      default: "true",
    }),
  ),
  v(
    "REVEILLE_PROMOTE_SNAPSHOT_EXPAND_AUTO_APPLY",
    "consumer",
    "true: proposals of snapshot_expand approve themselves",
    {
      aliases: ["KORA_PROMOTE_SNAPSHOT_EXPAND_AUTO_APPLY"],
      default: "false",
    },
  ),
  v(
    "REVEILLE_PROMOTE_PROBE_FIX_AUTO_APPROVE_LOW",
    "consumer",
    "true: fix proposals of low blast radius approve themselves after 1 h; no envelope is enabled by it",
    { aliases: ["KORA_PROMOTE_PROBE_FIX_AUTO_APPROVE_LOW_RISK"], default: "false" },
  ),
];

export const VARIABLES: Variable[] = [
  v("REVEILLE_OPERATOR_TOKEN", "edge", "Bearer token of the operator API", {
    secret: true,
    aliases: ["OPERATOR_TOKEN"],
  }),
  v("REVEILLE_SESSION_KEY", "edge", "Key of the CSRF tokens of the operator pages", { secret: true }),
  v("REVEILLE_BEAT_KEY", "edge", "Key that heartbeat URLs are derived from; changing it changes every /beat URL", {
    secret: true,
  }),
  v("REVEILLE_PUBLIC_URL", "both", "Where operators reach the pages; used in links", {
    default: "http://localhost:8787",
  }),
  v("REVEILLE_ALLOW_PRIVATE", "both", "Private hosts, host:port or CIDR ranges that targets and MCP servers may reach"),
  v("REVEILLE_RECHECK_SECONDS", "edge", "Seconds between looks while a target is suspect", { default: "30" }),
  v(
    "REVEILLE_DEBOUNCE_SECONDS",
    "consumer",
    "A second notice for the same target and category waits this long; 0 = off",
    {
      default: "600",
      aliases: ["KORA_PROBE_DEBOUNCE_SECONDS"],
    },
  ),
  v("REVEILLE_DEBOUNCE_BYPASS_CRITICAL", "consumer", "true: critical notices never wait for the debounce", {
    default: "false",
    aliases: ["KORA_PROBE_DEBOUNCE_BYPASS_CRITICAL"],
  }),
  v(
    "REVEILLE_DEBOUNCE_CONSECUTIVE_REQUIRED",
    "edge",
    "Bad looks in a row that confirm a fault, unless the target says otherwise",
    {
      default: "2",
      aliases: ["KORA_PROBE_DEBOUNCE_CONSECUTIVE_REQUIRED"],
    },
  ),
  v("REVEILLE_WAKE_POLL_SEC", "consumer", "Accepted and ignored: wakes are queue messages, nothing polls", {
    aliases: ["KORA_PROBE_WAKE_POLL_SEC"],
  }),
  ...VENDORS.map((name) =>
    v(
      `REVEILLE_AUTOFIX_${name.toUpperCase()}_ENABLED`,
      "both",
      `Fix envelope of ${name}: true, 1, yes or on; any other text forces it off`,
      {
        aliases: [`KORA_PROBE_AUTOFIX_${name.toUpperCase()}_ENABLED`],
      },
    ),
  ),
  v(
    "REVEILLE_FLY_WRITE_TOKEN",
    "consumer",
    "Fly token that may start and restart machines: only the fix executor holds it",
    {
      secret: true,
    },
  ),
  v("REVEILLE_NOTICE_CHANNELS", "consumer", "Order in which channels are tried; the inbox always gets every notice", {
    default: "slack,telegram,webhook,email",
  }),
  v("REVEILLE_NOTICE_MODE", "consumer", "immediate, or digest: critical at once, the rest once a day", {
    default: "immediate",
  }),
  v("REVEILLE_DIGEST_HOUR", "edge", "Hour (UTC) of the daily digest", { default: "8" }),
  v("REVEILLE_SLACK_SIGNING_SECRET", "edge", "Slack signing secret: proves events, buttons and commands", {
    secret: true,
    perApp: true,
    aliases: ["SLACK_SIGNING_SECRET"],
  }),
  v("REVEILLE_SLACK_SIGNING_SECRET_OLD", "edge", "Previous Slack signing secret, while rotating", {
    secret: true,
    perApp: true,
  }),
  v("REVEILLE_SLACK_BOT_TOKEN", "both", "Slack bot token: notices (consumer), what gateways send (edge)", {
    secret: true,
    perApp: true,
    aliases: ["SLACK_BOT_TOKEN"],
  }),
  v("REVEILLE_SLACK_OPERATOR_ID", "both", "Slack user ids that get the DM (the first) and may press buttons (all)", {
    aliases: ["KORA_SLACK_JOSHUA_USER_ID"],
  }),
  v("REVEILLE_SLACK_CHANNEL", "consumer", "Channel for notices instead of the operator's DM"),
  v("REVEILLE_SLACK_API_URL", "both", "Slack API base", { default: "https://slack.com/api", perApp: true }),
  v("REVEILLE_TELEGRAM_BOT_TOKEN", "both", "Telegram bot token", {
    secret: true,
    aliases: ["TELEGRAM_BOT_TOKEN"],
    perApp: true,
  }),
  v("REVEILLE_TELEGRAM_SECRET_TOKEN", "edge", "secret_token given to setWebhook: proves updates", {
    secret: true,
    perApp: true,
    aliases: ["TELEGRAM_SECRET_TOKEN"],
  }),
  v("REVEILLE_TELEGRAM_CHAT_ID", "both", "Telegram chat that gets notices"),
  v("REVEILLE_TELEGRAM_OPERATOR_ID", "edge", "Telegram user ids that may press buttons; default: the chat id"),
  v("REVEILLE_TELEGRAM_API_URL", "both", "Telegram API base", { default: "https://api.telegram.org", perApp: true }),
  v("REVEILLE_WEBHOOK_URL", "consumer", "URL that gets notices as signed JSON", { secret: true }),
  v("REVEILLE_WEBHOOK_SECRET", "consumer", "HMAC key of the notice webhook", { secret: true }),
  v("REVEILLE_EMAIL_FROM", "consumer", "Sender of notice mails (needs Email Routing)"),
  v("REVEILLE_EMAIL_TO", "consumer", "Receiver of notice mails"),
  v("REVEILLE_EMAIL_ALLOW", "consumer", "Addresses whose mails may ask the built-in agent; unset = nobody"),
  v("REVEILLE_EMAIL_AUTHSERV", "consumer", "Receiving host whose Authentication-Results are believed", {
    default: "mx.cloudflare.net",
  }),
  v("REVEILLE_HEARTBEAT_URL", "edge", "Outside heartbeat pinged each minute: it pages when Reveille itself is gone", {
    secret: true,
  }),
  v("REVEILLE_ANTHROPIC_API_KEY", "consumer", "Anthropic key: turns reasoning on", {
    secret: true,
    aliases: ["ANTHROPIC_API_KEY"],
  }),
  v("REVEILLE_ANTHROPIC_BASE_URL", "consumer", "Anthropic API base", { default: "https://api.anthropic.com/v1" }),
  v(
    "REVEILLE_LLM_API_KEY",
    "consumer",
    "Key of an OpenAI-compatible endpoint; any text where the endpoint needs none",
    {
      secret: true,
      aliases: ["LLM_API_KEY"],
    },
  ),
  v("REVEILLE_LLM_BASE_URL", "consumer", "Base of the OpenAI-compatible endpoint", {
    default: "https://api.openai.com/v1",
  }),
  v(
    "REVEILLE_MODEL_SMALL",
    "consumer",
    "Model asked first: claude-…, gpt-…, openai:<id>, @cf/…; claude-haiku-4-5 with an Anthropic key",
  ),
  v(
    "REVEILLE_MODEL_LARGE",
    "consumer",
    "Model for the hard ones; claude-sonnet-4-5 with an Anthropic key, else the small one",
  ),
  v("REVEILLE_PRICES", "consumer", 'Prices by model, USD per million tokens: {"gpt-x":{"input":1,"output":4}}'),
  v("REVEILLE_FORCE_LARGE", "consumer", "true: the large model always, while the budget allows it", {
    default: "false",
  }),
  v("REVEILLE_CREDIT_POOL_USD", "both", "Most that reasoning may cost in a UTC month, USD", {
    default: "200",
    aliases: ["KORA_CREDIT_POOL_USD"],
  }),
  v("REVEILLE_INVESTIGATION_DAILY_USD", "both", "Most that investigations may cost within 24 h, USD", {
    default: "1",
  }),
  ...PROMOTE_VARIABLES,
  v("REVEILLE_TRUST_POLICY", "edge", "Trust policy: open, careful, strict, or the text of one that begins with ---"),
  v("REVEILLE_TRUST_ENV", "edge", "Chooses the policy when none is set: development, test, staging or production", {
    aliases: ["CONNECTONION_ENV"],
  }),
  v(
    "REVEILLE_INVITE_CODE",
    "edge",
    "Invite code that lets a stranger in where the policy allows it; unset = no such door",
    {
      secret: true,
      aliases: ["CO_INVITE_CODE"],
    },
  ),
  v("REVEILLE_INVITE_PRICE", "edge", "Payment that lets a stranger in, as a number; needs the payment verifier", {
    aliases: ["CO_PAYMENT"],
  }),
  v("REVEILLE_PAYMENT_VERIFIER_URL", "edge", "Who says whether a payment arrived (docs/trust.md); unset = no payments"),
  v("REVEILLE_PAYMENT_VERIFIER_SECRET", "edge", "HMAC key of the requests to the payment verifier", { secret: true }),
  v(
    "REVEILLE_AGENT_SEED",
    "edge",
    "Ed25519 seed of our own agent address, 64 hex digits; changing it changes the address",
    {
      secret: true,
    },
  ),
  v("REVEILLE_AGENT_NAME", "edge", "Name of the built-in agent, as GET /info tells it", { default: "reveille" }),
  v("REVEILLE_SESSION_RESULT_TTL_S", "edge", "Seconds that a session's result is kept after its run ended", {
    default: "86400",
  }),
  v(
    "REVEILLE_LEGACY_POLLING",
    "edge",
    "true: who knows a session's id may read its result unsigned, as clients of 0.6.5 do",
    {
      default: "true",
    },
  ),
  v(
    "REVEILLE_ADMIN_TOKEN",
    "edge",
    "Bearer token of GET /admin/logs and /admin/sessions; unset = admin signatures only",
    {
      secret: true,
      aliases: ["CONNECTONION_ADMIN_TOKEN"],
    },
  ),
  ...CONNECTOR_VARIABLES,
  ...SLO_VARIABLES,
  v("REVEILLE_CLOCK_RATE", "both", "Speed of the clock; only demo, drills and tests set it", { default: "1" }),
  ...VENDOR_CREDENTIALS,
  v("REVEILLE_SEED_FILE", "start", "Targets to create at start (YAML or JSON)", { default: "targets.yaml" }),
  v("REVEILLE_DATA_DIR", "start", "Where local state is kept", { default: ".data" }),
  v("PORT", "start", "Port on 127.0.0.1", { default: "8787" }),
];

const BY_NAME = new Map(VARIABLES.map((x) => [x.name, x]));

/** A variable that can't be used as it is set. Never carries the value of a secret. */
export interface ConfigProblem {
  name: string;
  message: string;
}

type Env = Record<string, unknown>;

/** The trimmed text of a variable: primary name first, then its aliases, then its default. Empty counts as unset. */
export function readVar(env: Env, name: string): string {
  const variable = BY_NAME.get(name);
  if (!variable) throw new Error(`${name} is not in the configuration table`);
  for (const key of [variable.name, ...variable.aliases]) {
    const raw = env[key];
    if (typeof raw === "string" && raw.trim() !== "") return raw.trim();
  }
  return variable.default;
}

const APP_SUFFIX = /__[A-Z0-9_]+$/;

/** The app of samples that `npm start` adds on every platform (scripts/lib/sample.ts). No deployed edge has it. */
export const SAMPLE_APP = "sample";

/** The variable that `NAME__APP` belongs to, or null: only those of platforms may have another app's value. */
export function variableOfApp(name: string): Variable | null {
  const variable = BY_NAME.get(name.replace(APP_SUFFIX, ""));
  return variable?.perApp && APP_SUFFIX.test(name) ? variable : null;
}

/**
 * The value of a platform's variable for one of its apps, as named in our webhook URL: `NAME__APP` (upper case, what is no
 * letter or digit written `_`) when it is set, else the plain one.
 */
export function appVar(env: Env, name: string, app: string): string {
  const own = env[`${name}__${app.toUpperCase().replace(/[^A-Z0-9]/g, "_")}`];
  if (typeof own === "string" && own.trim() !== "" && BY_NAME.get(name)?.perApp) return own.trim();
  return readVar(env, name);
}

/** `true`, `1`, `yes`, `on` in any case, trimmed (`kora-watch.md` §4.1). Everything else is false. */
export const truthy = (text: string): boolean => ["true", "1", "yes", "on"].includes(text.trim().toLowerCase());

/** Names a target may use as a credential: our own secrets must never be sendable to an operator-given URL. */
export function credentialAllowed(name: string): boolean {
  return (
    /^WATCH_[A-Z0-9_]{1,60}$/.test(name) || VENDOR_CREDENTIALS.some((x) => x.name === name || x.aliases.includes(name))
  );
}

/**
 * Names an MCP server may use as its credential. The value lives in the consumer alone, where the built-in agent connects;
 * any other `WATCH_` value lives in the edge alone, so neither can be sent to the other's URLs.
 */
export const mcpCredentialAllowed = (name: string): boolean => /^WATCH_MCP_[A-Z0-9_]{1,56}$/.test(name);

/** The value of a target's credential, or null when the binding is missing. Aliases of a vendor variable are equal to it. */
export function readCredential(env: Env, name: string): string | null {
  if (!credentialAllowed(name)) return null;
  const vendor = VENDOR_CREDENTIALS.find((x) => x.name === name || x.aliases.includes(name));
  const text = vendor ? readVar(env, vendor.name) : typeof env[name] === "string" ? (env[name] as string).trim() : "";
  return text === "" ? null : text;
}

/** Every secret value present in `env`: what the redactor must hide. */
export function secretValues(env: Env): string[] {
  const names = VARIABLES.filter((x) => x.secret).flatMap((x) => [x.name, ...x.aliases]);
  const watch = Object.keys(env).filter(
    (k) => k.startsWith("WATCH_") || k.startsWith("TRUST_") || variableOfApp(k)?.secret || sloKeyName(k),
  );
  return [...names, ...watch].flatMap((n) => (typeof env[n] === "string" ? [env[n] as string] : []));
}

/** The settings of the watch and the notices, parsed and checked. */
export interface Config {
  publicUrl: string;
  allowPrivate: AllowEntry[];
  recheckMs: number;
  debounceMs: number;
  bypassCritical: boolean;
  confirm: number;
  clockRate: number;
  channels: string[];
  digest: boolean;
  digestHour: number;
  /** Reasoning may cost this much in a UTC month, USD; an unreadable setting means 0. */
  poolUsd: number;
  /** And investigations this much within 24 h. */
  investigationDailyUsd: number;
  /** Reveille ms that a session's result is kept after its run ended. */
  sessionResultTtlMs: number;
  /** Events that may wait for one gateway instance. */
  deliveryRows: number;
  /** Wake hook requests admitted in any 60 s: all together, and of one address. */
  hookRate: number;
  hookSourceRate: number;
}

/** Reads the configuration; problems are listed, and the default stands in for each so that pages still work. */
export function readConfig(env: Env): { config: Config; problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const num = (name: string, min: number, max: number, fallback?: number): number => {
    const text = readVar(env, name);
    const n = Number(text);
    if (Number.isFinite(n) && n >= min && n <= max) return n;
    problems.push({ name, message: `${name} is "${text}"; it must be a number from ${min} to ${max}.` });
    return fallback ?? Number(BY_NAME.get(name)!.default);
  };
  const attempt = <T>(name: string, read: () => T, fallback: T): T => {
    try {
      return read();
    } catch (error) {
      problems.push({ name, message: error instanceof Error ? error.message : String(error) });
      return fallback;
    }
  };
  const known = ["slack", "telegram", "webhook", "email"];
  const channels = readVar(env, "REVEILLE_NOTICE_CHANNELS")
    .split(/[\s,]+/)
    .filter(Boolean);
  for (const c of channels)
    if (!known.includes(c))
      problems.push({
        name: "REVEILLE_NOTICE_CHANNELS",
        message: `REVEILLE_NOTICE_CHANNELS names "${c}"; known: ${known.join(", ")}.`,
      });
  const mode = readVar(env, "REVEILLE_NOTICE_MODE");
  if (mode !== "immediate" && mode !== "digest")
    problems.push({
      name: "REVEILLE_NOTICE_MODE",
      message: `REVEILLE_NOTICE_MODE is "${mode}"; use immediate or digest.`,
    });
  const seed = readVar(env, "REVEILLE_AGENT_SEED");
  if (seed !== "" && !/^[0-9a-fA-F]{64}$/.test(seed))
    problems.push({
      name: "REVEILLE_AGENT_SEED",
      message: `REVEILLE_AGENT_SEED is no Ed25519 seed: it has ${seed.length} characters, and must have 64 hex digits.`,
    });
  for (const name of ["REVEILLE_VAULT_KEY", "REVEILLE_GATEWAY_KEY", "REVEILLE_HOOK_KEY"].flatMap((n) => [
    n,
    `${n}_OLD`,
  ])) {
    const key = readVar(env, name);
    if (key !== "" && !/^[0-9a-fA-F]{64}$/.test(key))
      problems.push({
        name,
        message: `${name} is no AES-256 key: it has ${key.length} characters, and must have 64 hex digits.`,
      });
  }
  const discord = "REVEILLE_DISCORD_PUBLIC_KEY";
  for (const name of [discord, ...Object.keys(env).filter((k) => k.startsWith(`${discord}__`))]) {
    const key = name === discord ? readVar(env, name) : String(env[name]).trim();
    // Each interaction would get a 500 until Discord removes our URL.
    if (key !== "" && !/^[0-9a-fA-F]{64}$/.test(key))
      problems.push({ name, message: `${name} is "${key}"; it must have the 64 hex digits of Discord's portal.` });
  }
  const config: Config = {
    publicUrl: readVar(env, "REVEILLE_PUBLIC_URL").replace(/\/+$/, ""),
    allowPrivate: attempt("REVEILLE_ALLOW_PRIVATE", () => parseAllowList(readVar(env, "REVEILLE_ALLOW_PRIVATE")), []),
    recheckMs: num("REVEILLE_RECHECK_SECONDS", 1, 3600) * 1000,
    debounceMs: num("REVEILLE_DEBOUNCE_SECONDS", 0, 86_400) * 1000,
    bypassCritical: truthy(readVar(env, "REVEILLE_DEBOUNCE_BYPASS_CRITICAL")),
    confirm: num("REVEILLE_DEBOUNCE_CONSECUTIVE_REQUIRED", 1, 10),
    clockRate: num("REVEILLE_CLOCK_RATE", 1, 1000),
    channels: channels.filter((c) => known.includes(c)),
    digest: mode === "digest",
    digestHour: num("REVEILLE_DIGEST_HOUR", 0, 23),
    // Money is never spent on a setting nobody meant.
    poolUsd: num("REVEILLE_CREDIT_POOL_USD", 0, 1_000_000, 0),
    investigationDailyUsd: num("REVEILLE_INVESTIGATION_DAILY_USD", 0, 1_000_000, 0),
    sessionResultTtlMs: num("REVEILLE_SESSION_RESULT_TTL_S", 1, 30 * 86_400) * 1000,
    deliveryRows: num("REVEILLE_DELIVERY_ROWS", 1, 1_000_000),
    hookRate: num("REVEILLE_HOOK_RATE", 1, 1_000_000),
    hookSourceRate: num("REVEILLE_HOOK_SOURCE_RATE", 1, 1_000_000),
  };
  return { config, problems };
}
