import { utf8 } from "./crypto";

/** Hides known secret values, however they are written, in texts and in any JSON value. */
export interface Redactor {
  text(value: string): string;
  json<T>(value: T): T;
}

const MARK = "<REDACTED>";
/** Shorter values would blank out ordinary words; `.dev.vars` secrets are 32 characters and more. */
const MIN_SECRET = 6;

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/**
 * The base64 forms of `secret` wherever it may start inside a longer text: for each of the three alignments, the
 * characters that depend on the secret alone.
 */
function base64Forms(secret: string): string[] {
  const bytes = utf8(secret);
  const forms: string[] = [];
  for (let lead = 0; lead < 3; lead++) {
    const padded = new Uint8Array(lead + bytes.length);
    padded.set(bytes, lead);
    const whole = base64(padded).replaceAll("=", "");
    const from = Math.ceil((lead * 8) / 6);
    const to = Math.floor(((lead + bytes.length) * 8) / 6);
    const core = whole.slice(from, to);
    if (core.length >= MIN_SECRET) forms.push(core, core.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return forms;
}

function forms(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const unicode = Array.from(secret, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
  const percentAll = Array.from(utf8(secret), (b) => `%${b.toString(16).padStart(2, "0").toUpperCase()}`).join("");
  const hex = Array.from(utf8(secret), (b) => b.toString(16).padStart(2, "0")).join("");
  return [
    secret,
    json,
    json.replaceAll("/", "\\/"),
    JSON.stringify(json).slice(1, -1),
    unicode,
    encodeURIComponent(secret),
    encodeURI(secret),
    encodeURIComponent(encodeURIComponent(secret)),
    encodeURIComponent(secret).replace(/%[0-9A-F]{2}/g, (m) => m.toLowerCase()),
    percentAll,
    percentAll.toLowerCase(),
    hex,
    hex.toUpperCase(),
    ...base64Forms(secret),
    ...base64Forms(secret).map(encodeURIComponent),
  ];
}

/** Shapes of tokens we may never have been told of (a vendor may quote another one): kept few, to keep texts readable. */
const SHAPES = [
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\bsk-[A-Za-z0-9_-]{16,}/g,
  /\bBearer\s+[A-Za-z0-9._~+/-]{16,}=*/gi,
  /\bbot\d{6,}:[A-Za-z0-9_-]{30,}/g,
  /\bsb_(?:secret|publishable)_[A-Za-z0-9_-]{10,}/g,
  /\bFlyV1\s+[A-Za-z0-9_,=+/-]{16,}/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/g,
];
const EMAIL = /\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b/g;

/**
 * A redactor for the given secret values. Texts lose every written form of them (raw, JSON-escaped, URL-encoded, base64 at
 * any alignment, hex), known token shapes and mail addresses (`kora-watch.md` §5: never in details). `exact`: the secrets alone, for what
 * people say to each other, where an address is no secret.
 */
export function makeRedactor(secrets: Iterable<string>, exact = false): Redactor {
  const needles = new Set<string>();
  for (const secret of secrets) {
    const value = secret.trim();
    if (value.length < MIN_SECRET) continue;
    // A token may be kept with its scheme ("FlyV1 fm2_…"), and be repeated without it.
    for (const written of [value, value.replace(/^(?:FlyV1|Bearer|Basic|Token)\s+/i, "")])
      for (const form of forms(written)) if (form.length >= MIN_SECRET) needles.add(form);
  }
  // Longest first, so that a form that contains another is replaced whole.
  const ordered = [...needles].sort((a, b) => b.length - a.length);
  const text = (value: string): string => {
    let out = value;
    for (const needle of ordered) if (out.includes(needle)) out = out.replaceAll(needle, MARK);
    if (exact) return out;
    for (const shape of SHAPES) out = out.replace(shape, MARK);
    return out.replace(EMAIL, "<ADDRESS>");
  };
  const json = (value: unknown): unknown => {
    if (typeof value === "string") return text(value);
    if (Array.isArray(value)) return value.map(json);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [text(k), json(v)]));
    return value;
  };
  return { text, json: <T>(value: T): T => json(value) as T };
}
