import type { ClientLevel } from "./types";

/** Marks of a client and what they come to. A mark is the time it was given (ms), null = not given. */
export interface Marks {
  contact: number | null;
  whitelist: number | null;
  blocked: number | null;
  admin: number | null;
}

export const NO_MARKS: Marks = { contact: null, whitelist: null, blocked: null, admin: null };

/** blocked > whitelist > contact > stranger; the admin mark is no level (`connectonion.md` (f), states). */
export const levelOf = (m: Marks): ClientLevel =>
  m.blocked !== null ? "blocked" : m.whitelist !== null ? "whitelist" : m.contact !== null ? "contact" : "stranger";

/** The atomic changes, word for word of the spec: what each does to the marks and leaves alone. All are idempotent. */
export const CHANGES = {
  promote_to_contact: (m: Marks, at: number): Marks => ({ ...m, contact: m.contact ?? at }),
  promote_to_whitelist: (m: Marks, at: number): Marks => ({ ...m, whitelist: m.whitelist ?? at }),
  demote_to_contact: (m: Marks, at: number): Marks => ({ ...m, whitelist: null, contact: m.contact ?? at }),
  demote_to_stranger: (m: Marks): Marks => ({ ...m, whitelist: null, contact: null }),
  block: (m: Marks, at: number): Marks => ({ ...m, blocked: m.blocked ?? at }),
  unblock: (m: Marks): Marks => ({ ...m, blocked: null }),
  set_admin: (m: Marks, at: number): Marks => ({ ...m, admin: m.admin ?? at }),
  remove_admin: (m: Marks): Marks => ({ ...m, admin: null }),
} as const;
export type Change = keyof typeof CHANGES;

export const sameMarks = (a: Marks, b: Marks): boolean =>
  a.contact === b.contact && a.whitelist === b.whitelist && a.blocked === b.blocked && a.admin === b.admin;

/** A list entry: an address, or a pattern in which `*` alone stands for anything. Folded; null when it is neither. */
export function readEntry(text: string): { id: string; pattern: boolean } | null {
  const id = text.trim().toLowerCase();
  if (/^0x[0-9a-f]{64}$/.test(id)) return { id, pattern: false };
  return id.includes("*") && /^[0-9a-z*._-]{2,100}$/.test(id) && id.replaceAll("*", "").length >= 3
    ? { id, pattern: true }
    : null;
}

/** Whole-string match; every sign but `*` stands for itself. Linear, whatever the pattern. */
export function matches(pattern: string, id: string): boolean {
  const parts = pattern.toLowerCase().split("*");
  const text = id.toLowerCase();
  if (parts.length === 1) return parts[0] === text;
  const [first, last] = [parts[0]!, parts.at(-1)!];
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
