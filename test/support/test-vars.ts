/** Variables of the Workers under test. The two webhook secrets are those of the signature vectors; none is used anywhere else. */
export function testVars(urls: { platformsUrl: string; paymentsUrl?: string }): Record<string, string> {
  return {
    REVEILLE_OPERATOR_TOKEN: "test-operator-token-4f1c9b7e2a",
    REVEILLE_SESSION_KEY: "test-session-key-91d7c3a5b0e86f24",
    REVEILLE_BEAT_KEY: "test-beat-key-7be0d14c93f2a658",
    REVEILLE_AGENT_SEED: "5e1f00d5".repeat(8),
    REVEILLE_VAULT_KEY: "7a0c1e5b".repeat(8),
    REVEILLE_GATEWAY_KEY: "9d3f6a2c".repeat(8),
    REVEILLE_HOOK_KEY: "4b8e2d6f".repeat(8),
    REVEILLE_HOOK_TOKEN: "test-hook-token-2c9f41d7e8a05b63",
    // The tests of one file share one window; those of the limit set their own.
    REVEILLE_HOOK_RATE: "100000",
    REVEILLE_HOOK_SOURCE_RATE: "100000",
    REVEILLE_PUBLIC_URL: "http://reveille.test",
    REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*",
    REVEILLE_SLACK_SIGNING_SECRET: "hermes_edge_test_signing_secret_0001",
    REVEILLE_SLACK_BOT_TOKEN: "xoxb-test-slack-bot-token-0001",
    REVEILLE_SLACK_OPERATOR_ID: "U0OPERATOR",
    REVEILLE_SLACK_API_URL: `${urls.platformsUrl}/slack/api`,
    REVEILLE_TELEGRAM_BOT_TOKEN: "7000001:test-telegram-bot-token-abcdefghijk",
    REVEILLE_TELEGRAM_SECRET_TOKEN: "tg_Test-Secret_0001",
    REVEILLE_TELEGRAM_CHAT_ID: "7001",
    REVEILLE_TELEGRAM_API_URL: `${urls.platformsUrl}/telegram`,
    REVEILLE_SLACK_HOOKS_URL: `${urls.platformsUrl}/slack/hooks`,
    REVEILLE_DISCORD_BOT_TOKEN: "test-discord-bot-token.Gx7.abcdefghijklmnop",
    REVEILLE_DISCORD_API_URL: `${urls.platformsUrl}/discord`,
    REVEILLE_WHATSAPP_ACCESS_TOKEN: "EAAtest-whatsapp-access-token-0001",
    REVEILLE_WHATSAPP_PHONE_ID: "15550001111",
    REVEILLE_WHATSAPP_API_URL: `${urls.platformsUrl}/whatsapp`,
    REVEILLE_TWILIO_ACCOUNT_SID: "ACtest0123456789abcdef",
    REVEILLE_TWILIO_AUTH_TOKEN: "test-twilio-auth-token-0001",
    REVEILLE_TWILIO_FROM: "+15550002222",
    REVEILLE_TWILIO_API_URL: `${urls.platformsUrl}/twilio`,
    REVEILLE_WEBHOOK_URL: `${urls.platformsUrl}/hook`,
    REVEILLE_WEBHOOK_SECRET: "test-webhook-secret-55aa0b1c2d3e",
    REVEILLE_EMAIL_FROM: "reveille@example.com",
    REVEILLE_EMAIL_TO: "operator@example.com",
    REVEILLE_PAYMENT_VERIFIER_URL: `${urls.paymentsUrl ?? ""}/verify`,
    REVEILLE_PAYMENT_VERIFIER_SECRET: PAYMENT_SECRET,
    WATCH_MCP_DOCS: "mcp-test-token-5b1e0c7d9a42f836",
    // Characters that JSON, URLs and base64 write differently: the leak test looks for every form of it.
    WATCH_CANARY: 'cnry/7+f="q\\z&x~0001?',
  };
}

/** Held by the consumer alone, as in production; its characters are written differently by JSON, URLs and base64. */
export const FLY_WRITE_TOKEN = 'FlyV1 fm2_wr/te+"q\\x&7=0001~only';

/** What the edge signs its questions to the payment verifier with. */
export const PAYMENT_SECRET = "test-payment-verifier-secret-77c1";
