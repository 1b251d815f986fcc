import { readVar } from "../kernel/config";
import { concat, fromBase64Url, fromHex, sha256Hex, toBase64Url, utf8 } from "../kernel/crypto";
import { ReveilleError } from "../kernel/errors";

/**
 * The one place where a secret becomes what a row may hold: AES-256-GCM, the key's number and version in front, what
 * it belongs to as associated data, so that a row copied to another place does not open (design §5, hermes-relay §1.2,
 * §7).
 */

interface SealKey {
  /** First bytes of the key's hash: tells which key sealed a text, and nothing about the key. */
  id: string;
  key: CryptoKey;
}

/** The key that seals, and those that still open. */
export interface SealKeys {
  current: SealKey;
  old: SealKey | null;
}

/** A sealed text that can't be opened: another key, another place, or changed bytes. Says no more. */
export class SealError extends Error {
  constructor(why: string) {
    super(`sealed text: ${why}`);
    this.name = "SealError";
  }
}

const VERSION = "v1";
const IV_BYTES = 12;

const imported = new Map<string, Promise<SealKey>>();

function importKey(name: string, hex: string): Promise<SealKey> {
  const bytes = /^[0-9a-fA-F]{64}$/.test(hex) ? fromHex(hex) : null;
  if (!bytes) throw unusable(name, "must have 64 hex digits");
  const found = imported.get(hex.toLowerCase());
  if (found) return found;
  const made = (async () => ({
    id: (await sha256Hex(concat(utf8("seal key:"), bytes))).slice(0, 8),
    key: await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]),
  }))();
  imported.set(hex.toLowerCase(), made);
  return made;
}

const unusable = (name: string, what: string): ReveilleError =>
  new ReveilleError({
    status: 503,
    code: "unconfigured",
    message: `${name} ${what}; nothing can be sealed or opened.`,
    hint: `Set it: openssl rand -hex 32 | npx wrangler secret put ${name}`,
  });

/** The keys under a variable and its `_OLD`. @throws ReveilleError 503 when it is unset or no key: fail closed. */
export async function sealKeys(
  vars: Record<string, unknown>,
  name: "REVEILLE_VAULT_KEY" | "REVEILLE_GATEWAY_KEY" | "REVEILLE_HOOK_KEY",
): Promise<SealKeys> {
  const hex = readVar(vars, name);
  if (hex === "") throw unusable(name, "is not set");
  const old = readVar(vars, `${name}_OLD`);
  return { current: await importKey(name, hex), old: old === "" ? null : await importKey(`${name}_OLD`, old) };
}

/** Seals a text for one place; `aad` names the place (kind, tenant, row). */
export async function seal(keys: SealKeys, aad: string, text: string): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const { id, key } = keys.current;
  const sealed = await crypto.subtle.encrypt(params(iv, id, aad), key, utf8(text));
  return `${VERSION}.${id}.${toBase64Url(iv)}.${toBase64Url(sealed)}`;
}

/** The text again. @throws SealError without a hint of the text. */
export async function open(keys: SealKeys, aad: string, sealed: string): Promise<string> {
  const [version, id, ivText, body, more] = sealed.split(".");
  if (version !== VERSION || !id || !ivText || !body || more !== undefined) throw new SealError("unknown form");
  const held = [keys.current, keys.old].find((k) => k?.id === id);
  if (!held) throw new SealError(`no key ${id.slice(0, 8)} is configured`);
  const iv = fromBase64Url(ivText);
  const bytes = fromBase64Url(body);
  if (!iv || iv.length !== IV_BYTES || !bytes) throw new SealError("unknown form");
  try {
    return new TextDecoder().decode(await crypto.subtle.decrypt(params(iv, id, aad), held.key, bytes));
  } catch {
    throw new SealError("does not open here");
  }
}

/** Which key sealed it: `current`, `old` (seal it again before that key goes), or `unknown`. */
export function sealedWith(keys: SealKeys, sealed: string): "current" | "old" | "unknown" {
  const id = sealed.split(".")[1];
  return id === keys.current.id ? "current" : id !== undefined && id === keys.old?.id ? "old" : "unknown";
}

/** Version and key are covered too: neither can be exchanged under a sealed text. */
const params = (iv: Uint8Array, id: string, aad: string): AesGcmParams => ({
  name: "AES-GCM",
  iv,
  additionalData: utf8(`${VERSION}.${id}.${aad}`),
});
type AesGcmParams = { name: "AES-GCM"; iv: Uint8Array; additionalData: Uint8Array };
