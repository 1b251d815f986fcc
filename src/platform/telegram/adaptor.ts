import { appVar } from "../../kernel/config";
import type { Adaptor, AppFacts, WebhookCall } from "../adaptor";
import { parseExact } from "../exact";
import { strip } from "../strip";
import type { Reading } from "../types";
import { botOf, readMessage, readPress } from "./normalise";
import { callbackQuery, message, update } from "./update";
import { verifyTelegram } from "./verify";

async function read(call: WebhookCall, facts: AppFacts): Promise<Reading> {
  const value = parseExact(call.bytes);
  const { secrets, shapes } = strip(value, "telegram", facts.rules);
  const base: Reading = { answer: { status: 200 }, events: [], ignored: null, secrets, shapes };
  const ignored = (why: string): Reading => ({ ...base, ignored: why.slice(0, 100) });
  const outer = update.safeParse(value);
  if (!outer.success) return ignored("no update");
  const { update_id, ...kinds } = outer.data;
  if (kinds["callback_query"]) {
    const parsed = callbackQuery.safeParse(kinds["callback_query"]);
    if (!parsed.success) return ignored("callback of another shape");
    const q = parsed.data;
    const press = readPress(q, call.app);
    if (press) return { ...base, events: [press], spinner: q.id };
    if (!q.data || q.inline_message_id) return { ...ignored("callback without a chat"), spinner: q.id };
    const other = { token: q.data, user_id: q.from.id, user_name: q.from.username ?? null };
    return { ...base, presses: [other], spinner: q.id };
  }
  const given = kinds["message"] ?? kinds["channel_post"];
  // Edits are not told in v1, and fire for live locations and counters as well.
  if (!given) return ignored(`update ${Object.keys(kinds)[0] ?? "without a kind"}`);
  const parsed = message.safeParse(given);
  if (!parsed.success) return ignored("message of another shape");
  const bot = botOf(facts, appVar(facts.vars, "REVEILLE_TELEGRAM_BOT_TOKEN", call.app));
  const said = readMessage(parsed.data, `telegram:${call.app}:${update_id}`, call.app, bot);
  if ("ignored" in said) return ignored(said.ignored);
  if ("migrated" in said) return { ...ignored("chat has a new id"), migrated: said.migrated };
  return { ...base, events: [said.inbound] };
}

/** Telegram: Bot API webhook (chat-platforms §3). */
export const telegramAdaptor: Adaptor = {
  name: "telegram",
  tails: [""],
  refuse: 401,
  unset: (vars, app) => (appVar(vars, "REVEILLE_TELEGRAM_SECRET_TOKEN", app) ? null : "REVEILLE_TELEGRAM_SECRET_TOKEN"),
  verify: (call, vars) => verifyTelegram(call.headers, [appVar(vars, "REVEILLE_TELEGRAM_SECRET_TOKEN", call.app)]),
  read,
};
