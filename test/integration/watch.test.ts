import { createScheduledController, runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import worker from "../../src/edge";
import type { EdgeEnv } from "../../src/edge/env";

/**
 * The main job end to end in workerd: API → cycle → Target object → wake row → queue → consumer Worker → Slack stand-in, and
 * back through ack and recovery. The vendor and Slack are servers on loopback; nothing of ours is replaced.
 */

const TOKEN = "test-operator-token-4f1c9b7e2a";
const vendors = inject("vendorsUrl");
const platforms = inject("platformsUrl");
let minute = Math.floor(Date.now() / 60_000);

const control = (base: string, body: unknown): Promise<Response> =>
  fetch(`${base}/_control`, { method: "POST", body: JSON.stringify(body) });

async function api<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
  const res = await exports.default.fetch(`http://reveille.test/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: res.status, body: (await res.json()) as T };
}

/** One Cron Trigger, a minute after the last. */
async function tick(): Promise<void> {
  minute++;
  const at = createScheduledController({ cron: "* * * * *", scheduledTime: new Date(minute * 60_000) });
  await worker.scheduled(at, env as unknown as EdgeEnv);
}

/** Ticks run ahead of the clock, and so do their samples. */
const later = (): string => new Date((minute + 2) * 60_000).toISOString();

const objectOf = (id: string) => env.TARGET.get(env.TARGET.idFromName(id));
const alarm = (id: string): Promise<boolean> => runDurableObjectAlarm(objectOf(id));

interface Incident {
  id: string;
  state: string;
  severity: string;
  category: string;
  title: string;
  confirmed_by: string;
  downtime_ms: number | null;
  timeline: { kind: string; sentence: string; at: string }[];
}
const incidentsOf = async (target: string): Promise<Incident[]> =>
  (await api<{ items: Incident[] }>("GET", `/incidents?target_id=${target}`)).body.items;

interface Wake {
  event: string;
  stage: string;
  dm_status: string | null;
  reasoning_error: string | null;
  payload: Record<string, unknown>;
}
const wakesOf = async (incident: string): Promise<Wake[]> =>
  (await api<{ items: Wake[] }>("GET", `/wakes?incident_id=${incident}`)).body.items.reverse();

interface SlackMessage {
  text: string;
  thread_ts: string | null;
  ts: string;
  reply_broadcast: boolean;
  blocks: unknown[];
  edits: { text: string }[];
}
const slack = async (): Promise<SlackMessage[]> =>
  ((await (await fetch(`${platforms}/_ledger`)).json()) as { slack: SlackMessage[] }).slack;

async function until<T>(what: string, read: () => Promise<T>, good: (value: T) => boolean, ms = 10_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await read();
    if (good(value)) return value;
    if (Date.now() > end)
      throw new Error(`${what}: not seen within ${ms} ms; last ${JSON.stringify(value).slice(0, 800)}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

const settled = (incident: string, events: string[]): Promise<Wake[]> =>
  until(
    `wakes ${events.join(", ")}`,
    () => wakesOf(incident),
    (w) => w.length === events.length && w.every((x) => x.stage === "noticed"),
  );

async function addHttp(id: string, more: Record<string, unknown> = {}): Promise<void> {
  const made = await api("POST", "/targets", {
    id,
    name: id,
    kind: "http",
    every: "1m",
    config: { url: `${vendors}/svc/${id}`, ...more },
  });
  expect(made.status).toBe(201);
}

beforeEach(async () => {
  await control(vendors, { reset: true });
  await control(platforms, { reset: true });
  // The burst rule counts what was told within a minute; each test is its own minute.
  await env.DB.prepare("UPDATE wake SET created_at = created_at - 600000").run();
});
afterEach(async () => {
  const { body } = await api<{ items: { id: string; source: string }[] }>("GET", "/targets?limit=200");
  for (const t of body.items) if (t.source !== "builtin") await api("DELETE", `/targets/${t.id}`);
});

describe("a broken service becomes an incident, a notice and a recovery", () => {
  it("confirms by the object's own look, tells Slack once, takes an ack, and recovers in the same thread", async () => {
    await addHttp("checkout");
    await tick();
    expect((await api<{ status: string }>("GET", "/targets/checkout")).body.status).toBe("healthy");

    await control(vendors, { svc: { mode: "503" } });
    await tick();
    const suspect = (await api<{ phase: string; next_look_at: string }>("GET", "/targets/checkout")).body;
    expect(suspect.phase).toBe("suspect");
    expect(Date.parse(suspect.next_look_at) - Date.now()).toBeGreaterThan(20_000);
    expect(await incidentsOf("checkout")).toEqual([]);

    expect(await alarm("checkout")).toBe(true);
    const [incident] = await incidentsOf("checkout");
    expect(incident).toMatchObject({ state: "open", severity: "critical", category: "service_unhealthy" });
    expect(incident!.confirmed_by).toContain("2 of 2");
    const [opened] = await settled(incident!.id, ["opened"]);
    expect(opened).toMatchObject({ dm_status: "engine_unavailable_fallback", reasoning_error: "unconfigured" });
    expect(opened!.payload).toMatchObject({
      probe: "http",
      severity: "critical",
      category: "service_unhealthy",
      envelope_enabled: false,
      envelope_fix_name: "(none)",
    });
    const first = await slack();
    expect(first).toHaveLength(1);
    expect(first[0]!.text).toContain("checkout");
    expect(first[0]!.thread_ts).toBeNull();
    expect(JSON.stringify(first[0]!.blocks)).toContain("Ack");

    const acked = await api<{ changed: boolean }>("POST", `/incidents/${incident!.id}/ack`, { by: "ana" });
    expect(acked.body.changed).toBe(true);
    expect((await api<{ changed: boolean }>("POST", `/incidents/${incident!.id}/ack`, {})).body.changed).toBe(false);
    await settled(incident!.id, ["opened", "acked"]);
    await until("root edit", slack, (m) => m[0]!.edits.length > 0);
    expect((await slack())[0]!.edits.at(-1)!.text).toContain("Acked");

    await control(vendors, { svc: { mode: "ok" } });
    await alarm("checkout");
    expect((await incidentsOf("checkout"))[0]!.state).toBe("acked");
    await alarm("checkout");
    const [resolved] = await incidentsOf("checkout");
    expect(resolved!.state).toBe("resolved");
    expect(resolved!.downtime_ms).toBeGreaterThan(0);
    await settled(incident!.id, ["opened", "acked", "recovered"]);
    const all = await slack();
    expect(all).toHaveLength(2);
    expect(all[1]).toMatchObject({ thread_ts: first[0]!.ts, reply_broadcast: true });
    expect(all[1]!.text).toContain("OK again");

    const { body } = await api<Incident>("GET", `/incidents/${incident!.id}`);
    const times = body.timeline.map((r) => r.at);
    expect([...times].sort()).toEqual(times);
    const story = body.timeline.map((r) => r.sentence).join("\n");
    for (const word of ["ana", "checkout"]) expect(story).toContain(word);
    const target = (await api<{ phase: string; status: string }>("GET", "/targets/checkout")).body;
    expect(target).toMatchObject({ phase: "steady", status: "healthy" });
  });

  it("one blip wakes nobody (acceptance 1)", async () => {
    await addHttp("blip");
    await tick();
    await control(vendors, { svc: { mode: "500" } });
    await tick();
    await control(vendors, { svc: { mode: "ok" } });
    await alarm("blip");
    await tick();
    expect(await incidentsOf("blip")).toEqual([]);
    expect(await slack()).toEqual([]);
  });

  it("a vendor target without its credential is grey, names the binding, and never alerts", async () => {
    const made = await api("POST", "/targets", {
      id: "fly-unset",
      name: "fly-unset",
      kind: "fly",
      config: { apps: ["web"], api_url: `${vendors}/fly` },
      credentials: { token: "WATCH_MISSING" },
    });
    expect(made.status).toBe(201);
    await tick();
    expect((await api<{ status: string; reason: string }>("GET", "/targets/fly-unset")).body).toMatchObject({
      status: "unknown",
      reason: "not_configured",
    });
    expect((await api<{ error: string }>("POST", "/targets/fly-unset/look")).body.error).toContain("WATCH_MISSING");
    expect(await incidentsOf("fly-unset")).toEqual([]);
  });

  it("the same wake message twice, and two at once, is one notice (acceptance 4)", async () => {
    await addHttp("twice");
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    await alarm("twice");
    const [incident] = await incidentsOf("twice");
    await settled(incident!.id, ["opened"]);
    const { body } = await api<{ items: { wake_id: string }[] }>("GET", `/wakes?incident_id=${incident!.id}`);
    const message = { wake_id: body.items[0]!.wake_id, kind: "incident" as const };
    await env.WAKE_QUEUE.sendBatch([{ body: message }, { body: message }, { body: message }]);
    await new Promise((r) => setTimeout(r, 500));
    expect(await slack()).toHaveLength(1);
  });

  it("a wake that was never queued is sent by the sweeper", async () => {
    await addHttp("swept");
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    await alarm("swept");
    const [incident] = await incidentsOf("swept");
    await settled(incident!.id, ["opened"]);
    // As after a crash between the commit and the send: the row is there, the message is not.
    const now = Date.now();
    await env.DB.prepare(
      `INSERT INTO wake (wake_id, kind, event, incident_id, target_id, category, severity, incident_version, payload, created_at, next_at)
       VALUES ('lost-wake', 'incident', 'reminder', ?, 'swept', 'service_unhealthy', 'critical', 99, '{"probe":"http"}', ?, ?)`,
    )
      .bind(incident!.id, now - 120_000, now - 60_000)
      .run();
    await env.DB.prepare("DELETE FROM listener_state WHERE name = 'sweeper'").run();
    await tick();
    await settled(incident!.id, ["opened", "reminder"]);
    expect(await slack()).toHaveLength(2);
  });
});

describe("silence", () => {
  it("maintenance silences incidents and notices alike, and the history shows it", async () => {
    await addHttp("planned");
    await tick();
    const window = await api<{ id: string }>("POST", "/maintenance", {
      targets: ["planned"],
      starts_at: new Date(Date.now() - 1_000).toISOString(),
      ends_at: new Date(Date.now() + 3_600_000).toISOString(),
      reason: "database upgrade",
    });
    expect(window.status).toBe(201);
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    await alarm("planned");
    await tick();
    expect(await incidentsOf("planned")).toEqual([]);
    expect(await slack()).toEqual([]);
    const samples = await api<{ items: { maintenance: boolean }[] }>("GET", `/targets/planned/samples?to=${later()}`);
    expect(samples.body.items.some((s) => s.maintenance)).toBe(true);
    await api("POST", `/maintenance/${window.body.id}/end`);
    await tick();
    await alarm("planned");
    expect(await incidentsOf("planned")).toHaveLength(1);
  });

  it("a muted target lands in the inbox only", async () => {
    await addHttp("muted");
    await api("POST", "/targets/muted/mute", { minutes: 60 });
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    await alarm("muted");
    const [incident] = await incidentsOf("muted");
    const [wake] = await settled(incident!.id, ["opened"]);
    expect(wake!.dm_status).toBe("suppressed");
    expect(await slack()).toEqual([]);
    const notices = await api<{ items: unknown[] }>("GET", `/notices?incident_id=${incident!.id}`);
    expect(notices.body.items).toHaveLength(1);
  });

  it("a second fault within the debounce is held back, and told when it is still there (D5)", async () => {
    await addHttp("again");
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    await alarm("again");
    await settled((await incidentsOf("again"))[0]!.id, ["opened"]);
    await control(vendors, { svc: { mode: "ok" } });
    await alarm("again");
    await alarm("again");
    await settled((await incidentsOf("again"))[0]!.id, ["opened", "recovered"]);
    const before = (await slack()).length;

    await control(vendors, { svc: { mode: "503" } });
    await tick();
    await alarm("again");
    const second = (await incidentsOf("again"))[0]!;
    const held = await until(
      "deferred wake",
      () =>
        env.DB.prepare("SELECT wake_id, deferred_until FROM wake WHERE incident_id = ?")
          .bind(second.id)
          .first<{ wake_id: string; deferred_until: number | null }>(),
      (w) => w?.deferred_until != null,
    );
    expect((await slack()).length).toBe(before);
    // The cooldown ends (its row is aged), the incident is still open: the operator hears of it.
    await env.DB.prepare("UPDATE wake_debounce SET sent_at = sent_at - 700000").run();
    await env.WAKE_QUEUE.send({ wake_id: held!.wake_id, kind: "incident" });
    await settled(second.id, ["opened"]);
    expect((await slack()).length).toBe(before + 1);
  });

  it("a burst is five notices and one summary that names the rest", async () => {
    const ids = Array.from({ length: 8 }, (_, i) => `burst-${i}`);
    for (const id of ids) await addHttp(id);
    await tick();
    await control(vendors, { svc: { mode: "503" } });
    // All within one minute of the clock, which the summary is about.
    const left = 60_000 - (Date.now() % 60_000);
    if (left < 8_000) await new Promise((r) => setTimeout(r, left + 50));
    await tick();
    await Promise.all(ids.map(alarm));
    for (const id of ids) await settled((await incidentsOf(id))[0]!.id, ["opened"]);
    const summary = await env.DB.prepare("SELECT wake_id FROM wake WHERE event = 'summary' AND done_at IS NULL").first<{
      wake_id: string;
    }>();
    expect(summary).not.toBeNull();
    expect(await slack()).toHaveLength(5);
    await env.WAKE_QUEUE.send({ wake_id: summary!.wake_id, kind: "incident" });
    const told = await until("summary", slack, (m) => m.length === 6);
    expect(told[5]!.text).toContain("3 incidents");
  }, 40_000);

  it("a rehearsal is marked in every notice, leaves uptime alone and ends by itself", async () => {
    await addHttp("drill");
    await tick();
    expect((await api("POST", "/targets/drill/rehearse")).status).toBe(202);
    for (let i = 0; i < 4; i++) await alarm("drill");
    const [incident] = await incidentsOf("drill");
    expect(incident!.state).toBe("resolved");
    await settled(incident!.id, ["opened", "recovered"]);
    for (const m of await slack()) expect(m.text).toMatch(/rehearsal/i);
    const samples = await api<{ items: { status: string }[] }>("GET", `/targets/drill/samples?to=${later()}`);
    expect(samples.body.items.every((s) => s.status === "healthy")).toBe(true);
    expect((await api("POST", "/targets/reveille-cron/rehearse")).status).toBe(409);
  });
});

describe("the watcher is watched", () => {
  it("the alarm finds a silent cron, and the cron finds a silent alarm", async () => {
    await tick();
    await until(
      "the alarm's first sign of life",
      () =>
        env.DB.prepare("SELECT last_ok_at FROM listener_state WHERE name = 'dead_man'").first<{ last_ok_at: number }>(),
      (r) => r !== null,
    );
    await env.DB.prepare("UPDATE cycle SET finished_at = ?, tick_at = ? WHERE id = 1")
      .bind(Date.now() - 600_000, Date.now() - 600_000)
      .run();
    await alarm("reveille-cron");
    const [incident] = await incidentsOf("reveille-cron");
    expect(incident).toMatchObject({ state: "open", severity: "critical" });
    expect(incident!.title).toContain("No watch cycle");
    await settled(incident!.id, ["opened"]);
    await tick();
    await alarm("reveille-cron");
    expect((await incidentsOf("reveille-cron"))[0]!.state).toBe("resolved");
  });

  it("refused acts above the limit open an incident of an internal target", async () => {
    for (let i = 0; i < 11; i++)
      await env.DB.prepare("INSERT INTO audit (emitted_at, seam, details) VALUES (?, 'capability.denied', '{}')")
        .bind(Date.now())
        .run();
    await env.DB.prepare("DELETE FROM listener_state WHERE name = 'alert_notifier'").run();
    await tick();
    const [incident] = await incidentsOf("reveille-denied");
    expect(incident).toMatchObject({ severity: "info", state: "open" });
  });
});

describe("after all of Reveille stood still", () => {
  it("neither the silent cron nor the late tasks of the time away are a fault", async () => {
    await tick();
    const away = Date.now() - 3_600_000;
    await env.DB.batch([
      env.DB.prepare("UPDATE listener_state SET last_run_at = ?1, last_ok_at = ?1").bind(away),
      env.DB.prepare(
        "INSERT INTO listener_state (name, last_run_at, last_ok_at) VALUES ('dead_man', ?1, ?1) ON CONFLICT (name) DO UPDATE SET last_ok_at = ?1",
      ).bind(away),
      env.DB.prepare(
        "INSERT INTO listener_state (name, last_run_at, last_ok_at) VALUES ('alert_notifier', ?1, ?1) ON CONFLICT (name) DO UPDATE SET last_run_at = ?1",
      ).bind(away),
      env.DB.prepare("UPDATE cycle SET finished_at = ?1").bind(away),
    ]);
    const before = (await incidentsOf("reveille-cron")).length + (await incidentsOf("reveille-listeners")).length;
    await alarm("reveille-cron");
    await tick();
    expect((await incidentsOf("reveille-cron")).length + (await incidentsOf("reveille-listeners")).length).toBe(before);
  });
});
