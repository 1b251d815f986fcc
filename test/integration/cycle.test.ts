import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, inject, it } from "vitest";
import type { EdgeEnv } from "../../src/edge/env";
import { cycleDeps, tick } from "../../src/edge/tasks";
import { makeClock } from "../../src/kernel/clock";
import { runtimeOf } from "../../src/kernel/runtime";
import { insertTarget } from "../../src/watch";
import { runCycle } from "../../src/watch/cycle";
import { readPacks } from "../../src/watch/sample.store";

/** The cycle's promises on real D1 and a real queue: what it writes, what it skips, what it never does twice. */

const edge = env as unknown as EdgeEnv;
const runtime = runtimeOf(edge, "edge");
const svc = `${inject("vendorsUrl")}/svc/ok`;
const MIN = 60_000;
let minute = Math.floor(Date.now() / MIN);
const next = (): number => ++minute * MIN;

async function add(n: number, prefix: string, config: Record<string, unknown> = { url: svc }): Promise<void> {
  const statements = Array.from({ length: n }, (_, i) =>
    insertTarget(
      env.DB,
      {
        id: `${prefix}-${i}`,
        name: `${prefix} ${i}`,
        kind: "http",
        every_s: 60,
        config: { method: "GET", headers: {}, expected_status: ["2xx"], follow_redirects: true, ...config },
        credentials: {},
        thresholds: {},
        paused: false,
        source: "api",
      },
      Date.now(),
    ),
  ).flat();
  for (let i = 0; i < statements.length; i += 100) await env.DB.batch(statements.slice(i, i + 100));
}

async function until(good: () => Promise<boolean>, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await good())) {
    if (Date.now() > end) throw new Error(`not seen within ${ms} ms`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

beforeEach(async () => {
  // Another file may have left the stand-in broken.
  await fetch(`${inject("vendorsUrl")}/_control`, { method: "POST", body: '{"reset":true}' });
  await env.DB.batch([
    env.DB.prepare("DELETE FROM target_state WHERE target_id NOT LIKE 'reveille-%'"),
    env.DB.prepare("DELETE FROM target WHERE source <> 'builtin'"),
  ]);
});

/** One whole Cron Trigger at `at`, its shards included; the rows it wrote. */
async function minuteOf(at: number): Promise<number> {
  const counter = countRows(env.DB);
  const clock = makeClock(1, () => at);
  await tick({ ...edge, DB: counter.db } as EdgeEnv, { ...runtime, clock }, at);
  await until(async () => (await readPacks(env.DB, at, at + MIN)).packs.length === 10, 60_000);
  // The shards ran in the queue's own invocations, one pack each.
  return counter.rows() + 10;
}

describe("cycle", () => {
  it("looks at up to 100 due targets in place and writes one pack", async () => {
    await add(30, "small");
    const at = next();
    const first = await runCycle(cycleDeps(edge, runtime), at);
    expect(first).toMatchObject({ ran: true, due: 30, shards: 0 });
    const { packs } = await readPacks(env.DB, at, at + MIN);
    expect(packs).toHaveLength(1);
    expect(packs[0]!.samples).toHaveLength(30);
    // A healthy target never needs an object, not even for its first look.
    expect(first.news).toBe(0);
    const seen = await env.DB.prepare(
      "SELECT COUNT(*) AS n FROM target_state WHERE target_id LIKE 'small-%' AND status = 'healthy'",
    ).first("n");
    expect(seen).toBe(30);
    expect((await runCycle(cycleDeps(edge, runtime), next())).news).toBe(0);
  });

  it("does nothing for a tick it has done, or while another cycle holds the lease", async () => {
    await add(1, "once");
    const at = next();
    const both = await Promise.all([runCycle(cycleDeps(edge, runtime), at), runCycle(cycleDeps(edge, runtime), at)]);
    expect(both.filter((r) => r.ran)).toHaveLength(1);
    expect((await runCycle(cycleDeps(edge, runtime), at)).ran).toBe(false);
    await env.DB.prepare("UPDATE cycle SET lease_until = ?")
      .bind(Date.now() + 30_000)
      .run();
    expect((await runCycle(cycleDeps(edge, runtime), next())).ran).toBe(false);
    await env.DB.prepare("UPDATE cycle SET lease_until = 0").run();
    expect((await runCycle(cycleDeps(edge, runtime), next())).ran).toBe(true);
  });

  it("no healthy minute of 1,000 targets writes more than 16 rows, by D1's own count", async () => {
    await add(1000, "many");
    // Settle what a first look and a first run of each task write: that is set-up, not a healthy minute.
    await minuteOf(next());
    const rows: number[] = [];
    for (let i = 0; i < 15; i++) rows.push(await minuteOf(next()));
    // The consumer's cron and the watcher's alarm have their own rows; the schedule allows them two a minute (listeners.test).
    expect(Math.max(...rows)).toBeLessThanOrEqual(16);
    const { packs } = await readPacks(env.DB, minute * MIN, minute * MIN + MIN);
    expect(packs.reduce((n, p) => n + p.samples.length, 0)).toBe(1000);
  }, 150_000);

  it("a shard's pack is one row written", async () => {
    await add(100, "shard");
    await runCycle(cycleDeps(edge, runtime), next());
    const result = await runCycle(cycleDeps(edge, runtime), next());
    // Lease, pack, end.
    expect(result.rows).toBe(3);
  });
});

/** A D1 binding that adds up `rows_written` of everything that goes through it. */
function countRows(db: D1Database): { db: D1Database; rows(): number } {
  let rows = 0;
  const inner = new WeakMap<D1PreparedStatement, D1PreparedStatement>();
  const add = <T extends { meta: { rows_written?: number } }>(r: T): T => {
    rows += r.meta.rows_written ?? 0;
    return r;
  };
  const wrap = (s: D1PreparedStatement): D1PreparedStatement => {
    const out = {
      bind: (...v: unknown[]) => wrap(s.bind(...v)),
      run: async () => add(await s.run()),
      all: async () => add(await s.all()),
      first: async (column?: string) => {
        const r = add(await s.all<Record<string, unknown>>());
        const row = r.results[0] ?? null;
        return column && row ? row[column] : row;
      },
    } as unknown as D1PreparedStatement;
    inner.set(out, s);
    return out;
  };
  return {
    rows: () => rows,
    db: {
      prepare: (sql: string) => wrap(db.prepare(sql)),
      batch: async (list: D1PreparedStatement[]) => (await db.batch(list.map((s) => inner.get(s) ?? s))).map(add),
    } as unknown as D1Database,
  };
}
