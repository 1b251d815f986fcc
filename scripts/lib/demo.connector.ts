import { operatorApi } from "./api";
import { type Stage, say, step } from "./demo.stage";
import { SAMPLE_APP, signWebhook, standInTokens } from "./sample";
import { authorOf, freshBody, readFixture } from "./sample.fixtures";
import { SANDBOX_VARS } from "./sandbox";
import { gatewaysOf, makeHome, SAMPLE_INSTANCE, startGateway } from "./send.gateway";

/** The demo's chat: a signed slash command reaches a gateway, its reply reaches the platform, and no credential crossed. */

const TOKEN = SANDBOX_VARS["REVEILLE_OPERATOR_TOKEN"]!;
export const SAMPLE_SLACK_TOKEN = standInTokens(TOKEN).slackToken;

interface Row {
  app: string;
  acked_at: string | null;
  verified_at: string;
}

export async function connector(s: Stage): Promise<void> {
  const api = operatorApi(s.box.rt.url, TOKEN);
  const fixture = readFixture("slack", "command");
  const scope = fixture.expect.events?.[0]?.event.source.scope_id ?? "";
  const to = await makeHome(api, { platform: "slack", author: authorOf(fixture), scope, instance: SAMPLE_INSTANCE });
  const check = await api.call<{ bot_id: string | null }>("POST", "/api/v1/platforms/slack/check", { app: SAMPLE_APP });
  const { gateway, reply } = await startGateway(api, s.box.rt.url, null, to, {
    platform: "slack",
    bot_id: check.bot_id ?? "",
  });
  try {
    await step(
      s,
      "gateway",
      to.instance,
      "its socket",
      10_000,
      () => gatewaysOf(api, to),
      (all) => (all.some((g) => g.live?.state === "on") ? "dialled in, holds no platform credential" : null),
    );
    const { body, form } = freshBody(fixture, { text: "is prod up?" });
    const path = `/webhooks/slack/${SAMPLE_APP}/${fixture.tail}`;
    const { headers } = signWebhook(TOKEN, "slack", body, { url: path, form });
    const answer = await s.box.rt.fetch(path, { method: "POST", headers, body });
    say(s, "webhook", `a signed Slack command, answered ${answer.status}; it carries a response_url`);
    await step(
      s,
      "deliver",
      to.instance,
      "the gateway's ack",
      15_000,
      () => api.call<{ items: Row[] }>("GET", `/api/v1/deliveries?instance=${to.instance}&limit=1`),
      ({ items }) => (items[0]?.acked_at ? "stored, sent and acked" : null),
    );
    await step(
      s,
      "reply",
      to.instance,
      "its answer in Slack",
      15_000,
      async () => s.platforms.ledger().slack.map((m) => m.text),
      (texts) => (texts.some((t) => t.includes(reply)) ? "its answer is in Slack" : null),
    );
    const secrets = [...Object.values(standInTokens(TOKEN)), form?.get("response_url") ?? "", form?.get("token") ?? ""];
    await step(
      s,
      "secrets",
      `${gateway.frames.length} frames`,
      "no credential in them",
      1_000,
      async () => JSON.stringify(gateway.frames),
      (text) => (secrets.some((x) => x !== "" && text.includes(x)) ? null : "none carries a credential"),
    );
  } finally {
    gateway.stop();
  }
}
