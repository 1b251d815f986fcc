import { beforeAll, describe, expect, it } from "vitest";
import { hasSignature, verifyHeaders } from "../../src/session";
import { formA, refused, type Signer, signer } from "./session-kit";

/** Proves that a signed GET is bound to its own method and path, and that the 0.6.5 float trap is met where it is allowed. */

const NOW = 1_770_000_000;
let alice: Signer;
beforeAll(async () => {
  alice = await signer(1);
});

const request = { method: "GET", path: "/sessions/abc", now_s: NOW };
const co = async (payload: { method: string; path: string; timestamp: number }, stamp = String(payload.timestamp)) =>
  new Headers({
    "x-co-from": alice.address,
    "x-co-signature": await alice.sign(formA(payload)),
    "x-co-timestamp": stamp,
  });
const old = async (signed: string, stamp: string) =>
  new Headers({ "x-from": alice.address, "x-signature": await alice.sign(signed), "x-timestamp": stamp });

describe("X-Co headers", () => {
  it("verify for the request they were made for, and no other", async () => {
    const headers = await co({ method: "GET", path: "/sessions/abc", timestamp: NOW });
    expect(await verifyHeaders(headers, request)).toMatchObject({
      ok: true,
      from: alice.address,
      timestamp: NOW,
      expires_s: NOW + 300,
      ts_shape: false,
      legacy: false,
    });
    expect((await verifyHeaders(headers, { ...request, method: "get" })).ok).toBe(true);
    for (const other of [
      { method: "POST" },
      { path: "/sessions/abd" },
      { path: "/sessions" },
      { path: "/sessions/abc/" },
    ])
      expect(refused(await verifyHeaders(headers, { ...request, ...other }))).toEqual({
        status: 401,
        error: "unauthorized: invalid signature",
      });
    expect(refused(await verifyHeaders(headers, { ...request, now_s: NOW + 301 })).error).toBe(
      "unauthorized: signature expired",
    );
  });

  it("cover the path before or after percent-encoding", async () => {
    const path = "/sessions/%C3%BC%20x";
    for (const signed of [path, "/sessions/ü x"])
      expect(
        (await verifyHeaders(await co({ method: "GET", path: signed, timestamp: NOW }), { ...request, path })).ok,
      ).toBe(true);
    const broken = "/sessions/%zz";
    expect(
      (await verifyHeaders(await co({ method: "GET", path: broken, timestamp: NOW }), { ...request, path: broken })).ok,
    ).toBe(true);
  });

  it("that lack something are refused by name", async () => {
    const good = await co({ method: "GET", path: "/sessions/abc", timestamp: NOW });
    const without = (name: string, value?: string): Headers => {
      const headers = new Headers(good);
      headers.delete(name);
      if (value !== undefined) headers.set(name, value);
      return headers;
    };
    const error = async (headers: Headers) => refused(await verifyHeaders(headers, request));
    expect(await error(new Headers())).toEqual({ status: 401, error: "unauthorized: 'from' field required" });
    expect((await error(without("x-co-from"))).error).toBe("unauthorized: 'from' field required");
    expect((await error(without("x-co-signature"))).error).toBe("unauthorized: signature required");
    expect((await error(without("x-co-timestamp"))).error).toBe("unauthorized: timestamp required in payload");
    for (const bad of ["now", "1e9", "-1", "0x10", "1_770_000_000", `${NOW}.0`, "NaN"])
      expect(await error(without("x-co-timestamp", bad)), bad).toEqual({
        status: 400,
        error: "Invalid X-Co-Timestamp header",
      });
    expect((await error(without("x-co-timestamp", String(NOW + 1)))).error).toBe("unauthorized: invalid signature");
    expect((await error(without("x-co-from", "alice"))).error).toBe("unauthorized: invalid signature");
    const blacklisted = (from: string): boolean => from === alice.address;
    expect(refused(await verifyHeaders(good, { ...request, blacklisted }))).toEqual({
      status: 403,
      error: "forbidden: blacklisted",
    });
    expect(hasSignature(good)).toBe(true);
    expect(hasSignature(without("x-co-signature"))).toBe(false);
  });
});

describe("the headers of 0.6.5", () => {
  const legacy = { ...request, legacy: true };

  it("cover the float of the header, whole or not", async () => {
    for (const stamp of [String(NOW), `${NOW}.0`, `${NOW}.00`])
      expect(await verifyHeaders(await old(`{"timestamp":${NOW}.0}`, stamp), legacy), stamp).toMatchObject({
        ok: true,
        legacy: true,
        timestamp: NOW,
      });
    expect((await verifyHeaders(await old(`{"timestamp":${NOW}.25}`, `${NOW}.25`), legacy)).ok).toBe(true);
    // The trap: an integer in the signed text is not what that server checked.
    expect(refused(await verifyHeaders(await old(`{"timestamp":${NOW}}`, String(NOW)), legacy)).error).toBe(
      "unauthorized: invalid signature",
    );
    expect(refused(await verifyHeaders(await old(`{"timestamp":${NOW}.0}`, "soon"), legacy))).toEqual({
      status: 400,
      error: "Invalid X-Timestamp header",
    });
    expect(
      refused(await verifyHeaders(await old(`{"timestamp":${NOW - 301}.0}`, String(NOW - 301)), legacy)).error,
    ).toBe("unauthorized: signature expired");
  });

  it("count only where they are asked for, and never beside the newer ones", async () => {
    const headers = await old(`{"timestamp":${NOW}.0}`, String(NOW));
    expect(refused(await verifyHeaders(headers, request)).error).toBe("unauthorized: 'from' field required");
    expect([hasSignature(headers), hasSignature(headers, true)]).toEqual([false, true]);
    headers.set("x-co-signature", "00");
    expect((await verifyHeaders(headers, legacy)).ok).toBe(false);
  });
});
