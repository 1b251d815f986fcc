import { describe, expect, it } from "vitest";
import { health, type ListenerState, readiness, startAll, startEngine } from "../../src/listeners/health";
import { isFatal, type Listener, makeRegistry } from "../../src/listeners/registry";
import { isDue } from "../../src/listeners/run";
import { LISTENERS, registry } from "../../src/listeners/table";

/** Proves the rules of the registry: names, FATAL, health words and counts, readiness (`kora-watch.md` §9, acceptance 10). */

const NOW = Date.UTC(2026, 10, 20, 13, 37);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const entry = (name: string, more: Partial<Listener> = {}): Listener => ({
  name,
  interval_s: 300,
  phase_s: 0,
  fatal: false,
  installed: true,
  home: "edge",
  what: "",
  ...more,
});
const state = (more: Partial<ListenerState> = {}): ListenerState => ({
  last_run_at: NOW - MINUTE,
  last_ok_at: NOW - MINUTE,
  consecutive_errors: 0,
  last_error: null,
  note: null,
  ...more,
});
const fine = () => new Map(LISTENERS.filter((l) => l.installed).map((l) => [l.name, state()]));
const message = (e: unknown) => (e as Error).message;

describe("the registry", () => {
  it("has every name of the table, and ours", () => {
    const names =
      "heartbeat snapshot heartbeat_probes cost_telemetry alert_notifier probe_wake mcp_consumption email_inbound_imap " +
      "promote_phrasebook promote_snapshot_expand promote_router_tuning promote_tool_trimming promote_probe_fix_envelopes " +
      "promote_email_intent slack_client purelymail_client reasoning_engine web mcp webhooks alert_wake " +
      "rollup sweeper dead_man slo_prober retention media digest";
    expect(registry.entries.map((e) => e.name).sort()).toEqual(names.split(" ").sort());
  });

  it("refuses a name twice and an interval that cron can't keep", () => {
    expect(() => makeRegistry([entry("a"), entry("b"), entry("a")])).toThrow(/"a" is registered twice/);
    expect(() => makeRegistry([entry("a", { interval_s: 30 })])).toThrow(/every 30 s/);
    expect(() => makeRegistry([entry("a", { phase_s: 300 })])).toThrow(/at 300 s/);
  });

  it("keeps order, is frozen, and throws for an unknown name", () => {
    const made = makeRegistry([entry("b"), entry("a")]);
    expect(made.entries.map((e) => e.name)).toEqual(["b", "a"]);
    expect(Object.isFrozen(made.entries) && Object.isFrozen(made.entries[0])).toBe(true);
    expect(() => made.get("c")).toThrow(/No listener is named "c"/);
  });
});

describe("FATAL", () => {
  it("is the entry's flag, true for an unknown name, true when the look-up fails", () => {
    expect(isFatal("reasoning_engine", registry.find)).toBe(true);
    expect(isFatal("rollup", registry.find)).toBe(false);
    expect(isFatal("no_such_listener", registry.find)).toBe(true);
    expect(
      isFatal("rollup", () => {
        throw new Error("table unreadable");
      }),
    ).toBe(true);
  });

  it("is never said of what is not installed", () => {
    const row = { ...LISTENERS.find((l) => l.name === "mcp")!, installed: false };
    expect(row.fatal).toBe(true);
    expect(isFatal("mcp", () => row)).toBe(false);
    expect(isFatal("mcp", () => ({ ...row, installed: true }))).toBe(true);
    // All that is in the table is built.
    expect(LISTENERS.filter((x) => !x.installed)).toEqual([]);
  });
});

describe("readiness (acceptance 10)", () => {
  const whole = health(LISTENERS, fine(), NOW);

  it("is 503 when a listener of an unknown name throws at start", () => {
    const started = startAll(
      [
        { name: "web", init: () => {} },
        {
          name: "surprise",
          init: () => {
            throw new Error("no such thing");
          },
        },
      ],
      message,
    );
    expect(readiness(started, whole, registry.find)).toMatchObject({
      ready: false,
      status: 503,
      overall: "unhealthy",
      fatal: [{ name: "surprise", error: "no such thing" }],
    });
  });

  it("is 200 and degraded when a listener that is not fatal throws, and the next ones start", () => {
    const order: string[] = [];
    const started = startAll(
      ["slack_client", "rollup", "web"].map((name) => ({
        name,
        init: () => {
          order.push(name);
          if (name === "rollup") throw new Error("x");
        },
      })),
      message,
    );
    expect(order).toEqual(["slack_client", "rollup", "web"]);
    expect(readiness(started, whole, registry.find)).toMatchObject({
      ready: true,
      status: 200,
      overall: "degraded",
      degraded: ["rollup"],
    });
  });

  it("is 200 and ok when all is well", () => {
    const started = startAll([{ name: "web", init: () => {} }], message);
    expect(readiness(started, whole, registry.find)).toEqual({
      ready: true,
      status: 200,
      overall: "ok",
      fatal: [],
      degraded: [],
    });
  });

  it("takes the engine `none` as healthy, and a chosen engine without key or price as fatal", () => {
    const of = (engine: string, missing: string[]) =>
      readiness([startEngine({ engine, missing })], whole, registry.find).status;
    expect(of("none", ["REVEILLE_ANTHROPIC_API_KEY"])).toBe(200);
    expect(of("anthropic", [])).toBe(200);
    expect(of("anthropic", ["REVEILLE_ANTHROPIC_API_KEY"])).toBe(503);
    expect(startEngine({ engine: "anthropic", missing: ["A", "B"] }).error).toContain("lacks A, B");
  });

  it("believes what the consumer wrote about its engine", () => {
    const states = fine().set("reasoning_engine", state({ consecutive_errors: 1, last_error: "no key" }));
    const told = readiness([], health(LISTENERS, states, NOW), registry.find);
    expect(told).toMatchObject({ status: 503, fatal: [{ name: "reasoning_engine", error: "no key" }] });
    const mail = fine().set("purelymail_client", state({ consecutive_errors: 1, last_error: "no key" }));
    expect(readiness([], health(LISTENERS, mail, NOW), registry.find)).toMatchObject({
      status: 200,
      overall: "degraded",
      degraded: ["purelymail_client"],
    });
  });
});

describe("health", () => {
  const one = (l: Partial<Listener>, s?: ListenerState) =>
    health([entry("x", l)], new Map(s ? [["x", s]] : []), NOW).listeners[0]!;

  it("has five words", () => {
    expect(one({}, state())).toMatchObject({ state: "ok", down: false, due_at: NOW + 4 * MINUTE });
    expect(one({}, state({ last_run_at: NOW, last_ok_at: NOW - 10 * MINUTE }))).toMatchObject({ state: "ok" });
    expect(one({}, state({ last_run_at: NOW, last_ok_at: NOW - 10 * MINUTE - 1 }))).toMatchObject({
      state: "late",
      down: true,
    });
    expect(one({}, state({ consecutive_errors: 1 }))).toMatchObject({ state: "failing", down: false });
    expect(one({}, state({ consecutive_errors: 2 }))).toMatchObject({ state: "failing", down: false });
    expect(one({}, state({ consecutive_errors: 3 }))).toMatchObject({ state: "failing", down: true });
    expect(one({})).toMatchObject({ state: "never_ran", down: false, due_at: null });
    expect(one({ installed: false }, state({ consecutive_errors: 9 }))).toMatchObject({
      state: "not_installed",
      down: false,
    });
  });

  it("calls a run that never came to an end late", () => {
    expect(one({}, state({ last_run_at: NOW - 20 * MINUTE, last_ok_at: null }))).toMatchObject({
      state: "late",
      down: true,
    });
  });

  it("knows nothing of time for what has no interval", () => {
    expect(one({ interval_s: null })).toMatchObject({ state: "ok" });
    expect(one({ interval_s: null }, state({ last_ok_at: 1, last_run_at: 1 }))).toMatchObject({ state: "ok" });
    expect(one({ interval_s: null }, state({ consecutive_errors: 1 }))).toMatchObject({ state: "failing", down: true });
  });

  it("takes the consumer as down when it has been silent for more than 10 min, whatever it said last", () => {
    const quiet = (min: number, errors = 0) =>
      one(
        { home: "consumer" },
        state({ last_run_at: NOW - min * MINUTE, last_ok_at: NOW - min * MINUTE, consecutive_errors: errors }),
      );
    expect(quiet(10)).toMatchObject({ state: "ok" });
    expect(quiet(10.1)).toMatchObject({ state: "late", down: true });
    expect(quiet(10.1, 1)).toMatchObject({ state: "late", down: true });
    expect(
      one({ home: "consumer", interval_s: 60 }, state({ last_run_at: NOW - 9 * MINUTE, last_ok_at: NOW - 9 * MINUTE })),
    ).toMatchObject({ state: "ok" });
  });

  it("sums up: degraded at one down or five failures, unhealthy at three or twenty, unknown before anything ran", () => {
    const of = (down: number, failures = 0) => {
      const states = fine();
      for (const l of LISTENERS.filter((x) => x.installed && x.interval_s !== null).slice(0, down))
        states.set(l.name, state({ consecutive_errors: 3 }));
      return health(LISTENERS, states, NOW, failures).overall;
    };
    expect([of(0), of(1), of(2), of(3)]).toEqual(["ok", "degraded", "degraded", "unhealthy"]);
    expect([of(0, 4), of(0, 5), of(0, 19), of(0, 20)]).toEqual(["ok", "degraded", "degraded", "unhealthy"]);
    expect(health(LISTENERS, new Map(), NOW).overall).toBe("unknown");
  });
});

describe("due", () => {
  const ran = (at: number, consecutive_errors = 0) => ({ last_run_at: at, consecutive_errors });

  it("is once a window, whatever the jitter of the tick", () => {
    const e = entry("x", { phase_s: 120 });
    const at = (min: number, s = 0) => Date.UTC(2026, 10, 20, 13, min, s);
    const due: number[] = [];
    let last = at(0, 1);
    for (let m = 1; m <= 16; m++) {
      const now = at(m, (m * 7) % 11);
      if (isDue(e, ran(last), now)) {
        due.push(m);
        last = now;
      }
    }
    expect(due).toEqual([2, 7, 12]);
  });

  it("catches up after silence with one run", () => {
    expect(isDue(entry("x"), ran(NOW - 5 * HOUR), NOW)).toBe(true);
    expect(isDue(entry("x"), ran(NOW), NOW)).toBe(false);
  });

  it("lets a new daily listener wait for its hour, and tries a failed one again after an hour", () => {
    const e = entry("digest", { interval_s: 86_400, phase_s: 8 * 3_600 });
    const at = (h: number) => Date.UTC(2026, 10, 20, h);
    expect([7, 8, 9, 13].map((h) => isDue(e, undefined, at(h) + MINUTE))).toEqual([false, true, false, false]);
    expect(isDue(e, ran(at(8)), at(20))).toBe(false);
    expect(isDue(e, ran(at(8)), at(32))).toBe(true);
    expect([isDue(e, ran(at(8), 1), at(9) - 1), isDue(e, ran(at(8), 1), at(9))]).toEqual([false, true]);
    expect(isDue(e, undefined, at(6) + MINUTE, 6 * 3_600)).toBe(true);
    expect(isDue(entry("x"), undefined, NOW)).toBe(true);
  });

  it("is never what is not installed or has no interval", () => {
    expect(isDue(entry("x", { installed: false }), undefined, NOW)).toBe(false);
    expect(isDue(entry("x", { interval_s: null }), undefined, NOW)).toBe(false);
  });
});

describe("the table", () => {
  it("writes at most four marks in any minute, and six in the minutes of a day's work", () => {
    // Rows a mark costs: one, and two for the claimed daily ones. The tick's own two listeners live in the cycle's row.
    const periodic = LISTENERS.filter(
      (l) => l.installed && l.interval_s !== null && !["heartbeat", "heartbeat_probes"].includes(l.name),
    );
    let most = 0;
    for (let m = 0; m < 1_440; m++) {
      const rows = periodic
        .filter((l) => (m * 60 - l.phase_s) % l.interval_s! === 0)
        .map((l) => (l.interval_s! >= 3_600 ? 2 : 1) as number);
      const sum = rows.reduce((a, b) => a + b, 0);
      if (!rows.includes(2)) most = Math.max(most, sum);
      expect(sum).toBeLessThanOrEqual(6);
    }
    expect(most).toBeLessThanOrEqual(4);
  });
});
