import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { parseLossless, printJson } from "../../src/kernel/lossless-json";
import {
  FORMS,
  foldAddress,
  readFrame,
  statusOf,
  verifyAnnounce,
  verifyCommand,
  verifyEnvelope,
} from "../../src/session";
import { formA, formB, formS, formT, type Payload, refused, type Signer, signedFrame, signer } from "./session-kit";

/**
 * Proves the order and the words of every refusal, what each form accepts, and that a change to anything signed is seen.
 * The published signatures themselves are in test/conformance/signing-vectors.test.ts.
 */

const NOW = 1_770_000_000;
let alice: Signer;
let host: Signer;
beforeAll(async () => {
  [alice, host] = await Promise.all([signer(1), signer(2)]);
});

const payload = (more: Payload = {}): Payload => ({ timestamp: NOW, to: host.address, ...more });
const at = (now_s = NOW) => ({ now_s, address: host.address });

/** The payload signed in form T with its text put on the wire as it is. */
async function wire(text: string, more = ""): Promise<string> {
  const signature = await alice.sign(printJson(parseLossless(text), FORMS.T));
  return `{"type":"CONNECT",${more}"payload":${text},"from":"${alice.address}","signature":"${signature}"}`;
}

const someJson = fc
  .dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ stringUnit: "binary" }), { maxKeys: 6 })
  // An own "__proto__" is lost by the clients themselves when they sort.
  .filter((o) => !Object.hasOwn(o, "__proto__"))
  // Whole numbers print alike in both languages; fractions have vectors of their own.
  .map(
    (o) => JSON.parse(JSON.stringify(o, (_, v) => (typeof v === "number" ? Math.trunc(v) % 1e15 || 0 : v))) as Payload,
  );

describe("canonical forms", () => {
  it("agree with what the clients compute", () => {
    fc.assert(
      fc.property(someJson, fc.integer({ min: 0, max: 3 }), (value, indent) => {
        const node = parseLossless(JSON.stringify(value, null, indent));
        expect(printJson(node, FORMS.T)).toBe(formT(value));
        expect(printJson(node, FORMS.A)).toBe(formA(value));
        expect(printJson(node, FORMS.B)).toBe(formB(value));
        expect(printJson(node, FORMS.S)).toBe(formS(value));
      }),
      { numRuns: 300 },
    );
  });

  it("put array indices first, and know where indices end", () => {
    const value = { "-1": 0, "4294967295": 1, "4294967294": 2, "01": 3, "7": 4, "": 5, a: 6 };
    const text = `{${Object.entries(value)
      .reverse()
      .map(([k, v]) => `"${k}":${v}`)
      .join(",")}}`;
    expect(printJson(parseLossless(text), FORMS.T)).toBe(formT(value));
  });

  it("are each accepted from the wire text, and form S never for an envelope", async () => {
    await fc.assert(
      fc.asyncProperty(someJson, fc.constantFrom("A", "B", "T", "S"), async (value, name) => {
        const form = { A: formA, B: formB, T: formT, S: formS }[name];
        const signed = { ...value, timestamp: NOW, to: host.address };
        const answer = await verifyEnvelope(await signedFrame(alice, signed, { type: "X" }, form), at());
        expect(answer.ok).toBe(name !== "S");
        if (answer.ok) expect(answer.payload).toEqual(signed);
        else expect(answer.error).toBe("unauthorized: invalid signature");
      }),
      { numRuns: 60 },
    );
  });
});

describe("verifyEnvelope", () => {
  it("returns what was signed, as it stood on the wire", async () => {
    const text = `{ "timestamp": ${NOW}.50, "price": 10.0, "tiny": 1e-7, "to": "${host.address}" }`;
    const answer = await verifyEnvelope(await wire(text), at());
    expect(answer).toMatchObject({
      ok: true,
      from: alice.address,
      payload_text: text,
      timestamp: NOW + 0.5,
      expires_s: NOW + 300.5,
      to: host.address,
      form: "A",
      has_nonce: false,
      signed_commands: false,
      ts_shape: false,
    });
    expect(answer.ok && answer.signature_hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("reads capitals and a missing or present 0x as the same address and signature", async () => {
    const plain = await signedFrame(alice, payload(), { type: "CONNECT" });
    const parsed = JSON.parse(plain) as { from: string; signature: string };
    const first = await verifyEnvelope(plain, at());
    for (const [from, signature] of [
      [`0x${parsed.from.slice(2).toUpperCase()}`, `0x${parsed.signature}`],
      [parsed.from.slice(2), parsed.signature.toUpperCase()],
    ]) {
      const answer = await verifyEnvelope(JSON.stringify({ ...parsed, from, signature }), at());
      expect(answer).toMatchObject({ ok: true, from: alice.address });
      expect(answer).toEqual({ ...first, payload_text: expect.any(String) as string });
    }
    const shouted = await signedFrame(alice, { timestamp: NOW, to: `0x${host.address.slice(2).toUpperCase()}` });
    expect(await verifyEnvelope(shouted, { ...at(), requireTo: true })).toMatchObject({ ok: true, to: host.address });
  });

  it("refuses in the order and the words of the spec", async () => {
    const good = JSON.parse(await signedFrame(alice, payload(), { type: "CONNECT" })) as Record<string, unknown>;
    const cases: [string, Record<string, unknown>, string][] = [
      ["no payload", { payload: undefined }, "unauthorized: signed request required"],
      ["a payload that is no object", { payload: "x" }, "unauthorized: signed request required"],
      ["no signature key", { signature: undefined }, "unauthorized: signed request required"],
      ["no from", { from: undefined }, "unauthorized: 'from' field required"],
      ["from and signature empty", { from: "", signature: "" }, "unauthorized: 'from' field required"],
      ["empty signature", { signature: "" }, "unauthorized: signature required"],
      ["null signature", { signature: null, payload: {} }, "unauthorized: signature required"],
      ["no timestamp", { payload: {} }, "unauthorized: timestamp required in payload"],
      ["timestamp 0", { payload: { timestamp: 0 } }, "unauthorized: timestamp required in payload"],
      ["timestamp false", { payload: { timestamp: false } }, "unauthorized: timestamp required in payload"],
      ["timestamp true", { payload: { timestamp: true } }, "unauthorized: timestamp must be numeric"],
      ["timestamp in words", { payload: { timestamp: String(NOW) } }, "unauthorized: timestamp must be numeric"],
      ["old", { payload: payload({ timestamp: NOW - 301 }) }, "unauthorized: signature expired"],
      ["milliseconds", { payload: payload({ timestamp: NOW * 1000 }) }, "unauthorized: signature expired"],
      ["old and foreign", { payload: { timestamp: 1, to: alice.address } }, "unauthorized: signature expired"],
      ["another's", { payload: payload({ to: alice.address }) }, "unauthorized: wrong recipient"],
      ["to is no address", { payload: payload({ to: "me" }) }, "unauthorized: wrong recipient"],
      ["to is a list", { payload: payload({ to: [host.address] }) }, "unauthorized: wrong recipient"],
      ["changed", { payload: payload({ prompt: "x" }) }, "unauthorized: invalid signature"],
      ["signature no hex", { signature: "zz" }, "unauthorized: invalid signature"],
      ["signature too long", { signature: `${good.signature as string}00` }, "unauthorized: invalid signature"],
      ["signature a number", { signature: 5 }, "unauthorized: invalid signature"],
      ["from no address", { from: "alice" }, "unauthorized: invalid signature"],
      ["from another", { from: host.address }, "unauthorized: invalid signature"],
      ["from no curve point", { from: `0x${"02".padEnd(64, "0")}` }, "unauthorized: invalid signature"],
    ];
    for (const [name, change, error] of cases)
      expect(refused(await verifyEnvelope(JSON.stringify({ ...good, ...change }), at())), name).toEqual({
        status: 401,
        error,
      });
  });

  it("refuses times that are no number, and text that is no frame", async () => {
    const text = (stamp: string): string =>
      `{"payload":{"timestamp":${stamp}},"from":"${alice.address}","signature":"${"0".repeat(128)}"}`;
    expect(refused(await verifyEnvelope(text("1e999"), at())).error).toBe("unauthorized: timestamp must be finite");
    for (const bad of [text("NaN"), text("Infinity"), "", "x", "{", '{"a":}'])
      expect(refused(await verifyEnvelope(bad, at())), bad).toEqual({ status: 400, error: "Invalid JSON" });
    for (const bad of ["[]", "1", "null", '"x"'])
      expect(refused(await verifyEnvelope(bad, at())).error, bad).toMatch(/^Invalid JSON/);
    const twice = `{"payload":{"timestamp":${NOW},"timestamp":${NOW}},"from":"a","signature":"b"}`;
    expect(refused(await verifyEnvelope(twice, at())).error).toMatch(/^Invalid JSON: the same key twice/);
    const two = (await signedFrame(alice, payload())).replace("{", '{"payload":{"prompt":"evil"},');
    expect(refused(await verifyEnvelope(two, at())).error).toMatch(/^Invalid JSON: the same key twice/);
    const deep = `{"payload":${'{"a":'.repeat(70)}1${"}".repeat(70)}}`;
    expect(refused(await verifyEnvelope(deep, at()))).toEqual({
      status: 400,
      error: "frame too deep: at most 64 levels",
    });
    const big = `{"payload":{"a":"${"x".repeat(1_048_576)}"}}`;
    expect(refused(await verifyEnvelope(big, at()))).toEqual({
      status: 400,
      error: "frame too large: at most 1048576 bytes",
    });
  });

  it("holds the window of 300 s to the second, both ways", async () => {
    const frame = await signedFrame(alice, payload());
    for (const [now, ok] of [
      [NOW - 300, true],
      [NOW - 300.01, false],
      [NOW + 300, true],
      [NOW + 300.01, false],
    ] as const)
      expect((await verifyEnvelope(frame, at(now))).ok, String(now)).toBe(ok);
  });

  it("asks the blacklist before anything is checked, by the folded address", async () => {
    const asked: string[] = [];
    const blacklisted = (from: string): boolean => asked.push(from) > 0 && from === alice.address;
    const from = `0x${alice.address.slice(2).toUpperCase()}`;
    const frame = JSON.stringify({ payload: {}, from, signature: "" });
    expect(refused(await verifyEnvelope(frame, { ...at(), blacklisted }))).toEqual({
      status: 403,
      error: "forbidden: blacklisted",
    });
    expect(asked).toEqual([alice.address]);
    const other = await signedFrame(host, payload());
    expect((await verifyEnvelope(other, { ...at(), blacklisted })).ok).toBe(true);
  });

  it("needs the recipient where it must be signed, and takes it as absent elsewhere", async () => {
    const open = await signedFrame(alice, { timestamp: NOW, invite_code: "A" });
    expect((await verifyEnvelope(open, at())).ok).toBe(true);
    expect(refused(await verifyEnvelope(open, { ...at(), requireTo: true })).error).toBe(
      "unauthorized: wrong recipient",
    );
    // A relay that verifies for another agent may not know the address: any recipient will do, none will not.
    const named = await signedFrame(alice, payload());
    expect((await verifyEnvelope(named, { now_s: NOW, requireTo: true })).ok).toBe(true);
    expect((await verifyEnvelope(open, { now_s: NOW, requireTo: true })).ok).toBe(false);
  });

  it("sees a TypeScript CONNECT by its shape, and never where a signature works once", async () => {
    const shape = async (p: Payload, once = false): Promise<boolean> => {
      const answer = await verifyEnvelope(await signedFrame(alice, p), { ...at(), requireOneUse: once });
      return answer.ok && answer.ts_shape;
    };
    expect(await shape(payload())).toBe(true);
    expect(await shape(payload(), true)).toBe(false);
    expect(await shape(payload({ nonce: "n" }))).toBe(false);
    expect(await shape(payload({ signed_commands: 1 }))).toBe(false);
    expect(await shape(payload({ prompt: "x" }))).toBe(false);
    expect(await shape({ timestamp: NOW, invite_code: "A" })).toBe(false);
    expect(await shape(payload({ timestamp: NOW + 0.5 }))).toBe(false);
  });

  it("sees any change of one character of the payload", async () => {
    const prompt = "pay 10 to Bob é";
    const frame = await signedFrame(alice, payload({ prompt, list: [1, 2], n: { z: 1, a: 2 } }));
    const start = frame.indexOf('"payload":') + 10;
    const end = frame.indexOf(',"from"');
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: start, max: end - 1 }), fc.constantFrom(...'0aZ "}{,'), async (i, c) => {
        const changed = frame.slice(0, i) + c + frame.slice(i + 1);
        fc.pre(changed !== frame);
        const read = readFrame(changed);
        // White space between tokens is not signed: only what differs in value or key order counts.
        const same = read.ok && JSON.stringify(JSON.parse(changed)) === JSON.stringify(JSON.parse(frame));
        expect((await verifyEnvelope(changed, at())).ok).toBe(same);
      }),
      { numRuns: 200 },
    );
  });
});

describe("verifyCommand", () => {
  const command = (more: Payload = {}): Payload => ({
    type: "INPUT",
    prompt: "x",
    nonce: "n-1",
    ...payload(),
    ...more,
  });
  const opts = () => ({ ...at(), caller: alice.address });
  const frame = (p: Payload, who = alice): Promise<string> => signedFrame(who, p, { type: "INPUT" }, formA);

  it("accepts a command of the caller for us, with a nonce", async () => {
    expect(await verifyCommand(await frame(command()), opts())).toMatchObject({
      ok: true,
      has_nonce: true,
      ts_shape: false,
    });
  });

  it("refuses in upstream's words", async () => {
    const cases: [string, string, string][] = [
      ["unsigned", '{"type":"INPUT","prompt":"x"}', "unauthorized: signed command required"],
      ["payload alone", '{"type":"INPUT","payload":{}}', "unauthorized: 'from' field required"],
      ["no signature", `{"type":"INPUT","payload":{},"from":"${alice.address}"}`, "unauthorized: signature required"],
      ["another's", await frame(command(), host), "unauthorized: command signer does not own this connection"],
      ["other type", await frame(command({ type: "EXEC" })), "unauthorized: signed command type mismatch"],
      ["no nonce", await frame(command({ nonce: "" })), "unauthorized: signed command nonce required"],
      ["nonce a number", await frame(command({ nonce: 7 })), "unauthorized: signed command nonce required"],
      ["for another host", await frame(command({ to: alice.address })), "unauthorized: wrong recipient"],
      ["for nobody", await frame(command({ to: "" })), "unauthorized: wrong recipient"],
      ["stale", await frame(command({ timestamp: NOW - 900 })), "unauthorized: signature expired"],
    ];
    for (const [name, raw, error] of cases)
      expect(refused(await verifyCommand(raw, opts())), name).toEqual({ status: 401, error });
  });
});

describe("verifyAnnounce", () => {
  const announce = (more: Payload = {}): Payload => ({
    type: "ANNOUNCE",
    address: host.address,
    timestamp: NOW,
    summary: "Tôi 🧅",
    endpoints: [],
    relay: null,
    ...more,
  });
  const signed = async (fields: Payload, who = host): Promise<string> =>
    JSON.stringify({ ...fields, signature: await who.sign(formS(fields)) });

  it("verifies the whole frame but its signature, and knows a 0.6.5 agent by the missing relay", async () => {
    expect(await verifyAnnounce(await signed(announce()), NOW)).toMatchObject({
      ok: true,
      address: host.address,
      legacy: false,
    });
    const { relay: _, ...old } = announce();
    expect(await verifyAnnounce(await signed(old), NOW)).toMatchObject({ ok: true, legacy: true, timestamp: NOW });
  });

  it("refuses, and still says which address was claimed", async () => {
    const body = announce();
    const cases: [string, string, string, boolean][] = [
      ["signed by another", await signed(body, alice), "unauthorized: invalid signature", true],
      ["changed", (await signed(body)).replace("Tôi", "Toi"), "unauthorized: invalid signature", true],
      ["added", (await signed(body)).replace("{", '{"x":1,'), "unauthorized: invalid signature", true],
      [
        "form A",
        JSON.stringify({ ...body, signature: await host.sign(formA(body)) }),
        "unauthorized: invalid signature",
        true,
      ],
      ["unsigned", JSON.stringify(body), "unauthorized: signature required", true],
      ["a monotonic clock", await signed(announce({ timestamp: 819 })), "unauthorized: signature expired", true],
      ["no time", await signed(announce({ timestamp: null })), "unauthorized: timestamp required", true],
      ["no address", await signed(announce({ address: "me" })), "unauthorized: 'address' field required", false],
      ["not one", '{"type":"INPUT"}', "send ANNOUNCE first", false],
      ["too wordy", await signed(announce({ summary: "x".repeat(1001) })), "invalid ANNOUNCE: summary", true],
      ["no list", await signed(announce({ endpoints: "http://x" })), "invalid ANNOUNCE: endpoints", true],
    ];
    for (const [name, raw, error, claims] of cases) {
      const answer = await verifyAnnounce(raw, NOW);
      expect(answer, name).toMatchObject({ ok: false, claimed: claims ? host.address : null });
      expect(refused(answer).error.startsWith(error), `${name}: ${refused(answer).error}`).toBe(true);
    }
  });
});

describe("addresses and statuses", () => {
  it("fold to one spelling or to nothing", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.boolean(),
        fc.boolean(),
        (bytes, capitals, prefix) => {
          const digits = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
          expect(foldAddress((prefix ? "0x" : "") + (capitals ? digits.toUpperCase() : digits))).toBe(`0x${digits}`);
        },
      ),
    );
    for (const bad of [
      "",
      "0x",
      `0x${"a".repeat(40)}`,
      `0x${"g".repeat(64)}`,
      `${"a".repeat(64)}\n`,
      null,
      5,
      undefined,
    ])
      expect(foldAddress(bad)).toBeNull();
  });

  it("map to HTTP", () => {
    expect([statusOf("unauthorized: x"), statusOf("forbidden: x"), statusOf("misconfigured: x"), statusOf("")]).toEqual(
      [401, 403, 400, 400],
    );
  });
});
