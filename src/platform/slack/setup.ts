import { call, waitOf } from "../call";
import { failure, text } from "../sender";
import { type Check, type Checked, failedAs, type Setup, stateOf, variables } from "../setup";
import { slackToken, slackUrl } from "./api";

/** What the bot must be allowed to (chat-platforms §1.5); the rest of the manifest's scopes are for more kinds of channels. */
const SCOPES = [
  "app_mentions:read",
  "channels:history",
  "chat:write",
  "commands",
  "files:read",
  "files:write",
  "im:history",
  "reactions:write",
];

async function check(d: Parameters<Setup["check"]>[0]): Promise<Checked> {
  const checks: Check[] = variables(
    d,
    ["REVEILLE_SLACK_SIGNING_SECRET", "REVEILLE_SLACK_BOT_TOKEN"],
    ["REVEILLE_SLACK_SIGNING_SECRET_OLD"],
  );
  if (!slackToken(d)) return { bot: null, state: "unset", checks };
  let scopes: string | null = null;
  const result = await call(d, {
    url: `${slackUrl(d)}/auth.test`,
    headers: { authorization: `Bearer ${slackToken(d)}`, "content-type": "application/json; charset=utf-8" },
    body: "{}",
    repeatable: true,
    buckets: [`slack:${d.app}:auth.test:`],
    judge: (reply) => {
      scopes = reply.headers.get("x-oauth-scopes");
      if (reply.json["ok"] === true) return { ok: reply.json };
      if (reply.status === 429) return { limited: waitOf(d, reply), bucket: `slack:${d.app}:auth.test:` };
      if (reply.status >= 500) return { again: `HTTP ${reply.status}`, applied: false };
      return { fail: failure(`slack: ${text(reply.json["error"]) ?? `HTTP ${reply.status}`}`, "refused") };
    },
  });
  if ("fail" in result)
    return {
      bot: null,
      state: failedAs(result.fail),
      checks: [...checks, { check: "auth.test", ok: false, detail: result.fail.error ?? "" }],
    };
  const { ok } = result;
  checks.push({
    check: "auth.test",
    ok: true,
    detail: `${text(ok["user"])} in ${text(ok["team"])} (${text(ok["team_id"])})`,
  });
  const given = ((scopes as string | null) ?? "").split(/[\s,]+/);
  const missing = SCOPES.filter((s) => !given.includes(s));
  if (scopes !== null)
    checks.push({
      check: "scopes",
      ok: missing.length === 0,
      detail: missing.length === 0 ? "all that are needed" : `add ${missing.join(", ")} and install the app again`,
    });
  const bot_id = text(ok["user_id"]);
  const bot = bot_id ? { bot_id, bot_ref: text(ok["bot_id"]), username: text(ok["user"]) } : null;
  return { bot, state: stateOf(checks), checks };
}

export const slackSetup: Setup = { check };
