import { describe, expect, it } from "vitest";
import { type Outcome, type ProbePorts, pingAt, pongAt, type Reply, runProbe, type Said } from "../../src/slo/prober";

/** The prober's machine against a scripted peer on a clock that only moves when it sleeps or calls. */

const START = Date.UTC(2026, 8, 21, 14, 13, 20, 123);

interface Script {
  /** ms after the send at which the wake is delivered / failed for good / ignored. */
  delivered?: number;
  failed?: number;
  ignored?: true;
  no_wake?: true;
  /** ms after the send at which the reply is there. */
  reply?: { at: number; body?: string; from?: string; error?: true };
  refuse?: Record<string, Said>;
  breaks?: string;
  pong?: "hook" | "inbox";
}

interface Run {
  out: Outcome;
  calls: string[];
  closed: string[];
  noted: unknown[];
  took: number;
}

async function run(script: Script): Promise<Run> {
  let now = START;
  let sentAt = 0;
  const calls: string[] = [];
  const closed: string[] = [];
  const noted: unknown[] = [];
  const keys = new Set<unknown>();
  const there = (): boolean => script.reply !== undefined && sentAt > 0 && now - sentAt >= script.reply.at;
  const body = script.reply?.body ?? pongAt(START);
  const from = script.reply?.from ?? "South";
  const status = (): string => {
    const since = now - sentAt;
    if (script.ignored) return "ignored";
    if (script.delivered !== undefined && since >= script.delivered) return "delivered";
    return script.failed !== undefined && since >= script.failed ? "failed" : "queued";
  };
  const call: ProbePorts["call"] = async (tool, args) => {
    calls.push(tool);
    now += 10;
    if (script.breaks === tool) throw new Error("port broke");
    const refused = script.refuse?.[tool];
    if (refused) return refused;
    if (tool === "agent_session_create") return { ok: true, value: { id: "S1", topic: args["topic"] } };
    if (tool === "agent_send") {
      sentAt ||= now;
      keys.add(args["idempotency_key"]);
      expect(args["body"]).toBe(pingAt(START));
      expect(keys.size).toBe(1);
      const wake = script.no_wake ? null : { event_id: "w", status: status() };
      return { ok: true, value: { id: "M1", session_id: "S1", to: "South", wake } };
    }
    if (tool === "agent_session_close") {
      closed.push(String(args["reason"]));
      return { ok: true, value: { status: "closed" } };
    }
    const mine = script.pong === "inbox" || args["status"] === "delivered";
    const item = {
      ...{ id: "R1", session_id: "S1", kind: "reply", from, body },
      metadata: script.reply?.error ? { error: true } : null,
    };
    const strangers = { ...item, id: "R0", session_id: "S0", body: "WAKE_SLO_PONG 2020-01-01T00:00:00Z" };
    return { ok: true, value: { items: mine && there() ? [strangers, item] : [strangers] } };
  };
  const out = await runProbe(
    { id: "P1", direction: "C2L", to_agent: "01B", pong: script.pong ?? "hook", started_at: START },
    {
      call,
      sunk: async (): Promise<Reply | null> =>
        there() && body === pongAt(START) && from === "South" && !script.reply?.error
          ? { id: "R1", body, from: ["01B"], error: false, seen_at: now }
          : null,
      claim: async () => ({ at: START + 40, status: "ok" }),
      note: async (seen) => void noted.push(seen),
      now: () => now,
      sleep: async (ms) => {
        now += ms;
      },
    },
  );
  return { out, calls, closed, noted, took: now - START };
}

describe("a probe", () => {
  it("climbs all four levels and closes its session", async () => {
    for (const pong of ["hook", "inbox"] as const) {
      const { out, closed, noted } = await run({ delivered: 0, reply: { at: 1_500 }, pong });
      expect(out).toMatchObject({
        status: "ok",
        level: 4,
        error_class: null,
        wake_ok: true,
        l2_ms: 40,
        l2_known: true,
      });
      expect(out.l1_ms).toBeLessThanOrEqual(out.l3_ms!);
      expect(out.l3_ms).toBeLessThanOrEqual(out.l4_ms!);
      expect(closed).toEqual(["probe_ok"]);
      expect(noted).toEqual([{ session_id: "S1" }, { session_id: "S1", message_id: "M1" }]);
    }
  });
  it("takes a pong that comes before it has seen the delivery", async () => {
    const { out } = await run({ reply: { at: 0 } });
    expect(out).toMatchObject({ status: "ok", level: 4, wake_ok: true });
  });

  const classes: [string, Script, Partial<Outcome>, number][] = [
    [
      "a wake that fails for good",
      { failed: 5_000 },
      { error_class: "wake_push_failed", wake_attempted: true, level: 2 },
      60_000,
    ],
    ["a wake that nobody takes", { ignored: true }, { error_class: "wake_push_failed", wake_attempted: false }, 0],
    ["a peer that wakes nobody", { no_wake: true }, { error_class: "wake_push_failed" }, 0],
    ["a delivery that never comes", {}, { error_class: "ack_timeout", wake_ok: false }, 60_000],
    ["a reply that never comes", { delivered: 2_000 }, { error_class: "reply_timeout", wake_ok: true }, 32_000],
    ["an error envelope", { delivered: 0, reply: { at: 0, error: true } }, { error_class: "error_envelope" }, 30_000],
    ["another text", { delivered: 0, reply: { at: 0, body: "hello" } }, { error_class: "protocol_mismatch" }, 30_000],
    [
      "a pong with another date",
      { delivered: 0, reply: { at: 0, body: pongAt(START + 1) } },
      { error_class: "protocol_mismatch" },
      30_000,
    ],
    [
      "a right pong under another name",
      { delivered: 0, reply: { at: 0, from: "Steward" }, pong: "inbox" },
      { error_class: "protocol_mismatch", responder_status: "wrong_identity_key", l3_ms: null },
      0,
    ],
    [
      "a key that is refused",
      { refuse: { agent_session_create: { ok: false, config: true, why: "HTTP 401" } } },
      { error_class: "config_error", session_id: null },
      0,
    ],
    [
      "an agent nobody knows",
      { refuse: { agent_send: { ok: false, config: true, why: "NOT_FOUND: agent" } } },
      { error_class: "config_error", session_id: "S1" },
      0,
    ],
    [
      "a peer that is down",
      { refuse: { agent_session_create: { ok: false, config: false, why: "HTTP 502" } } },
      { error_class: "wake_push_failed" },
      0,
    ],
    ["what nobody can explain", { breaks: "agent_send" }, { error_class: "unexplained_hang", session_id: "S1" }, 0],
  ];
  for (const [what, script, expected, least] of classes)
    it(`ends in its class: ${what}`, async () => {
      const { out, closed, took } = await run(script);
      expect(out).toMatchObject({ status: "failed", l4_ms: null, ...expected });
      expect(closed).toEqual(out.session_id === null ? [] : [`probe_failed:${out.error_class}`]);
      expect(took).toBeGreaterThanOrEqual(least);
      expect(took).toBeLessThan(100_000);
    });

  it("keeps its verdict when the session can't be closed", async () => {
    const refuse = { agent_session_close: { ok: false, config: false, why: "gone" } } as const;
    const { out } = await run({ delivered: 0, reply: { at: 0 }, refuse });
    expect(out).toMatchObject({ status: "ok", level: 3, l4_ms: null });
    const broken = await run({ delivered: 0, reply: { at: 0 }, breaks: "agent_session_close" });
    expect(broken.out).toMatchObject({ status: "ok", level: 3 });
  });
});
