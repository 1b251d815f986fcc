import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BURST, type GateFacts, gate } from "../../src/notify/gate";

/** Proves who hears of a wake and when; the rows behind the facts are tested with the consumer. */

const NOW = 1_800_000_000_000;
const facts = (more: Partial<GateFacts>): GateFacts => ({
  event: "opened",
  severity: "critical",
  rehearsal: false,
  now: NOW,
  resolved: false,
  muted_until: null,
  digest: false,
  last_sent_at: null,
  debounce_ms: 600_000,
  bypass_critical: false,
  earlier_in_burst: 0,
  deferred: false,
  incident_was_pushed: false,
  ...more,
});

describe("gate", () => {
  it("pushes a first fault at once", () => {
    expect(gate(facts({}))).toEqual({ type: "push" });
  });

  it("holds a second fault of the same target and category until the cooldown ends, then tells it if it is still there", () => {
    const held = facts({ last_sent_at: NOW - 100_000 });
    expect(gate(held)).toEqual({ type: "defer", until: NOW + 500_000 });
    expect(gate({ ...held, now: NOW + 500_000, deferred: true })).toEqual({ type: "push" });
    expect(gate({ ...held, now: NOW + 500_000, deferred: true, resolved: true })).toMatchObject({ type: "inbox" });
    expect(gate({ ...held, resolved: true })).toMatchObject({ type: "inbox", why: "debounced" });
  });

  it("lets critical pass the cooldown only when told to, and 0 turns the cooldown off", () => {
    const held = facts({ last_sent_at: NOW - 1 });
    expect(gate({ ...held, bypass_critical: true })).toEqual({ type: "push" });
    expect(gate({ ...held, bypass_critical: true, severity: "warning" })).toMatchObject({ type: "defer" });
    expect(gate({ ...held, debounce_ms: 0 })).toEqual({ type: "push" });
  });

  it("in digest mode only critical is pushed", () => {
    expect(gate(facts({ digest: true, severity: "warning" }))).toEqual({ type: "inbox", why: "digest" });
    expect(gate(facts({ digest: true }))).toEqual({ type: "push" });
    expect(gate(facts({ digest: true, event: "digest", severity: "info" }))).toEqual({ type: "push" });
  });

  it("tells an end only to those who were told the beginning", () => {
    expect(gate(facts({ event: "recovered" }))).toEqual({ type: "inbox", why: "never_pushed" });
    expect(gate(facts({ event: "recovered", incident_was_pushed: true }))).toEqual({ type: "push" });
  });

  it("folds what comes after the fifth of a minute, never a raise or a rehearsal", () => {
    const many = { earlier_in_burst: BURST };
    expect(gate(facts(many))).toEqual({ type: "fold" });
    expect(gate(facts({ earlier_in_burst: BURST - 1 }))).toEqual({ type: "push" });
    expect(gate(facts({ ...many, event: "raised" }))).toEqual({ type: "push" });
    expect(gate(facts({ ...many, rehearsal: true }))).toEqual({ type: "push" });
  });

  it("a raise passes ack, cooldown and burst; only mute and digest hold it (D6)", () => {
    fc.assert(
      fc.property(
        fc.record({
          resolved: fc.boolean(),
          last_sent_at: fc.option(fc.integer({ min: NOW - 1_000_000, max: NOW })),
          bypass_critical: fc.boolean(),
          earlier_in_burst: fc.nat(50),
          deferred: fc.boolean(),
          incident_was_pushed: fc.boolean(),
          rehearsal: fc.boolean(),
        }),
        (rest) => {
          expect(gate(facts({ event: "raised", ...rest }))).toEqual({ type: "push" });
        },
      ),
    );
  });

  it("muted reaches the inbox and nothing else, until the mute ends", () => {
    expect(gate(facts({ muted_until: NOW + 1 }))).toEqual({ type: "inbox", why: "muted" });
    expect(gate(facts({ muted_until: NOW }))).toEqual({ type: "push" });
  });
});
