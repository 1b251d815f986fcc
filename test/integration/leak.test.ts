import { createScheduledController, runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import worker from "../../src/edge";
import type { EdgeEnv } from "../../src/edge/env";

/**
 * Acceptance 12: a vendor that quotes our token in every error, in every written form, must not get it into a row, a log line,
 * a notice, an API answer or a page. Everything that is stored or leaves is scanned, not only the places we thought of.
 */

const CANARY = String((env as unknown as Record<string, unknown>)["WATCH_CANARY"]);
const TOKEN = "test-operator-token-4f1c9b7e2a";
const vendors = inject("vendorsUrl");
const platforms = inject("platformsUrl");
let minute = Math.floor(Date.now() / 60_000);
const logged: string[] = [];

/** Every way the canary may be written inside a longer text. */
function forms(secret: string): string[] {
  const b64 = (t: string): string => btoa(t).replaceAll("=", "");
  // The characters of a base64 text that depend on the secret alone, at each of the three alignments.
  const aligned = [0, 1, 2].map((lead) => {
    const whole = b64("x".repeat(lead) + secret);
    return whole.slice(Math.ceil((lead * 8) / 6), Math.floor(((lead + secret.length) * 8) / 6));
  });
  const json = JSON.stringify(secret).slice(1, -1);
  const hex = [...secret].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  const unicode = [...secret].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
  return [
    secret,
    json,
    JSON.stringify(json).slice(1, -1),
    encodeURIComponent(secret),
    encodeURIComponent(encodeURIComponent(secret)),
    hex,
    unicode,
    ...aligned,
    ...aligned.map((a) => a.replaceAll("+", "-").replaceAll("/", "_")),
  ];
}

const control = (base: string, body: unknown): Promise<Response> =>
  fetch(`${base}/_control`, { method: "POST", body: JSON.stringify(body) });
const get = async (path: string): Promise<string> =>
  (
    await exports.default.fetch(`http://reveille.test${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })
  ).text();

async function tick(): Promise<void> {
  minute++;
  const at = createScheduledController({ cron: "* * * * *", scheduledTime: new Date(minute * 60_000) });
  await worker.scheduled(at, env as unknown as EdgeEnv);
}

const credentials = { token: "WATCH_CANARY" };
const targets = [
  {
    id: "supabase-x",
    kind: "supabase",
    config: { ref: "abcdefghij", url: `${vendors}/supabase`, management_url: `${vendors}/supabase` },
    credentials: { token: "WATCH_CANARY", key: "WATCH_CANARY" },
  },
  { id: "fly-x", kind: "fly", config: { apps: ["web"], api_url: `${vendors}/fly` }, credentials },
  { id: "vercel-x", kind: "vercel", config: { project_ids: ["prj_x"], api_url: `${vendors}/vercel` }, credentials },
  { id: "sentry-x", kind: "sentry", config: { org: "acme", base_url: `${vendors}/sentry` }, credentials },
  { id: "doppler-x", kind: "doppler", config: { api_url: `${vendors}/doppler` }, credentials },
  {
    id: "http-x",
    kind: "http",
    config: { url: `${vendors}/svc/x`, headers: { authorization: "Bearer {{token}}" } },
    credentials,
  },
];
const kinds = ["supabase", "fly", "vercel", "sentry", "doppler", "svc"];

async function everythingStored(): Promise<Record<string, string>> {
  const { results } = await env.DB.prepare(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'",
  ).all<{ name: string }>();
  const out: Record<string, string> = {};
  for (const { name } of results) {
    const rows = (await env.DB.prepare(`SELECT * FROM "${name}"`).all()).results;
    // As stored, and with one JSON layer taken off, so that an escaped copy can't hide.
    out[name] = JSON.stringify(rows) + rows.map((r) => Object.values(r as object).join("\n")).join("\n");
  }
  return out;
}

beforeAll(() => {
  for (const level of ["log", "warn", "error", "info", "debug"] as const)
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => void logged.push(parts.map(String).join(" ")));
});
afterAll(async () => {
  vi.restoreAllMocks();
  await control(vendors, { reset: true });
});

describe("a vendor that quotes our token everywhere", () => {
  it("gets it into no row, log, notice, answer or page", async () => {
    for (const t of targets) {
      const made = await exports.default.fetch("http://reveille.test/api/v1/targets", {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify({ name: t.id, every: "1m", ...t }),
      });
      expect([t.id, made.status]).toEqual([t.id, 201]);
    }
    for (const mode of ["401", "422", "garbage", "503"]) {
      await control(vendors, { echo_auth: true, ...Object.fromEntries(kinds.map((k) => [k, { mode }])) });
      await tick();
      await Promise.all(targets.map((t) => runDurableObjectAlarm(env.TARGET.get(env.TARGET.idFromName(t.id)))));
    }
    // The notices have left when every wake is done.
    const end = Date.now() + 20_000;
    const open = () =>
      env.DB.prepare("SELECT COUNT(*) AS n FROM wake WHERE done_at IS NULL AND event <> 'summary'").first<number>("n");
    while (((await open()) ?? 0) > 0 && Date.now() < end) await new Promise((r) => setTimeout(r, 100));

    const sent = await (await fetch(`${vendors}/_ledger`)).text();
    expect(sent.length).toBeGreaterThan(1_000);
    const incidents = await env.DB.prepare("SELECT id FROM incident").all<{ id: string }>();
    expect(incidents.results.length).toBeGreaterThanOrEqual(targets.length);
    const places: Record<string, string> = {
      ...(await everythingStored()),
      logs: logged.join("\n"),
      told: await (await fetch(`${platforms}/_ledger`)).text(),
      api: [
        await get("/api/v1/incidents"),
        await get("/api/v1/audit?limit=200"),
        await get("/api/v1/notices"),
        await get("/api/v1/wakes"),
        await get("/api/v1/targets"),
        ...(await Promise.all(incidents.results.map(({ id }) => get(`/api/v1/incidents/${id}`)))),
      ].join("\n"),
    };
    const found = Object.entries(places).flatMap(([place, text]) =>
      forms(CANARY).flatMap((form) => (text.includes(form) ? [`${place}: ${form}`] : [])),
    );
    expect(found).toEqual([]);
    // The scan itself works: it sees the canary when it is there.
    expect(forms(CANARY).some((form) => `x${btoa(`Bearer ${CANARY}`)}y`.includes(form))).toBe(true);
    expect(JSON.stringify(places)).toContain("REDACTED");
  }, 90_000);
});
