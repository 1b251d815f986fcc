import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CLOCK_BACK,
  type Effect,
  fresh,
  type Input,
  MAX_WIDEN,
  type Machine,
  type Policy,
  step,
} from "../../src/watch/incident";
import { rehearsed } from "../../src/watch/rehearsal";
import type { Reason, Severity, Snapshot, Status } from "../../src/watch/types";

/** Proves what the state machine must never do: stop looking, hide a real fault behind a rehearsal, lose a word to maintenance. */

const policy: Policy = {
  confirm: 2,
  confirm_unreachable: 3,
  recover: 2,
  recheck_ms: 30_000,
  every_ms: 60_000,
  self_looks: true,
};
const MIN = 60_000;
const HOUR = 60 * MIN;
const T0 = 1_800_000_000_000;

const shapes = {
  good: { status: "healthy", reason: "ok", severity: "info" },
  warn: { status: "degraded", reason: "service_unhealthy", severity: "warning" },
  bad: { status: "unhealthy", reason: "service_unhealthy", severity: "critical" },
  away: { status: "unknown", reason: "unreachable", severity: "critical" },
  limited: { status: "unknown", reason: "rate_limited", severity: "info" },
  unset: { status: "unknown", reason: "not_configured", severity: "info" },
} as const satisfies Record<string, { status: Status; reason: Reason; severity: Severity }>;
type Shape = keyof typeof shapes;
const SHAPES = Object.keys(shapes) as Shape[];

function look(shape: Shape, at: number, maintenance = false): Input {
  const { severity, ...rest } = shapes[shape];
  const snapshot: Snapshot = { at, ...rest, latency_ms: 5, details: {}, error: null };
  return { type: "look", snapshot, severity, maintenance, new_id: `inc-${at}` };
}

/** Applies inputs in order; returns the machine and all effects. */
function run(m: Machine, inputs: Input[]): { m: Machine; effects: Effect[] } {
  const effects: Effect[] = [];
  for (const input of inputs) {
    const out = step(m, input, policy);
    m = out.machine;
    effects.push(...out.effects);
  }
  return { m, effects };
}
const told = (effects: Effect[]): string[] => effects.flatMap((e) => (e.type === "wake" && !e.silent ? [e.event] : []));

describe("a target that is not steady is always looked at again", () => {
  it("holds after any mix of looks, acts, maintenance, rehearsals and clock jumps", () => {
    const input = fc.oneof(
      { weight: 8, arbitrary: fc.record({ shape: fc.constantFrom(...SHAPES), maintenance: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constantFrom("ack", "unack", "snooze", "rehearse", "close" as const) },
    );
    const jump = fc.integer({ min: -2 * HOUR, max: 2 * HOUR });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(input, fc.oneof({ weight: 9, arbitrary: fc.constant(30_000) }, jump)), { maxLength: 60 }),
        (list) => {
          let m = fresh(T0);
          let at = T0;
          for (const [what, gap] of list) {
            at += gap;
            if (typeof what === "string")
              m = step(
                m,
                what === "snooze" ? { type: what, at, until: at + HOUR } : { type: what, at },
                policy,
              ).machine;
            else if (m.rehearsal) {
              const snapshot = rehearsed(m, at);
              const severity = snapshot.status === "healthy" ? "info" : "critical";
              m = step(
                m,
                { type: "look", snapshot, severity, maintenance: what.maintenance, new_id: `i${at}` },
                policy,
              ).machine;
            } else m = step(m, look(what.shape, at, what.maintenance), policy).machine;
            if (m.phase !== "steady" || m.rehearsal) {
              expect(m.next_look_at).not.toBeNull();
              if (typeof what !== "string") expect(m.next_look_at! - at).toBeLessThanOrEqual(MAX_WIDEN + CLOCK_BACK);
            }
            expect(m.incident !== null).toBe(m.phase === "open");
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("a clock that was set back does not make the target deaf until it has caught up", () => {
    const ahead = run(fresh(T0 - 1), [look("good", T0 + 24 * HOUR)]).m;
    const { m, effects } = run(ahead, [look("bad", T0), look("bad", T0 + MIN)]);
    expect(m.phase).toBe("open");
    expect(told(effects)).toEqual(["opened"]);
    // A look that was merely overtaken is still dropped.
    const late = run(fresh(T0 - 1), [look("good", T0 + MIN), look("bad", T0), look("bad", T0 + 1)]).m;
    expect(late.phase).toBe("steady");
  });

  it("an open incident recovers after the clock was set back, flapping or not", () => {
    const open = run(fresh(T0 - 1), [look("bad", T0 + 24 * HOUR), look("bad", T0 + 24 * HOUR + MIN)]).m;
    expect(open.phase).toBe("open");
    expect(run(open, [look("good", T0), look("good", T0 + MIN)]).m.phase).toBe("steady");
    const flapping = { ...open, flap: { changed_at: T0 + 24 * HOUR, bad: true } };
    const goods = Array.from({ length: 40 }, (_, i) => look("good", T0 + i * MIN));
    expect(run(flapping, goods).m.phase).toBe("steady");
  });
});

describe("a rehearsal", () => {
  const drill = (m: Machine, from: number): { m: Machine; effects: Effect[]; at: number } => {
    const effects: Effect[] = [];
    m = step(m, { type: "rehearse", at: from }, policy).machine;
    let at = from;
    for (; m.rehearsal && at < from + HOUR; at += 30_000) {
      const snapshot = rehearsed(m, at);
      const severity = snapshot.status === "healthy" ? "info" : "critical";
      const out = step(m, { type: "look", snapshot, severity, maintenance: false, new_id: `r${at}` }, policy);
      m = out.machine;
      effects.push(...out.effects);
    }
    return { m, effects, at };
  };

  it("ends by itself even when the target had a bad hour, and is never taken for flapping", () => {
    const cycle = (at: number): Input[] => [
      look("bad", at),
      look("bad", at + MIN),
      look("good", at + 2 * MIN),
      look("good", at + 3 * MIN),
    ];
    const blips = Array.from({ length: 6 }, (_, i) => [
      look("bad", T0 + i * 4 * MIN),
      look("good", T0 + i * 4 * MIN + MIN),
    ]).flat();
    for (const before of [
      {
        ...run(fresh(T0 - 1), [...cycle(T0), look("good", T0 + 8 * MIN)]).m,
        edges: [T0, T0 + MIN, T0 + 2 * MIN, T0 + 3 * MIN],
      },
      run(fresh(T0 - 1), blips.slice(0, 10)).m,
    ]) {
      // One more blip would be the sixth run of the intermittent rule; the rehearsed one must not count as it.
      const { m, effects } = drill({ ...before, runs: [...before.runs, T0 + 20 * MIN] }, T0 + 25 * MIN);
      expect(told(effects)).toEqual(["opened", "recovered"]);
      expect(m).toMatchObject({ phase: "steady", incident: null, flap: null, rehearsal: null });
    }
  });
});

describe("maintenance postpones words, it does not swallow them", () => {
  const openWarning = run(fresh(T0 - 1), [look("warn", T0), look("warn", T0 + MIN)]).m;

  it("a fault that got worse during the window is told as worse after it", () => {
    const during = run(
      openWarning,
      [2, 3, 4].map((i) => look("bad", T0 + i * MIN, true)),
    );
    expect(told(during.effects)).toEqual([]);
    const after = run(
      during.m,
      [5, 6, 7].map((i) => look("bad", T0 + i * MIN)),
    );
    expect(told(after.effects)).toEqual(["raised"]);
    expect(after.m.incident?.severity).toBe("critical");
  });

  it("a snooze that ends inside the window reminds after it", () => {
    const snoozed = step(openWarning, { type: "snooze", at: T0 + 2 * MIN, until: T0 + 4 * MIN }, policy).machine;
    const during = run(
      snoozed,
      [3, 4, 5].map((i) => look("warn", T0 + i * MIN, true)),
    );
    expect(told(during.effects)).toEqual([]);
    const after = run(during.m, [look("warn", T0 + 6 * MIN), look("warn", T0 + 7 * MIN)]);
    expect(told(after.effects)).toEqual(["reminder"]);
  });

  it("the end of flapping inside the window is told after it", () => {
    const flapping = { ...openWarning, flap: { changed_at: T0, bad: true } };
    const during = run(flapping, [look("warn", T0 + 40 * MIN, true)]);
    expect(told(during.effects)).toEqual([]);
    expect(told(run(during.m, [look("warn", T0 + 41 * MIN)]).effects)).toEqual(["settled"]);
  });
});
