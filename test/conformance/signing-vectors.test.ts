import { describe, expect, test } from "vitest";
import { memberOf, parseLossless, printJson } from "../../src/kernel/lossless-json";
import { FORMS, insertSessionId, verifyAnnounce, verifyEnvelope, verifyHeaders } from "../../src/session";
import file from "./vectors/connectonion-signing.json";

/**
 * The signatures that the published clients and agents made, verified from the text on the wire. Not proven here: that other
 * versions sign as these did.
 */

interface Vector {
  name: string;
  canonical_form: string;
  address: string;
  payload: { timestamp: number };
  payload_wire_text: string;
  canonical_hex: string;
  signature_hex: string;
  verifies_with_forms: string[];
  headers?: Record<string, string>;
}
const vectors = file.vectors as Vector[];
const announces = vectors.filter((v) => v.canonical_form.startsWith("py-spaced"));
const envelopes = vectors.filter((v) => !announces.includes(v));
const hex = (text: string): string =>
  [...new TextEncoder().encode(text)].map((b) => b.toString(16).padStart(2, "0")).join("");
const frameOf = (v: Vector, payload = v.payload_wire_text): string =>
  `{"type":"INPUT","payload": ${payload} ,"from":"${v.address}","signature":"${v.signature_hex}"}`;
const announceOf = (v: Vector, body = v.payload_wire_text): string =>
  `${body.slice(0, -1)}, "signature": "${v.signature_hex}"}`;

test("all 16 are here", () => {
  expect(vectors).toHaveLength(16);
  expect(announces).toHaveLength(2);
});

describe.each(vectors)("$name", (v) => {
  test("its canonical bytes come out of the wire text, by exactly the forms that verify", () => {
    const node = parseLossless(v.payload_wire_text);
    const matching = Object.entries(FORMS)
      .filter(([, style]) => hex(printJson(node, style)) === v.canonical_hex)
      .map(([name]) => name);
    expect(matching).toEqual(v.verifies_with_forms);
  });
});

describe.each(envelopes)("envelope $name", (v) => {
  const opts = { now_s: v.payload.timestamp };

  test("verifies", async () => {
    const answer = await verifyEnvelope(frameOf(v), opts);
    expect(answer).toMatchObject({ ok: true, from: v.address, payload: v.payload, payload_text: v.payload_wire_text });
    expect(answer.ok && v.verifies_with_forms[0] === answer.form).toBe(true);
  });

  test("still verifies after a relay put a session id in", async () => {
    const relayed = insertSessionId(frameOf(v), "sess-1");
    expect(await verifyEnvelope(relayed, opts)).toMatchObject({ ok: true, payload_text: v.payload_wire_text });
    expect(JSON.parse(relayed)).toMatchObject({ session_id: "sess-1" });
  });

  test("fails with one bit of the signature or another signer", async () => {
    const last = v.signature_hex.at(-1) === "0" ? "1" : "0";
    const bent = frameOf({ ...v, signature_hex: v.signature_hex.slice(0, -1) + last });
    const other = frameOf({ ...v, address: vectors.find((o) => o.address !== v.address)!.address });
    for (const raw of [bent, other])
      expect(await verifyEnvelope(raw, opts)).toMatchObject({ ok: false, error: "unauthorized: invalid signature" });
  });

  test("fails when the payload gains a key", async () => {
    const more = `${v.payload_wire_text.slice(0, -1)},"admin":true}`;
    expect(await verifyEnvelope(frameOf(v, more), opts)).toMatchObject({ ok: false, status: 401 });
  });
});

describe.each(announces)("announce $name", (v) => {
  test("verifies, keeps its profile, and fails when anything in it changes", async () => {
    const now = v.payload.timestamp;
    expect(await verifyAnnounce(announceOf(v), now)).toMatchObject({
      ok: true,
      address: v.address,
      legacy: false,
      announce: v.payload,
    });
    for (const body of [
      v.payload_wire_text.replace('"summary": "', '"summary": "x'),
      v.payload_wire_text.replace("[", '["http://evil/", '),
      v.payload_wire_text.replace("}", ', "more": 1}'),
    ])
      expect((await verifyAnnounce(announceOf(v, body), now)).ok).toBe(false);
    // Not an envelope's form.
    expect((await verifyEnvelope(frameOf(v), { now_s: now })).ok).toBe(false);
  });
});

test("the signed GET verifies from its headers alone, for its own path only", async () => {
  const v = vectors.find((x) => x.headers)!;
  const at = { method: "GET", path: "/sessions/abc", now_s: v.payload.timestamp };
  expect(await verifyHeaders(new Headers(v.headers), at)).toMatchObject({ ok: true, from: v.address });
  expect((await verifyHeaders(new Headers(v.headers), { ...at, path: "/sessions" })).ok).toBe(false);
});

test("numbers keep their text, which JSON.parse would lose", () => {
  const v = vectors.find((x) => x.name === "py-onboard-float")!;
  expect(memberOf(parseLossless(v.payload_wire_text), "payment")).toMatchObject({ lexeme: "10.0" });
});
