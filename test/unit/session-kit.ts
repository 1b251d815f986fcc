import { expect } from "vitest";

/** A signer of our own for the tests of src/session: the published clients' rules, from their spec, by WebCrypto alone. */

const PKCS8 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const hex = (bytes: ArrayBuffer | Uint8Array): string =>
  [...new Uint8Array(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes))]
    .map((b) => b.toString(16).padStart(2, "0"))
    .join("");

export interface Signer {
  address: string;
  sign(text: string): Promise<string>;
}

/** The key of these 32 seed bytes, or of 32 times the same one. */
export async function signer(seed: number | Uint8Array): Promise<Signer> {
  const bytes = typeof seed === "number" ? new Array<number>(32).fill(seed) : seed;
  const pkcs8 = new Uint8Array([...PKCS8, ...bytes]);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const jwk = (await crypto.subtle.exportKey("jwk", key)) as JsonWebKey;
  const raw = Uint8Array.from(atob(jwk.x!.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  return {
    address: `0x${hex(raw)}`,
    sign: async (text) => hex(await crypto.subtle.sign("Ed25519", key, new TextEncoder().encode(text))),
  };
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Payload = { [key: string]: Json };

/** What a TypeScript client signs: an object filled from its sorted keys, stringified. */
export function formT(payload: Payload): string {
  const sorted: Payload = {};
  for (const key of Object.keys(payload).sort()) sorted[key] = payload[key]!;
  return JSON.stringify(sorted);
}

/** What Python's `json.dumps(sort_keys=True)` writes, for numbers that both languages print alike. */
export function python(value: Json, comma: string, colon: string, ascii: boolean): string {
  const text = (s: string): string => {
    const json = JSON.stringify(s);
    return ascii
      ? [...json].map((c) => (c < "\x7f" ? c : c.replace(/[\s\S]/g, (u) => `\\u${hex4(u.charCodeAt(0))}`))).join("")
      : json;
  };
  if (typeof value === "string") return text(value);
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map((v) => python(v, comma, colon, ascii)).join(comma)}]`;
  const points = (s: string): number[] => [...s].map((c) => c.codePointAt(0)!);
  const keys = Object.keys(value).sort((a, b) => {
    const [x, y] = [points(a), points(b)];
    const at = x.findIndex((p, i) => p !== y[i]);
    return at < 0 ? x.length - y.length : y[at] === undefined ? 1 : x[at]! - y[at]!;
  });
  return `{${keys.map((k) => text(k) + colon + python(value[k]!, comma, colon, ascii)).join(comma)}}`;
}
const hex4 = (n: number): string => n.toString(16).padStart(4, "0");

export const formA = (payload: Payload): string => python(payload, ",", ":", true);
export const formB = (payload: Payload): string => python(payload, ",", ":", false);
export const formS = (payload: Payload): string => python(payload, ", ", ": ", true);

/** A frame as a client sends it, signed in `form`. */
export async function signedFrame(
  who: Signer,
  payload: Payload,
  extra: Payload = {},
  form: (p: Payload) => string = formT,
): Promise<string> {
  const signature = await who.sign(form(payload));
  return JSON.stringify({ ...extra, payload, from: who.address, signature });
}

export function refused(answer: { ok: boolean }): { status: number; error: string } {
  expect(answer.ok).toBe(false);
  const { status, error } = answer as unknown as { status: number; error: string };
  return { status, error };
}
