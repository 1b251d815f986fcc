import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, inject, it } from "vitest";
import { PROBER_CRON } from "../../src/consumer/crons";
import consumer from "../../src/consumer/index";
import { probeTick, tellBreaches } from "../../src/consumer/slo-prober";
import { app } from "../../src/edge/app";
import type { EdgeEnv } from "../../src/edge/env";
import { tick } from "../../src/edge/tasks";
import { DAY, HOUR, MINUTE, makeClock } from "../../src/kernel/clock";
import { type Runtime, runtimeOf } from "../../src/kernel/runtime";
import {
  closeHangs,
  type DirectionRow,
  expireSlo,
  type ProbeRow,
  readDirections,
  readTally,
  rollupSlo,
  startRun,
  topicOf,
} from "../../src/slo";
import { api, newAgent, newWorkspace, OPERATOR, ok, until } from "./messaging-kit";

/**
 * The prober end to end: the embedded workspace with its real hooks, queue and responder, and another machine's messaging over
 * loopback. What it does not prove: the minute trigger itself, and waits at their true length (the clock runs 100 times faster).
 */

const rt = runtimeOf(env, "test");
/** A runtime whose clock stands where a test wants it. */
const at = (now: number): Runtime => ({ ...rt, clock: { ...rt.clock, now: () => now } });
const fast: Runtime = { ...rt, clock: makeClock(100) };

const probes = async (): Promise<ProbeRow[]> =>
  (await env.DB.prepare("SELECT * FROM wake_slo_probes ORDER BY started_at_ms, id").all<ProbeRow>()).results;
const direction = async (code = "C2L"): Promise<DirectionRow> =>
  (await readDirections(env.DB)).find((d) => d.code === code)!;

interface Item {
  code: string;
  coverage: number | null;
  windows: Record<
    string,
    { n: number; failed: number; classes: Record<string, number>; levels: Record<string, unknown> }
  >;
  breaches: { reason: string }[];
  last_probe: Record<string, unknown> | null;
}
const slo = async (): Promise<Item[]> => (await api<{ items: Item[] }>("GET", "/slo")).body.items;

async function put(code: string, more: Record<string, unknown> = {}): Promise<void> {
  const body = {
    from_agent: "01A",
    to_agent: "01B",
    peer_kind: "qoopia",
    peer_url: inject("agentPeerUrl"),
    pong: "inbox",
    ...more,
  };
  const made = await api("PUT", `/slo/directions/${code}`, body);
  expect(made, JSON.stringify(made.body)).toMatchObject({ status: 200 });
}

/** A finished row as the prober writes it. */
async function row(
  startedAt: number,
  failed: string | null,
  more: { direction?: string; ms?: number } = {},
): Promise<void> {
  const { direction = "C2L", ms = 100 } = more;
  await env.DB.prepare(
    `INSERT INTO wake_slo_probes (id, direction, started_at_ms, topic, peer_kind, status, error_class, l1_ms, l3_ms, l4_ms, l2_known, level)
     VALUES (?1, ?2, ?3, ?4, 'qoopia', ?5, ?6, ?7, ?8, ?8, 0, 4)`,
  )
    .bind(
      crypto.randomUUID(),
      direction,
      startedAt,
      `t-${crypto.randomUUID()}`,
      failed ? "failed" : "ok",
      failed,
      ms,
      failed ? null : ms,
    )
    .run();
}

beforeEach(async () => {
  await env.DB.batch(
    ["wake_slo_probes", "slo_direction", "slo_pong", "slo_mute", "slo_count", "wake_slo_hour"].map((t) =>
      env.DB.prepare(`DELETE FROM ${t}`),
    ),
  );
});

describe("the embedded workspace", () => {
  it("is probed in both directions through its own hooks and responder, and no model or person is woken", async () => {
    const workspace = newWorkspace();
    const agents = await Promise.all(["north", "south"].map((name) => newAgent(workspace, name)));
    for (const agent of agents) {
      const id = `slo-${agent.id.toLowerCase()}`;
      const secret = "slo-hook-secret-0123456789";
      const hook = await api("POST", "/hooks", {
        ...{ id, title: agent.name, agent_id: agent.id, agent_name: agent.name, secret, slo_key: agent.key },
        slo: { peer_url: rt.config.publicUrl },
      });
      expect(hook, JSON.stringify(hook.body)).toMatchObject({ status: 201 });
      const wake = { url: `/hooks/${id}`, auth: "bearer", secret };
      expect((await api("PUT", `/messaging/agents/${agent.id}/wake`, { wake })).status).toBe(200);
    }
    const [north, south] = agents.map((a) => a.id) as [string, string];
    const both = { peer_kind: "embedded", peer_url: undefined, pong: "hook" };
    await put("C2L", { ...both, from_agent: north, to_agent: south });
    await put("L2C", { ...both, from_agent: south, to_agent: north });
    expect(await probeTick(env, rt)).toBe(2);
    const rows = await probes();
    expect(rows).toHaveLength(2);
    for (const p of rows) {
      expect(p).toMatchObject({
        status: "ok",
        level: 4,
        error_class: null,
        wake_ok: 1,
        l2_known: 1,
        responder_status: "ok",
      });
      expect(p.l2_ms).toBeLessThanOrEqual(p.l3_ms!);
      expect(p.l3_ms).toBeLessThanOrEqual(p.l4_ms!);
    }
    const pongs = await env.DB.prepare("SELECT probe_id FROM slo_pong").all<{ probe_id: string }>();
    expect(pongs.results.map((p) => p.probe_id).sort()).toEqual(rows.map((p) => p.id).sort());
    const real = await env.DB.prepare("SELECT COUNT(*) AS n FROM message_wake").first<{ n: number }>();
    expect(real!.n).toBe(0);
    const items = await slo();
    expect(items.map((i) => [i.code, i.windows["24h"]!.n, i.windows["24h"]!.failed])).toEqual([
      ["C2L", 1, 0],
      ["L2C", 1, 0],
    ]);
    expect(items[0]!.last_probe).toMatchObject({ status: "ok", level: 4 });
  });

  it("tells an agent about a breach once in 4 h, again once it is over and back", async () => {
    const workspace = newWorkspace();
    const north = await newAgent(workspace, "north");
    const chief = await newAgent(workspace, "chief");
    await put("C2L", { peer_kind: "embedded", peer_url: undefined, from_agent: north.id, to_agent: chief.id });
    const now = rt.clock.now();
    // Set just now, for as long as this test turns the clock on: no slot is missing.
    await env.DB.prepare("UPDATE slo_direction SET updated_at = ?")
      .bind(now + 6 * HOUR)
      .run();
    for (let i = 0; i < 30; i++) await row(now - (i + 1) * MINUTE, i < 3 ? "reply_timeout" : null);
    const told: Runtime = { ...at(now), vars: { ...rt.vars, REVEILLE_SLO_ALERT_AGENT: chief.id } };
    const say = async (later: number): Promise<number> =>
      tellBreaches(env, { ...told, clock: { ...told.clock, now: () => now + later } }, await readDirections(env.DB));
    expect(await say(0)).toBe(1);
    expect(await say(MINUTE)).toBe(0);
    const inbox = (await ok(chief.key, "agent_inbox", { limit: 100 }))["items"] as { topic: string; body: string }[];
    // Rate and burn are judged each on its own.
    expect(inbox.map((m) => JSON.parse(m.body).reason).sort()).toEqual(["burn", "rate"]);
    expect(inbox.every((m) => /^WAKE_SLO_P2_ALERT_\d+$/.test(m.topic))).toBe(true);
    expect(inbox[0]!.body).not.toContain("WAKE_SLO_P");
    expect(await say(4 * HOUR + MINUTE)).toBe(1);
    await env.DB.prepare("UPDATE wake_slo_probes SET status = 'ok', error_class = NULL").run();
    expect(await say(4 * HOUR + 2 * MINUTE)).toBe(0);
    expect((await env.DB.prepare("SELECT COUNT(*) AS n FROM slo_mute").first<{ n: number }>())!.n).toBe(0);
    await row(now, "unexplained_hang");
    expect(await say(4 * HOUR + 3 * MINUTE)).toBe(1);
  });
});

describe("another machine's messaging", () => {
  const classes: [mood: string, status: string, error_class: string | null, closed: string | null][] = [
    ["ok", "ok", null, "probe_ok"],
    ["slow", "ok", null, "probe_ok"],
    ["queued", "failed", "ack_timeout", "probe_failed:ack_timeout"],
    ["failed", "failed", "wake_push_failed", "probe_failed:wake_push_failed"],
    ["ignored", "failed", "wake_push_failed", "probe_failed:wake_push_failed"],
    ["silent", "failed", "reply_timeout", "probe_failed:reply_timeout"],
    ["error", "failed", "error_envelope", "probe_failed:error_envelope"],
    ["other", "failed", "protocol_mismatch", "probe_failed:protocol_mismatch"],
    ["steward", "failed", "protocol_mismatch", "probe_failed:protocol_mismatch"],
    ["down", "failed", "wake_push_failed", null],
    ["stranger", "failed", "config_error", null],
  ];
  for (const [mood, status, error_class, closed] of classes)
    it(`answers "${mood}": one row, ${error_class ?? "ok"}, session closed`, async () => {
      await put("C2L", { key: `q_peer-${mood}` });
      expect(await probeTick(env, fast)).toBe(1);
      const rows = await probes();
      expect(rows).toHaveLength(1);
      expect(rows[0]).toMatchObject({ status, error_class, l2_known: 0, l2_ms: null });
      if (mood === "steward") expect(rows[0]!.responder_status).toBe("wrong_identity_key");
      const sessions = (await (await fetch(`${inject("agentPeerUrl")}/_ledger`)).json()) as Record<string, unknown>[];
      const mine = sessions.find((s) => s["topic"] === rows[0]!.topic);
      expect(mine?.["closed"] ?? null).toBe(closed);
      const counted = await env.DB.prepare("SELECT name, n FROM slo_count").all<{ name: string; n: number }>();
      expect(counted.results).toEqual([{ name: `probe:C2L:${status}:${error_class ?? ""}`, n: 1 }]);
      expect((await direction()).lease_until).toBeNull();
    });

  it("is asked once however many prober minutes run at once, and a key never comes out", async () => {
    await put("C2L", { key: "q_peer-ok" });
    expect((await Promise.all([1, 2, 3, 4].map(() => probeTick(env, rt)))).reduce((a, b) => a + b)).toBe(1);
    expect(await probeTick(env, rt)).toBe(0);
    expect(await probes()).toHaveLength(1);
    const shown = await api("GET", "/slo/directions");
    expect(JSON.stringify(shown.body)).not.toContain("q_peer");
    expect(JSON.stringify((await env.DB.prepare("SELECT * FROM slo_direction").all()).results)).not.toContain("q_peer");
    // Another identity never gets the key of the one before.
    await put("C2L", { from_agent: "01C" });
    expect((await direction()).sealed_key).toBeNull();
  });
});

describe("the consumer's minute", () => {
  it("runs what is due, marks its listener, and writes nothing while nothing is due", async () => {
    await put("C2L", { key: "q_peer-ok" });
    const minute = () =>
      consumer.scheduled({ cron: PROBER_CRON, scheduledTime: Date.now(), noRetry() {} } as never, env);
    const mark = () => env.DB.prepare("SELECT * FROM listener_state WHERE name = 'slo_prober'").first();
    await minute();
    expect(await probes()).toMatchObject([{ status: "ok" }]);
    const marked = await mark();
    expect(marked).toMatchObject({ consecutive_errors: 0, note: "1 probes" });
    await minute();
    expect(await probes()).toHaveLength(1);
    expect(await mark()).toEqual(marked);
    await env.DB.prepare("UPDATE listener_state SET consecutive_errors = 2 WHERE name = 'slo_prober'").run();
    await minute();
    expect(await mark()).toMatchObject({ consecutive_errors: 0 });
  });
});

describe("a run whose Worker dies", () => {
  it("keeps its one row, which its lease closes as a hang, and frees its direction", async () => {
    await put("C2L");
    const now = rt.clock.now();
    const run = { id: "dead-1", started_at: now, topic: topicOf("C2L", now) };
    expect(await startRun(env.DB, await direction(), 5, run)).toBe(true);
    expect(await startRun(env.DB, await direction(), 6, { ...run, id: "dead-2", topic: "other" })).toBe(false);
    expect(await closeHangs(env.DB, now + 3 * MINUTE)).toBe(0);
    expect(await closeHangs(env.DB, now + 5 * MINUTE)).toBe(1);
    expect(await closeHangs(env.DB, now + 6 * MINUTE)).toBe(0);
    expect(await probes()).toMatchObject([{ id: "dead-1", status: "failed", error_class: "unexplained_hang" }]);
    const next = { id: "next", started_at: now + 5 * MINUTE, topic: topicOf("C2L", now + 5 * MINUTE) };
    expect(await startRun(env.DB, await direction(), 6, next)).toBe(true);
  });
});

describe("the switches of a direction", () => {
  it("pause and resume it, run it at once, and refuse what makes no sense", async () => {
    await put("C2L", { key: "q_peer-ok" });
    expect((await api("POST", "/slo/directions/C2L/pause")).body).toMatchObject({ paused: true });
    expect(await probeTick(env, rt)).toBe(0);
    expect((await api("POST", "/slo/directions/C2L/run")).status).toBe(400);
    await api("POST", "/slo/directions/C2L/resume");
    expect(await probeTick(env, rt)).toBe(1);
    expect(await probeTick(env, rt)).toBe(0);
    expect((await api("POST", "/slo/directions/C2L/run")).status).toBe(200);
    expect(await probeTick(env, rt)).toBe(1);
    expect((await api("POST", "/slo/directions/L2C/pause")).status).toBe(404);
    const body = { from_agent: "01A", to_agent: "01B", peer_kind: "qoopia" };
    for (const wrong of [
      { ...body, to_agent: "01A" },
      { ...body, peer_url: "http://example.com" },
      { ...body, peer_url: "http://10.0.0.1" },
      { ...body, key_ref: "REVEILLE_OPERATOR_TOKEN" },
      { ...body, every_s: 1 },
    ])
      expect((await api("PUT", "/slo/directions/C2L", wrong)).status, JSON.stringify(wrong)).toBe(400);
  });
});

describe("breaches", () => {
  it("are incidents of Reveille's own rules, opened by the judge and resolved when they are over", async () => {
    await put("L2C");
    const now = rt.clock.now();
    await row(now - MINUTE, "unexplained_hang", { direction: "L2C" });
    const open = async () =>
      (
        await env.DB.prepare(
          "SELECT target_id, severity FROM incident WHERE target_id LIKE 'reveille-slo-%' AND resolved_at IS NULL",
        ).all()
      ).results;
    const judge = async (): Promise<void> => {
      await env.DB.prepare("DELETE FROM listener_state WHERE name = 'alert_notifier'").run();
      await tick(env as unknown as EdgeEnv, rt, rt.clock.now());
    };
    await judge();
    expect(await until("an incident", open, (i) => i.length > 0)).toEqual([
      { target_id: "reveille-slo-hang-l2c", severity: "critical" },
    ]);
    await env.DB.prepare("DELETE FROM wake_slo_probes").run();
    for (let i = 0; i < 3; i++) await judge();
    expect(await until("no incident", open, (i) => i.length === 0)).toEqual([]);
  });
});

describe("what is kept", () => {
  it("sums hours once, and the long window reads the same from hours as from rows", async () => {
    await put("C2L");
    const now = Math.floor(rt.clock.now() / HOUR) * HOUR + 30 * MINUTE;
    for (let h = 0; h < 6; h++)
      for (let i = 0; i < 3; i++)
        await row(now - h * HOUR - i * MINUTE, i === 0 ? "ack_timeout" : null, { ms: h * 100 + i });
    const sorted = async () => {
      const t = await readTally(env.DB, "C2L", now - 28 * DAY, now);
      for (const list of Object.values(t.lat)) list.sort((a, b) => a - b);
      return t;
    };
    const before = await sorted();
    expect(before).toMatchObject({ n: 18, failed: 6, classes: { ack_timeout: 6 } });
    expect(await rollupSlo(env.DB, now)).toBe(5);
    expect(await rollupSlo(env.DB, now)).toBe(0);
    expect(await sorted()).toEqual(before);
    await env.DB.prepare("DELETE FROM wake_slo_probes WHERE started_at_ms < ?")
      .bind(now - HOUR)
      .run();
    expect(await sorted()).toEqual(before);
  });

  it("forgets raw rows after 35 days and pongs after two", async () => {
    const now = rt.clock.now();
    await row(now - 34 * DAY, null);
    await row(now - 36 * DAY, null);
    await env.DB.batch(
      [1, 3].map((d) =>
        env.DB.prepare("INSERT INTO slo_pong VALUES (?, 'p', 's', 'b', ?)").bind(`m${d}`, now - d * DAY),
      ),
    );
    await expireSlo(env.DB, now);
    expect(await probes()).toHaveLength(1);
    const pongs = await env.DB.prepare("SELECT message_id FROM slo_pong").all();
    expect(pongs.results).toEqual([{ message_id: "m1" }]);
  });

  it("is exported under the original's column names", async () => {
    await row(Date.UTC(2026, 8, 21), "reply_timeout");
    await env.DB.prepare("UPDATE wake_slo_probes SET started_at_ms = ?, session_id = ?")
      .bind(rt.clock.now() - 1, '=a,"b"')
      .run();
    const res = await exports.default.fetch("http://reveille.test/api/v1/slo/export.csv", {
      headers: { authorization: `Bearer ${OPERATOR}` },
    });
    const [head, line] = (await res.text()).split("\r\n");
    expect(head).toBe(
      "probe_id,direction,started_at,wake_attempted,wake_ok,delivery_latency_ms,reply_latency_ms,status,error_class,session_id",
    );
    expect(line).toMatch(/,C2L,\d{4}-.*Z,0,0,100,,failed,reply_timeout,"'=a,""b"""$/);
    const page = await api<{ items: unknown[] }>("GET", "/slo/probes?direction=C2L&limit=1");
    expect(page.body.items).toHaveLength(1);
  });
});

describe("/metrics", () => {
  const get = (token?: string) =>
    exports.default.fetch("http://reveille.test/metrics", {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
  it("wants a token", async () => {
    expect((await get()).status).toBe(401);
    expect((await get("wrong")).status).toBe(401);
    expect((await get(OPERATOR)).status).toBe(200);
    const ask = (vars: Record<string, string>, token: string) =>
      app.fetch(new Request("http://reveille.test/metrics", { headers: { authorization: `Bearer ${token}` } }), {
        ...env,
        ...vars,
      } as unknown as EdgeEnv);
    expect((await ask({ REVEILLE_METRICS_TOKEN: "scrape-1" }, "scrape-1")).status).toBe(200);
    expect((await ask({ REVEILLE_OPERATOR_TOKEN: "" }, "scrape-1")).status).toBe(404);
  });
  it("is readable line by line, with every metric of the spec", async () => {
    await put("C2L", { key: "q_peer-ok" });
    await probeTick(env, rt);
    await env.DB.prepare(
      "INSERT INTO slo_count VALUES (1, 'responder:01B:error:no_api_key', 2), (2, 'responder:01B:ok', 3), (1, 'push:a:b:accepted', 4)",
    ).run();
    const text = await (await get(OPERATOR)).text();
    const sample = /^[a-z_]+(\{([a-z0-9_]+="([^"\\\n]|\\.)*",?)*\})? -?\d+(\.\d+)?(e[+-]?\d+)?$/;
    for (const line of text.trimEnd().split("\n")) if (!line.startsWith("# ")) expect(line).toMatch(sample);
    for (const line of [
      'wake_slo_probe_total{direction="C2L",status="ok",error_class=""} 1',
      'wake_slo_responder_total{agent="01B",status="error:no_api_key"} 2',
      'wake_slo_responder_total{agent="01B",status="ok"} 3',
      'wake_push_total{agent="a:b",result="accepted"} 4',
      'wake_slo_budget_remaining{direction="C2L",window="28d"} 1',
      "reveille_dead_letters 0",
    ])
      expect(text.split("\n")).toContain(line);
    expect(text).toMatch(/^wake_slo_level_ms\{direction="C2L",level="l4",quantile="0.95"\} \d+$/m);
    // Nobody can tell coverage from one slot.
    expect(text).not.toMatch(/^wake_slo_coverage\{/m);
  });
});
