import type { Outcome, Probe, ProbeContext } from "../probe";
import { fillRoles, type HttpConfig, httpConfig } from "../target.config";
import type { Json } from "../types";
import { fault, healthy } from "./outcome";
import { configOf, credentials } from "./setup";
import { call, type Reply, refusal } from "./vendor";

/** Any HTTP endpoint: status, words in the body, one JSON value, latency. */

/** Does `status` meet one of the rules (200, "200", "2xx")? */
export function statusFits(status: number, rules: (number | string)[]): boolean {
  return rules.some((rule) => {
    const text = String(rule);
    return text.endsWith("xx") ? Math.floor(status / 100) === Number(text[0]) : status === Number(text);
  });
}

/** The value at a path such as `status`, `$.checks[0].state`; undefined when there is none. */
export function valueAt(body: unknown, path: string): unknown {
  const steps = path
    .replace(/^\$\.?/, "")
    .split(/[.[\]]+/)
    .filter(Boolean);
  return steps.reduce<unknown>((at, step) => {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    return (at as Record<string, unknown>)[step];
  }, body);
}

/** JSON text that does not depend on the order of keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`)
      .join(",")}}`;
  return JSON.stringify(value) ?? "undefined";
}

function jsonFits(text: string, path: string, wanted: unknown): string | null {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return "The answer is not JSON.";
  }
  const found = valueAt(body, path);
  if (found === undefined) return `The answer has no ${path}.`;
  // The value itself is the service's own and stays out of rows: it may be anything.
  return canonical(found) === canonical(wanted) ? null : `${path} is not ${canonical(wanted)}.`;
}

/** The verdict over an answer whose status fits. */
function judgeBody(config: HttpConfig, reply: Reply, details: Record<string, Json>): Outcome {
  const more = { latency_ms: reply.latency_ms, details };
  const within = reply.truncated ? " in its first 1 MiB" : "";
  if (config.keyword !== undefined && !reply.text.includes(config.keyword))
    return fault("unhealthy", "keyword_missing", `"${config.keyword}" is not in the answer${within}.`, more);
  if (config.keyword_absent !== undefined && reply.text.includes(config.keyword_absent))
    return fault("unhealthy", "keyword_present", `"${config.keyword_absent}" is in the answer.`, more);
  if (config.json_path !== undefined) {
    const problem = reply.truncated
      ? "The answer is longer than 1 MiB."
      : jsonFits(reply.text, config.json_path, config.json_equals);
    if (problem) return fault("unhealthy", "json_mismatch", problem, more);
  }
  if (config.latency_ms !== undefined && reply.latency_ms > config.latency_ms)
    return fault("degraded", "slow", `Answered in ${reply.latency_ms} ms; the limit is ${config.latency_ms} ms.`, more);
  return healthy(reply.latency_ms, details);
}

function judge(ctx: ProbeContext, config: HttpConfig, who: string, reply: Reply): Outcome {
  const fits = statusFits(reply.status, config.expected_status);
  if (fits) return judgeBody(config, reply, { http_status: reply.status, bytes: reply.text.length });
  const found = refusal(ctx, who, reply, false);
  // A vendor API says 400 when we ask wrongly; of a service we only know that it should have said something else.
  const meant = found.signal === "request_refused" || (reply.status >= 200 && reply.status < 400);
  if (!meant) return found;
  const text = `HTTP ${reply.status} from ${who}; expected ${config.expected_status.join(", ")}.`;
  return fault("unhealthy", "unexpected_status", text, {
    latency_ms: reply.latency_ms,
    details: { http_status: reply.status },
  });
}

export const httpProbe: Probe = async (ctx) => {
  const parsed = configOf(ctx, httpConfig);
  if (!parsed.ok) return parsed.outcome;
  const keys = credentials(ctx);
  if (!keys.ok) return keys.outcome;
  const config = parsed.value;
  const who = new URL(config.url).host;
  // Encoded, so that a value can't become another path, parameter or host.
  const encoded = Object.fromEntries(Object.entries(keys.value).map(([k, v]) => [k, encodeURIComponent(v)]));
  const headers = Object.fromEntries(Object.entries(config.headers).map(([k, v]) => [k, fillRoles(v, keys.value)]));
  const got = await call(ctx, who, {
    url: fillRoles(config.url, encoded),
    method: config.method,
    headers,
    follow: config.follow_redirects,
    final: (status) => statusFits(status, config.expected_status),
    // A POST may do something; it is not sent twice for one look.
    retry: config.method !== "POST",
  });
  return got.ok ? judge(ctx, config, who, got.value) : got.outcome;
};
