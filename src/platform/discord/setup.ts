import { appVar } from "../../kernel/config";
import type { SendDeps } from "../call";
import { text } from "../sender";
import { type Checked, failedAs, type Setup, same, stateOf, variables } from "../setup";
import { discordCall } from "./api";
import { hasLink, registerCommands } from "./commands";
import { discordKey } from "./verify";

const v = (d: SendDeps, name: string): string => appVar(d.runtime.vars, name, d.app);

async function check(d: SendDeps, webhook: string): Promise<Checked> {
  const checks = variables(d, [
    "REVEILLE_DISCORD_APPLICATION_ID",
    "REVEILLE_DISCORD_PUBLIC_KEY",
    "REVEILLE_DISCORD_BOT_TOKEN",
  ]);
  const key = v(d, "REVEILLE_DISCORD_PUBLIC_KEY");
  if (key && !(await discordKey(key)))
    checks.push({ check: "public key", ok: false, detail: "no Ed25519 key: copy the 64 hex digits from the portal" });
  if (!v(d, "REVEILLE_DISCORD_BOT_TOKEN")) return { bot: null, state: "unset", checks };
  const me = await discordCall(d, { method: "GET", path: "/applications/@me", bucket: "me" });
  if ("fail" in me)
    return {
      bot: null,
      state: failedAs(me.fail),
      checks: [...checks, { check: "application", ok: false, detail: me.fail.error ?? "" }],
    };
  const { ok } = me;
  const id = text(ok["id"]) ?? "";
  const user = (ok["bot"] ?? {}) as Record<string, unknown>;
  checks.push({ check: "application", ok: true, detail: `${text(ok["name"])} (${id})` });
  const wrong = "The token belongs to another application";
  checks.push(same("application id", id, v(d, "REVEILLE_DISCORD_APPLICATION_ID"), wrong));
  checks.push(same("public key", text(ok["verify_key"]), key.toLowerCase(), wrong));
  const hint = "Set it in the portal under General Information";
  checks.push(same("interactions endpoint", text(ok["interactions_endpoint_url"]), `${webhook}/interactions`, hint));
  const link = await hasLink(d, id);
  checks.push({
    check: "/link",
    ok: link,
    detail: link ? "registered" : "missing. Register it: npm run platforms -- connect discord",
  });
  return {
    bot: { bot_id: id, bot_ref: text(user["id"]), username: text(user["username"]) },
    state: stateOf(checks),
    checks,
  };
}

async function connect(d: SendDeps): ReturnType<NonNullable<Setup["connect"]>> {
  const application = v(d, "REVEILLE_DISCORD_APPLICATION_ID");
  if (!application) return { success: false, error: "REVEILLE_DISCORD_APPLICATION_ID is not set" };
  if (await hasLink(d, application)) return { success: true, done: "the commands were registered already" };
  const result = await registerCommands(d, application, null);
  if ("fail" in result) return result.fail;
  return { success: true, done: `commands ${result.names.map((n) => `/${n}`).join(", ")}` };
}

export const discordSetup: Setup = { check, connect };
