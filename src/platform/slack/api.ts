import { appVar } from "../../kernel/config";
import { type Ask, call, type Judged, type Reply, type SendDeps, waitOf } from "../call";
import { failure, text } from "../sender";
import type { OpResult } from "../types";

/** Slack's Web API: HTTP 200 with `ok:false` is the norm for refusals (chat-platforms §1.4). */

/** It was not applied; a moment later it may be. */
const LATER = new Set(["service_unavailable", "request_timeout", "team_added_to_org"]);
/** Slack's own fault, after which some of it may have been done. */
const UNSURE = new Set(["internal_error", "fatal_error"]);
const LIMITED = new Set(["ratelimited", "rate_limited", "message_limit_exceeded"]);
const BROKEN = new Set([
  "invalid_auth",
  "not_authed",
  "account_inactive",
  "token_revoked",
  "token_expired",
  "org_login_required",
  "team_access_not_granted",
  "missing_scope",
]);

export const slackUrl = (d: SendDeps): string =>
  appVar(d.runtime.vars, "REVEILLE_SLACK_API_URL", d.app).replace(/\/+$/, "");
export const slackToken = (d: SendDeps): string => appVar(d.runtime.vars, "REVEILLE_SLACK_BOT_TOKEN", d.app);

const judge =
  (d: SendDeps, bucket: string) =>
  (reply: Reply): Judged => {
    const { json, status } = reply;
    const error = text(json["error"]) ?? "";
    if (status === 429 || LIMITED.has(error)) return { limited: waitOf(d, reply), bucket };
    if (json["ok"] === true) return { ok: json };
    if (LATER.has(error) || status === 503) return { again: error || "HTTP 503", applied: false };
    if (UNSURE.has(error) || status >= 500) return { again: error || `HTTP ${status}`, applied: true };
    if (BROKEN.has(error)) {
      const needed = text(json["needed"]);
      const why = `${error}${needed ? `: the app needs the scope ${needed}` : ""}`;
      d.broken(why);
      return { fail: failure(`slack: ${why}`, error) };
    }
    return { fail: failure(`slack: ${error || `HTTP ${status}`}`, error || "refused") };
  };

export interface SlackCall {
  /** Of this channel; others may be called meanwhile. */
  channel?: string;
  repeatable: boolean;
  /** These refusals are a success: it is as it was wanted. */
  fine?: readonly string[];
  form?: boolean;
}

/** One method with a JSON body. */
export async function slackCall(
  d: SendDeps,
  method: string,
  body: Record<string, unknown>,
  how: SlackCall,
): Promise<{ ok: Record<string, unknown> } | { fail: OpResult }> {
  const bucket = `slack:${d.app}:${method}:${how.channel ?? ""}`;
  const ask: Ask = {
    url: `${slackUrl(d)}/${method}`,
    headers: {
      authorization: `Bearer ${slackToken(d)}`,
      "content-type": how.form ? "application/x-www-form-urlencoded" : "application/json; charset=utf-8",
    },
    // Reading methods take no JSON.
    body: how.form
      ? new URLSearchParams(Object.entries(body).map(([k, v]) => [k, String(v)])).toString()
      : JSON.stringify(body),
    repeatable: how.repeatable,
    buckets: [bucket],
    judge: judge(d, bucket),
  };
  const result = await call(d, ask);
  if ("fail" in result && how.fine?.includes(result.fail.error_code ?? "")) return { ok: {} };
  return result;
}
