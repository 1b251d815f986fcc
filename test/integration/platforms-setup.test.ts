import { afterEach, describe, expect, inject, it } from "vitest";
import { checkPlatform, connectPlatform } from "../../src/edge/setup";
import { registerManifests } from "../../src/gateway";
import { api, newGateway, newTenant } from "./connector-kit";
import { gateway, made, stopAll } from "./gateway-kit";
import { edge, makeHome, telegram, telegramMessage, unique } from "./ingest-kit";
import { runtimeWith } from "./notify-kit";

/**
 * Set-up help and Discord's commands against the stand-in of the platforms: what is set, what is missing, in words; commands that
 * change only when they differ, at most once a minute. Not proven here: that the platforms answer as the stand-in does.
 */

afterEach(stopAll);

const standIn = inject("platformsUrl");
interface Seen {
  webhooks: Record<string, Record<string, unknown>>;
  commands: Record<string, { name: string; type: number }[]>;
  puts: Record<string, number>;
}
const seen = async (): Promise<Seen> => (await fetch(`${standIn}/_setup`)).json<Seen>();
const row = (platform: string, app: string) =>
  edge.DB.prepare("SELECT * FROM platform_app WHERE platform = ? AND app = ?")
    .bind(platform, app)
    .first<Record<string, string | null>>();
const bad = (v: { checks: { check: string; ok: boolean }[] }) => v.checks.filter((c) => !c.ok).map((c) => c.check);

describe("the check", () => {
  it("tells what is set and what is missing, and keeps who our bot is", async () => {
    const found = await checkPlatform(edge.DB, runtimeWith(), "slack", "main");
    expect(found).toMatchObject({ state: "ok", bot_id: "U0BOT00001", username: "hermes", missing: [] });
    expect(await row("slack", "main")).toMatchObject({ bot_ref: "B0BOT00001", state: "ok" });
    const thin = await checkPlatform(
      edge.DB,
      runtimeWith({ REVEILLE_SLACK_BOT_TOKEN__THIN: "xoxb-thin" }),
      "slack",
      "thin",
    );
    expect([thin.state, bad(thin)]).toEqual(["unset", ["scopes"]]);
    expect(thin.checks.find((c) => c.check === "scopes")!.detail).toContain("im:history");
  });

  it("of a refused or silent platform keeps what was known", async () => {
    await checkPlatform(edge.DB, runtimeWith(), "slack", "kept");
    const refused = await checkPlatform(
      edge.DB,
      runtimeWith({ REVEILLE_SLACK_BOT_TOKEN: "xoxb-refused" }),
      "slack",
      "kept",
    );
    expect([refused.state, refused.bot_id]).toEqual(["refused", "U0BOT00001"]);
    let wall = Date.now();
    const gone = { REVEILLE_WHATSAPP_API_URL: "http://127.0.0.1:1" };
    const rt = runtimeWith(gone);
    const soon = { ...rt, clock: { ...rt.clock, wall: () => (wall += 3_000) } };
    expect((await checkPlatform(edge.DB, soon, "whatsapp", "kept")).state).toBe("unreachable");
  });

  it.each(["whatsapp", "sms"] as const)("%s: tells a refused credential from a good one", async (platform) => {
    const vars = { REVEILLE_WHATSAPP_APP_SECRET: "s".repeat(32), REVEILLE_WHATSAPP_VERIFY_TOKEN: "tok123" };
    const good = await checkPlatform(edge.DB, runtimeWith(vars), platform, "main");
    expect([good.state, bad(good)]).toEqual(["ok", []]);
    const wrong = {
      ...vars,
      REVEILLE_WHATSAPP_ACCESS_TOKEN: "refused-token",
      REVEILLE_TWILIO_AUTH_TOKEN: "refused-token",
    };
    expect((await checkPlatform(edge.DB, runtimeWith(wrong), platform, "main")).state).toBe("refused");
  });

  it("no secret of ours is in what is kept or told", async () => {
    const { json } = await api("POST", "/platforms/telegram/check", { app: "leak" });
    const kept = await row("telegram", "leak");
    for (const text of [JSON.stringify(json), JSON.stringify(kept)])
      expect(text).not.toMatch(/test-telegram-bot-token|tg_Test-Secret/);
  });
});

describe("the API", () => {
  it("lists every platform with its webhooks, and checks one", async () => {
    const { json } = await api<{ items: { platform: string; app: string; webhooks: string[]; missing: string[] }[] }>(
      "GET",
      "/platforms",
    );
    const main = json.items.filter((p) => p.app === "main");
    expect(main.map((p) => p.platform)).toEqual(["slack", "discord", "telegram", "whatsapp", "sms"]);
    expect(main[1]).toMatchObject({
      webhooks: [
        "http://reveille.test/webhooks/discord/main/interactions",
        "http://reveille.test/webhooks/discord/main/events",
      ],
      missing: ["REVEILLE_DISCORD_PUBLIC_KEY"],
    });
    const checked = await api("POST", "/platforms/telegram/check");
    expect(checked).toMatchObject({ status: 200, json: { app: "main", username: "Hermes7000001Bot" } });
    expect((await api("POST", "/platforms/irc/check")).status).toBe(400);
    expect((await api("POST", "/platforms/slack/check", { app: "../x" })).status).toBe(400);
    expect(await api("POST", "/platforms/slack/connect")).toMatchObject({
      status: 400,
      json: { error: { code: "by_hand" } },
    });
  });
});

describe("telegram", () => {
  it("connect sets the webhook with its secret and loses nothing that waits; then the check is content", async () => {
    const n = 8_100_000 + unique();
    const rt = runtimeWith({ REVEILLE_TELEGRAM_BOT_TOKEN: `${n}:token-of-this-test` });
    expect(bad(await checkPlatform(edge.DB, rt, "telegram", "main"))).toEqual(["webhook"]);
    const { platform } = await connectPlatform(edge.DB, rt, "telegram", "main", "test");
    expect([platform.state, bad(platform)]).toEqual(["ok", []]);
    expect((await seen()).webhooks[n]).toMatchObject({
      url: "http://reveille.test/webhooks/telegram/main",
      drop_pending_updates: false,
      allowed_updates: expect.arrayContaining(["message", "callback_query"]),
    });
    await expect(
      connectPlatform(edge.DB, runtimeWith({ REVEILLE_TELEGRAM_SECRET_TOKEN: "" }), "telegram", "main", "test"),
    ).rejects.toThrow("REVEILLE_TELEGRAM_SECRET_TOKEN");
  });

  it("the first update of an app that nobody checked makes its name known, once", async () => {
    const home = await makeHome();
    expect((await telegram(telegramMessage(home), { app: "lazy" })).status).toBe(200);
    expect(await row("telegram", "lazy")).toMatchObject({ bot_id: "7000001", username: "Hermes7000001Bot" });
    await edge.DB.prepare("DELETE FROM platform_app WHERE app = 'lazy'").run();
    await telegram(telegramMessage(home), { app: "lazy" });
    expect(await row("telegram", "lazy")).toBeNull();
  });
});

describe("discord's commands", () => {
  const app = () => `12000000000000${String(10_000 + unique())}`;
  const vars = (id: string) => ({
    REVEILLE_DISCORD_APPLICATION_ID: id,
    REVEILLE_DISCORD_BOT_TOKEN: `token-${id}`,
    REVEILLE_DISCORD_PUBLIC_KEY: "d14cec5c1df8025a157d440f28b248029e62dbf1ef84de095d3c872c049cdd5f",
  });
  const names = async (id: string) => ((await seen()).commands[id] ?? []).map((c) => c.name).sort();
  const noted = (id: string) =>
    edge.DB.prepare("SELECT * FROM discord_manifest WHERE bot_id = ?").bind(id).first<Record<string, string>>();

  it("connect registers /link and /ask; the check misses nothing then", async () => {
    const id = app();
    const rt = runtimeWith(vars(id));
    expect(bad(await checkPlatform(edge.DB, rt, "discord", "main"))).toEqual(["/link"]);
    const { platform } = await connectPlatform(edge.DB, rt, "discord", "main", "test");
    expect([platform.state, platform.bot_id, await names(id)]).toEqual(["ok", id, ["ask", "link"]]);
    const other = runtimeWith({ ...vars(id), REVEILLE_DISCORD_APPLICATION_ID: app() });
    expect(bad(await checkPlatform(edge.DB, other, "discord", "main"))).toContain("application id");
  });

  it("a greeting is answered at once; its manifest is registered by the minute task, beside /link", async () => {
    const id = app();
    const m = await newGateway(await newTenant(), undefined, { identities: [{ platform: "discord", bot_id: "" }] });
    const g = gateway(m, { identities: [{ platform: "discord", botId: "" }] });
    await g.connect();
    const manifest = [
      {
        name: "status",
        description: "How is it?",
        options: [{ type: 3, name: "what", description: "Which", required: false }],
      },
      { name: "Not A Name", description: "dropped" },
      { name: "link", description: "not theirs to take" },
      { name: "status", description: "twice" },
      { name: "bare" },
      "junk",
    ];
    g.send({ type: "hello", platform: "discord", botId: "", command_manifest: manifest });
    await expect.poll(() => noted("")).toMatchObject({ registered_hash: "" });
    await edge.DB.prepare("UPDATE discord_manifest SET bot_id = ? WHERE bot_id = ''").bind(id).run();

    const rt = runtimeWith(vars(id));
    const deps = { db: edge.DB, runtime: rt };
    await registerManifests(deps);
    expect(await names(id)).toEqual(["bare", "link", "status"]);
    await registerManifests(deps);
    expect((await seen()).puts[id]).toBe(1);
  });

  it("what is the same is not written, what differs not before a minute is over, and the newest wins", async () => {
    const id = app();
    let wall = Date.now();
    const rt = runtimeWith(vars(id));
    const deps = { db: edge.DB, runtime: { ...rt, clock: { ...rt.clock, wall: () => wall } } };
    const { noteManifest } = await import("../../src/gateway");
    const [one, two, three] = ["one", "two", "three"].map((name) => [{ name, description: name }]);
    await noteManifest(deps, id, one!);
    await registerManifests(deps);
    await noteManifest(deps, id, two!);
    await noteManifest(deps, id, three!);
    await registerManifests(deps);
    expect(await names(id)).toEqual(["link", "one"]);
    wall += 60_000;
    await Promise.all([registerManifests(deps), registerManifests(deps)]);
    expect([await names(id), (await seen()).puts[id]]).toEqual([["link", "three"], 2]);
    // Noted anew after another one was wanted meanwhile: Discord has it already.
    await noteManifest(deps, id, one!);
    await noteManifest(deps, id, three!);
    wall += 60_000;
    await registerManifests(deps);
    expect((await seen()).puts[id]).toBe(2);
  });

  it("a refusal is kept as words, tried again after a minute, and harms nothing else", async () => {
    const id = app();
    let wall = Date.now();
    const rt = runtimeWith(vars(id));
    const deps = { db: edge.DB, runtime: { ...rt, clock: { ...rt.clock, wall: () => wall } } };
    const { noteManifest } = await import("../../src/gateway");
    await noteManifest(deps, id, [{ name: "refuse", description: "x" }]);
    await registerManifests(deps);
    expect((await noted(id))!["error"]).toContain("Invalid Form Body");
    await noteManifest(deps, "1999999999999999999", [{ name: "foreign", description: "x" }]);
    wall += 60_000;
    await noteManifest(deps, id, [{ name: "fine", description: "x" }]);
    await registerManifests(deps);
    const now = [await noted("1999999999999999999"), (await noted(id))!["error"], await names(id)];
    expect(now).toEqual([null, null, ["fine", "link"]]);
  });

  it("a gateway that may not front Discord changes nothing", async () => {
    const m = await made(["slack"]);
    const g = gateway(m);
    await g.connect();
    const count = () => edge.DB.prepare("SELECT COUNT(*) AS n FROM discord_manifest").first<{ n: number }>();
    const before = (await count())!.n;
    g.send({ type: "hello", platform: "discord", botId: "", command_manifest: [{ name: "evil", description: "x" }] });
    await g.until("the greeting was answered", () => g.descriptors.length > 1);
    expect((await count())!.n).toBe(before);
  });
});
