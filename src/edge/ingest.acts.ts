import { gatewayObject } from "../../durable-objects/gateway.stub";
import { gateEvent, linkCodeOf, moveChat, scopeRevoked } from "../gateway";
import { appVar, readVar } from "../kernel/config";
import { actionIdOf, answerCallback } from "../notify";
import type { Inbound, OtherPress, PlatformName } from "../platform";
import type { IngestDeps } from "./ingest";
import { countIngest } from "./ingest.count";
import { chatVault } from "./ingest.vault";
import { press } from "./press";

/** What a webhook may ask for besides an event: a notice's button, a deleted message, a moved chat, a revoked app. */

const list = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

/** Who may press a notice's buttons: they go to the operators, whose platforms these are. */
function operators(deps: IngestDeps, platform: PlatformName): string[] | null {
  const { vars } = deps.rt;
  if (platform === "slack") return list(readVar(vars, "REVEILLE_SLACK_OPERATOR_ID"));
  if (platform !== "telegram") return null;
  return list(readVar(vars, "REVEILLE_TELEGRAM_OPERATOR_ID") || readVar(vars, "REVEILLE_TELEGRAM_CHAT_ID"));
}

/** A press that is no prompt's: acts when it is a notice's button. Returns what to tell who pressed, or null. */
export async function otherPress(deps: IngestDeps, platform: PlatformName, p: OtherPress): Promise<string | null> {
  const action_id = actionIdOf(p.token);
  const allowed = operators(deps, platform);
  if (action_id === null || allowed === null || (platform !== "slack" && platform !== "telegram")) {
    countIngest(deps.env.DB, deps.rt, platform, "dropped: foreign press", deps.later);
    deps.rt.log("info", "press.foreign", { platform });
    return null;
  }
  const { user_id, user_name } = p;
  const done = await press(deps.env, deps.rt, { action_id, platform, user_id, user_name, operators: allowed });
  return done.message;
}

/** The answer only stops the spinner: all else is done, so a lost answer loses nothing. */
export async function stopSpinner(deps: IngestDeps, app: string, callbackId: string, text: string): Promise<void> {
  const { rt } = deps;
  const name = "REVEILLE_TELEGRAM_BOT_TOKEN";
  // The press belongs to the bot of its own app.
  const own = { ...rt, vars: { ...rt.vars, [name]: appVar(rt.vars, name, app) } };
  const answered = await answerCallback(own, callbackId, text);
  if (!answered.ok) rt.log("warn", "telegram.answer_failed", { app, error: answered.error });
}

/** A message was deleted: its turn is cancelled while it waits. A gateway that has it already keeps it. */
export async function withdraw(deps: IngestDeps, deleted: Inbound): Promise<void> {
  const { env, rt } = deps;
  // The gate would take a deleted `/link` for a new one.
  if (deleted.own || linkCodeOf(deleted) !== null) return;
  const gated = await gateEvent({ db: env.DB, runtime: rt }, deleted);
  const { source, message_id } = deleted.event;
  if (!("to" in gated) || message_id === null) return;
  const gateway = gatewayObject(env.GATEWAY, gated.to, deps.hint);
  const done = await gateway.withdraw(deleted.platform, source.chat_id, message_id);
  countIngest(env.DB, rt, deleted.platform, `deleted: ${done}`, deps.later);
}

/** A chat has a new id: what was given to it, and who is known in it, goes along. */
export async function chatMoved(
  deps: IngestDeps,
  platform: PlatformName,
  { from, to }: { from: string; to: string },
): Promise<void> {
  for (const holder of await moveChat({ db: deps.env.DB, runtime: deps.rt }, platform, from, to))
    await gatewayObject(deps.env.GATEWAY, holder, deps.hint).moved(platform, from, to);
}

/** The platform took our access to a scope away: credentials of its chats go from the vaults (chat-platforms §1.2). */
export async function revokeScope(
  deps: IngestDeps,
  platform: PlatformName,
  scope_id: string,
  app: string,
): Promise<void> {
  const { env, rt } = deps;
  rt.log("warn", "platform.revoked", { platform, app, scope_id });
  for (const to of await scopeRevoked({ db: env.DB, runtime: rt }, platform, scope_id, app))
    for (const chat of await gatewayObject(env.GATEWAY, to, deps.hint).chatsOf(platform, scope_id))
      await chatVault(deps, to, platform, chat).purge();
}
