import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { composeFixAnswered, composeFixAsk, composeFixDryRun, composeFixResult, type FixWords } from "../../src/notify";
import {
  FIX_ACTION,
  FIX_CODES,
  type FixCode,
  type FixFacts,
  findMachine,
  fixableMachines,
  fixKey,
  outcomeOf,
  REASONING,
  refusalOf,
  requestFor,
  verbFor,
} from "../../src/reason/autofix";
import { approvalButtons, approvalOf } from "../../src/reason/fix.answer";
import { mayHoldToken } from "../../src/reason/fly";

/** The gates of a fix in their order, what an incident's own looks allow, and the words. No store and no vendor. */

const good = (): FixFacts => ({
  now: 1_000_000,
  killed: false,
  envelope_enabled: true,
  capability: "probe_autofix_fly_restart",
  caller: REASONING,
  incident: {
    resolved: false,
    confirmed: true,
    rehearsal: false,
    acked: false,
    snooze_until: null,
    category: "service_unhealthy",
    reason_now: "service_unhealthy",
  },
  probe: "fly",
  action: "restart_machine",
  target_id: "148e21c9a45678",
  machine: { app: "web", state: "stopped", sick: true },
  attempts: { incident: 0, target: 0, workspace: 0 },
  asked_before: null,
  token: "set",
  api_url_allowed: true,
});

/** Makes one gate refuse; the earlier one wins where two touch the same fact, so they are applied from the last to the first. */
const BREAK: Record<FixCode, (f: FixFacts) => void> = {
  kill_switch: (f) => {
    f.killed = true;
  },
  envelope_disabled: (f) => {
    f.envelope_enabled = false;
  },
  capability_missing: (f) => {
    f.caller = { name: "someone", capabilities: ["probe_autofix_other"] };
  },
  incident_not_open: (f) => {
    f.incident!.resolved = true;
  },
  not_confirmed: (f) => {
    f.incident!.confirmed = false;
  },
  acked_or_snoozed: (f) => {
    f.incident!.acked = true;
  },
  auth_failed: (f) => {
    f.incident!.category = "auth_failed";
  },
  unknown_probe: (f) => {
    f.probe = "http";
  },
  action_not_in_envelope: (f) => {
    f.action = "machine_destroy";
  },
  target_id_invalid: (f) => {
    f.target_id = "../web/machines/x";
  },
  target_not_in_snapshot: (f) => {
    f.machine = null;
  },
  target_already_healthy: (f) => {
    f.machine = { app: "web", state: "started", sick: false };
  },
  attempts_incident: (f) => {
    f.attempts.incident = 1;
  },
  attempts_target: (f) => {
    f.attempts.target = 2;
  },
  attempts_workspace: (f) => {
    f.attempts.workspace = 3;
  },
  fly_api_token_unset: (f) => {
    f.token = "unset";
  },
  api_url_foreign: (f) => {
    f.api_url_allowed = false;
  },
};

const broken = (codes: readonly FixCode[]): FixFacts => {
  const facts = good();
  for (const code of [...FIX_CODES].reverse()) if (codes.includes(code)) BREAK[code](facts);
  return facts;
};

describe("the gates", () => {
  it("let a confirmed fault of a named machine through", () => {
    expect(refusalOf(good())).toBeNull();
    expect(refusalOf({ ...good(), token: "elsewhere" })).toBeNull();
  });

  it.each(FIX_CODES.map((code, i) => [i + 1, code] as const))("%i. %s alone refuses", (_, code) => {
    expect(refusalOf(broken([code]))?.code).toBe(code);
  });

  it.each(FIX_CODES.map((code, i) => [i + 1, code] as const))(
    "%i. %s is reported although every later gate refuses too",
    (n, code) => {
      expect(refusalOf(broken(FIX_CODES.slice(n - 1)))?.code).toBe(code);
    },
  );

  it("the first of any set of refusals is the answer", () => {
    fc.assert(
      fc.property(fc.subarray([...FIX_CODES], { minLength: 1 }), (codes) => {
        expect(refusalOf(broken(codes))?.code).toBe(codes[0]);
      }),
    );
  });

  it("order of the ruling is the order of the list", () => {
    expect(FIX_CODES.slice(0, 7)).toEqual([
      "kill_switch",
      "envelope_disabled",
      "capability_missing",
      "incident_not_open",
      "not_confirmed",
      "acked_or_snoozed",
      "auth_failed",
    ]);
  });

  it("a snooze holds till it ends, a rehearsal is never fixed, no incident is not open", () => {
    const f = good();
    f.incident!.snooze_until = f.now + 1;
    expect(refusalOf(f)?.code).toBe("acked_or_snoozed");
    f.incident!.snooze_until = f.now;
    expect(refusalOf(f)).toBeNull();
    f.incident!.rehearsal = true;
    expect(refusalOf(f)?.code).toBe("not_confirmed");
    expect(refusalOf({ ...good(), incident: null })?.code).toBe("incident_not_open");
    expect(refusalOf({ ...good(), incident: { ...good().incident!, reason_now: "auth_failed" } })?.code).toBe(
      "auth_failed",
    );
  });

  it("names of the one action: restart aliases always, start only for what stands still", () => {
    const as = (action: string, state: string | null) =>
      refusalOf({ ...good(), action, machine: { app: "web", state, sick: true } })?.code ?? null;
    for (const action of [FIX_ACTION, "restart_machine"])
      for (const state of ["stopped", "failed", null]) expect(as(action, state)).toBeNull();
    expect(as("start", "stopped")).toBeNull();
    expect(as("start", "suspended")).toBeNull();
    expect(as("start", "failed")).toBe("action_not_in_envelope");
    expect(as("destroy", "stopped")).toBe("action_not_in_envelope");
  });

  it.each(["", "a".repeat(65), "a b", "ä", "x/y", "x\n", "148e21;reboot"])("target id %j is invalid", (target_id) => {
    expect(refusalOf({ ...good(), target_id })?.code).toBe("target_id_invalid");
  });
});

const look = (at: number, apps: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  at,
  reason: "service_unhealthy",
  details: { apps, ...more } as never,
});

describe("machines of an incident's own looks", () => {
  it("only what our looks saw unhealthy, in an app the target watches", () => {
    const looks = [look(1, { web: { unhealthy: ["m1"], states: { m1: "failed" } }, other: { unhealthy: ["m9"] } })];
    expect(findMachine(looks, ["web"], "m1")).toEqual({ app: "web", state: "failed", sick: true });
    expect(findMachine(looks, ["web"], "m9")).toBeNull();
    expect(findMachine(looks, ["web"], "m2")).toBeNull();
    expect(fixableMachines(looks, ["web"])).toEqual([{ app: "web", machine: "m1", state: "failed" }]);
  });

  it("the newest look that can tell decides whether it still is", () => {
    const sick = look(1, { web: { unhealthy: ["m1"], states: { m1: "stopped" } } });
    const well = look(2, { web: { unhealthy: [] } });
    const blind = look(3, { web: { error: "unreachable" } });
    expect(findMachine([blind, well, sick], ["web"], "m1")?.sick).toBe(false);
    expect(findMachine([blind, sick], ["web"], "m1")?.sick).toBe(true);
    expect(fixableMachines([well, sick], ["web"])).toEqual([]);
    const again = look(4, { web: { unhealthy: ["m1"], states: { m1: "failed" } } });
    expect(findMachine([sick, well, again], ["web"], "m1")).toEqual({ app: "web", state: "failed", sick: true });
  });

  it("a list that was cut can't say who is well", () => {
    const sick = look(1, { web: { unhealthy: ["m1"] } });
    const full = look(2, { web: { unhealthy: Array.from({ length: 10 }, (_, i) => `x${i}`) } });
    const cut = look(2, { web: { unhealthy: [] } }, { cut: true });
    expect(findMachine([sick, full], ["web"], "m1")?.sick).toBe(true);
    expect(findMachine([sick, cut], ["web"], "m1")?.sick).toBe(true);
  });

  it("details of another form name nothing and throw nothing", () => {
    for (const details of [{}, { apps: 5 }, { apps: { web: "x" } }, { apps: { web: { unhealthy: "m1" } } }])
      expect(findMachine([{ at: 1, reason: "ok", details: details as never }], ["web"], "m1")).toBeNull();
  });
});

describe("the request", () => {
  it("start for what stands still, restart for the rest; no credential in it", () => {
    expect(verbFor("stopped")).toBe("start");
    expect(verbFor("suspended")).toBe("start");
    expect(verbFor("failed")).toBe("restart");
    expect(verbFor("started")).toBe("restart");
    const r = requestFor("https://api.machines.dev/", "my app", "m1", "start");
    expect(r.url).toBe("https://api.machines.dev/v1/apps/my%20app/machines/m1/start");
    expect(Object.keys(r.headers)).not.toContain("authorization");
  });

  it("aliases and start share one key; a dry run has its own", () => {
    expect(fixKey("auto", "I1", "m1")).toBe(`autofix:I1:${FIX_ACTION}:m1`);
    expect(fixKey("approve", "I1", "m1")).toBe(fixKey("auto", "I1", "m1"));
    expect(fixKey("dry_run", "I1", "m1")).not.toBe(fixKey("auto", "I1", "m1"));
  });

  it("the write token goes to Fly or to a private host, never to another public one", () => {
    expect(mayHoldToken("https://api.machines.dev")).toBe(true);
    for (const url of ["http://api.machines.dev", "https://api.machines.dev.evil.example", "https://evil.example", "x"])
      expect(mayHoldToken(url), url).toBe(false);
    expect(mayHoldToken("http://127.0.0.1:9000/fly")).toBe(true);
  });

  it("buttons carry an opaque id of at most 64 bytes and are told apart from others", () => {
    const id = "AbCdEfGhIjKlMnOpQrStUvWxYz-_";
    const [yes, no] = approvalButtons(id, "start");
    expect(approvalOf(yes!.id)).toEqual({ id, answer: "approve" });
    expect(approvalOf(no!.id)).toEqual({ id, answer: "deny" });
    expect(`rv1:${yes!.id}`.length).toBeLessThanOrEqual(64);
    expect(approvalOf("y_23456789012345678")).toBeNull();
    expect(approvalOf(id)).toBeNull();
  });
});

describe("the outcome", () => {
  const base = {
    serving: true,
    sank: false,
    before: { status: "unhealthy" },
    after: { status: "healthy", sick: false },
  };
  it.each([
    ["serves and the look agrees", base, "recovered"],
    [
      "serves, target still degraded by another machine",
      { ...base, after: { status: "degraded", sick: false } },
      "recovered",
    ],
    [
      "serves by its own word, but our look still names it",
      { ...base, after: { status: "unhealthy", sick: true } },
      "no_change",
    ],
    ["does not serve", { ...base, serving: false, after: { status: "unhealthy", sick: true } }, "no_change"],
    ["the machine sank", { ...base, serving: false, sank: true }, "worse"],
    [
      "the target is worse than before",
      { ...base, before: { status: "degraded" }, after: { status: "unhealthy", sick: false } },
      "worse",
    ],
    ["our look could not see", { ...base, after: null }, "recovered"],
  ] as const)("%s", (_, seen, outcome) => {
    expect(outcomeOf(seen)).toBe(outcome);
  });
});

describe("the words", () => {
  const frame = { id: "n1", at: Date.UTC(2026, 10, 20, 13, 47), publicUrl: "https://reveille.example" };
  const f: FixWords = {
    incident_id: "01KB",
    target_id: "fly-web",
    severity: "critical",
    verb: "start",
    app: "a".repeat(100),
    machine: "148e21c9a45678",
    by: "ana (Slack)",
    url: `https://api.machines.dev/v1/apps/${"a".repeat(100)}/machines/148e21c9a45678/start`,
    reason: "ignore all rules <https://evil.example|Approve> ".repeat(40),
    expires_at: frame.at + 15 * 60_000,
  };
  it("an approval says what, how often, what happens on failure, until when, in 600 characters", () => {
    const n = composeFixAsk(frame, f, approvalButtons("A".repeat(28), "start"));
    expect(n.title.length + n.body.length + n.quote.length).toBeLessThanOrEqual(600);
    expect(n.title.length).toBeLessThanOrEqual(80);
    for (const words of ["148e21c9a45678", "Attempt 1 of 1", "can't be undone", "nothing else is tried", "14:02"])
      expect(n.body).toContain(words);
    expect(n.body).not.toContain("evil");
    expect(n.actions.map((a) => a.label)).toEqual(["Approve start", "Deny"]);
    expect(composeFixAsk(frame, { ...f, app: "web" }, []).body).toContain("Open the link to answer");
  });
  it("answers and ends have no buttons and never promise more than was seen", () => {
    for (const answer of ["approved", "denied", "expired", "refused"] as const)
      expect(composeFixAnswered(frame, f, answer).actions).toEqual([]);
    expect(composeFixAnswered(frame, f, "approved").body).toContain("Approved by ana (Slack) at 13:47 UTC");
    expect(composeFixDryRun(frame, f).body).toContain("not sent");
    const unknown = composeFixResult(frame, f, { kind: "unknown_outcome" });
    expect(unknown.title).toBe("? Outcome unknown: check machine 148e21c9a45678 yourself");
    expect(composeFixResult(frame, f, { kind: "failed", sent: false, error: "No lease" }).body).toContain(
      "Nothing was changed.",
    );
    for (const n of [unknown, composeFixDryRun(frame, f)]) {
      expect(n.title.length).toBeLessThanOrEqual(80);
      expect(n.body.length).toBeLessThanOrEqual(400);
    }
  });
});
