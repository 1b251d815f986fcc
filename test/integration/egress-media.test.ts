import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { gatewayObject } from "../../durable-objects/gateway.stub";
import { MAX_MEDIA, readMedia, storeMedia, sweepMedia } from "../../src/gateway";
import type { MediaRef, PlatformName } from "../../src/platform";
import type { Ledger } from "../support/platforms.types";
import { BASE, runtime, send, upgradeToken } from "./connector-kit";
import { edge, gateway, type Json, type Made, made, offerOf, stopAll } from "./gateway-kit";

/** Proves files both ways: /relay/media, re-hosting at the drain, and `send_media` (hermes-relay §5.4, §6.4, §8). */

const url = inject("platformsUrl");
const control = (change: Record<string, unknown>) =>
  fetch(`${url}/_control`, { method: "POST", body: JSON.stringify(change) }).then((r) => r.text());
const ledger = async (): Promise<Ledger> => (await fetch(`${url}/_ledger`)).json();

beforeEach(() => control({ reset: true }));
afterEach(stopAll);

let calls = 0;
const call = async (m: Made, path: string, init: RequestInit = {}): Promise<Response> => {
  const { exports } = await import("cloudflare:workers");
  const headers = new Headers(init.headers);
  headers.set("cf-connecting-ip", `10.77.0.${calls++ & 255}`);
  if (!headers.has("authorization")) headers.set("authorization", `Bearer ${await upgradeToken(m.id, m.secret)}`);
  return exports.default.fetch(new Request(path.startsWith("http") ? path : BASE + path, { ...init, headers }));
};

/** A body of unknown length, made as it is read. */
const streamed = (bytes: number): ReadableStream<Uint8Array> => {
  let left = bytes;
  return new ReadableStream({
    pull: (c) => {
      const n = Math.min(left, 1 << 20);
      if (n > 0) c.enqueue(new Uint8Array(n).fill(7));
      left -= n;
      if (left === 0) c.close();
    },
  });
};

describe("/relay/media", () => {
  it("keeps a file and gives it to any live gateway, with what a client needs", async () => {
    const m = await made();
    const up = await call(m, "/relay/media", {
      method: "POST",
      body: "hello",
      headers: { "content-type": "text/plain", "x-media-filename": encodeURIComponent("größe.txt") },
    });
    expect(up.status).toBe(200);
    const { id, size } = (await up.json()) as { id: string; size: number };
    expect([size, id]).toEqual([5, expect.stringMatching(/^[0-9a-f]{32}$/)]);
    const down = await call(await made(), `/relay/media/${id}`);
    expect(await down.text()).toBe("hello");
    expect(Object.fromEntries(down.headers)).toMatchObject({
      "content-type": "text/plain",
      "content-length": "5",
      "content-disposition": "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt",
      "x-content-type-options": "nosniff",
    });
  });

  it("refuses the empty, the too large with and without a length, and who has no token", async () => {
    const m = await made();
    const post = (init: RequestInit) => call(m, "/relay/media", { method: "POST", ...init });
    expect((await post({ body: "" })).status).toBe(400);
    expect((await post({ body: streamed(MAX_MEDIA + 1) })).status).toBe(413);
    expect((await post({ body: "x", headers: { "content-length": String(MAX_MEDIA + 1) } })).status).toBe(413);
    expect((await post({ body: "x", headers: { authorization: "Bearer x" } })).status).toBe(401);
    expect((await call(m, `/relay/media/${"0".repeat(32)}`)).status).toBe(404);
    expect((await call(m, "/relay/media/..%2Fsecret")).status).toBe(404);
    expect((await send("/relay/media", { method: "PUT" })).status).toBe(405);
    const listed = await edge.MEDIA.list({ prefix: "relay/" });
    expect(listed.objects.some((o) => o.size > 5 * 1024 * 1024)).toBe(false);
  });

  it("takes all of 25 MiB in parts, and forgets a file after its hour", async () => {
    const now = runtime.clock.now();
    const kept = await storeMedia(edge.MEDIA, streamed(MAX_MEDIA), { mime: null, filename: null }, now);
    if (typeof kept === "string") throw new Error(kept);
    expect(kept.size).toBe(MAX_MEDIA);
    const found = await readMedia(edge.MEDIA, kept.id, now + 3_599_000);
    expect(found?.size).toBe(MAX_MEDIA);
    await found?.body.cancel();
    expect(await readMedia(edge.MEDIA, kept.id, now + 3_600_000)).toBeNull();
    expect(await sweepMedia(edge.MEDIA, now + 3_590_000)).toBe(0);
    expect(await sweepMedia(edge.MEDIA, now + 3_600_001)).toBeGreaterThan(0);
    expect(await edge.MEDIA.head(`relay/${kept.id}`)).toBeNull();
  });
});

const ref = (to: string, more: Partial<MediaRef> = {}): MediaRef => ({
  ref: to,
  kind: "document",
  mime: "text/plain",
  size: null,
  filename: "notes.txt",
  caption: null,
  ...more,
});

/** The event as the gateway gets it. */
async function delivered(platform: PlatformName, media: MediaRef[]): Promise<{ event: Json; m: Made; line: string }> {
  const m = await made(["slack", "telegram", "discord", "whatsapp", "sms"]);
  await gatewayObject(edge.GATEWAY, m.to).offer(offerOf(m.to, "look", { platform, chat: "D1", stored: { media } }));
  const g = gateway(m, { identities: [{ platform, botId: `B-${platform}` }] });
  await g.connect();
  await g.until("the event", () => g.handled.length > 0);
  return { event: g.handled[0]!.frame["event"] as Json, m, line: JSON.stringify(g.handled) };
}

describe("files of events", () => {
  it("are fetched with the platform's credential and re-hosted on the host that was dialled", async () => {
    const cases: [PlatformName, string][] = [
      ["slack", `${url}/slack/files/notes.txt`],
      ["slack", "slack-file:FCONNECT"],
      ["telegram", "notes"],
      ["discord", `${url}/discord/../files/notes.txt`],
      ["whatsapp", "notes"],
    ];
    for (const [platform, to] of cases) {
      const { event, m, line } = await delivered(platform, [ref(to)]);
      const item = (event["media"] as Json[])[0]!;
      expect(item, `${platform} ${JSON.stringify(event)}`).toMatchObject({
        kind: "document",
        mime: "text/plain",
        filename: "notes.txt",
      });
      expect(event["media_urls"]).toEqual([item["url"]]);
      expect(String(item["url"])).toMatch(/^http:\/\/reveille\.test\/relay\/media\/[0-9a-f]{32}$/);
      expect(await (await call(m, String(item["url"]))).text(), platform).toMatch(/^content of /);
      for (const secret of [
        "REVEILLE_SLACK_BOT_TOKEN",
        "REVEILLE_TELEGRAM_BOT_TOKEN",
        "REVEILLE_WHATSAPP_ACCESS_TOKEN",
      ])
        expect(line).not.toContain((env as unknown as Record<string, string>)[secret]);
    }
  });

  it("that can't be had are named in the text, and the message still goes", async () => {
    const cases: [PlatformName, MediaRef, RegExp][] = [
      ["slack", ref(`${url}/slack/files/big-26.txt`), /notes\.txt is missing: it is larger than 25 MiB/],
      ["slack", ref("https://files.slack.com/x", { size: MAX_MEDIA + 1 }), /larger than 25 MiB/],
      ["slack", ref(`${url}/slack/files/missing.txt`), /HTTP 404/],
      ["slack", ref(`${url}/slack/files/signin.txt`), /needs the scope files:read/],
      ["slack", ref("https://evil.example/steal"), /not stored at Slack/],
      ["telegram", ref("too-big", { filename: null, kind: "video" }), /video is missing: file is too big/],
    ];
    for (const [platform, media, words] of cases) {
      const { event } = await delivered(platform, [media]);
      expect(event["text"]).toMatch(/^look\n\[/);
      expect(event["text"]).toMatch(words);
      expect(event["media_urls"]).toEqual([]);
    }
  });
});

describe("send_media", () => {
  const CHATS = { slack: "D300", telegram: "300", discord: "300300", whatsapp: "49300" } as const;

  async function sender() {
    const m = await made(Object.keys(CHATS));
    await edge.DB.prepare("INSERT OR REPLACE INTO scope_route VALUES ('slack', 'T100', ?, 'test', 1)")
      .bind(m.to.tenant)
      .run();
    for (const [platform, chat] of Object.entries(CHATS))
      await gatewayObject(edge.GATEWAY, m.to).offer(offerOf(m.to, "hi", { platform: platform as PlatformName, chat }));
    const g = gateway(m, { identities: Object.keys(CHATS).map((platform) => ({ platform, botId: `B-${platform}` })) });
    await g.connect();
    const op = (platform: keyof typeof CHATS, more: Json) =>
      g.outbound(
        {
          op: "send_media",
          chat_id: CHATS[platform],
          media_kind: "document",
          content: "see **this**",
          metadata: {},
          ...more,
        },
        { platform, botId: `B-${platform}` },
      );
    return { m, op };
  }

  it("sends its own upload and an outside file, with the caption in the platform's markup", async () => {
    const { m, op } = await sender();
    const up = await call(m, "/relay/media", {
      method: "POST",
      body: "PDF!",
      headers: { "content-type": "application/pdf", "x-media-filename": "r.pdf" },
    });
    const { id } = (await up.json()) as { id: string };
    for (const source_url of [`${BASE}/relay/media/${id}`, `${url}/files/r.png`])
      for (const p of Object.keys(CHATS) as (keyof typeof CHATS)[])
        expect(
          await op(p, { source_url, media_kind: source_url.endsWith("png") ? "image" : "document" }),
          p,
        ).toMatchObject({
          success: true,
          message_id: expect.any(String),
        });
    const { posted } = await ledger();
    expect(posted.filter((x) => x.file).map((x) => [x.platform, x.file!.name, x.file!.type, x.file!.size])).toEqual([
      ["slack", "r.pdf", "", 4],
      ["telegram", "r.pdf", "application/pdf", 4],
      ["discord", "r.pdf", "application/pdf", 4],
      ["slack", "r.png", "", 16],
      ["telegram", "r.png", "image/png", 16],
      ["discord", "r.png", "image/png", 16],
    ]);
    expect(posted[0]!.body["initial_comment"]).toBe("see *this*");
    expect(posted.find((x) => x.platform === "telegram")!.body).toMatchObject({
      method: "sendDocument",
      caption: "see this",
    });
    expect(posted.find((x) => x.platform === "whatsapp")!.body).toMatchObject({
      type: "document",
      document: { caption: "see *this*", filename: "r.pdf" },
    });
  });

  it("refuses what may not be fetched, is too large or gone, and calls no platform for it", async () => {
    const { op } = await sender();
    for (const [source_url, error_code] of [
      ["file:///etc/passwd", "bad_url"],
      ["http://169.254.169.254/latest/meta-data", "bad_url"],
      ["http://10.0.0.1/x", "bad_url"],
      [`${url}/files/big-26.bin`, "file_too_large"],
      [`${url}/files/missing.txt`, "file_not_found"],
      [`${BASE}/relay/media/${"0".repeat(32)}`, "file_not_found"],
    ])
      expect(await op("telegram", { source_url }), source_url).toMatchObject({ success: false, error_code });
    expect((await ledger()).calls.filter((c) => c.platform === "telegram")).toEqual([]);
  });
});
