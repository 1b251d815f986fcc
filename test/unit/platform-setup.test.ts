import { describe, expect, it } from "vitest";
import { discordApp } from "../../src/gateway";
import { readConfig } from "../../src/kernel/config";
import { commandsOf } from "../../src/platform";
import { twilioUrls } from "../../src/platform/sms/adaptor";

/** Rules of the set-up that need no platform: keys that can't prove anything, a manifest's commands, which app is meant. */

describe("Discord's public key", () => {
  const key = "d14cec5c1df8025a157d440f28b248029e62dbf1ef84de095d3c872c049cdd5f";
  const named = (env: Record<string, string>) => readConfig(env).problems.map((p) => p.name);
  it("is refused at start when it is none, also another app's", () => {
    expect(named({ REVEILLE_DISCORD_PUBLIC_KEY: key, REVEILLE_DISCORD_PUBLIC_KEY__SALES: key.toUpperCase() })).toEqual(
      [],
    );
    expect(named({ DISCORD_PUBLIC_KEY: key.slice(2) })).toEqual(["REVEILLE_DISCORD_PUBLIC_KEY"]);
    expect(named({ REVEILLE_DISCORD_PUBLIC_KEY__SALES: `zz${key.slice(2)}` })).toEqual([
      "REVEILLE_DISCORD_PUBLIC_KEY__SALES",
    ]);
  });
});

describe("a manifest", () => {
  const names = (manifest: unknown[]) => commandsOf(manifest).map((c) => c.name);
  it("loses what Discord would refuse the whole list for: names, repeats, our own", () => {
    const good = ["a", "a-b_9", "x".repeat(32)];
    const bad = ["", "A", "a b", "x".repeat(33), "ü", "link", "a"];
    expect(names([...good, ...bad].map((name) => ({ name, description: "d" })))).toEqual(good);
    expect(names([null, 1, "x", [], {}, { name: 1 }])).toEqual([]);
  });
  it("is cut to what Discord takes", () => {
    const many = Array.from({ length: 150 }, (_, i) => ({
      name: `c${i}`,
      description: "d".repeat(200),
      options: Array(30).fill({}),
    }));
    const commands = commandsOf(many);
    expect(commands).toHaveLength(99);
    expect([String(commands[0]!["description"]).length, (commands[0]!["options"] as unknown[]).length]).toEqual([
      100, 25,
    ]);
    expect(commandsOf([{ name: "bare" }])[0]!["description"]).toBe("bare");
  });
});

describe("the application that is meant", () => {
  const vars = { REVEILLE_DISCORD_APPLICATION_ID: "100", REVEILLE_DISCORD_APPLICATION_ID__SALES: "200" };
  it.each([
    ["", ""],
    ["100", ""],
    ["200", "sales"],
    ["300", null],
  ] as const)("%j is the app %j", (botId, app) => expect(discordApp(vars, botId)).toBe(app));
  it("is none where its id is not set: whatever a gateway calls itself", () =>
    expect(discordApp({}, "300")).toBeNull());
});

describe("the URL that Twilio signed", () => {
  const url = new URL("http://inside.test/webhooks/sms/main?bodySHA256=ab");
  it("is the configured one, else the public one with this path, and never the host of the call", () => {
    expect(twilioUrls({ REVEILLE_PUBLIC_URL: "https://edge.test/" }, "main", url)).toEqual([
      "https://edge.test/webhooks/sms/main?bodySHA256=ab",
    ]);
    expect(twilioUrls({ REVEILLE_TWILIO_WEBHOOK_URL: "https://x.test/sms?t=1" }, "main", url)).toEqual([
      "https://x.test/sms?t=1",
      "https://x.test/sms?bodySHA256=ab",
    ]);
  });
});
