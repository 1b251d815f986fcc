import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Effect,
  FLAP_STABLE,
  FLAP_WINDOW,
  fresh,
  INTERMITTENT_RUNS,
  type Input,
  type Machine,
  type Policy,
  step,
  verdict,
} from "../../src/watch/incident";
import type { Reason, Severity, Snapshot, Status } from "../../src/watch/types";

/** Proves the rules of the incident state machine (kora-watch §3); the object and its storage are tested elsewhere. */

const policy: Policy = {
  confirm: 2,
  confirm_unreachable: 3,
  recover: 2,
  recheck_ms: 30_000,
  every_ms: 60_000,
  self_looks: true,
};
const MIN = 60_000;
const T0 = 1_800_000_000_000;

const shapes = {
  good: { status: "healthy", reason: "ok", severity: "info" },
  warn: { status: "degraded", reason: "service_unhealthy", severity: "warning" },
  bad: { status: "unhealthy", reason: "service_unhealthy", severity: "critical" },
  away: { status: "unknown", reason: "unreachable", severity: "critical" },
  auth: { status: "unhealthy", reason: "auth_failed", severity: "critical" },
  limited: { status: "unknown", reason: "rate_limited", severity: "info" },
  unset: { status: "unknown", reason: "not_configured", severity: "info" },
} as const satisfies Record<string, { status: Status; reason: Reason; severity: Severity }>;
type Shape = keyof typeof shapes;

function look(shape: Shape, at: number, maintenance = false): Input {
  const { severity, ...rest } = shapes[shape];
  const snapshot: Snapshot = { at, ...rest, latency_ms: 5, details: {}, error: null };
  return { type: "look", snapshot, severity, maintenance, new_id: `inc-${at}` };
}

interface Seen {
  effect: Effect;
  at: number;
}
/** Runs looks at fixed distances and collects every effect. */
function run(looks: Shape[], gap = MIN, from = T0, machine: Machine = fresh(T0 - 1)): { m: Machine; seen: Seen[] } {
  const seen: Seen[] = [];
  let m = machine;
  looks.forEach((shape, i) => {
    const at = from + i * gap;
    const out = step(m, look(shape, at), policy);
    m = out.machine;
    seen.push(...out.effects.map((effect) => ({ effect, at })));
  });
  return { m, seen };
}
const wakes = (seen: Seen[]): string[] =>
  seen.flatMap(({ effect }) => (effect.type === "wake" && !effect.silent ? [effect.event] : []));

describe("confirm and recover", () => {
  it("one blip wakes nobody (acceptance 1)", () => {
    const { m, seen } = run(["good", "bad", "good", "good"]);
    expect(wakes(seen)).toEqual([]);
    expect(seen.filter((s) => s.effect.type === "open")).toEqual([]);
    expect(m.phase).toBe("steady");
  });

  it("two bad looks open one incident, two good ones resolve it, with the downtime from the first bad look", () => {
    const { m, seen } = run(["good", "bad", "bad", "bad", "good", "good"]);
    expect(wakes(seen)).toEqual(["opened", "recovered"]);
    const resolve = seen.find((s) => s.effect.type === "resolve")!.effect as Extract<Effect, { type: "resolve" }>;
    expect(resolve.downtime_ms).toBe(4 * MIN);
    expect(m.incident).toBeNull();
    expect(m.status).toBe("healthy");
  });

  it("a vendor that does not answer is an outage after three looks (acceptance 2, D1)", () => {
    const two = run(["good", "away", "away"]);
    expect(wakes(two.seen)).toEqual([]);
    const three = run(["good", "away", "away", "away"]);
    expect(wakes(three.seen)).toEqual(["opened"]);
    expect(three.m.status).toBe("unhealthy");
    expect(three.m.incident?.category).toBe("unreachable");
  });

  it("a 24 h outage is one alert and one recovery (acceptance 3)", () => {
    const { seen } = run([...Array<Shape>(1440).fill("bad"), "good", "good"]);
    expect(wakes(seen)).toEqual(["opened", "recovered"]);
  });

  it("looks again after 30 s while suspect, and leaves the object's care when steady", () => {
    const suspect = run(["good", "bad"]);
    expect(suspect.m.phase).toBe("suspect");
    expect(suspect.m.next_look_at).toBe(T0 + MIN + 30_000);
    expect(suspect.m.status).toBe("healthy");
    expect(run(["good", "bad", "good"]).m.next_look_at).toBeNull();
  });

  it("faults that never last but keep coming are confirmed too", () => {
    const blips = Array.from({ length: INTERMITTENT_RUNS }, () => ["bad", "good"] as Shape[]).flat();
    expect(wakes(run(blips).seen)).toEqual(["flapping"]);
    expect(wakes(run(blips.slice(0, -2)).seen)).toEqual([]);
  });
});

describe("severity, silence and flapping", () => {
  it("degraded to unhealthy is its own transition, confirmed, and passes an ack (acceptance 6, D6)", () => {
    const first = run(["warn", "warn"]);
    const acked = step(first.m, { type: "ack", at: T0 + 2 * MIN }, policy).machine;
    const once = run(["bad"], MIN, T0 + 3 * MIN, acked);
    expect(wakes(once.seen)).toEqual([]);
    const twice = run(["bad", "bad"], MIN, T0 + 3 * MIN, acked);
    expect(wakes(twice.seen)).toEqual(["raised"]);
    expect(twice.m.incident?.severity).toBe("critical");
    expect(twice.m.status).toBe("unhealthy");
  });

  it("a better look within the fault lowers nothing: severity never falls while open", () => {
    expect(run(["bad", "bad", "warn", "warn", "warn"]).m.incident?.severity).toBe("critical");
  });

  it("says flapping once at the fourth edge, then is quiet until 30 min stable", () => {
    const cycle: Shape[] = ["bad", "bad", "good", "good"];
    const { m, seen } = run([...cycle, ...cycle]);
    expect(wakes(seen)).toEqual(["opened", "recovered", "opened", "flapping"]);
    expect(m.phase).toBe("open");
    const more = run([...cycle, ...cycle], MIN, T0 + 8 * MIN, m);
    expect(wakes(more.seen)).toEqual([]);
    const stable = run(Array<Shape>(FLAP_STABLE / MIN + 1).fill("good"), MIN, T0 + 16 * MIN, more.m);
    expect(wakes(stable.seen)).toEqual(["recovered"]);
    expect(stable.m.phase).toBe("steady");
  });

  it("bad for 30 min while flapping is simply down again", () => {
    const cycle: Shape[] = ["bad", "bad", "good", "good"];
    const flapping = run([...cycle, ...cycle]).m;
    const { m, seen } = run(Array<Shape>(FLAP_STABLE / MIN + 1).fill("bad"), MIN, T0 + 8 * MIN, flapping);
    expect(wakes(seen)).toEqual(["settled"]);
    expect(m.incident?.flapping).toBe(false);
  });

  it("edges older than an hour do not count as flapping", () => {
    const cycle: Shape[] = ["bad", "bad", "good", "good"];
    const first = run(cycle);
    const later = run(cycle, MIN, T0 + FLAP_WINDOW + 5 * MIN, first.m);
    expect(wakes(later.seen)).toEqual(["opened", "recovered"]);
  });

  it("maintenance opens nothing, forgets what was suspected, and resolves quietly", () => {
    let m = run(["good", "bad"]).m;
    for (let i = 2; i < 8; i++) {
      const out = step(m, look("bad", T0 + i * MIN, true), policy);
      expect(out.effects.filter((e) => e.type === "open" || e.type === "wake")).toEqual([]);
      m = out.machine;
    }
    expect(m.phase).toBe("steady");
    let open = run(["bad", "bad"]).m;
    const silent: Effect[] = [];
    for (let i = 2; i < 4; i++) {
      const out = step(open, look("good", T0 + i * MIN, true), policy);
      silent.push(...out.effects);
      open = out.machine;
    }
    expect(silent.filter((e) => e.type === "resolve")).toHaveLength(1);
    expect(silent.filter((e) => e.type === "wake").every((e) => e.type === "wake" && e.silent)).toBe(true);
  });

  it("a snooze that ends while still bad speaks up once", () => {
    const open = run(["bad", "bad"]).m;
    const snoozed = step(open, { type: "snooze", at: T0 + 2 * MIN, until: T0 + 5 * MIN }, policy);
    expect(snoozed.effects.map((e) => e.type)).toEqual(["snooze", "wake"]);
    const { seen } = run(Array<Shape>(6).fill("bad"), MIN, T0 + 3 * MIN, snoozed.machine);
    expect(wakes(seen)).toEqual(["reminder"]);
  });

  it("429 widens the interval to 30 min at most, counts as nothing, and is told once", () => {
    const { m, seen } = run(["good", ...Array<Shape>(12).fill("limited")]);
    expect(wakes(seen)).toEqual([]);
    expect(seen.filter((s) => s.effect.type === "blind")).toHaveLength(1);
    expect(m.not_before! - m.last_at).toBe(30 * MIN);
    expect(m.status).toBe("unknown");
    expect(run(["good"], MIN, m.last_at + MIN, m).m.not_before).toBeNull();
  });

  it("a rehearsal confirms, recovers and leaves no trace in the flap rule", () => {
    let m = step(run(["good"]).m, { type: "rehearse", at: T0 + MIN }, policy).machine;
    expect(m.rehearsal).toEqual({ bad_left: 2, good_left: 2 });
    const seen: Effect[] = [];
    for (let i = 0; m.rehearsal && i < 10; i++) {
      const shape = m.rehearsal.bad_left > 0 ? "bad" : "good";
      const input = look(shape, T0 + (i + 2) * 30_000 + MIN) as Extract<Input, { type: "look" }>;
      input.snapshot.rehearsal = true;
      const out = step(m, input, policy);
      m = out.machine;
      seen.push(...out.effects);
    }
    expect(seen.flatMap((e) => (e.type === "wake" ? [e.event] : []))).toEqual(["opened", "recovered"]);
    expect(m.edges).toEqual([]);
    expect(m.runs).toEqual([]);
  });
});

/** Any sequence of looks, acts and pauses, at uneven distances. */
const anyShape = fc.constantFrom(...(Object.keys(shapes) as Shape[]));
const anyEvent = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("look" as const), shape: anyShape, maint: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("ack" as const, "unack" as const, "close" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("snooze" as const), min: fc.integer({ min: 1, max: 90 }) }) },
);
const anyHistory = fc.array(fc.tuple(anyEvent, fc.integer({ min: 1, max: 20 * MIN })), { maxLength: 120 });

type AnyEvent = typeof anyEvent extends fc.Arbitrary<infer T> ? T : never;
function inputOf(e: AnyEvent, at: number): Input {
  if (e.kind === "look") return look(e.shape, at, e.maint);
  if (e.kind === "snooze") return { type: "snooze", at, until: at + e.min * MIN };
  return { type: e.kind, at };
}

describe("properties over random histories", () => {
  it("opens and resolves alternate, wakes are unique, versions rise, and state survives a restart", () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        let m = fresh(T0);
        let at = T0;
        let open: string | null = null;
        let version = 0;
        const keys = new Set<string>();
        for (const [event, gap] of history) {
          at += gap;
          const input = inputOf(event, at);
          const out = step(m, input, policy);
          // A machine read back from its row behaves the same.
          expect(step(JSON.parse(JSON.stringify(m)), input, policy)).toEqual(out);
          for (const e of out.effects) {
            if (e.type === "open") {
              expect(open).toBeNull();
              open = e.incident.id;
              version = 1;
            } else if (e.type === "resolve") {
              expect(e.incident.id).toBe(open);
              expect(e.downtime_ms).toBeGreaterThanOrEqual(0);
            } else if (e.type === "wake") {
              expect(e.incident.id).toBe(open);
              expect(e.incident.version).toBeGreaterThanOrEqual(version);
              version = e.incident.version;
              const key = `${e.incident.id}:${e.event}:${e.incident.version}`;
              expect(keys.has(key)).toBe(false);
              keys.add(key);
            }
          }
          if (out.effects.some((e) => e.type === "resolve")) open = null;
          m = out.machine;
          expect(m.incident?.id ?? null).toBe(open);
          expect(m.phase === "open").toBe(open !== null);
          if (m.phase !== "steady" && input.type === "look") expect(m.next_look_at).toBeGreaterThan(at);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("opens only after enough bad looks in a row, or after many runs within an hour", () => {
    fc.assert(
      fc.property(fc.array(anyShape, { maxLength: 80 }), (looks) => {
        let m = fresh(T0);
        let streak = 0;
        let runs: number[] = [];
        looks.forEach((shape, i) => {
          const at = T0 + (i + 1) * MIN;
          const kind = verdict(shapes[shape]);
          if (kind === "bad" && streak === 0) runs = [...runs.filter((t) => at - t < FLAP_WINDOW), at];
          if (m.phase !== "open" || kind === "bad") streak = kind === "bad" ? streak + 1 : 0;
          const out = step(m, look(shape, at), policy);
          if (out.effects.some((e) => e.type === "open")) {
            const need = shapes[shape].reason === "unreachable" ? 3 : 2;
            expect(streak >= need || runs.length >= INTERMITTENT_RUNS).toBe(true);
          }
          m = out.machine;
        });
      }),
      { numRuns: 400 },
    );
  });

  it("never opens while all looks are good or blind, and a late look changes nothing", () => {
    const calm = fc.constantFrom<Shape>("good", "limited", "unset");
    fc.assert(
      fc.property(fc.array(calm, { minLength: 1, maxLength: 60 }), (looks) => {
        const { m, seen } = run(looks);
        expect(seen.some((s) => s.effect.type === "open")).toBe(false);
        const late = step(m, look("bad", m.last_at - 1), policy);
        expect(late.effects).toEqual([]);
      }),
    );
  });
});
