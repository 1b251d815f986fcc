import { type Variable, v } from "./config.variable";

/** Variables of the connector (`hermes-relay.md`, `chat-platforms.md`): its keys, who may ask it, and the platforms. */

const KEYS: Variable[] = [
  v("REVEILLE_VAULT_KEY", "edge", "AES-256 key that seals credentials of chats in their vault, 64 hex digits", {
    secret: true,
  }),
  v("REVEILLE_VAULT_KEY_OLD", "edge", "Previous vault key, while rotating: what it sealed can still be opened", {
    secret: true,
  }),
  v("REVEILLE_GATEWAY_KEY", "edge", "AES-256 key that seals the secrets of gateways, 64 hex digits", { secret: true }),
  v("REVEILLE_GATEWAY_KEY_OLD", "edge", "Previous gateway key, while rotating: what it sealed can still be opened", {
    secret: true,
  }),
];

const DELIVERY: Variable[] = [
  v(
    "REVEILLE_DELIVERY_ROWS",
    "edge",
    "Events that may wait for one gateway instance; beyond it the oldest are dead letters",
    {
      default: "1000",
    },
  ),
];

/** Whose tokens let a gateway enroll or provision itself, beside our own `POST /oauth/token`. */
const OIDC: Variable[] = [
  v("REVEILLE_OIDC_ISSUER", "edge", "Issuer of identity tokens that enroll gateways; unset = our own tokens alone"),
  v("REVEILLE_OIDC_AUDIENCE", "edge", "Audience those tokens must name"),
  v("REVEILLE_OIDC_JWKS_URL", "edge", "Where the issuer's public keys are; default: its discovery document says"),
  v("REVEILLE_OIDC_TENANT_CLAIM", "edge", "Claim of those tokens that names the tenant", { default: "tid" }),
];

const app = { perApp: true } as const;
const secret = { perApp: true, secret: true } as const;

const PLATFORMS: Variable[] = [
  v("REVEILLE_SLACK_HOOKS_URL", "edge", "Where Slack's response_url addresses are called", {
    ...app,
    default: "https://hooks.slack.com",
  }),
  v("REVEILLE_DISCORD_APPLICATION_ID", "edge", "Discord application id", {
    ...app,
    aliases: ["DISCORD_APPLICATION_ID"],
  }),
  v("REVEILLE_DISCORD_PUBLIC_KEY", "edge", "Discord public key that proves interactions, 64 hex digits", {
    ...app,
    aliases: ["DISCORD_PUBLIC_KEY"],
  }),
  v("REVEILLE_DISCORD_BOT_TOKEN", "edge", "Discord bot token", { ...secret, aliases: ["DISCORD_BOT_TOKEN"] }),
  v("REVEILLE_DISCORD_API_URL", "edge", "Discord API base", { ...app, default: "https://discord.com/api/v10" }),
  v("REVEILLE_WHATSAPP_APP_SECRET", "edge", "WhatsApp app secret that proves webhooks", secret),
  v("REVEILLE_WHATSAPP_VERIFY_TOKEN", "edge", "Text that Meta repeats when it checks the webhook URL", secret),
  v("REVEILLE_WHATSAPP_ACCESS_TOKEN", "edge", "WhatsApp access token for messages and media", secret),
  v("REVEILLE_WHATSAPP_PHONE_ID", "edge", "WhatsApp phone number id that messages are sent from", app),
  v("REVEILLE_WHATSAPP_API_URL", "edge", "Graph API base, with its version", {
    ...app,
    default: "https://graph.facebook.com/v23.0",
  }),
  v("REVEILLE_TWILIO_ACCOUNT_SID", "edge", "Twilio account id", { ...app, aliases: ["TWILIO_ACCOUNT_SID"] }),
  v("REVEILLE_TWILIO_AUTH_TOKEN", "edge", "Twilio auth token: proves webhooks, sends messages", {
    ...secret,
    aliases: ["TWILIO_AUTH_TOKEN"],
  }),
  v("REVEILLE_TWILIO_FROM", "edge", "Phone number or messaging service that messages are sent from", app),
  v("REVEILLE_TWILIO_WEBHOOK_URL", "edge", "The webhook's URL as Twilio has it: its signature covers it", app),
  v("REVEILLE_TWILIO_API_URL", "edge", "Twilio API base", { ...app, default: "https://api.twilio.com" }),
];

export const CONNECTOR_VARIABLES: Variable[] = [...KEYS, ...DELIVERY, ...OIDC, ...PLATFORMS];
