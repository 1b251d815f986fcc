/**
 * `bufferId` as a gateway sees it: the tag of one buffer and a seq, 26 characters that sort as they are delivered, in the alphabet of a
 * ULID. The tag is random, so that one instance's id names nothing at another.
 */

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TAG = 14;
const SEQ = 12;

/** A fresh tag, 70 bits. */
export const newTag = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(TAG)), (b) => ALPHABET[b % 32]).join("");

export function formatBufferId(tag: string, seq: number): string {
  let out = "";
  for (let n = seq, i = 0; i < SEQ; i++, n = Math.floor(n / 32)) out = ALPHABET[n % 32] + out;
  return tag + out;
}

/** The seq, or null when the id is not of this buffer. */
export function readBufferId(tag: string, id: string): number | null {
  if (id.length !== TAG + SEQ || !id.startsWith(tag)) return null;
  let seq = 0;
  for (const c of id.slice(TAG)) {
    const digit = ALPHABET.indexOf(c);
    if (digit < 0) return null;
    seq = seq * 32 + digit;
  }
  return Number.isSafeInteger(seq) ? seq : null;
}
