import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Claim,
  claimDecision,
  entryAfter,
  insertSessionId,
  type LedgerEntry,
  MAX_USES,
  mergeSessions,
  readClientFrame,
  readFrame,
  type SessionState,
  streamEventSchema,
  TOLERANCE_S,
  withSessionId,
} from "../../src/session";

/** Proves the pure rules of a session: the one-use ledger, the merge, the id put into a frame, and the frame shapes. */

describe("the one-use ledger", () => {
  const entry = (more: Partial<LedgerEntry> = {}): LedgerEntry => ({
    first_s: 100,
    uses: 1,
    ts_shape: true,
    expires_s: 400,
    ...more,
  });
  const ts = { ts_shape: true };

  it("takes a new signature, and one whose time has passed", () => {
    expect(claimDecision(null, 100, ts)).toBe("fresh");
    expect(claimDecision(undefined, 100, { ts_shape: false, has_nonce: true })).toBe("fresh");
    expect(claimDecision(entry(), 400, { ts_shape: false })).toBe("refused");
    expect(claimDecision(entry(), 400.001, { ts_shape: false })).toBe("fresh");
  });

  it("tolerates a TypeScript CONNECT within two seconds of the first, five uses in all", () => {
    expect(claimDecision(entry(), 100.3, ts)).toBe("tolerated");
    expect(claimDecision(entry(), 101.999, ts)).toBe("tolerated");
    expect(claimDecision(entry(), 102, ts)).toBe("refused");
    expect(claimDecision(entry(), 99, ts)).toBe("refused");
    expect(claimDecision(entry({ ts_shape: false }), 100.3, ts)).toBe("refused");
    expect(claimDecision(entry(), 100.3, { ts_shape: false })).toBe("refused");
    expect(claimDecision(entry({ uses: 4 }), 100.3, ts)).toBe("tolerated");
    expect(claimDecision(entry({ uses: 5 }), 100.3, ts)).toBe("refused");
  });

  it("lets an owner back into its session, but never with a nonce and never a sixth time", () => {
    const owner = { ts_shape: true, owns_session: true };
    expect(claimDecision(entry(), 390, owner)).toBe("tolerated");
    expect(claimDecision(entry(), 390, { ...owner, has_nonce: true })).toBe("refused");
    expect(claimDecision(entry({ uses: 5 }), 390, owner)).toBe("refused");
  });

  it("never lets one signature through more than five times, nor a strict one twice, whatever the order", () => {
    const use = fc.record({
      after: fc.double({ min: 0, max: 3, noNaN: true }),
      ts_shape: fc.boolean(),
      owns_session: fc.boolean(),
      has_nonce: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(use, { maxLength: 30 }), (uses) => {
        let kept: LedgerEntry | null = null;
        let now = 1000;
        const seen: { claim: Claim; now: number; strict: boolean }[] = [];
        for (const { after, ...shape } of uses) {
          now += after;
          const claim: Claim = claimDecision(kept, now, shape);
          kept = entryAfter(kept, claim, { now_s: now, expires_s: 1300, ts_shape: shape.ts_shape });
          seen.push({ claim, now, strict: !shape.owns_session });
        }
        const through = seen.filter((s) => s.claim !== "refused");
        expect(through.length).toBeLessThanOrEqual(MAX_USES);
        expect(through.filter((s) => s.claim === "fresh").length).toBeLessThanOrEqual(1);
        expect(kept?.uses ?? 0).toBe(through.length);
        for (const late of through.filter((s) => s.strict))
          expect(late.now - (through[0]?.now ?? 0)).toBeLessThan(TOLERANCE_S);
        uses.forEach((u, i) => {
          if (u.has_nonce && i > 0) expect(seen[i]!.claim).toBe("refused");
        });
      }),
    );
  });
});

describe("mergeSessions", () => {
  const state = fc.dictionary(
    fc.oneof(
      fc.constantFrom("iteration", "updated", "mode", "requester", "full_access_until", "messages"),
      fc.string(),
    ),
    fc.oneof(fc.integer({ min: -2, max: 3 }), fc.double(), fc.boolean(), fc.string(), fc.constant(null)),
  ) as fc.Arbitrary<SessionState>;

  it("is the higher iteration, then the later update, then the client", () => {
    const m = (client: SessionState | null, server: SessionState | null) => mergeSessions(client, server);
    expect(m({ iteration: 2 }, { iteration: 3 })).toEqual({
      session: { iteration: 3 },
      winner: "server",
      server_newer: true,
    });
    expect(m({ iteration: 3, updated: 1 }, { iteration: 2, updated: 9 }).winner).toBe("client");
    expect(m({ iteration: 2, updated: 1.5 }, { iteration: 2, updated: 1.6 }).winner).toBe("server");
    expect(m({ iteration: 2, updated: 1.5 }, { iteration: 2, updated: 1.5 })).toMatchObject({
      winner: "client",
      server_newer: false,
    });
    expect(m({}, {}).winner).toBe("client");
    // What is no integer counts as missing.
    for (const odd of [true, "9", 9.5, Number.NaN, Number.POSITIVE_INFINITY, null])
      expect(m({ iteration: odd }, { iteration: 1 }).winner, String(odd)).toBe("server");
    for (const odd of [true, "9", Number.POSITIVE_INFINITY])
      expect(m({ updated: odd }, { updated: 1 }).winner, String(odd)).toBe("server");
    expect(m(null, { a: 1 })).toMatchObject({ winner: "server", server_newer: true });
    expect(m({ a: 1 }, null)).toMatchObject({ winner: "client", server_newer: false, session: { a: 1 } });
    expect(m(null, null)).toEqual({ session: {}, winner: "client", server_newer: false });
  });

  it("takes what only the host may set from the host, whoever wins", () => {
    const client = {
      iteration: 9,
      mode: "yolo",
      permissions: ["*"],
      approval: 1,
      skip_tool_approval: true,
      requester: "me",
      full_access_until: 9,
      note: "mine",
    };
    expect(mergeSessions(client, { iteration: 1, mode: "ask", full_access_turns: 2, note: "host" }).session).toEqual({
      iteration: 9,
      note: "mine",
      mode: "ask",
      full_access_turns: 2,
    });
    expect(mergeSessions(client, null).session).toEqual({ iteration: 9, note: "mine" });
  });

  it("gives the same answer each time, changes neither side, and merging again changes nothing", () => {
    fc.assert(
      fc.property(fc.option(state), fc.option(state), (client, server) => {
        const before = JSON.stringify([client, server]);
        const first = mergeSessions(client, server);
        expect(mergeSessions(client, server)).toEqual(first);
        expect(JSON.stringify([client, server])).toBe(before);
        const again = mergeSessions(first.session, server);
        expect(again.session).toEqual(first.session);
        expect(again.server_newer).toBe(client === null && server === null ? false : again.winner === "server");
        const hostOnly = (s: SessionState | null): SessionState =>
          Object.fromEntries(
            Object.entries(s ?? {}).filter(([k]) => k === "mode" || k === "requester" || k.startsWith("full_access_")),
          );
        expect(hostOnly(first.session)).toEqual(hostOnly(server));
      }),
    );
  });
});

describe("insertSessionId", () => {
  const frame = fc
    .tuple(
      fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue(), { maxKeys: 5 }),
      fc.jsonValue(),
      fc.integer({ min: 0, max: 3 }),
    )
    .map(([top, payload, indent]) => JSON.stringify({ ...top, payload }, null, indent));

  it("sets the id at the top level and leaves every other byte", () => {
    fc.assert(
      fc.property(frame, fc.string(), fc.boolean(), (raw, id, first) => {
        const at = raw.indexOf('"payload":');
        const out = insertSessionId(raw, id);
        expect(JSON.parse(out)).toEqual({ ...(JSON.parse(raw) as object), session_id: id });
        // A second insertion replaces the first.
        expect(insertSessionId(insertSessionId(raw, first ? "x" : id), id)).toBe(out);
        const had = Object.hasOwn(JSON.parse(raw) as object, "session_id");
        if (!had) {
          const piece = `"session_id":${JSON.stringify(id)},`;
          expect(out.replace(piece, () => "")).toBe(raw);
          expect(out.slice(at + piece.length)).toBe(raw.slice(at));
        }
      }),
    );
  });

  it("keeps the payload's text when the id is already there, before or after it", () => {
    const payload = '{ "n": 10.0, "session_id" : "inner", "t":1e-7 }';
    expect(insertSessionId(`{"session_id":"old" ,"payload":${payload}}`, "new")).toBe(
      `{"session_id":"new" ,"payload":${payload}}`,
    );
    expect(insertSessionId(`{"payload":${payload}, "session_id": {"a":[1]} }`, 'a"b')).toBe(
      `{"payload":${payload}, "session_id": "a\\"b" }`,
    );
    expect(insertSessionId(" { } ", "s")).toBe(' {"session_id":"s" } ');
    expect(insertSessionId(" {} ", "s")).toBe(' {"session_id":"s"} ');
  });

  it("takes frames only", () => {
    for (const bad of ["[]", "x", '{"a":1,"a":2}', '{"session_id":"a","session_id":"b"}'])
      expect(() => insertSessionId(bad, "s"), bad).toThrow();
    const read = readFrame('{"type":"PONG"}');
    expect(read.ok && withSessionId(read.frame, "s")).toBe('{"session_id":"s","type":"PONG"}');
  });
});

describe("client frames", () => {
  const kind = (value: unknown): string => readClientFrame(value).kind;

  it("of every type are known, with what they do not define kept", () => {
    const known = [
      { type: "CONNECT", payload: { timestamp: 1, to: "0x" }, from: "0x", signature: "00", timestamp: 1 },
      { type: "CONNECT", session_id: "s", session: { session_id: "s", messages: [] }, last_msg_id: "m", protocol: 2 },
      { type: "INPUT", input_id: "i", prompt: "" },
      { type: "INPUT", input_id: "i", prompt: "x", images: ["data:,"], files: [{ name: "a", data: "data:," }] },
      { type: "PONG" },
      { type: "ASK_USER_RESPONSE", answer: ["a"] },
      { type: "APPROVAL_RESPONSE", approved: true },
      { type: "PLAN_REVIEW_RESPONSE", anything: 1 },
      { type: "ULW_RESPONSE" },
      { type: "mode_change", mode: "plan", turns: 3 },
      { type: "SESSION_STATUS", session: { session_id: "s" } },
      { type: "ONBOARD_SUBMIT", payload: { invite_code: "A" } },
      { type: "EXEC", exec_id: "e", tool: "bash", args: { a: 1 } },
      { type: "INTERRUPT" },
      ...["PROMOTE", "DEMOTE", "BLOCK", "UNBLOCK", "GET_LEVEL", "ADD", "REMOVE"].map((a) => ({ type: `ADMIN_${a}` })),
    ];
    for (const value of known) expect(kind(value), JSON.stringify(value)).toBe("known");
    const read = readClientFrame({ type: "APPROVAL_RESPONSE", approved: false, extra: { a: 1 } });
    expect(read).toMatchObject({ frame: { approved: false, scope: "once", mode: "reject_hard", extra: { a: 1 } } });
  });

  it("of no known type are told apart from malformed ones", () => {
    for (const value of [
      null,
      5,
      "PONG",
      [],
      {},
      { type: 5 },
      { type: "NOPE" },
      { type: "connect" },
      { type: "toString" },
    ])
      expect(kind(value), JSON.stringify(value)).toBe("unknown");
    expect(readClientFrame({ type: "APPROVAL_RESPONSE", approved: "yes" })).toMatchObject({
      kind: "invalid",
      type: "APPROVAL_RESPONSE",
      error: expect.stringMatching(/^invalid APPROVAL_RESPONSE: approved: /) as string,
    });
    for (const value of [
      { type: "INPUT", prompt: 5 },
      { type: "INPUT", prompt: "x", images: "data:," },
      { type: "INPUT", prompt: "x", files: [{ name: "a" }] },
      { type: "CONNECT", session_id: "x".repeat(257) },
      { type: "CONNECT", session: [] },
      { type: "mode_change" },
      { type: "EXEC", tool: "bash" },
    ])
      expect(kind(value), JSON.stringify(value)).toBe("invalid");
  });

  it("of the stream need an id and a time, and ask_user both of its names", () => {
    const event = { type: "ask_user", id: "e", ts: 1.5, text: "Which?", question: "Which?", options: [] };
    expect(streamEventSchema.safeParse(event).success).toBe(true);
    expect(streamEventSchema.safeParse({ ...event, id: undefined }).success).toBe(false);
    expect(streamEventSchema.safeParse({ ...event, question: undefined }).success).toBe(false);
    expect(streamEventSchema.safeParse({ ...event, ts: "now" }).success).toBe(false);
  });
});
