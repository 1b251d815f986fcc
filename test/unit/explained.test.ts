import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { composeInvestigation, type Explained, type IncidentFacts } from "../../src/notify";

/** The words under a plain notice: what they say, and that they fit. */

const facts = (more: Partial<IncidentFacts> = {}): IncidentFacts => ({
  id: "01KB",
  target_id: "fly-web",
  target_name: "fly-web",
  kind: "fly",
  category: "service_unhealthy",
  severity: "critical",
  title: "fly-web: no serving machine",
  detail: "",
  rehearsal: false,
  first_bad_at: 0,
  opened_at: 30_000,
  confirmed_by: "2 of 2 looks",
  acked_at: null,
  acked_by: null,
  snooze_until: null,
  resolved_at: null,
  resolution: null,
  flapping: false,
  cost_usd: 0,
  first_snapshot: "{}",
  last_snapshot: "{}",
  ...more,
});
const explained = (
  more: Partial<Explained> = {},
  result: Partial<NonNullable<Explained["result"]>> = {},
): Explained => ({
  result: {
    summary: "Machine 148e21 exited with code 137, 61 s after release v88 [E2, E3].",
    evidence: ["E2", "E3"],
    confidence: 0.82,
    likely_cause: "out of memory in v88.",
    next_step: "start it, then compare memory of v87 and v88.",
    ...result,
  },
  error: null,
  guess: false,
  dropped: 0,
  usd: 0.0041,
  ms: 6_200,
  ...more,
});
const compose = (x: Explained, f: IncidentFacts = facts()) =>
  composeInvestigation({ id: "n1", at: 60_000, publicUrl: "http://r.test", facts: f, explained: x });

describe("an explanation", () => {
  it("reads as the operator's guide shows it", () => {
    const n = compose(explained());
    expect(n.title).toBe("Why (confidence 0.82): fly-web");
    expect(n.body).toBe(
      [
        "Machine 148e21 exited with code 137, 61 s after release v88 [E2, E3].",
        "Likely: out of memory in v88.",
        "Next: start it, then compare memory of v87 and v88.",
        "$0.0041, 6.20 s",
      ].join("\n"),
    );
    expect(n).toMatchObject({ event: "explained", actions: [], quote: "", url: "http://r.test/incidents/01KB" });
  });

  it("names its evidence when the words do not", () => {
    expect(compose(explained({}, { summary: "It exited." })).body).toContain("It exited [E2, E3].");
  });

  it("is titled a guess without evidence, and tells what was dropped", () => {
    const n = compose(explained({ guess: true, dropped: 2 }, { evidence: [] }));
    expect(n.title).toBe("A guess (confidence 0.82): fly-web");
    expect(n.body).toContain("No claim has evidence.");
    expect(n.body).toContain("2 claims dropped: no evidence.");
  });

  it("a rehearsal is marked", () => {
    expect(compose(explained(), facts({ rehearsal: true })).title).toBe("Rehearsal. Why (confidence 0.82): fly-web");
  });

  it("an unknown price is never $0", () => expect(compose(explained({ usd: null })).body).toContain("not priced"));

  it("fits, keeps what it cost, and links what was cut", () => {
    const long = "word ".repeat(500);
    const n = compose(
      explained({}, { summary: long, likely_cause: long, next_step: long }),
      facts({ target_name: long }),
    );
    expect(n.title.length).toBeLessThanOrEqual(80);
    expect(n.title.length + 1 + n.body.length).toBeLessThanOrEqual(900);
    expect(n.body).toMatch(/… full text: http:\/\/r\.test\/incidents\/01KB\n\$0\.0041, 6\.20 s$/);
  });

  it("fits whatever it says", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 3_000 }), fc.string({ maxLength: 300 }), (summary, target_name) => {
        const n = compose(explained({}, { summary }), facts({ target_name }));
        expect(n.title.length).toBeLessThanOrEqual(80);
        expect(n.title.length + 1 + n.body.length).toBeLessThanOrEqual(900);
      }),
    );
  });
});

describe("no explanation", () => {
  it.each([
    ["cost_ladder_halted", "the budget for this is spent"],
    ["operational_state_paused", "wakes are paused"],
    ["sdk_timeout", "did not answer in time"],
    ["sdk_auth", "refused our key"],
    ["sdk_rate_limited", "rate limited"],
    ["sdk_5xx", "the engine failed"],
    ["sdk_4xx_422", "refused the request (HTTP 422)"],
    ["sdk_transport", "could not be reached"],
    ["empty_response_text", "answered nothing"],
    ["unpriced_model", "no known price"],
    ["truncated", "cut off"],
    ["invalid_output", "not in the form"],
    ["some_new_code", "some new code"],
  ])("%s is one sentence", (error, words) => {
    const n = compose(explained({ result: null, error, usd: 0 }));
    expect(n.title).toBe("Not investigated: fly-web");
    expect(n.body).toContain(words);
    expect(n.body).toContain("The facts above are complete.");
    expect(n.body).not.toContain("$");
  });

  it("tells what a useless answer cost", () => {
    expect(compose(explained({ result: null, error: "invalid_output", usd: 0.0041 })).body).toContain("$0.0041");
  });
});
