import { createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { SAMPLE_APP } from "../../src/kernel/config";
import type { Vars } from "./vars";

/**
 * The sample app: one more app on every platform, `sample` in webhook URLs, so that events can be tried without an account and
 * without touching a real app's credentials. Its secrets come from the operator token; its platform is a stand-in on this machine.
 */

export { SAMPLE_APP };

/** Ids of the fixtures' own bots. */
const APPLICATION = "1200000000000000001";
const PHONE_ID = "106540352242922";
const ACCOUNT = "AC00000000000000000000000000000001";
const NUMBER = "+15550001111";

/** Where `npm run send` answers as the platforms, beside the edge's port. */
export const standInPort = (edgePort: number): number =>
  edgePort + 1_000 <= 65_535 ? edgePort + 1_000 : edgePort - 1_000;

const secretOf = (operatorToken: string, what: string): string =>
  createHmac("sha256", operatorToken).update(`sample:${what}`).digest("hex");

const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

function discordPair(operatorToken: string): { key: KeyObject; publicHex: string } {
  const seed = Buffer.from(secretOf(operatorToken, "discord"), "hex");
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
  const { x } = createPublicKey(key).export({ format: "jwk" });
  return { key, publicHex: Buffer.from(String(x), "base64url").toString("hex") };
}

/** What the stand-in must be told to be taken for the platforms of the sample app. */
export const standInTokens = (operatorToken: string) => ({
  slackToken: `xoxb-sample-${secretOf(operatorToken, "slack.token").slice(0, 24)}`,
  telegramToken: `7000001:sample-${secretOf(operatorToken, "telegram.token").slice(0, 28)}`,
  discordToken: `sample${APPLICATION}.${secretOf(operatorToken, "discord.token").slice(0, 24)}`,
  whatsappToken: `sample-${secretOf(operatorToken, "whatsapp.token").slice(0, 24)}`,
  twilio: `${ACCOUNT}:${secretOf(operatorToken, "sms")}`,
});

/** The sample app's variables. `standIn`: base URL of the stand-in. */
export function sampleVars(operatorToken: string, standIn: string): Vars {
  const tokens = standInTokens(operatorToken);
  const plain: Vars = {
    SLACK_SIGNING_SECRET: secretOf(operatorToken, "slack"),
    SLACK_BOT_TOKEN: tokens.slackToken,
    SLACK_API_URL: `${standIn}/slack/api`,
    SLACK_HOOKS_URL: `${standIn}/slack/hooks`,
    TELEGRAM_SECRET_TOKEN: secretOf(operatorToken, "telegram"),
    TELEGRAM_BOT_TOKEN: tokens.telegramToken,
    TELEGRAM_API_URL: `${standIn}/telegram`,
    DISCORD_APPLICATION_ID: APPLICATION,
    DISCORD_PUBLIC_KEY: discordPair(operatorToken).publicHex,
    DISCORD_BOT_TOKEN: tokens.discordToken,
    DISCORD_API_URL: `${standIn}/discord`,
    WHATSAPP_APP_SECRET: secretOf(operatorToken, "whatsapp"),
    WHATSAPP_VERIFY_TOKEN: secretOf(operatorToken, "whatsapp.verify"),
    WHATSAPP_ACCESS_TOKEN: tokens.whatsappToken,
    WHATSAPP_PHONE_ID: PHONE_ID,
    WHATSAPP_API_URL: `${standIn}/whatsapp`,
    TWILIO_ACCOUNT_SID: ACCOUNT,
    TWILIO_AUTH_TOKEN: secretOf(operatorToken, "sms"),
    TWILIO_FROM: NUMBER,
    TWILIO_API_URL: `${standIn}/twilio`,
  };
  const suffix = `__${SAMPLE_APP.toUpperCase()}`;
  return Object.fromEntries(Object.entries(plain).map(([name, value]) => [`REVEILLE_${name}${suffix}`, value]));
}

export interface Signed {
  headers: Record<string, string>;
  /** What proves it, in words. */
  how: string;
}

/** Signs a webhook as its platform does. `url`: the public one, which Twilio's signature covers. */
export function signWebhook(
  operatorToken: string,
  platform: string,
  body: string,
  at: { url: string; form: URLSearchParams | null },
): Signed {
  const seconds = String(Math.floor(Date.now() / 1000));
  const secret = secretOf(operatorToken, platform);
  const type = at.form ? "application/x-www-form-urlencoded" : "application/json";
  const hmac = (text: string): string => createHmac("sha256", secret).update(text).digest("hex");
  const made = (how: string, headers: Record<string, string>): Signed => ({
    how,
    headers: { "content-type": type, ...headers },
  });
  if (platform === "slack")
    return made("v0 signature", {
      "x-slack-request-timestamp": seconds,
      "x-slack-signature": `v0=${hmac(`v0:${seconds}:${body}`)}`,
    });
  if (platform === "discord") {
    const proof = sign(null, Buffer.from(seconds + body), discordPair(operatorToken).key).toString("hex");
    return made("Ed25519 signature", { "x-signature-timestamp": seconds, "x-signature-ed25519": proof });
  }
  if (platform === "telegram") return made("secret token", { "x-telegram-bot-api-secret-token": secret });
  if (platform === "whatsapp") return made("SHA-256 signature", { "x-hub-signature-256": `sha256=${hmac(body)}` });
  const names = [...new Set(at.form?.keys() ?? [])].sort();
  const text = at.url + names.map((name) => name + (at.form?.get(name) ?? "")).join("");
  const proof = createHmac("sha1", secret).update(text).digest("base64");
  return made("SHA-1 signature", { "x-twilio-signature": proof });
}
