import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../src/edge";
import type { EdgeEnv } from "../../src/edge/env";
import { ingest } from "../../src/edge/ingest";
import { type Destination, forgetFacts, type KeySource, sessionKeyAliases } from "../../src/gateway";
import { runtimeOf } from "../../src/kernel/runtime";
import { ADAPTORS, STRIP_RULES, type StripRule } from "../../src/platform";
import { BASE, OPERATOR } from "./connector-kit";
import { edge, gateway, type Json, type Made, made, type ScriptedGateway, stopAll, stub } from "./gateway-kit";
import { callOf, database, EXTRA, type Fixture, fixtures, forms, objects, planted, search } from "./leak-kit";
import { control, told } from "./vault-kit";

/**
 * A credential never leaves (design §5): canaries at every secret leaf of every fixture, and copies of them in every text of the
 * same payload, through the real route, delivery, egress and vault; then everything that is stored or was sent is searched. Taking any
 * one strip rule away must be noticed. Not proven here: what platforms may add to their payloads.
 */

const logged: string[] = [];
/** To whoever reads the run, past the spies. */
const said = console.log.bind(console);
const queued: string[] = [];

beforeAll(() => {
  for (const level of ["log", "warn", "error", "info", "debug"] as const)
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => void logged.push(parts.map(String).join(" ")));
});
afterAll(() => vi.restoreAllMocks());
beforeEach(() => control({ reset: true }));
afterEach(stopAll);

const recording = <T>(queue: Queue<T>): Queue<T> =>
  new Proxy(queue, {
    get: (target, key) => {
      const value = Reflect.get(target, key) as unknown;
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        queued.push(JSON.stringify(args));
        return (value as (...a: unknown[]) => unknown).apply(target, args);
      };
    },
  });
/** One object: what is built for a set of bindings is built once. */
const bound = {
  ...edge,
  ...EXTRA,
  WAKE_QUEUE: recording(edge.WAKE_QUEUE),
  RUNS_QUEUE: recording(edge.RUNS_QUEUE),
} as EdgeEnv;

/** Through the Worker's own handler, or, with rules of our own, through the pipeline alone. Returns all of the answer. */
async function deliver(f: Fixture, rules?: readonly StripRule[]): Promise<string> {
  const request = await callOf(f);
  if (!request) return "";
  const ctx = createExecutionContext();
  const response = rules
    ? await ingest(
        { env: bound, rt: runtimeOf(bound, "edge"), later: (work) => ctx.waitUntil(work), rules },
        ADAPTORS.find((a) => a.name === f.platform)!,
        { app: "app", tail: f.tail },
        request,
      )
    : await worker.fetch(request as Request<unknown, IncomingRequestCfProperties>, bound, ctx);
  const text = `${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`;
  await waitOnExecutionContext(ctx);
  return text;
}

/** After these nothing of Slack is in a vault. */
const REVOKING = new Set(["slack/tokens-revoked.json", "slack/app-uninstalled.json"]);

/** A new instance to which everybody and everything of the fixtures belongs. */
async function home(): Promise<Made> {
  const m = await made(["slack", "discord", "telegram", "whatsapp", "sms"]);
  const sources = fixtures.flatMap((f) =>
    f.expect.events.map(({ event }) => ({ platform: f.platform, ...event.source })),
  );
  const rows: D1PreparedStatement[] = [];
  const add = (sql: string, ...values: unknown[]): void => void rows.push(edge.DB.prepare(sql).bind(...values));
  const people = new Set(sources.flatMap((s) => (s.user_id ? [JSON.stringify([s.platform, s.user_id])] : [])));
  for (const p of people) {
    const [platform, user] = JSON.parse(p) as [string, string];
    add("DELETE FROM binding WHERE platform = ? AND user_id = ?", platform, user);
    add("INSERT INTO binding VALUES (?, ?, ?, ?, '', 1, ?)", platform, user, m.to.tenant, m.to.instance, Date.now());
  }
  const scopes = new Set(
    sources.flatMap((s) => [s.scope_id, s.chat_id, "bot:app"].map((x) => JSON.stringify([s.platform, x]))),
  );
  for (const s of scopes) {
    const [platform, scope] = JSON.parse(s) as [string, string | null];
    if (scope)
      add("INSERT OR REPLACE INTO scope_route VALUES (?, ?, ?, 'test', ?)", platform, scope, m.to.tenant, Date.now());
  }
  await edge.DB.batch(rows);
  forgetFacts(edge.DB);
  return m;
}

async function connected(m: Made): Promise<ScriptedGateway> {
  const identities = ["slack", "discord", "telegram"].map((p) => ({ platform: p, botId: `B-${p}` }));
  const g = gateway(m, { identities, secondMs: 300 });
  await g.connect();
  return g;
}

const quiet = async (to: Destination): Promise<void> => {
  for (let n = 0; n < 100 && (await stub(to).view()).waiting > 0; n++) await new Promise((r) => setTimeout(r, 20));
};

/** What the gateway says of each event: its credential by name, an answer, and a question nobody may ask. */
async function speak(g: ScriptedGateway, to: Destination): Promise<Json[]> {
  const results: Json[] = [];
  const sources = fixtures.flatMap((f) => f.expect.events.map(({ event }) => event.source as KeySource));
  for (const { platform, chat } of await stub(to).vaulted()) {
    const keys = sources
      .filter((s) => s.platform === platform && s.chat_id === chat)
      .map((s) => sessionKeyAliases(s)[0]!);
    for (const session_key of new Set(keys))
      for (const kind of ["slack.response_url", "discord.interaction_token"])
        results.push(await g.outbound({ op: "follow_up", session_key, kind, content: "hello" }, { platform }));
    results.push(
      await g.outbound({ op: "send", chat_id: chat, content: "hi", reply_to: null, metadata: {} }, { platform }),
    );
  }
  return results;
}

const page = async (path: string): Promise<string> => {
  const request = new Request(BASE + path, { headers: { authorization: `Bearer ${OPERATOR}` } });
  const ctx = createExecutionContext();
  const response = await worker.fetch(request as Request<unknown, IncomingRequestCfProperties>, bound, ctx);
  const text = await response.text();
  await waitOnExecutionContext(ctx);
  return `${response.status} ${text}`;
};

async function everywhere(m: Made, g: ScriptedGateway, more: Record<string, string>): Promise<Record<string, string>> {
  const where = `tenant=${m.to.tenant}&instance=${m.to.instance}`;
  const paths = [
    `/api/v1/vault?${where}`,
    "/api/v1/audit?limit=200",
    "/api/v1/gateways",
    "/api/v1/dead-letters",
    "/api/v1/asks",
    "/",
    "/gateways",
    "/deliveries",
  ];
  const rows = [
    await stub(m.to).deliveries({ limit: 500 }),
    await stub(m.to).dead({ limit: 500 }),
    await stub(m.to).view(),
  ];
  return {
    frames: JSON.stringify(g.frames),
    rows: JSON.stringify(rows),
    database: await database(),
    ...(await objects(m.to)),
    logs: logged.join("\n"),
    queues: queued.join("\n"),
    "told to platforms": JSON.stringify(await told()),
    pages: (await Promise.all(paths.map(page))).join("\n"),
    ...more,
  };
}

describe("a credential", () => {
  it("is in nothing that is stored or leaves", async () => {
    const m = await home();
    const g = await connected(m);
    const answers: string[] = [];
    for (const f of fixtures.filter(({ name }) => !REVOKING.has(name))) answers.push(await deliver(f));
    await quiet(m.to);
    const results = await speak(g, m.to);
    // An event that can't be sent: its capability is given up, so it is a dead letter.
    const dead = fixtures.find((f) => f.name === "slack/slash.json")!;
    const form = { ...dead.form!, trigger_id: "777.1.dead" };
    const held = new Proxy({} as DurableObjectNamespace, {
      get: (_, key) =>
        key === "get"
          ? () => ({ seal: ({ value }: { value: string }) => Promise.reject(new Error(`no vault for ${value}`)) })
          : (...a: unknown[]) =>
              (edge.SESSION as unknown as Record<PropertyKey, (...x: unknown[]) => unknown>)[key]!(...a),
    });
    const request = (await callOf({ ...dead, form }))!;
    const ctx = createExecutionContext();
    const refused = await worker.fetch(
      request as Request<unknown, IncomingRequestCfProperties>,
      { ...bound, SESSION: held },
      ctx,
    );
    expect(refused.status).toBe(500);
    await waitOnExecutionContext(ctx);
    const stuck = (await stub(m.to).deliveries({ limit: 500 })).items.find((d) => d.state === "received");
    await stub(m.to).settle(stuck!.seq, false);
    const places = await everywhere(m, g, { answers: answers.join("\n"), results: JSON.stringify(results) });

    const { found, bytes } = await search(places);
    said(`${found.length} of ${planted()} canaries in ${bytes} bytes`);
    expect(found).toEqual([]);
    // What was searched is what it is taken for: events arrived, credentials were sealed and used, platforms quoted them.
    const handled = [...new Set(g.handled.map((h) => String(h.frame["type"])))].sort();
    expect([g.handled.length > 50, handled]).toEqual([true, ["inbound", "passthrough_forward"]]);
    expect(planted()).toBeGreaterThan(600);
    expect(bytes).toBeGreaterThan(200_000);
    const vaults = Object.entries(places).filter(([name]) => name.startsWith("vault "));
    expect(vaults.length).toBeGreaterThan(5);
    expect(vaults.every(([, text]) => text.includes("v1."))).toBe(true);
    expect(results.filter((r) => r["success"]).length).toBeGreaterThan(5);
    expect(results.some((r) => String(r["error"]).includes("<REDACTED>"))).toBe(true);
    expect(places["frames"]).toContain("REDACTED");
    expect((await stub(m.to).dead({ limit: 10 })).items.length).toBeGreaterThan(0);

    // The platform takes its access back: the credentials of its chats are gone, sealed or not.
    for (const f of fixtures.filter(({ name }) => REVOKING.has(name))) await deliver(f);
    const left = Object.entries(await objects(m.to)).filter(([name, text]) => /^vault slack/.test(name) && text !== "");
    expect(left).toEqual([]);
  }, 60_000);

  it("would be seen in every writing", async () => {
    const { found } = await search({
      raw: `x CnryQ7zLeak4 y`,
      ...Object.fromEntries(forms("CnryQ7zLeak4").map((f, n) => [`form ${n}`, `..${f}..`])),
      "inside base64 of JSON": btoa(JSON.stringify({ a: [{ b: "CnryQ7zLeak4" }] })),
    });
    expect(found.length).toBe(10);
    const gz = new Response(new Blob(["CnryQ7zLeak4"]).stream().pipeThrough(new CompressionStream("gzip")));
    const packed = btoa(String.fromCharCode(...new Uint8Array(await gz.arrayBuffer())));
    expect((await search({ gzip: `{"b":"${packed}"}` })).found).toHaveLength(1);
  });
});

describe("without one strip rule", () => {
  it.each(STRIP_RULES.map((r) => r.id))("%s the search finds a canary", async (id) => {
    const rule = STRIP_RULES.find((r) => r.id === id)!;
    const m = await home();
    const g = await connected(m);
    // Some with a credential of their own, some without.
    const some = fixtures.filter((f) => f.platform === rule.platform && f.expect.events.length > 0).slice(0, 8);
    const rules = STRIP_RULES.filter((r) => r.id !== id);
    for (const f of some) await deliver(f, rules);
    await quiet(m.to);
    const { found } = await search({ frames: JSON.stringify(g.frames) });
    expect(found.length).toBeGreaterThan(0);
  });
});
