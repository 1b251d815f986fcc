import fc from "fast-check";
import { expect, it } from "vitest";
import {
  checkWakeUrl,
  composeFrame,
  type Descriptor,
  descriptorOf,
  formatBufferId,
  frameText,
  greet,
  mergeAlbum,
  mintToken,
  newTag,
  pokeDue,
  readBufferId,
  readFrame,
  readToken,
  receiveLines,
  type StoredEvent,
  speaker,
  verifyToken,
} from "../../src/gateway";
import type { GatewayRecord } from "../../src/gateway/gateways.store";
import { parseAllowList } from "../../src/kernel/net-guard";
import type { MessageEvent } from "../../src/platform";

/** What crosses the socket, alone: tokens, frames, descriptors, ids (hermes-relay §1-§3). */

const record = (more: Partial<GatewayRecord> = {}): GatewayRecord => ({
  gateway_id: "gw:with:colons",
  tenant: "t",
  instance: "i",
  identities: [["slack", "B1"]],
  secrets: [
    { secret: "new-secret", created_at: 20, retire_at: null },
    { secret: "ab".repeat(32), created_at: 10, retire_at: 1_000 },
  ],
  ...more,
});
const judge = (authorization: string | null, o: { now?: number; nowS?: number; record?: GatewayRecord | null } = {}) =>
  verifyToken(authorization, o.nowS ?? 1_000, o.now ?? 500, async (id) =>
    o.record === undefined ? (id === "gw:with:colons" ? record() : null) : o.record,
  );
const bearer = async (secret: string, exp = 1_300, id = "gw:with:colons") =>
  `Bearer ${await mintToken(id, secret, exp)}`;

it("the token of the contract, byte for byte", async () => {
  // HMAC-SHA256("s", "g:0"), computed outside.
  const token = await mintToken("g", "s", 0);
  expect(atob(token.replaceAll("-", "+").replaceAll("_", "/"))).toBe(
    "g:0:a2fde96f23f8273ac66197bca43fb324b2d0a554ae41856c39caa78d5c053d4b",
  );
  expect(readToken(`Bearer ${token}`)).toMatchObject({ id: "g", exp: "0" });
});

it("a good token names its record; an id may hold colons, padding may be there", async () => {
  const good = await bearer("new-secret");
  expect(await judge(good)).toMatchObject({ ok: true, proved_at: 20, identity: { tenant: "t", instance: "i" } });
  const padded = `${good}${"=".repeat((4 - ((good.length - 7) % 4)) % 4)}`;
  expect(await judge(padded)).toMatchObject({ ok: true });
  expect(await judge(good.replace("Bearer", "bEARER"))).toMatchObject({ ok: true });
  expect(await judge(await bearer("new-secret", 0), { nowS: 9e9 })).toMatchObject({ ok: true });
});

it("two secrets live at once; a retired one is dead; hex is used as text", async () => {
  const old = await bearer("ab".repeat(32));
  expect(await judge(old)).toMatchObject({ ok: true, proved_at: 10 });
  expect(await judge(old, { now: 1_000 })).toEqual({ ok: false, why: "unauthorized" });
});

it("expiry is told only to a good signature, with 30 s for a slow clock", async () => {
  const late = await bearer("new-secret", 1_000);
  expect(await judge(late, { nowS: 1_030 })).toMatchObject({ ok: true });
  expect(await judge(late, { nowS: 1_031 })).toEqual({ ok: false, why: "expired" });
  expect(await judge(await bearer("wrong", 1_000), { nowS: 1_031 })).toEqual({ ok: false, why: "unauthorized" });
});

it("what is no token is refused", async () => {
  const good = (await bearer("new-secret")).slice(7);
  const b64 = (text: string): string => btoa(text).replaceAll("=", "");
  const sig = "0".repeat(64);
  const bad = [
    null,
    "",
    "Bearer",
    "Bearer ",
    good,
    `Basic ${good}`,
    `Bearer ${good} x`,
    `Bearer ${good.slice(0, -4)}`,
    `Bearer ${good.replace(/.$/, (c) => (c === "A" ? "B" : "A"))}x`,
    `Bearer ${"A".repeat(5_000)}`,
    "Bearer !!!!",
    `Bearer ${b64(`gw:with:colons:1300:${sig.toUpperCase().replaceAll("0", "A")}`)}`,
    `Bearer ${b64(`gw:with:colons:13e2:${sig}`)}`,
    `Bearer ${b64(`gw:with:colons:-1:${sig}`)}`,
    `Bearer ${b64(`:1300:${sig}`)}`,
    `Bearer ${b64(`\xff\xfe:1300:${sig}`)}`,
    `Bearer ${b64(`gw:with:colons:1300:${sig}`)}`,
  ];
  for (const text of bad) expect(await judge(text), String(text)).toEqual({ ok: false, why: "unauthorized" });
  expect(await judge(await bearer("new-secret"), { record: null })).toEqual({ ok: false, why: "unauthorized" });
  // The received text of exp is what was signed, not its number.
  const swapped = atob((await bearer("new-secret", 1_300)).slice(7).replaceAll("-", "+").replaceAll("_", "/")).replace(
    ":1300:",
    ":01300:",
  );
  expect(await judge(`Bearer ${b64(swapped)}`)).toEqual({ ok: false, why: "unauthorized" });
});

const lines = fc.array(
  fc.string({ unit: "grapheme", maxLength: 40 }).map((s) => s.replaceAll("\n", "").trim()),
  { maxLength: 8 },
);

it("frames come whole however they are cut, as text or bytes", () => {
  fc.assert(
    fc.property(lines, fc.array(fc.nat(200), { maxLength: 6 }), fc.boolean(), (given, cuts, binary) => {
      const bytes = new TextEncoder().encode(given.map((l) => `${l}\n`).join(""));
      const at = [...new Set(cuts.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
      const got: (string | null)[] = [];
      let rest: Uint8Array = new Uint8Array();
      for (const [i, from] of [0, ...at].entries()) {
        const piece = bytes.slice(from, at[i] ?? bytes.length);
        const text = new TextDecoder().decode(piece);
        // A cut inside a character can only be sent as bytes.
        const data = binary || text.includes("\uFFFD") || text.startsWith("\uFEFF") ? piece.buffer : text;
        const read = receiveLines(rest, data as string | ArrayBuffer);
        got.push(...read.lines);
        rest = read.rest;
      }
      expect(got).toEqual(given.filter((l) => l.trim() !== ""));
      expect(rest.length).toBe(0);
    }),
  );
});

it("a frame over 1 MiB is refused, whole or in parts; bad UTF-8 is one bad line", () => {
  const big = "x".repeat(1024 * 1024 + 1);
  expect(receiveLines(new Uint8Array(), `${big}\n`).oversize).toBe(true);
  expect(receiveLines(new Uint8Array(), big).oversize).toBe(true);
  expect(receiveLines(new TextEncoder().encode(big.slice(2)), "yyyy").oversize).toBe(true);
  expect(receiveLines(new Uint8Array(), `${big.slice(1)}\n`).oversize).toBe(false);
  const bad = receiveLines(new Uint8Array(), new Uint8Array([0xff, 10, 0x61, 10]).buffer);
  expect(bad.lines).toEqual([null, "a"]);
});

it("frames are read by their schema; what is unknown is left out, a bad op is answered", () => {
  const read = (v: unknown) => readFrame(JSON.stringify(v));
  expect(read({ type: "hello", platform: "slack", botId: "B", extra: 1 })).toMatchObject({ frame: { type: "hello" } });
  expect(read({ type: "hello", platform: "slack", botId: "", command_manifest: "junk" })).toMatchObject({ frame: {} });
  expect(read({ type: "outbound", requestId: "r", action: { op: "send", more: { x: 1 } } })).toMatchObject({
    frame: { action: { op: "send", more: { x: 1 } } },
  });
  expect(read({ type: "outbound", requestId: "r", action: {} })).toEqual({ refuse: "r" });
  expect(read({ type: "outbound", action: { op: "send" } })).toEqual({ ignored: "bad outbound" });
  expect(read({ type: "nope" })).toEqual({ ignored: "unknown type" });
  expect(read({ type: "toString" })).toEqual({ ignored: "unknown type" });
  for (const junk of ["", "{", "[]", "null", "1", '"x"']) expect(readFrame(junk)).toHaveProperty("ignored");
  expect(readFrame(null)).toEqual({ ignored: "malformed" });
});

const event = (text: string, more: Partial<MessageEvent> = {}): MessageEvent => ({
  text,
  message_type: "text",
  message_id: "m",
  reply_to_message_id: null,
  media_urls: [],
  media: [],
  source: {
    platform: "telegram",
    chat_id: "1",
    chat_type: "dm",
    chat_name: null,
    user_id: "1",
    user_name: null,
    thread_id: null,
    chat_topic: null,
    is_bot: false,
    message_is_edit: false,
  },
  ...more,
});
const stored = (e: MessageEvent, more: Partial<StoredEvent> = {}): StoredEvent => ({
  platform: "telegram",
  app: "app",
  event: e,
  media: [],
  album: null,
  passthrough: null,
  received_at: 0,
  ...more,
});

it("every frame ends with one newline and holds no other line end of any kind", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const frame = composeFrame(stored(event(text)), event(text), "B")!;
      const line = frameText(frame)!;
      expect(line.endsWith("\n")).toBe(true);
      expect(line.slice(0, -1)).not.toMatch(/[\n\r\u0085\u2028\u2029]/);
      expect((JSON.parse(line) as { event: MessageEvent }).event.text).toBe(
        text.toWellFormed() === text ? text : expect.any(String),
      );
    }),
    { numRuns: 50 },
  );
});

it("no frame is larger than 900 KiB; a text is cut, a passthrough that can't be is left out", () => {
  const size = (s: string | null): number => new TextEncoder().encode(s!).length;
  const long = "\u0001".repeat(400_000);
  const cut = composeFrame(stored(event(long)), event(long), "B")!;
  expect(size(frameText(cut))).toBeLessThanOrEqual(900 * 1024);
  expect(JSON.stringify(cut)).toContain("[cut: the message was larger than a gateway takes]");
  const passthrough = {
    platform: "discord" as const,
    botId: "",
    method: "POST",
    path: "/",
    headers: [],
    bodyB64: "A".repeat(1_000_000),
  };
  expect(composeFrame(stored(event(""), { passthrough }), event(""), "B")).toBeNull();
});

it("an album is one event: its first text, all its pictures, the first message's id", () => {
  const media = (ref: string) => ({
    ref,
    kind: "image" as const,
    mime: null,
    size: null,
    filename: null,
    caption: null,
  });
  const merged = mergeAlbum([
    stored(event("", { message_id: "1" }), { album: "a", media: [media("x")] }),
    stored(event("see", { message_id: "2" }), { album: "a", media: [media("y")] }),
  ]);
  expect(merged.event).toMatchObject({ message_id: "1", text: "see" });
  expect(merged.media.map((m) => m.ref)).toEqual(["x", "y"]);
});

const REQUIRED: (keyof Descriptor)[] = [
  "contract_version",
  "platform",
  "label",
  "max_message_length",
  "supports_draft_streaming",
  "supports_edit",
  "supports_threads",
  "markdown_dialect",
  "len_unit",
];
it.each(["slack", "discord", "telegram", "whatsapp", "sms", "relay", "nobody-knows", "__proto__"])(
  "descriptor of %s is whole",
  (platform) => {
    const d = descriptorOf(platform, ["send", "edit"]);
    for (const field of REQUIRED) expect(d[field], field).toBeDefined();
    expect(d).toMatchObject({
      contract_version: 1,
      platform,
      supports_draft_streaming: false,
      supported_ops: ["send", "edit"],
    });
    expect(d.max_message_length).toBeGreaterThan(0);
  },
);
it("limits are those of the platforms", () => {
  expect(descriptorOf("slack", []).max_message_length).toBe(39_000);
  expect(descriptorOf("discord", []).max_message_length).toBe(2_000);
  expect(descriptorOf("telegram", [])).toMatchObject({ max_message_length: 4_096, len_unit: "utf16", pii_safe: true });
  expect(descriptorOf("slack", []).supported_ops.length).toBeGreaterThan(0);
  expect(descriptorOf("slack", []).supports_edit).toBe(false);
});

it("a greeting is no authority, and an op speaks for what was provisioned alone", () => {
  const have = [
    ["slack", "B1"],
    ["telegram", ""],
  ] as const;
  expect(greet(have, "slack", "B1").usable).toEqual([["slack", "B1"]]);
  expect(greet(have, "slack", "").usable).toEqual([["slack", "B1"]]);
  expect(greet(have, "slack", "B2").usable).toEqual([]);
  expect(greet(have, "discord", "B1")).toEqual({ platform: "discord", usable: [] });
  expect(greet(have, "telegram", "any").usable).toHaveLength(1);
  expect(greet(have, "relay", "")).toEqual({ platform: "slack", usable: [...have] });
  expect(greet([], "relay", "")).toEqual({ platform: "relay", usable: [] });
  expect(speaker(have, ["telegram", ""], null, null)).toEqual(["telegram", ""]);
  expect(speaker(have, ["discord", "B1"], null, null)).toBeNull();
  expect(speaker(have, ["slack", "B1"], "slack", "B9")).toBeNull();
  expect(speaker(have, ["slack", "B1"], "discord", "B1")).toBeNull();
  expect(speaker(have, ["relay", ""], undefined, undefined)).toEqual(["slack", "B1"]);
});

it("a bufferId names a row of its own buffer alone, and sorts as events do", () => {
  const tag = newTag();
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
      const [x, y] = [formatBufferId(tag, a), formatBufferId(tag, b)];
      expect(readBufferId(tag, x)).toBe(a);
      expect(readBufferId(newTag(), x)).toBeNull();
      expect(x < y).toBe(a < b);
    }),
  );
  for (const junk of ["", "x", tag, `${tag}00000000000l`, `${tag}ZZZZZZZZZZZZ`, `${tag}0000000000000`])
    expect(readBufferId(tag, junk)).toBeNull();
});

it("pokes: at once, then after 1, 2, 4, 8 and 15 min; never while somebody listens", () => {
  const at = (last: { at: number; tries: number } | null, more = {}) =>
    pokeDue(last, { waiting: true, live: false, alone: 0, now: 1_000_000, ...more });
  expect(at(null)).toBe(1_000_000);
  expect(at(null, { waiting: false })).toBeNull();
  expect(at(null, { live: true })).toBeNull();
  expect(at(null, { alone: 999_000 })).toBe(1_004_000);
  const waits = [1, 2, 3, 4, 5, 6].map((tries) => (at({ at: 1_000_000, tries })! - 1_000_000) / 60_000);
  expect(waits).toEqual([1, 2, 4, 8, 15, 15]);
});

it("wake URLs: https, no credentials, nothing private unless the operator allowed it", () => {
  const ok = (url: string, allow = ""): boolean => {
    try {
      checkWakeUrl(url, parseAllowList(allow));
      return true;
    } catch {
      return false;
    }
  };
  expect(ok("https://example.com/wake")).toBe(true);
  for (const bad of [
    "http://example.com/",
    "https://u:p@example.com/",
    "ftp://example.com/",
    "https://10.0.0.1/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://169.254.169.254/latest",
    "https://0x7f.1/",
    "https://localhost/",
    "https://x.internal/",
    "nonsense",
  ])
    expect(ok(bad), bad).toBe(false);
  expect(ok("http://127.0.0.1:9000/", "127.0.0.1:*")).toBe(true);
  expect(ok("http://example.com/", "example.com")).toBe(false);
});
