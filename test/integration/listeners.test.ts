import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { makeClock } from "../../src/kernel/clock";
import { makeRedactor } from "../../src/kernel/redact";
import type { Runtime } from "../../src/kernel/runtime";
import { runtimeOf } from "../../src/kernel/runtime";
import {
  claimRun,
  countFailures,
  markFailed,
  markOk,
  noteSetup,
  readListenerStates,
} from "../../src/listeners/listener.store";
import type { Listener } from "../../src/listeners/registry";
import { type Body, runDue } from "../../src/listeners/run";

/** Proves on real D1 that a tick runs each due body once and alone, that failures are rows, and what each mark costs. */

const db = env.DB;
const MINUTE = 60_000;
const NOW = Date.UTC(2026, 10, 20, 13);
const SECRET = "planted-listener-secret-4711";

const lines: { level: string; event: string }[] = [];
const runtime: Runtime = {
  ...runtimeOf(env, "listeners-test"),
  clock: makeClock(),
  redact: makeRedactor([SECRET]),
  log: (level, event) => lines.push({ level, event }),
};
const entry = (name: string, more: Partial<Listener> = {}): Listener => ({
  name,
  interval_s: 60,
  phase_s: 0,
  fatal: false,
  installed: true,
  home: "edge",
  what: "",
  ...more,
});
const run = (entries: Listener[], bodies: Record<string, Body>, now = NOW) =>
  runDue(entries, bodies, now, { db, runtime, home: "edge" });

beforeEach(async () => {
  lines.length = 0;
  await db.batch([
    db.prepare("DELETE FROM listener_state"),
    db.prepare("DELETE FROM audit"),
    db.prepare("UPDATE cycle SET tick_at = 0, finished_at = 0"),
  ]);
});

describe("marks", () => {
  it("cost one row each and keep the story of errors", async () => {
    expect((await markOk(db, "x", NOW, "5 done").run()).meta.rows_written).toBe(1);
    expect((await markFailed(db, "x", NOW + 1, "boom").run()).meta.rows_written).toBe(1);
    await markFailed(db, "x", NOW + 2, "b".repeat(900)).run();
    const state = (await readListenerStates(db)).get("x")!;
    expect(state).toMatchObject({ last_run_at: NOW + 2, last_ok_at: NOW, consecutive_errors: 2, note: null });
    expect(state.last_error).toHaveLength(300);
    await markOk(db, "x", NOW + 3).run();
    expect((await readListenerStates(db)).get("x")).toEqual({
      last_run_at: NOW + 3,
      last_ok_at: NOW + 3,
      consecutive_errors: 0,
      last_error: null,
      note: null,
    });
    // A run that began earlier and ends late says nothing new.
    expect((await markFailed(db, "x", NOW, "old").run()).meta.rows_written).toBe(0);
  });

  it("of what has no interval cost nothing while nothing changes", async () => {
    const rows = async (error: string | null, note: string | null = null, at = NOW) =>
      (await noteSetup(db, "slack_client", at, error, note).run()).meta.rows_written;
    expect([await rows(null, "set up"), await rows(null, "set up", NOW + 9)]).toEqual([1, 0]);
    expect([await rows("no token", null, NOW + 10), await rows("no token", null, NOW + 11)]).toEqual([1, 0]);
    expect((await readListenerStates(db)).get("slack_client")).toEqual({
      last_run_at: NOW + 10,
      last_ok_at: NOW,
      consecutive_errors: 1,
      last_error: "no token",
      note: null,
    });
    expect(await rows(null, null, NOW + 12)).toBe(1);
    expect((await readListenerStates(db)).get("slack_client")).toMatchObject({
      last_ok_at: NOW + 12,
      consecutive_errors: 0,
    });
  });

  it("of a claim go to exactly one caller", async () => {
    const claims = await Promise.all([1, 2, 3].map(() => claimRun(db, "digest", NOW, null)));
    expect(claims.filter(Boolean)).toHaveLength(1);
    const again = await Promise.all([1, 2, 3].map((i) => claimRun(db, "digest", NOW + i, NOW)));
    expect(again.filter(Boolean)).toHaveLength(1);
  });

  it("of the tick and the looks are the cycle's own row", async () => {
    expect((await readListenerStates(db)).size).toBe(0);
    await db
      .prepare("UPDATE cycle SET tick_at = ?, finished_at = ?, due = 7")
      .bind(NOW, NOW - MINUTE)
      .run();
    const states = await readListenerStates(db);
    expect(states.get("heartbeat")).toMatchObject({ last_run_at: NOW, last_ok_at: NOW });
    expect(states.get("heartbeat_probes")).toMatchObject({ last_run_at: NOW, last_ok_at: NOW - MINUTE, note: "7 due" });
  });
});

describe("a tick", () => {
  it("runs what is due, once, and only its own Worker's", async () => {
    const ran: string[] = [];
    const entries = [
      entry("a"),
      entry("b", { interval_s: 300, phase_s: 60 }),
      entry("c", { home: "consumer" }),
      entry("d", { installed: false }),
    ];
    const bodies = Object.fromEntries(entries.map((e) => [e.name, async () => void ran.push(e.name)]));
    expect(await run(entries, bodies)).toEqual({ ok: ["a", "b"], failed: [], skipped: [] });
    expect((await run(entries, bodies, NOW + 2_000)).ok).toEqual([]);
    expect((await run(entries, bodies, NOW + MINUTE)).ok.sort()).toEqual(["a", "b"]);
    expect((await run(entries, bodies, NOW + 2 * MINUTE)).ok).toEqual(["a"]);
    expect(ran.sort()).toEqual(["a", "a", "a", "b", "b"]);
  });

  it("records a throw, redacted, and runs the others", async () => {
    const entries = [entry("bad"), entry("good")];
    const bodies = {
      bad: async () => {
        throw new Error(`refused ${SECRET}`);
      },
      good: async () => `note ${SECRET}`,
    };
    for (let i = 0; i < 3; i++) {
      const out = await run(entries, bodies, NOW + i * MINUTE);
      expect(out).toEqual({ ok: ["good"], failed: [{ name: "bad", error: "Error: refused <REDACTED>" }], skipped: [] });
    }
    const states = await readListenerStates(db);
    expect(states.get("bad")).toMatchObject({
      consecutive_errors: 3,
      last_ok_at: null,
      last_error: "Error: refused <REDACTED>",
    });
    expect(states.get("good")).toMatchObject({ consecutive_errors: 0, note: "note <REDACTED>" });
    const rows = await db
      .prepare("SELECT seam, details FROM audit ORDER BY id")
      .all<{ seam: string; details: string }>();
    expect(rows.results).toHaveLength(3);
    expect(rows.results[0]!.seam).toBe("listener.failed");
    expect(JSON.parse(rows.results[0]!.details)).toEqual({ name: "bad", error: "Error: refused <REDACTED>" });
    expect(await countFailures(db, NOW + MINUTE)).toBe(2);
  });

  it("does not start a body again while its last run is going on", async () => {
    let finish = (): void => {};
    let runs = 0;
    const entries = [entry("slow"), entry("quick")];
    const bodies = {
      slow: () => {
        runs++;
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      },
      quick: async () => {},
    };
    const first = run(entries, bodies);
    while (runs === 0) await new Promise((r) => setTimeout(r, 1));
    expect(await run(entries, bodies, NOW + MINUTE)).toEqual({ ok: ["quick"], failed: [], skipped: ["slow"] });
    finish();
    expect((await first).ok.sort()).toEqual(["quick", "slow"]);
    const again = run(entries, bodies, NOW + 2 * MINUTE);
    while (runs === 1) await new Promise((r) => setTimeout(r, 1));
    finish();
    expect((await again).ok.sort()).toEqual(["quick", "slow"]);
  });

  it("gives a daily body to one isolate only", async () => {
    const daily = [entry("digest", { interval_s: 86_400, phase_s: 13 * 3_600 })];
    const sent: string[] = [];
    await db
      .prepare("INSERT INTO listener_state (name, last_run_at, last_ok_at) VALUES ('digest', ?1, ?1)")
      .bind(NOW - 86_400_000)
      .run();
    // Another isolate takes this day's run after we have read the states and before we claim it.
    let taken = false;
    const prepare = (sql: string): D1PreparedStatement => {
      const real = db.prepare(sql);
      if (!sql.includes("FROM cycle")) return real;
      const first = async () => {
        await new Promise((r) => setTimeout(r, 50));
        taken = await claimRun(db, "digest", NOW, NOW - 86_400_000);
        return real.first();
      };
      return { first } as unknown as D1PreparedStatement;
    };
    const racing = { prepare, batch: db.batch.bind(db) } as unknown as D1Database;
    const bodies = { digest: async () => void sent.push("sent") };
    const out = await runDue(daily, bodies, NOW, { db: racing, runtime, home: "edge" });
    expect([taken, out, sent]).toEqual([true, { ok: [], failed: [], skipped: ["digest"] }, []]);
    expect((await runDue(daily, bodies, NOW + 86_400_000, { db, runtime, home: "edge" })).ok).toEqual(["digest"]);
  });

  it("leaves a line when even the store fails", async () => {
    const broken = {
      prepare: (sql: string) => db.prepare(sql),
      batch: async () => {
        throw new Error("D1_ERROR: gone");
      },
    } as unknown as D1Database;
    const bodies = {
      a: async () => {
        throw new Error("x");
      },
    };
    const out = await runDue([entry("a")], bodies, NOW, { db: broken, runtime, home: "edge" });
    expect(out.failed).toHaveLength(1);
    expect(lines.map((l) => l.event)).toEqual(["listener.failed", "listener.unrecorded"]);
  });

  it("refuses a body without a listener", async () => {
    await expect(run([entry("a")], { b: async () => {} })).rejects.toThrow(/"b", which is no listener/);
  });
});
