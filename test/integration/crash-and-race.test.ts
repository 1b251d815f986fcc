import {
  createMessageBatch,
  createScheduledController,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { consumeDead } from "../../src/consumer/dead.consumer";
import type { ConsumerEnv } from "../../src/consumer/env";
import worker from "../../src/edge";
import { deleteTarget } from "../../src/edge/acts";
import type { EdgeEnv } from "../../src/edge/env";
import { consumeShards, cycleDeps } from "../../src/edge/tasks";
import { runtimeOf } from "../../src/kernel/runtime";
import { countFailures } from "../../src/listeners";
import { deliver, processWake } from "../../src/notify";
import { readCounts, readCycle, runCycle, type Snapshot } from "../../src/watch";
import { handClock, ledger, notice, runtimeWith } from "./notify-kit";
import { look, SECRETS, targetOf, ledger as vendorLedger } from "./probe-kit";

/**
 * Crashes, races and set-back clocks, on real D1, real objects and real queues: a look that is lost, an incident nobody can end,
 * a target nobody looks at, an answer that says what is not so. A crash is what it leaves behind: rows without what follows them.
 */

const TOKEN = "test-operator-token-4f1c9b7e2a";
const MIN = 60_000;
const DAY = 86_400_000;
const vendors = inject("vendorsUrl");
const platforms = inject("platformsUrl");
const edge = env as unknown as EdgeEnv;
const runtime = runtimeOf(edge, "edge");
let minute = Math.floor(Date.now() / MIN);

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

async function tick(): Promise<void> {
  minute++;
  const at = createScheduledController({ cron: "* * * * *", scheduledTime: new Date(minute * MIN) });
  await worker.scheduled(at, edge);
}

const objectOf = (id: string) => env.TARGET.get(env.TARGET.idFromName(id));
const alarm = (id: string): Promise<boolean> => runDurableObjectAlarm(objectOf(id));
const alarmAt = (id: string): Promise<number | null> =>
  runInDurableObject(objectOf(id), (_o, state) => state.storage.getAlarm());
const observe = (id: string, snapshot: Snapshot): Promise<unknown> => cycleDeps(edge, runtime).observe(id, snapshot);

interface TargetView {
  phase: string;
  status: string;
  reason: string;
  next_look_at: string | null;
}
const targetView = async (id: string): Promise<TargetView> => (await api<TargetView>("GET", `/targets/${id}`)).body;
const openOf = async (id: string): Promise<{ id: string; state: string; severity: string }[]> =>
  (await api<{ items: { id: string; state: string; severity: string }[] }>("GET", `/incidents?target_id=${id}`)).body
    .items;

async function addHttp(id: string, more: Record<string, unknown> = {}): Promise<void> {
  const made = await api("POST", "/targets", {
    id,
    name: id,
    kind: "http",
    every: "1m",
    config: { url: `${vendors}/svc/${id}` },
    ...more,
  });
  expect(made.status).toBe(201);
}

/** A target whose first bad look confirms: what a slow look needs to open an incident by itself. */
const QUICK = { thresholds: { confirm: 1, confirm_unreachable: 1, recover: 1 } };
const bad = (at = Date.now()): Snapshot => ({
  at,
  status: "unhealthy",
  reason: "service_unhealthy",
  latency_ms: 5,
  details: {},
  error: "HTTP 503",
});

beforeEach(async () => {
  await control(vendors, { reset: true });
  await control(platforms, { reset: true });
  await env.DB.batch([
    env.DB.prepare("UPDATE wake SET created_at = created_at - 600000"),
    env.DB.prepare("UPDATE cycle SET lease_until = 0, tick_at = MIN(tick_at, ?)").bind(minute * MIN),
  ]);
});
afterEach(async () => {
  const { body } = await api<{ items: { id: string; source: string }[] }>("GET", "/targets?limit=200");
  for (const t of body.items) if (t.source !== "builtin") await api("DELETE", `/targets/${t.id}`);
  // The stand-ins are shared by all files.
  await control(vendors, { reset: true });
});

describe("a cycle that dies", () => {
  it("leaves its looks to the next tick: a daily target does not lose its day", async () => {
    await addHttp("daily", { every: "1d" });
    await tick();
    expect((await targetView("daily")).status).toBe("healthy");
    // Its next slot, and a cycle that is killed after it took the lease.
    const slot = minute + 1441;
    await env.DB.prepare("UPDATE cycle SET tick_at = ?, lease_until = 0")
      .bind((slot - 1441) * MIN)
      .run();
    const dying = { ...cycleDeps(edge, runtime), db: failing(env.DB, "INSERT INTO watch_pack") };
    await expect(runCycle(dying, slot * MIN)).rejects.toThrow("killed");
    await env.DB.prepare("UPDATE cycle SET lease_until = ?")
      .bind(Date.now() - 1)
      .run();
    const next = await runCycle(cycleDeps(edge, runtime), (slot + 1) * MIN);
    expect(next).toMatchObject({ ran: true, due: 1 });
    expect(await runCycle(cycleDeps(edge, runtime), (slot + 1) * MIN)).toMatchObject({ ran: false });
    minute = slot + 1;
  });

  it("one that overlaps the next neither takes back its tick nor its lease", async () => {
    await addHttp("slow");
    await tick();
    let go: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    let reached: () => void = () => {};
    const atLook = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const slow = {
      ...cycleDeps(edge, runtime),
      db: holding(env.DB, "INSERT INTO watch_pack", async () => {
        reached();
        await held;
      }),
    };
    const first = runCycle(slow, ++minute * MIN);
    await atLook;
    // Its lease is over (a stalled isolate), and the next tick runs to its end; then another one begins.
    await env.DB.prepare("UPDATE cycle SET lease_until = ?")
      .bind(Date.now() - 1)
      .run();
    expect((await runCycle(cycleDeps(edge, runtime), ++minute * MIN)).ran).toBe(true);
    const lease = Date.now() + 50_000;
    await env.DB.prepare("UPDATE cycle SET lease_until = ?").bind(lease).run();
    go();
    await first;
    expect(await readCycle(env.DB)).toMatchObject({ tick_at: minute * MIN, lease_until: lease });
  });

  it("the looks of a hundred new targets are few statements (queries of an invocation are counted)", async () => {
    for (let i = 0; i < 60; i++) await addHttp(`new-${i}`);
    const sizes: number[] = [];
    const db = {
      prepare: (sql: string) => env.DB.prepare(sql),
      batch: (list: D1PreparedStatement[]) => {
        sizes.push(list.length);
        return env.DB.batch(list);
      },
    } as unknown as D1Database;
    await runCycle({ ...cycleDeps(edge, runtime), db }, ++minute * MIN);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
    const seen = await env.DB.prepare(
      "SELECT COUNT(*) AS n FROM target_state WHERE target_id LIKE 'new-%' AND status = 'healthy' AND version = 1 AND typeof(since) = 'integer'",
    ).first("n");
    expect(seen).toBe(60);
    expect(
      JSON.parse(
        (await env.DB.prepare("SELECT machine FROM target_state WHERE target_id = 'new-7'").first<string>("machine"))!,
      ),
    ).toMatchObject({
      phase: "steady",
      status: "healthy",
    });
  }, 60_000);
});

describe("a clock that was set back", () => {
  it("does not stop the cycle until it has caught up", async () => {
    await addHttp("back");
    await env.DB.prepare("UPDATE cycle SET tick_at = ?, finished_at = ?, lease_until = ?")
      .bind((minute + 1440) * MIN, Date.now() + DAY, Date.now() + DAY)
      .run();
    expect(await runCycle(cycleDeps(edge, runtime), ++minute * MIN)).toMatchObject({ ran: true });
    expect((await targetView("back")).status).toBe("healthy");
    expect(await runCycle(cycleDeps(edge, runtime), minute * MIN)).toMatchObject({ ran: false });
  });

  it("an alarm planned for tomorrow is set again, and its target looked at", async () => {
    await addHttp("far");
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    expect((await targetView("far")).phase).toBe("suspect");
    await runInDurableObject(objectOf("far"), (_o, state) => state.storage.setAlarm(Date.now() + DAY));
    await env.DB.prepare("UPDATE target_state SET next_look_at = next_look_at + ? WHERE target_id = 'far'")
      .bind(DAY)
      .run();
    await tick();
    // It may have run at once.
    const at = await alarmAt("far");
    expect(at ?? 0).toBeLessThan(Date.now() + 5 * MIN);
  });
});

describe("pause, resume, delete", () => {
  it("a look that was under way when the target was paused opens nothing", async () => {
    await addHttp("paused", QUICK);
    await tick();
    const made = bad();
    await api("PATCH", "/targets/paused", { paused: true });
    await observe("paused", made);
    expect(await openOf("paused")).toEqual([]);
    expect((await targetView("paused")).phase).toBe("steady");
    expect(await alarmAt("paused")).toBeNull();
  });

  it("looking now at a paused target answers and counts for nothing", async () => {
    await addHttp("asked", QUICK);
    await api("PATCH", "/targets/asked", { paused: true });
    await control(vendors, { svc: { mode: "503" } });
    const seen = await api<{ status: string; phase: string }>("POST", "/targets/asked/look");
    expect(seen.body).toMatchObject({ status: "unhealthy", phase: "steady" });
    expect(await openOf("asked")).toEqual([]);
  });

  it("pausing again ends what a first pause that died halfway left open", async () => {
    await addHttp("halfway", QUICK);
    await observe("halfway", bad());
    expect(await openOf("halfway")).toMatchObject([{ state: "open" }]);
    // As after a crash between the row and the close.
    await env.DB.prepare("UPDATE target SET paused = 1 WHERE id = 'halfway'").run();
    expect((await api("PATCH", "/targets/halfway", { paused: true })).status).toBe(200);
    expect(await openOf("halfway")).toMatchObject([{ state: "resolved" }]);
  });

  it("a resumed daily target is looked at now, not at its slot", async () => {
    await addHttp("resumed", { every: "1d" });
    await tick();
    await api("PATCH", "/targets/resumed", { paused: true });
    await control(vendors, { svc: { mode: "503" } });
    await api("PATCH", "/targets/resumed", { paused: false });
    const end = Date.now() + 5_000;
    while ((await targetView("resumed")).phase === "steady" && Date.now() < end) {
      await alarm("resumed");
      await new Promise((r) => setTimeout(r, 20));
    }
    expect((await targetView("resumed")).phase).not.toBe("steady");
  });

  it("no incident outlives a target that was deleted while a look was under way", async () => {
    await addHttp("gone", QUICK);
    await observe("gone", bad());
    // The look lands between the close and the delete.
    const db = holding(env.DB, "DELETE FROM target_state", () => observe("gone", bad(Date.now() + 1)).then(() => {}));
    await deleteTarget({ ...edge, DB: db }, runtime, "gone", "ana");
    const left = await env.DB.prepare(
      "SELECT COUNT(*) AS n FROM incident WHERE target_id = 'gone' AND resolved_at IS NULL",
    ).first("n");
    expect(left).toBe(0);
  });
});

describe("the alarm", () => {
  it("stays pending when the store is away", async () => {
    await addHttp("storeless");
    await control(vendors, { svc: { mode: "503" } });
    await tick();
    expect((await targetView("storeless")).phase).toBe("suspect");
    await env.DB.prepare("ALTER TABLE target RENAME TO target_away").run();
    try {
      await alarm("storeless").catch(() => null);
      const at = await alarmAt("storeless");
      expect(at).not.toBeNull();
      expect(at!).toBeGreaterThan(Date.now() + 30_000);
    } finally {
      await env.DB.prepare("ALTER TABLE target_away RENAME TO target").run();
    }
    await alarm("storeless");
    expect(await openOf("storeless")).toMatchObject([{ state: "open" }]);
  });

  it("a second rehearsal is refused while one is under way", async () => {
    await addHttp("twice-drilled");
    await tick();
    expect((await api("POST", "/targets/twice-drilled/rehearse")).status).toBe(202);
    const second = await api<{ error: { code: string } }>("POST", "/targets/twice-drilled/rehearse");
    expect(second.status).toBe(409);
    expect(second.body.error.code).toBe("not_steady");
  });

  it("a rehearsal whose alarm was lost in a crash is found by the cycle and ends", async () => {
    await addHttp("cut-short");
    await tick();
    expect((await api("POST", "/targets/cut-short/rehearse")).status).toBe(202);
    await runInDurableObject(objectOf("cut-short"), (_o, state) => state.storage.deleteAlarm());
    await env.DB.prepare("UPDATE target_state SET next_look_at = ? WHERE target_id = 'cut-short'")
      .bind(Date.now() - 10 * MIN)
      .run();
    await tick();
    const done = async (): Promise<boolean> =>
      (await env.DB.prepare(
        "SELECT json_extract(machine, '$.rehearsal') IS NULL AND phase = 'steady' AS ok FROM target_state WHERE target_id = 'cut-short'",
      ).first("ok")) === 1;
    for (let i = 0; i < 10 && !(await done()); i++) {
      await alarm("cut-short");
      await new Promise((r) => setTimeout(r, 20));
    }
    expect(await done()).toBe(true);
    expect(await openOf("cut-short")).toMatchObject([{ state: "resolved" }]);
  });
});

describe("Reveille's own rules", () => {
  const deny = async (): Promise<void> => {
    for (let i = 0; i < 11; i++)
      await env.DB.prepare("INSERT INTO audit (emitted_at, seam, details) VALUES (?, 'capability.denied', '{}')")
        .bind(Date.now())
        .run();
  };
  const judge = async (): Promise<void> => {
    await env.DB.prepare("DELETE FROM listener_state WHERE name = 'alert_notifier'").run();
    await tick();
  };

  it("one that turned bad in maintenance opens its incident when the window is over", async () => {
    const window = await api<{ id: string }>("POST", "/maintenance", {
      targets: ["*"],
      starts_at: new Date(Date.now() - 1_000).toISOString(),
      ends_at: new Date(Date.now() + 3_600_000).toISOString(),
      reason: "move",
    });
    await deny();
    await judge();
    expect(await openOf("reveille-denied")).toEqual([]);
    expect((await targetView("reveille-denied")).status).toBe("degraded");
    await api("POST", `/maintenance/${window.body.id}/end`);
    await judge();
    expect(await openOf("reveille-denied")).toMatchObject([{ state: "open" }]);
    await env.DB.prepare("DELETE FROM audit WHERE seam = 'capability.denied'").run();
    await judge();
    expect(await openOf("reveille-denied")).toMatchObject([{ state: "resolved" }]);
  });

  it("one that can't be told stops no other", async () => {
    const state = await env.DB.prepare("SELECT * FROM target_state WHERE target_id = 'reveille-budget'").first<{
      machine: string;
    }>();
    await env.DB.prepare("DELETE FROM target_state WHERE target_id = 'reveille-budget'").run();
    try {
      await deny();
      await judge();
      expect((await openOf("reveille-denied"))[0]).toMatchObject({ state: "open" });
      const listener = await env.DB.prepare(
        "SELECT last_error FROM listener_state WHERE name = 'alert_notifier'",
      ).first("last_error");
      expect(listener).toContain("reveille-budget");
    } finally {
      await env.DB.prepare(
        "INSERT INTO target_state (target_id, version, phase, status, reason, since, machine) VALUES ('reveille-budget', 0, 'steady', 'unknown', 'not_looked_yet', 0, ?)",
      )
        .bind(state!.machine)
        .run();
      await env.DB.prepare("DELETE FROM audit WHERE seam IN ('capability.denied', 'listener.failed')").run();
      await judge();
    }
  });

  it("count without reading a year of rows", async () => {
    const old = Date.now() - 30 * DAY;
    const many = 6_000;
    await env.DB.batch(
      ["capability.denied", "probe.investigation_completed", "listener.failed"].map((seam) =>
        env.DB.prepare(
          `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${many})
           INSERT INTO audit (emitted_at, seam, details) SELECT ${old}, '${seam}', '{"reasoning_error":"sdk_5xx"}' FROM n`,
        ),
      ),
    );
    await env.DB.batch([
      env.DB.prepare("INSERT INTO audit (emitted_at, seam, details) VALUES (?, 'capability.denied', '{}')").bind(
        Date.now(),
      ),
      env.DB.prepare("INSERT INTO audit (emitted_at, seam, details) VALUES (?, 'listener.failed', '{}')").bind(
        Date.now(),
      ),
    ]);
    const counter = countReads(env.DB);
    const counts = await readCounts(counter.db, Date.now());
    expect(counts).toMatchObject({ denied: 1, reasoning_errors: 0 });
    expect(await countFailures(counter.db, Date.now() - 5 * MIN)).toBe(1);
    expect(counter.rows()).toBeLessThan(5_000);
    await env.DB.prepare("DELETE FROM audit WHERE emitted_at = ?").bind(old).run();
    await env.DB.prepare("DELETE FROM audit WHERE seam IN ('capability.denied', 'listener.failed')").run();
  });
});

describe("what the API says is so", () => {
  it("a switch that was changed without its audit row is not called unchanged", async () => {
    await env.DB.prepare("ALTER TABLE audit RENAME TO audit_away").run();
    let said: { status: number; body: { error: { code: string; message: string } } };
    try {
      said = await api("PATCH", "/switchboard", { killed: true });
    } finally {
      await env.DB.prepare("ALTER TABLE audit_away RENAME TO audit").run();
    }
    expect(said.status).toBe(503);
    expect((await api<{ killed: boolean }>("GET", "/switchboard")).body.killed).toBe(true);
    expect(said.body.error.message).not.toContain("nothing was changed");
    await api("PATCH", "/switchboard", { killed: false });
  });

  it("a replayed shard is looked at, in a pack of its own", async () => {
    await addHttp("replayed");
    const num = await env.DB.prepare("SELECT num FROM target WHERE id = 'replayed'").first<number>("num");
    const stale = { cycle_at: Date.now() - 3_600_000, shard: 0, nums: [num] };
    await env.DB.prepare(
      "INSERT INTO dead_letter (id, kind, reason, payload, created_at) VALUES ('probe-1', 'probe', 'x', ?, ?)",
    )
      .bind(JSON.stringify(stale), Date.now())
      .run();
    expect((await api("POST", "/dead-letters/probe-1/replay")).status).toBe(202);
    const end = Date.now() + 8_000;
    while ((await targetView("replayed")).status !== "healthy" && Date.now() < end)
      await new Promise((r) => setTimeout(r, 50));
    expect((await targetView("replayed")).status).toBe("healthy");
  });

  it("a replay that sent nothing is not called a replay", async () => {
    await env.DB.prepare(
      "INSERT INTO dead_letter (id, kind, reason, payload, created_at) VALUES ('probe-2', 'probe', 'x', '{\"nums\":7}', ?)",
    )
      .bind(Date.now())
      .run();
    expect((await api("POST", "/dead-letters/probe-2/replay")).status).toBe(500);
    const { body } = await api<{ items: { id: string; replayed_at: string | null }[] }>("GET", "/dead-letters");
    expect(body.items.find((d) => d.id === "probe-2")).toMatchObject({ replayed_at: null });
  });

  it("a queue message that is no shard is kept for a person, not half run", async () => {
    const batch = createMessageBatch("reveille-probe", [
      { id: "x1", timestamp: new Date(), attempts: 1, body: { cycle_at: Date.now(), shard: 0, nums: "1,2" } },
    ]);
    await expect(consumeShards(batch, edge, runtime)).rejects.toThrow();
  });

  it("a dead letter whose wake is in other hands is not called delivered", async () => {
    const now = Date.now();
    await env.DB.prepare(
      `INSERT INTO wake (wake_id, kind, event, target_id, severity, payload, stage, created_at, next_at, claimed_by, lease_until)
       VALUES ('held-wake', 'incident', 'blind', 'x', 'info', '{}', 'claimed', ?, ?, 'someone', ?)`,
    )
      .bind(now, now + DAY, now + 60_000)
      .run();
    const batch = createMessageBatch("reveille-wake-dead", [
      { id: "d1", timestamp: new Date(), attempts: 1, body: { wake_id: "held-wake", kind: "incident" } },
    ]);
    await consumeDead(batch, env as unknown as ConsumerEnv, "wake");
    const row = await env.DB.prepare("SELECT reason FROM dead_letter WHERE id = 'wake-d1'").first<string>("reason");
    expect(row).toContain("not delivered");
    await env.DB.prepare("DELETE FROM wake WHERE wake_id = 'held-wake'").run();
  });

  it("a notice that was sent before the mute is not called suppressed", async () => {
    const rt = runtimeWith({ REVEILLE_NOTICE_CHANNELS: "slack" }, handClock());
    const n = notice();
    await deliver({ db: env.DB, runtime: rt }, n, { wake_id: `w-${n.id}` });
    // As after a crash between the send and the last row.
    await env.DB.prepare("UPDATE notice SET dm_status = NULL WHERE id = ?").bind(n.id).run();
    const again = await deliver({ db: env.DB, runtime: rt }, n, { wake_id: `w-${n.id}`, push: false, reason: "muted" });
    expect(again).toEqual({ done: true, channel: "slack", dm: "sent" });
    expect((await ledger()).slack).toHaveLength(1);
  });

  it("what is held back between two digests is in exactly one of them", async () => {
    const clock = handClock();
    const rt = runtimeWith({ REVEILLE_NOTICE_CHANNELS: "slack", REVEILLE_NOTICE_MODE: "digest" }, clock);
    const deps = {
      db: env.DB,
      runtime: rt,
      muted_until: null,
      send: async () => {},
      reasoning: { configured: false, send: async () => {} },
    };
    const t0 = clock.now();
    const opened = async (name: string, at: number): Promise<void> => {
      await env.DB.batch([
        env.DB.prepare(
          `INSERT INTO incident (id, target_id, target_name, kind, category, severity, title, detail, first_bad_at, opened_at, confirmed_by, first_snapshot, last_snapshot, version)
           VALUES (?1, ?1, ?1, 'http', 'misconfigured', 'warning', ?1, '', ?2, ?2, '2 of 2 looks', '{}', '{}', 1)`,
        ).bind(name, at),
        env.DB.prepare(
          `INSERT INTO wake (wake_id, kind, event, incident_id, severity, payload, stage, created_at, next_at, done_at, dm_status)
           VALUES (?1, 'incident', 'opened', ?1, 'warning', '{}', 'noticed', ?2, ?2, ?3, 'suppressed')`,
        ).bind(name, at, at + 1_000),
      ]);
    };
    const digest = async (at: number): Promise<void> => {
      const id = `digest-test-${at}`;
      await env.DB.prepare(
        "INSERT INTO wake (wake_id, kind, event, severity, payload, created_at, next_at) VALUES (?, 'incident', 'digest', 'info', '{}', ?, ?)",
      )
        .bind(id, at, at)
        .run();
      expect(await processWake(deps, id)).toEqual({ done: true });
    };
    await opened("first-day", t0 - MIN);
    // Created before the digest, decided after it.
    await opened("at-the-border", t0 - 500);
    clock.add(5_000);
    await digest(t0);
    await opened("second-day", t0 + 10_000);
    // The second digest comes two minutes late.
    clock.add(DAY + 2 * MIN);
    await digest(t0 + DAY + 2 * MIN);
    const texts = (await ledger()).slack.map((m) => m.text);
    expect(texts).toHaveLength(2);
    const named = ["first-day", "at-the-border", "second-day"].map((n) => texts.map((t) => t.includes(n)));
    expect(named).toEqual([
      [true, false],
      [false, true],
      [false, true],
    ]);
  });
});

describe("a secret in a URL", () => {
  it("is sent by its role and stands nowhere else", async () => {
    const target = targetOf(
      "http",
      { url: `${vendors}/svc/ok?token={{key}}&page=1`, keyword: "not there" },
      { credentials: { key: "WATCH_SVC_KEY" } },
    );
    const odd = "a/b?c=d&e#f..%2e";
    for (const secret of [SECRETS["WATCH_SVC_KEY"]!, odd]) {
      const seen = await look(target, {}, { ...SECRETS, WATCH_SVC_KEY: secret });
      expect(seen.signal).toBe("keyword_missing");
      expect(JSON.stringify([seen, target])).not.toContain(secret);
      const { path } = (await vendorLedger()).at(-1)!;
      const url = new URL(path, "http://x");
      expect([url.pathname, url.searchParams.get("token"), url.searchParams.get("page")]).toEqual(["/ok", secret, "1"]);
    }
  });
});

/** A D1 binding whose batches die when one of their statements begins with `sql`, as a killed isolate's do. */
function failing(db: D1Database, sql: string): D1Database {
  return holding(db, sql, () => Promise.reject(new Error("killed")));
}

/** A D1 binding that waits for `before` in front of each batch that holds a statement of `sql`. */
function holding(db: D1Database, sql: string, before: () => Promise<void>): D1Database {
  const marked = new WeakSet<D1PreparedStatement>();
  return {
    prepare: (text: string) => {
      const statement = db.prepare(text);
      if (!text.includes(sql)) return statement;
      return { bind: (...v: unknown[]) => mark(statement.bind(...v)) };
    },
    batch: async (list: D1PreparedStatement[]) => {
      if (list.some((s) => marked.has(s))) await before();
      return db.batch(list);
    },
  } as unknown as D1Database;
  function mark(s: D1PreparedStatement): D1PreparedStatement {
    marked.add(s);
    return s;
  }
}

/** A D1 binding that adds up the rows that batches and `first` read. */
function countReads(db: D1Database): { db: D1Database; rows(): number } {
  let rows = 0;
  const add = <T extends { meta: { rows_read?: number } }>(r: T): T => {
    rows += r.meta.rows_read ?? 0;
    return r;
  };
  const prepare = (text: string) => {
    const s = db.prepare(text);
    const given = s.bind.bind(s);
    const bind = (...v: unknown[]) => {
      const bound = given(...v);
      return Object.assign(bound, {
        first: async (): Promise<unknown> => add(await bound.all()).results[0] ?? null,
      });
    };
    return Object.assign(s, { bind });
  };
  return {
    rows: () => rows,
    db: { prepare, batch: async (l: D1PreparedStatement[]) => (await db.batch(l)).map(add) } as unknown as D1Database,
  };
}
