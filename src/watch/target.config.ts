import { Cron } from "croner";
import * as z from "zod";
import { badRequest, clip } from "../kernel/errors";

/** The `config` of a target, by kind (design §8). Spans are written "90s", "5m", "1h", "1d" or in seconds, and kept in seconds. */

const UNIT: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const DAY_S = 86_400;

interface SpanLimits {
  field: string;
  /** Seconds. */
  min: number;
  max: number;
}

/** Seconds as a short span: 90 → "90s", 300 → "5m". */
export function spanText(seconds: number): string {
  for (const unit of ["d", "h", "m"]) if (seconds % UNIT[unit]! === 0) return `${seconds / UNIT[unit]!}${unit}`;
  return `${seconds}s`;
}

/**
 * Reads a span ("90s", "5m", "1h", "1d", or a number of seconds) as whole seconds.
 * @throws ReveilleError 400 `bad_span` that names the field, the value seen and the limits.
 */
export function parseSpan(value: unknown, { field, min, max }: SpanLimits): number {
  const text = typeof value === "number" ? `${value}s` : typeof value === "string" ? value.trim().toLowerCase() : "";
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*([smhd])?$/.exec(text);
  const limits = `from ${spanText(min)} to ${spanText(max)}`;
  if (!match)
    throw badRequest(
      "bad_span",
      `${field} is ${clip(JSON.stringify(value) ?? "missing", 40)}; write it as "90s", "5m", "1h" or a number of seconds.`,
      field,
      `Use a value ${limits}.`,
    );
  const seconds = Number(match[1]) * UNIT[match[2] ?? "s"]!;
  if (!Number.isInteger(seconds) || seconds < min || seconds > max)
    throw badRequest(
      "bad_span",
      `${field} is ${clip(JSON.stringify(value), 40)}; it must be ${limits}.`,
      field,
      `Use e.g. "${spanText(Math.min(max, Math.max(min, 300)))}".`,
    );
  return seconds;
}

/** The interval of a target in seconds: 60 s to 1 day. @throws ReveilleError 400 `bad_span`. */
export const parseEvery = (value: unknown): number => parseSpan(value, { field: "every", min: 60, max: DAY_S });

/** A zod type that reads a span and yields seconds; reading its own output gives the same again. */
export const span = (limits: SpanLimits) =>
  z.union([z.string(), z.number()]).transform((value, ctx): number => {
    try {
      return parseSpan(value, limits);
    } catch (error) {
      ctx.addIssue({ code: "custom", message: error instanceof Error ? error.message : "is no span of time" });
      return z.NEVER;
    }
  });

const baseUrl = z
  .string()
  .trim()
  .max(2_000)
  .superRefine((text, ctx) => {
    const problem = urlProblem(text);
    if (problem) ctx.addIssue({ code: "custom", message: problem });
  });
/** An API base: joined with a path, so it carries no slash at its end. */
const apiUrl = baseUrl.transform((text) => text.replace(/\/+$/, ""));

function urlProblem(text: string): string | null {
  if (!URL.canParse(text)) return "must be an absolute URL, e.g. https://example.com/health";
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") return `must be http or https, not "${url.protocol}"`;
  if (url.username || url.password)
    return "must not carry a user name or password; put the secret into a binding and name it in `credentials`";
  if (/^[a-z]+:\/\/[^/?#]*\{\{/i.test(text)) return "may name a {{role}} in its path or query only";
  // A stored URL is shown on pages and in the API.
  for (const [name, value] of url.searchParams)
    if (secretName(name) && value !== "" && rolesIn(value).length === 0)
      return `carries a secret in "${clip(name, 40)}"; write {{token}} in its place and name the binding in \`credentials\`, e.g. {"token": "WATCH_CHECKOUT_TOKEN"}`;
  return null;
}

/** Does a header or query parameter of this name carry a secret by its nature? Words are cut at `-`, `_`, `.` and humps. */
function secretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  return words.some((w) => SECRET_WORD.test(w));
}
const SECRET_WORD =
  /^(auth|authorization|authentication|cookie|jwt|key|apikey|accesskey|secret|clientsecret|token|accesstoken|authtoken|apitoken|pass|passwd|password|pwd|credentials?|sig|signature|bypass)$/;

const slug = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be a plain name of letters, digits, ".", "_", "-"');

/** The vendor's public status page (Statuspage form); an investigation quotes its one line. */
const status_url = apiUrl.optional();

/** A supabase.com project URL unless the operator gives one (custom domain, self-hosted). */
export const supabaseConfig = z
  .strictObject({
    ref: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, "must be the project reference, e.g. abcdefghijklmnopqrst"),
    url: apiUrl.optional(),
    management_url: apiUrl.default("https://api.supabase.com"),
    status_url,
  })
  .transform((c) => ({ ...c, url: c.url ?? `https://${c.ref}.supabase.co` }));

export const flyConfig = z.strictObject({
  apps: z.array(slug).min(1, "name at least one app").max(20, "at most 20 apps a target; make a second target"),
  api_url: apiUrl.default("https://api.machines.dev"),
  status_url,
});

export const vercelConfig = z.strictObject({
  project_ids: z.array(slug).min(1).max(20).optional(),
  team_id: slug.optional(),
  api_url: apiUrl.default("https://api.vercel.com"),
  status_url,
});

export const sentryConfig = z.strictObject({
  org: slug,
  base_url: apiUrl.default("https://sentry.io"),
  status_url,
  project: slug.optional(),
  environment: slug.optional(),
  user_threshold: z.int().min(0).max(1_000_000).default(1),
});

export const dopplerConfig = z.strictObject({
  api_url: apiUrl.default("https://api.doppler.com"),
  status_url,
  hygiene: z.boolean().default(false),
  projects: z.array(slug).min(1).max(10).optional(),
});

/** Headers that belong to the connection, not to the operator. */
const FORBIDDEN_HEADERS =
  /^(host|content-length|transfer-encoding|connection|upgrade|te|trailer|keep-alive|cf-.*|x-forwarded-.*)$/;
const TEMPLATE = /\{\{\s*([a-z][a-z0-9_]{0,31})\s*\}\}/g;

/** Roles named as `{{role}}` in a text. */
export const rolesIn = (text: string): string[] => [...text.matchAll(TEMPLATE)].map((m) => m[1]!);
/** The text with every `{{role}}` replaced. */
export const fillRoles = (text: string, values: Record<string, string>): string =>
  text.replace(TEMPLATE, (_, role: string) => values[role] ?? "");

const headers = z.record(z.string(), z.string().max(2_000)).superRefine((record, ctx) => {
  const issue = (name: string, message: string): void => ctx.addIssue({ code: "custom", path: [name], message });
  if (Object.keys(record).length > 20) ctx.addIssue({ code: "custom", message: "at most 20 headers" });
  for (const [name, value] of Object.entries(record)) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(name)) issue(name, "is no header name");
    else if (FORBIDDEN_HEADERS.test(name.toLowerCase())) issue(name, "is set by the connection and can't be given");
    else if (!/^[\t\x20-\x7e]*$/.test(value)) issue(name, "may hold printable ASCII only");
    // A literal value would be kept in a row and shown on a page.
    else if (secretName(name) && rolesIn(value).length === 0)
      issue(
        name,
        'carries a secret: write "{{token}}" here and name the binding in `credentials`, e.g. {"token": "WATCH_CHECKOUT_TOKEN"}',
      );
  }
});

/** Any JSON value. Not `z.json()`: that one refers to itself, which the OpenAPI document can't be made from. */
const anyJson = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
  z.array(z.unknown()),
  z.record(z.string(), z.unknown()),
]);

const statusRule = z.union([
  z.int().min(100).max(599),
  z.string().regex(/^[1-5](xx|\d\d)$/, 'must be a code such as 200 or a class such as "2xx"'),
]);

export const httpConfig = z
  .strictObject({
    url: baseUrl,
    method: z.enum(["GET", "HEAD", "POST"]).default("GET"),
    headers: headers.default({}),
    expected_status: z
      .union([statusRule.transform((rule) => [rule]), z.array(statusRule).min(1).max(20)])
      .default(["2xx"]),
    keyword: z.string().min(1).max(500).optional(),
    keyword_absent: z.string().min(1).max(500).optional(),
    json_path: z
      .string()
      .regex(/^\$?\.?[\w-]+(\.[\w-]+|\[\d{1,5}\])*$/, 'must be a path such as "status" or "checks[0].state"')
      .max(200)
      .optional(),
    json_equals: anyJson.optional(),
    latency_ms: z.int().min(1).max(8_000).optional(),
    follow_redirects: z.boolean().default(true),
  })
  .superRefine((c, ctx) => {
    const issue = (field: string, message: string): void => ctx.addIssue({ code: "custom", path: [field], message });
    if ((c.json_path === undefined) !== (c.json_equals === undefined))
      issue(c.json_path === undefined ? "json_path" : "json_equals", "json_path and json_equals go together");
    if (c.method === "HEAD" && (c.keyword ?? c.keyword_absent ?? c.json_path) !== undefined)
      issue("method", "HEAD has no body to look into; use GET for keyword and json checks");
  });

export const tcpConfig = z.strictObject({
  host: z
    .string()
    .trim()
    .regex(
      /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?)$/,
      "must be a host name or an address, without a port",
    ),
  port: z.int().min(1).max(65_535),
  latency_ms: z.int().min(1).max(8_000).optional(),
});

const LONGEST_S = 400 * DAY_S;
export const heartbeatConfig = z
  .strictObject({
    period: span({ field: "period", min: 60, max: LONGEST_S }).optional(),
    cron: z.string().trim().max(120).optional(),
    zone: z.string().max(64).default("UTC"),
    grace: span({ field: "grace", min: 0, max: 7 * DAY_S }).default(300),
    max_runtime: span({ field: "max_runtime", min: 1, max: 7 * DAY_S }).optional(),
  })
  .superRefine((c, ctx) => {
    const issue = (field: string, message: string): void => ctx.addIssue({ code: "custom", path: [field], message });
    if ((c.period === undefined) === (c.cron === undefined)) {
      issue("period", 'give either period (e.g. "1d") or cron (e.g. "0 3 * * *"), not both and not none');
      return;
    }
    if (c.cron === undefined) return;
    try {
      new Intl.DateTimeFormat("en", { timeZone: c.zone });
    } catch {
      issue("zone", `"${clip(c.zone, 40)}" is no time zone; use e.g. "UTC" or "Europe/Berlin"`);
      return;
    }
    try {
      const cron = new Cron(c.cron, { timezone: c.zone });
      if (!cron.nextRun()) issue("cron", `"${clip(c.cron, 60)}" never comes due again`);
    } catch (error) {
      issue(
        "cron",
        `"${clip(c.cron, 60)}" can't be read: ${error instanceof Error ? clip(error.message, 120) : "bad expression"}`,
      );
    }
  });

/** `internal` targets are fed by one of our own rules, named here. */
export const internalConfig = z.strictObject({ rule: z.string().regex(/^[a-z0-9][a-z0-9_.:-]{0,79}$/) });

export type SupabaseConfig = z.output<typeof supabaseConfig>;
export type FlyConfig = z.output<typeof flyConfig>;
export type VercelConfig = z.output<typeof vercelConfig>;
export type SentryConfig = z.output<typeof sentryConfig>;
export type DopplerConfig = z.output<typeof dopplerConfig>;
export type HttpConfig = z.output<typeof httpConfig>;
export type TcpConfig = z.output<typeof tcpConfig>;
export type HeartbeatConfig = z.output<typeof heartbeatConfig>;
