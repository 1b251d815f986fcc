import { appVar } from "../../kernel/config";
import { checkUrl, isPrivateHost } from "../../kernel/net-guard";
import { call, type SendDeps, waitOf } from "../call";
import { done, failure, inTurn, type Sent, text } from "../sender";
import { toMrkdwn } from "./mrkdwn";

/** Answers by a command's or button's `response_url`: no token, the URL itself is the credential (chat-platforms §1.3). */

const HOST = "hooks.slack.com";
const LIMIT = 39_000;
/** As many as one URL serves. */
const MAX_USES = 5;
const OVER = new Set(["expired_url", "used_url", "no_service", "invalid_token", "404", "410"]);

export const respondParts = (content: string): string[] => toMrkdwn(content, LIMIT);

/** Where the URL is called: at Slack, or, where REVEILLE_SLACK_HOOKS_URL names a stand-in, there. Null: it is none of Slack's. */
function placeOf(d: SendDeps, value: string): string | null {
  if (!URL.canParse(value)) return null;
  const url = new URL(value);
  if (url.protocol !== "https:" || url.host !== HOST || url.username || url.password) return null;
  const base = appVar(d.runtime.vars, "REVEILLE_SLACK_HOOKS_URL", d.app).replace(/\/+$/, "");
  const other = checkUrl(base, d.runtime.config.allowPrivate, "REVEILLE_SLACK_HOOKS_URL");
  if (other.host === HOST) return url.href;
  if (other.protocol !== "https:" && !isPrivateHost(other.hostname)) return null;
  return `${base}${url.pathname}${url.search}`;
}

/** Says it to who asked, or to the channel where `metadata.response_type` is `in_channel`. One use for each part. */
export async function respondSlack(
  d: SendDeps,
  value: string,
  content: string,
  metadata: Record<string, unknown>,
): Promise<Sent> {
  const parts = respondParts(content);
  if (parts.length === 0) return failure("nothing to send: the content is empty", "no_text");
  if (parts.length > MAX_USES) return failure(`too long: it would be ${parts.length} messages`, "msg_too_long");
  const url = placeOf(d, value);
  if (url === null) return failure("slack: not an address of Slack", "refused");
  const thread = text(metadata["thread_id"]) ?? text(metadata["thread_ts"]);
  const how = {
    response_type: metadata["response_type"] === "in_channel" ? "in_channel" : "ephemeral",
    replace_original: false,
    ...(thread !== null && /^\d{1,12}\.\d{1,10}$/.test(thread) ? { thread_ts: thread } : {}),
  };
  return inTurn(parts, async (part) => {
    const result = await call(d, {
      url,
      headers: { "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify({ text: part, ...how }),
      repeatable: false,
      words: true,
      buckets: [],
      judge: ({ status, json, headers, words, odd }) => {
        if (status === 429) return { limited: waitOf(d, { status, json, headers, odd }), bucket: "slack:hooks" };
        const said = /^[a-z_]{1,60}$/.test(words ?? "") ? words! : (text(json["error"]) ?? `HTTP ${status}`);
        if (status >= 200 && status < 300 && json["ok"] !== false) return { ok: {} };
        if (status >= 500) return { again: `slack: ${said}`, applied: true };
        return { fail: failure(`slack: ${said}`, said.startsWith("HTTP ") ? String(status) : said) };
      },
    });
    return "fail" in result ? result.fail : done([]);
  });
}

/** The URL serves no more. */
export const respondOver = (sent: Sent): boolean => !sent.success && OVER.has(sent.error_code ?? "");
