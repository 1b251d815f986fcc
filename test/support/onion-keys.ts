import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** Keys, canonical texts and signatures as ConnectOnion's Python and TypeScript write them. Independent of what it judges. */

export interface Keys {
  address: string;
  shortAddress: string;
  publicKey: Uint8Array;
  /** The 32-byte seed. */
  privateKey: Uint8Array;
}

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

const secretOf = (keys: Keys): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8, keys.privateKey]), format: "der", type: "pkcs8" });

/** The same keys for the same name. */
export function keysOf(name: string): Keys {
  const seed = createHash("sha256").update(name).digest();
  const secret = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
  const raw = createPublicKey(secret).export({ format: "der", type: "spki" }).subarray(-32);
  const address = `0x${raw.toString("hex")}`;
  return { address, shortAddress: `${address.slice(0, 6)}...${address.slice(-4)}`, publicKey: raw, privateKey: seed };
}

const ascii = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Python's `json.dumps(value, sort_keys=True)`; `spaced` keeps its default separators (the ANNOUNCE form). */
export function pyDumps(value: unknown, spaced = false): string {
  const [comma, colon] = spaced ? [", ", ": "] : [",", ":"];
  if (typeof value === "string") return ascii(value);
  if (Array.isArray(value)) return `[${value.map((x) => pyDumps(x, spaced)).join(comma)}]`;
  if (value !== null && typeof value === "object")
    return `{${Object.entries(value)
      .filter(([, x]) => x !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, x]) => ascii(k) + colon + pyDumps(x, spaced))
      .join(comma)}}`;
  return JSON.stringify(value);
}

/** What TypeScript clients sign: top-level keys sorted, the rest as it is. */
export const tsDumps = (payload: Record<string, unknown>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(payload).sort(([a], [b]) => (a < b ? -1 : 1))));

export const signText = (keys: Keys, text: string): string =>
  sign(null, Buffer.from(text), secretOf(keys)).toString("hex");

/** An envelope as Python clients make it. */
export const envelope = (keys: Keys, payload: Record<string, unknown>) => ({
  payload,
  from: keys.address,
  signature: signText(keys, pyDumps(payload)),
});

/** True when `address` signed the payload in Python's or in TypeScript's form. */
export function signedBy(address: string, signature: string, payload: Record<string, unknown>): boolean {
  const key = createPublicKey({
    key: Buffer.concat([SPKI, Buffer.from(address.replace(/^0x/i, ""), "hex")]),
    format: "der",
    type: "spki",
  });
  const bytes = Buffer.from(signature.replace(/^0x/, ""), "hex");
  return [pyDumps(payload), tsDumps(payload)].some((text) => verify(null, Buffer.from(text), key, bytes));
}

export const nowS = (): number => Math.floor(Date.now() / 1000);
