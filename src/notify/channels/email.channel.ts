import { readVar } from "../../kernel/config";
import { sha256Hex } from "../../kernel/crypto";
import { describe } from "../../kernel/errors";
import type { Runtime } from "../../kernel/runtime";
import { asText } from "../notice";
import type { Channel, Outgoing, SendResult } from "../types";
import { line, SEND_TIMEOUT_MS } from "./call";
import { isAddress, mime } from "./mime";

/** The binding of `[[send_email]]`: it delivers only to verified addresses of the account. */
const binding = (runtime: Runtime): SendEmail | null => {
  const bound = runtime.vars["EMAIL"];
  return bound !== null && typeof bound === "object" && "send" in bound ? (bound as SendEmail) : null;
};

/** Refusals that a second try can't change: the address, the sender's domain, the size. */
const PERMANENT =
  /not (?:a )?(?:verified|allowed)|not in allow|invalid|disabled|no such|too large|malformed|mismatch|does not match/i;

/** Mail through Cloudflare's `send_email` binding. The same notice has the same Message-ID on every try. */
export const emailChannel: Channel = {
  name: "email",
  missing: (runtime) => [
    ...["REVEILLE_EMAIL_FROM", "REVEILLE_EMAIL_TO"].filter((name) => readVar(runtime.vars, name) === ""),
    ...(binding(runtime) ? [] : ["EMAIL (the send_email binding)"]),
  ],
  async send(runtime: Runtime, out: Outgoing): Promise<SendResult> {
    const from = readVar(runtime.vars, "REVEILLE_EMAIL_FROM");
    const to = readVar(runtime.vars, "REVEILLE_EMAIL_TO");
    const email = binding(runtime);
    if (!isAddress(from) || !isAddress(to) || !email)
      return {
        ok: false,
        error: "REVEILLE_EMAIL_FROM and REVEILLE_EMAIL_TO must be plain mail addresses",
        retryable: false,
      };
    const messageId = `${(await sha256Hex(out.idempotency_key)).slice(0, 32)}@${from.slice(from.indexOf("@") + 1)}`;
    const raw = mime({
      from,
      to,
      subject: out.notice.title,
      text: asText(out.notice),
      messageId,
      inReplyTo: out.thread,
      date: new Date(runtime.clock.wall()),
    });
    let timer: ReturnType<typeof setTimeout> | null = null;
    const late = new Promise<SendResult>((resolve) => {
      timer = setTimeout(
        () =>
          resolve({
            ok: false,
            error: `no answer within ${SEND_TIMEOUT_MS / 1000} s`,
            retryable: true,
            ambiguous: true,
          }),
        SEND_TIMEOUT_MS,
      );
    });
    try {
      return await Promise.race([hand(email, from, to, raw, messageId), late]);
    } catch (error) {
      const words = describe(error);
      return { ok: false, error: line(runtime, words), retryable: !PERMANENT.test(words) };
    } finally {
      clearTimeout(timer);
    }
  },
};

async function hand(email: SendEmail, from: string, to: string, raw: string, messageId: string): Promise<SendResult> {
  // Loaded on first use: the module exists only where the runtime offers mail.
  const { EmailMessage } = await import("cloudflare:email");
  await email.send(new EmailMessage(from, to, raw));
  return { ok: true, ref: messageId };
}
