import { SAMPLE_APP } from "../kernel/config";
import type { EgressContext } from "./egress";

/** Which of a platform's bots a gateway's bot id means: several apps may have each its own token, and never another's is tried. */

const LIFE_MS = 30_000;

/** The variable that holds an app's own credential, `NAME__APP`. */
const CREDENTIAL: Record<string, string> = {
  slack: "REVEILLE_SLACK_BOT_TOKEN",
  discord: "REVEILLE_DISCORD_BOT_TOKEN",
  telegram: "REVEILLE_TELEGRAM_BOT_TOKEN",
  whatsapp: "REVEILLE_WHATSAPP_ACCESS_TOKEN",
  sms: "REVEILLE_TWILIO_AUTH_TOKEN",
};

/** The app; "": the plain variables; null: there are several, and none is known by this id. */
export async function appOf(ctx: EgressContext, platform: string, botId: string): Promise<string | null> {
  const name = CREDENTIAL[platform] ?? "";
  const own = Object.keys(ctx.runtime.vars).filter((k) => k.startsWith(`${name}__`));
  if (own.length === 0) return "";
  if (botId === "") return "";
  const key = JSON.stringify(["app", platform, botId]);
  const now = ctx.runtime.clock.wall();
  const found = ctx.state.known.get(key);
  if (found && found.until > now) return found.value;
  const row = await ctx.db
    .prepare("SELECT app FROM platform_app WHERE platform = ?1 AND (bot_id = ?2 OR bot_ref = ?2 OR app = ?2) LIMIT 1")
    .bind(platform, botId)
    .first<{ app: string }>();
  // Beside the app of samples alone, what is not known is still the one real app.
  const value = row?.app ?? (own.length === 1 && own[0]!.endsWith(`__${SAMPLE_APP.toUpperCase()}`) ? "" : null);
  // One that is not known yet is asked for again: the set-up check may run any moment.
  if (row) ctx.state.known.set(key, { value, until: now + LIFE_MS });
  return value;
}
