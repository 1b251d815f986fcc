/**
 * Is a mail really the operator's, and is there a person behind it? Judged by its headers alone (`kora-watch.md` §10): our own
 * receiving host must say `dmarc=pass` for the domain of From. Pure.
 */

export interface MailHeader {
  /** Lower case. */
  key: string;
  value: string;
}

export interface MailFacts {
  /** All headers in document order: what our host added stands on top. */
  headers: readonly MailHeader[];
  /** The one address of From, lower case, or null when there is not exactly one. */
  from: string | null;
  /** Envelope sender; empty for bounces. */
  envelope_from: string;
  envelope_to: string;
}

export interface MailRules {
  /** Our host's name in Authentication-Results. */
  authserv: string;
  /** The address that is asked. */
  own: string;
  /** Addresses that may ask; empty = nobody. */
  allow: readonly string[];
  /** The operator's own address: answers go there, so only it may ask. */
  operator: string;
}

export type MailVerdict =
  | "ok"
  | "off"
  | "automatic"
  | "not_allowed"
  | "wrong_recipient"
  | "unauthenticated"
  | "not_operator";

const lower = (text: string): string => text.trim().toLowerCase();

/** Judges in the order of the spec: allow-list, recipient, spoof check, operator; and never an answer to a machine. */
export function judgeMail(mail: MailFacts, rules: MailRules): MailVerdict {
  const allow = rules.allow.map(lower);
  if (allow.length === 0 || rules.own === "" || rules.operator === "") return "off";
  if (isAutomatic(mail)) return "automatic";
  if (mail.from === null || !allow.includes(lower(mail.from))) return "not_allowed";
  if (lower(mail.envelope_to) !== lower(rules.own)) return "wrong_recipient";
  if (!dmarcPasses(mail.headers, rules.authserv, domainOf(mail.from))) return "unauthenticated";
  return lower(mail.from) === lower(rules.operator) ? "ok" : "not_operator";
}

const domainOf = (address: string): string => lower(address.slice(address.lastIndexOf("@") + 1));

const MACHINE = /^(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|daemon)(?:[+@.-]|$)/i;

/** Lists, bounces, out-of-office replies, our own notices coming back: nobody waits for an answer, and one could loop. */
export function isAutomatic(mail: Pick<MailFacts, "headers" | "from" | "envelope_from">): boolean {
  const sender = lower(mail.envelope_from);
  if (sender === "" || sender === "<>" || MACHINE.test(sender) || MACHINE.test(lower(mail.from ?? ""))) return true;
  return mail.headers.some(({ key, value }) => {
    const text = lower(value);
    if (key === "auto-submitted") return text.split(/[\s;(]/)[0] !== "no";
    if (key === "precedence") return /^(?:bulk|list|junk|auto_reply)$/.test(text);
    if (key === "return-path") return text === "<>";
    return key.startsWith("list-") || key === "x-autoreply" || key === "x-autorespond" || key === "x-loop";
  });
}

/**
 * Does the topmost Authentication-Results, written by our own host, say exactly once that DMARC passed for this domain? A
 * sender can write such a header too, but not above ours; and a second result in ours would be a sender's words in it.
 */
export function dmarcPasses(headers: readonly MailHeader[], authserv: string, domain: string): boolean {
  const top = headers.find((h) => h.key === "authentication-results");
  if (!top || domain === "") return false;
  const parts = split(top.value);
  if (lower(parts[0] ?? "").split(/\s+/)[0] !== lower(authserv)) return false;
  const dmarc = parts.slice(1).filter((p) => /^dmarc\s*=/i.test(p));
  if (dmarc.length !== 1) return false;
  const words = dmarc[0]!.split(/\s+/);
  const from = words.map((w) => /^header\.from=(.+)$/i.exec(w)?.[1]).find((v) => v !== undefined);
  return /^dmarc=pass$/i.test(words[0]!) && from !== undefined && lower(from) === domain;
}

/** Splits a structured header at `;`, with comments left out and quoted texts kept as one blank (RFC 8601, RFC 5322). */
function split(value: string): string[] {
  const parts: string[] = [];
  let part = "";
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i++) {
    const c = value[i]!;
    if (c === "\\" && (quoted || depth > 0)) i++;
    else if (quoted) quoted = c !== '"';
    else if (depth > 0) depth += c === "(" ? 1 : c === ")" ? -1 : 0;
    else if (c === '"') {
      quoted = true;
      part += "_";
    } else if (c === "(") {
      depth = 1;
      part += " ";
    } else if (c === ";") {
      parts.push(part.trim());
      part = "";
    } else part += c;
  }
  // An open quote or comment hides what follows: then nothing in this header can be believed.
  return quoted || depth > 0 ? [] : [...parts, part.trim()];
}

/** Message-ID without its brackets, or null when it can't be repeated in a header. */
export function messageIdOf(value: string | undefined): string | null {
  const id = /^<?([\x21-\x3b\x3d\x3f-\x7e]{3,250})>?$/.exec((value ?? "").trim())?.[1] ?? null;
  return id?.includes("@") ? id : null;
}

/** What a person wrote anew: without quoted lines, the "On … wrote:" above them, and the signature. */
export function newWords(text: string): string {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const kept: string[] = [];
  for (const [i, line] of lines.entries()) {
    if (/^--\s*$/.test(line)) break;
    if (/^-{2,}\s*(?:original message|forwarded message)\s*-{2,}$/i.test(line.trim())) break;
    const quoteNext = lines.slice(i + 1, i + 3).some((l) => l.startsWith(">"));
    if (/\bwrote:\s*$/i.test(line) && quoteNext) continue;
    if (!line.startsWith(">")) kept.push(line);
  }
  return kept
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}
