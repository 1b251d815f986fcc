import { ulid } from "ulidx";

/** A new sortable id (ULID). `at` is Reveille time in ms. */
export function newId(at: number): string {
  return ulid(at);
}

/** `bytes` random bytes as base64url: tokens, codes, opaque action ids. */
export function randomToken(bytes = 24): string {
  const raw = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...raw))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** A 32-bit FNV-1a hash: spreads targets over their interval; not for security. */
export function hash32(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  return h >>> 0;
}
