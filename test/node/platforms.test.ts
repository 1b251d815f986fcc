import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { ROOT } from "../../scripts/lib/paths";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";
import { type Platforms, startPlatforms } from "../support/platforms";

/** `npm run platforms` beside the running edge, and what its documents give to paste. */

const TOKEN = "platforms-test-operator-token-77d1";
let dir: string;
let outside: Platforms;
let rt: LocalRuntime;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "reveille-platforms-"));
  outside = await startPlatforms();
  rt = await startRuntime({
    port: 0,
    dataDir: join(dir, "data"),
    vars: {
      OPERATOR_TOKEN: TOKEN,
      REVEILLE_SESSION_KEY: "k".repeat(32),
      REVEILLE_BEAT_KEY: "b".repeat(32),
      REVEILLE_AGENT_SEED: "7a".repeat(32),
      REVEILLE_VAULT_KEY: "7b".repeat(32),
      REVEILLE_GATEWAY_KEY: "7c".repeat(32),
      REVEILLE_TELEGRAM_BOT_TOKEN: "8200001:token-of-this-test",
      REVEILLE_TELEGRAM_SECRET_TOKEN: "secret-of-this-test",
      REVEILLE_TELEGRAM_API_URL: `${outside.url}/telegram`,
      REVEILLE_SLACK_SIGNING_SECRET: "signing-secret-of-this-test",
      REVEILLE_SLACK_BOT_TOKEN: "xoxb-refused",
      REVEILLE_SLACK_API_URL: `${outside.url}/slack/api`,
    },
  });
}, 60_000);
afterAll(async () => {
  await rt?.stop();
  await outside?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** The command as a person types it. */
async function platforms(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", "scripts/platforms.ts", ...args, "--url", rt.url],
      { cwd: ROOT, env: { ...process.env, REVEILLE_OPERATOR_TOKEN: TOKEN } },
    );
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const e = error as { code: number; stdout: string; stderr: string };
    return { code: e.code, out: e.stdout, err: e.stderr };
  }
}

it("says what is missing, sets Telegram's webhook, and is content then", async () => {
  const fresh = await platforms();
  expect([fresh.code, fresh.out]).toEqual([0, expect.stringMatching(/^slack\/main +unchecked$/m)]);
  expect(fresh.out).toContain("not set: REVEILLE_DISCORD_PUBLIC_KEY, REVEILLE_DISCORD_BOT_TOKEN");

  const before = await platforms("check", "telegram");
  expect([before.code, before.out]).toEqual([
    1,
    expect.stringMatching(/webhook: none; should be .*\/webhooks\/telegram\/main\. Set it/),
  ]);
  const connected = await platforms("connect", "telegram");
  expect([connected.code, connected.out]).toEqual([
    0,
    expect.stringMatching(/telegram\/main +ok +Hermes8200001Bot \(8200001\)/),
  ]);
  const all = await platforms("check", "--json");
  const states = Object.fromEntries(
    all.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { platform: string; state: string })
      .map((p) => [p.platform, p.state]),
  );
  expect([all.code, states]).toEqual([1, { slack: "refused", telegram: "ok" }]);

  for (const out of [fresh, before, connected, all]) expect(out.out + out.err).not.toMatch(/of-this-test|xoxb/);
}, 30_000);

it("refuses what it does not know in words", async () => {
  expect(await platforms("chek")).toMatchObject({ code: 2, err: expect.stringContaining('"chek" is no verb') });
  expect(await platforms("check", "irc")).toMatchObject({
    code: 2,
    err: expect.stringContaining('"irc" is no platform'),
  });
  expect(await platforms("connect", "slack")).toMatchObject({
    code: 1,
    err: expect.stringContaining("docs/platforms/slack.md"),
  });
}, 30_000);

it("Slack's manifest in the documents is YAML with our webhooks and every scope the check asks for", () => {
  const text = readFileSync(join(ROOT, "docs/platforms/slack.md"), "utf8");
  const yaml = /```yaml\n([\s\S]*?)```/.exec(text)![1]!;
  const manifest = parse(yaml) as {
    oauth_config: { scopes: { bot: string[] } };
    settings: {
      event_subscriptions: { request_url: string; bot_events: string[] };
      interactivity: { request_url: string };
    };
    features: { slash_commands: { url: string }[] };
  };
  const check = readFileSync(join(ROOT, "src/platform/slack/setup.ts"), "utf8");
  const scopes = [...check.matchAll(/"([a-z_]+:[a-z]+|commands)"/g)].map((m) => m[1]!);
  expect(scopes.length).toBeGreaterThan(5);
  expect(manifest.oauth_config.scopes.bot).toEqual(expect.arrayContaining(scopes));
  const { settings, features } = manifest;
  expect([
    settings.event_subscriptions.request_url,
    settings.interactivity.request_url,
    features.slash_commands[0]!.url,
  ]).toEqual(["events", "interactions", "commands"].map((tail) => `https://YOUR-EDGE/webhooks/slack/main/${tail}`));
});
