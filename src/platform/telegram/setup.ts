import { appVar } from "../../kernel/config";
import type { SendDeps } from "../call";
import { text } from "../sender";
import { type Checked, failedAs, type Setup, same, stateOf, variables } from "../setup";
import { telegramCall } from "./api";

/** Must be listed: without it Telegram keeps whatever was set before (chat-platforms §3.2). */
const UPDATES = [
  "message",
  "edited_message",
  "channel_post",
  "edited_channel_post",
  "callback_query",
  "message_reaction",
  "my_chat_member",
];
const NEEDED = ["message", "callback_query"];

type Body = Record<string, unknown>;
const resultOf = (ok: Body): Body => (ok["result"] ?? {}) as Body;
const HINT = "Set it: npm run platforms -- connect telegram";

async function check(d: SendDeps, webhook: string): Promise<Checked> {
  const checks = variables(d, ["REVEILLE_TELEGRAM_BOT_TOKEN", "REVEILLE_TELEGRAM_SECRET_TOKEN"]);
  if (!appVar(d.runtime.vars, "REVEILLE_TELEGRAM_BOT_TOKEN", d.app)) return { bot: null, state: "unset", checks };
  const me = await telegramCall(d, "getMe", {}, "", true);
  if ("fail" in me)
    return {
      bot: null,
      state: failedAs(me.fail),
      checks: [...checks, { check: "getMe", ok: false, detail: me.fail.error ?? "" }],
    };
  const { id, username, can_read_all_group_messages } = resultOf(me.ok);
  const bot = { bot_id: String(id), bot_ref: null, username: text(username) };
  const privacy =
    can_read_all_group_messages === true
      ? "sees all messages of groups"
      : "in groups sees commands, mentions and replies";
  checks.push({ check: "getMe", ok: true, detail: `@${bot.username}, ${privacy}` });
  const info = await telegramCall(d, "getWebhookInfo", {}, "", true);
  if ("fail" in info) checks.push({ check: "getWebhookInfo", ok: false, detail: info.fail.error ?? "" });
  else {
    const hook = resultOf(info.ok);
    checks.push(same("webhook", text(hook["url"]), webhook, HINT));
    const allowed = Array.isArray(hook["allowed_updates"]) ? hook["allowed_updates"] : NEEDED;
    const missing = NEEDED.filter((u) => !allowed.includes(u));
    if (missing.length > 0)
      checks.push({ check: "allowed_updates", ok: false, detail: `without ${missing.join(", ")}. ${HINT}` });
    const error = text(hook["last_error_message"]);
    if (error)
      checks.push({
        check: "last delivery",
        ok: true,
        detail: `${error}; ${Number(hook["pending_update_count"] ?? 0)} wait`,
      });
  }
  return { bot, state: stateOf(checks), checks };
}

/** One webhook per bot: this takes it from whoever had it. What waits is kept. */
async function connect(d: SendDeps, webhook: string): ReturnType<NonNullable<Setup["connect"]>> {
  const secret_token = appVar(d.runtime.vars, "REVEILLE_TELEGRAM_SECRET_TOKEN", d.app);
  if (!secret_token)
    return {
      success: false,
      error: "REVEILLE_TELEGRAM_SECRET_TOKEN is not set: without it anybody could send updates",
    };
  const set = await telegramCall(
    d,
    "setWebhook",
    { url: webhook, secret_token, allowed_updates: UPDATES, max_connections: 40, drop_pending_updates: false },
    "",
    true,
  );
  if ("fail" in set) return set.fail;
  const commands = [{ command: "link", description: "Link yourself to your agent" }];
  const named = await telegramCall(d, "setMyCommands", { commands }, "", true);
  return "fail" in named ? named.fail : { success: true, done: `webhook ${webhook}, command /link` };
}

export const telegramSetup: Setup = { check, connect };
