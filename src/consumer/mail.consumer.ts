import PostalMime, { type Email } from "postal-mime";
import { auditStatement } from "../audit";
import { readVar } from "../kernel/config";
import { sha256Hex } from "../kernel/crypto";
import { describe } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import { type Runtime, runtimeOf } from "../kernel/runtime";
import { plainLines } from "../notify";
import { judgeMail, type MailRules, type MailVerdict, messageIdOf, newWords } from "../platform";
import { insertAsk, MAX_QUESTION } from "../reason";
import type { ConsumerEnv } from "./env";

/** Mail to the built-in agent: Email Routing hands it here. Off until `REVEILLE_EMAIL_ALLOW` names somebody. */

/** Larger mails are not read. */
const MAX_MAIL = 1024 * 1024;
/** Nesting and headers that no person's mail has. */
const LIMITS = { maxNestingDepth: 20, maxHeadersSize: 256 * 1024 };

export const mailRules = (runtime: Runtime): MailRules => ({
  authserv: readVar(runtime.vars, "REVEILLE_EMAIL_AUTHSERV"),
  own: readVar(runtime.vars, "REVEILLE_EMAIL_FROM"),
  allow: readVar(runtime.vars, "REVEILLE_EMAIL_ALLOW")
    .split(/[\s,]+/)
    .filter(Boolean),
  operator: readVar(runtime.vars, "REVEILLE_EMAIL_TO"),
});

/** What the listeners page says about mail from the operator. */
export function mailSetup(runtime: Runtime): string {
  const missing = ["REVEILLE_EMAIL_ALLOW", "REVEILLE_EMAIL_FROM", "REVEILLE_EMAIL_TO"].filter(
    (name) => readVar(runtime.vars, name) === "",
  );
  return missing.length > 0 ? `off: ${missing.join(", ")} not set` : "set up";
}

/**
 * Turns a mail of the operator into a question; its answer goes to `REVEILLE_EMAIL_TO`, whatever Reply-To says. A mail that
 * is refused is accepted and dropped: a bounce would go to whoever forged the sender. Of a mail nothing is kept but the
 * question. @throws when the store does not answer: the sending host then tries again.
 */
export async function receiveMail(message: ForwardableEmailMessage, env: ConsumerEnv): Promise<void> {
  const runtime = runtimeOf(env, "consumer");
  const rules = mailRules(runtime);
  if (rules.allow.length === 0) return drop(env, runtime, "off", false);
  if (message.rawSize > MAX_MAIL) return drop(env, runtime, "too_large", false);
  const { bytes, truncated } = await readCapped(message.raw, MAX_MAIL);
  if (truncated) return drop(env, runtime, "too_large", false);
  let mail: Email;
  try {
    mail = await PostalMime.parse(bytes, LIMITS);
  } catch (error) {
    runtime.log("warn", "mail.unreadable", { error: describe(error) });
    return drop(env, runtime, "unreadable", false);
  }
  const from = soleSender(mail);
  const facts = { headers: mail.headers, from, envelope_from: message.from, envelope_to: message.to };
  const verdict = judgeMail(facts, rules);
  // A stranger's mail is only counted in the log; one in the operator's name that is not the operator's is worth a row.
  if (verdict !== "ok")
    return drop(env, runtime, verdict, from !== null && !["automatic", "not_allowed"].includes(verdict));
  const question = questionOf(mail);
  if (question === "") return drop(env, runtime, "empty", false);
  await ask(env, runtime, question, mail, bytes);
}

/**
 * The address of From when there is one header with one address that every reader would find: a comment or a second `@`
 * outside a quoted name could be read as another sender by the host that checked DMARC.
 */
function soleSender(mail: Email): string | null {
  const headers = mail.headers.filter((h) => h.key === "from");
  const bare = (headers[0]?.value ?? "").replace(/"(?:[^"\\]|\\.)*"/g, "");
  if (headers.length !== 1 || bare.split("@").length !== 2 || /[(),;]/.test(bare)) return null;
  const address = mail.from?.address;
  return address === undefined || !/^[^\s@"<>,;:]+@[a-z0-9.-]+$/i.test(address) ? null : address.toLowerCase();
}

function questionOf(mail: Email): string {
  const body =
    mail.text ??
    (mail.html ?? "").replace(/<(?:style|script)[\s\S]*?<\/(?:style|script)>/gi, " ").replace(/<[^>]*>/g, " ");
  const words = plainLines(newWords(body.slice(0, 20_000)));
  return (words === "" ? plainLines(mail.subject ?? "") : words).slice(0, MAX_QUESTION).toWellFormed();
}

async function ask(
  env: ConsumerEnv,
  runtime: Runtime,
  question: string,
  mail: Email,
  bytes: Uint8Array,
): Promise<void> {
  const message_id = messageIdOf(mail.messageId);
  // A mail without a usable id is known by its bytes, and answered outside a thread.
  const ref = message_id ?? `sha256:${await sha256Hex(bytes)}`;
  const { id, made } = await insertAsk(
    env.DB,
    {
      id: `mail-${(await sha256Hex(ref)).slice(0, 32)}`,
      source: "email",
      source_ref: ref,
      thread: message_id ?? "",
      by: "operator",
      question: runtime.redact.text(question),
    },
    runtime.clock.now(),
  );
  runtime.log("info", made ? "ask.received" : "ask.duplicate", { ask: id, from: "email" });
  try {
    await env.RUNS_QUEUE.send({ kind: "ask", ask_id: id });
  } catch (error) {
    // The row is stored; the sweeper sends the message again.
    runtime.log("error", "ask.send_failed", { ask: id, error: describe(error) });
  }
}

/** A mail that is not answered leaves its reason, never an address, a subject or a word of it. */
async function drop(
  env: ConsumerEnv,
  runtime: Runtime,
  reason: Exclude<MailVerdict, "ok"> | "too_large" | "unreadable" | "empty",
  proof: boolean,
): Promise<void> {
  runtime.log("warn", "mail.refused", { reason });
  if (!proof) return;
  await auditStatement(env.DB, {
    at: runtime.clock.now(),
    seam: "capability.denied",
    source: "email",
    details: { what: "mail question", reason },
  }).run();
}
