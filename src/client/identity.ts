import { ClientError } from "./errors";

/** Who the client is: an address, and what proves it. Bring your own to keep the key where you want it. */
export interface Identity {
  /** `0x` and 64 lower-case hex digits: the Ed25519 public key. */
  address: string;
  /** The signature over the UTF-8 bytes of a text: 128 hex digits. */
  sign(text: string): Promise<string>;
}

/** What stands before a raw Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = "302e020100300506032b657004220420";

const toHex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const fromHex = (hex: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array((hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));

/** A fresh secret: 64 hex digits. Whoever has it is this client. */
export const newSeed = (): string => toHex(subtle().random.getRandomValues(new Uint8Array(32)));

/** @throws ClientError `no_crypto`, naming what is missing. */
function subtle(): { random: Crypto; subtle: SubtleCrypto } {
  const found = (globalThis as { crypto?: Crypto }).crypto;
  if (!found?.subtle)
    throw new ClientError(
      "no_crypto",
      "This page has no WebCrypto: open it over https or on localhost, or pass `identity` with a sign function of your own.",
    );
  return { random: found, subtle: found.subtle };
}

/**
 * The identity of a seed (64 hex digits), by WebCrypto.
 * @throws ClientError `bad_option` for a seed of another form, `no_crypto` where WebCrypto or its Ed25519 is missing.
 */
export async function identityOf(seed: string): Promise<Identity> {
  if (!/^[0-9a-f]{64}$/i.test(seed)) throw new ClientError("bad_option", "A seed is 64 hex digits.");
  const web = subtle().subtle;
  try {
    const key = await web.importKey("pkcs8", fromHex(PKCS8_HEAD + seed), { name: "Ed25519" }, true, ["sign"]);
    const { x } = (await web.exportKey("jwk", key)) as { x?: string };
    const raw = atob(x!.replaceAll("-", "+").replaceAll("_", "/"));
    return {
      address: `0x${toHex(Uint8Array.from(raw, (c) => c.charCodeAt(0)))}`,
      sign: async (text) => {
        const bytes = new TextEncoder().encode(text);
        return toHex(new Uint8Array(await web.sign({ name: "Ed25519" }, key, bytes)));
      },
    };
  } catch (error) {
    throw new ClientError(
      "no_crypto",
      `This runtime's WebCrypto has no Ed25519 (Chrome 137, Firefox 130, Safari 17, Node 20 and Workers have it); pass \`identity\` with a sign function of your own. (${String(error)})`,
    );
  }
}

type Payload = Record<string, string | number>;

/** A flat payload as it is signed: keys in order, nothing but ASCII, so that every generation of hosts reads the same. */
export const canonical = (payload: Payload): string =>
  `{${Object.keys(payload)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${JSON.stringify(payload[key])}`)
    .join(",")}}`.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

export interface Envelope {
  payload: Payload;
  from: string;
  signature: string;
}

export const envelope = async (who: Identity, payload: Payload): Promise<Envelope> => ({
  payload,
  from: who.address,
  signature: await who.sign(canonical(payload)),
});

/** Headers of a signed GET. `path` without the query. */
export async function signedHeaders(who: Identity, path: string, now: number): Promise<Record<string, string>> {
  const timestamp = Math.floor(now / 1000);
  return {
    "x-co-from": who.address,
    "x-co-timestamp": String(timestamp),
    "x-co-signature": await who.sign(canonical({ method: "GET", path, timestamp })),
  };
}
