import { formA, type Payload, python, type Signer, signer } from "../unit/session-kit";

/** Announcements and CONNECTs of the relay's tests, signed by keys of the test. */

export type Keys = Signer & { name: string };

/** The same keys for the same name; few names a file, so one byte of it is enough. */
export async function keysOf(name: string): Promise<Keys> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(name)));
  return { ...(await signer(digest)), name };
}

const nowS = (): number => Math.floor(Date.now() / 1000);

/** A newest-main agent's ANNOUNCE: form S over all of it. */
export async function signAnnounce(keys: Keys, legacy = false): Promise<string> {
  const content: Payload = {
    type: "ANNOUNCE",
    address: keys.address,
    timestamp: nowS(),
    summary: keys.name,
    endpoints: [],
    // Without it, it is an agent of 0.6.5.
    ...(legacy ? {} : { relay: "wss://relay.test", profile: { alias: keys.name.replace(/-agent$/, "") } }),
  };
  return JSON.stringify({ ...content, signature: await keys.sign(python(content, ", ", ": ", true)) });
}

/** A CONNECT as Python signs it; `more` stands beside the signature, as clients name their session. */
export async function signConnect(keys: Keys, to: string, more: Payload = {}): Promise<string> {
  const payload: Payload = { to, timestamp: nowS(), nonce: crypto.randomUUID() };
  return JSON.stringify({
    type: "CONNECT",
    to,
    ...more,
    payload,
    from: keys.address,
    signature: await keys.sign(formA(payload)),
  });
}
