import { appVar } from "../../kernel/config";
import { call, type Judged, type Reply, type SendDeps, waitOf } from "../call";
import { parseMarkdown } from "../markdown";
import { done, type Fetched, failure, inTurn, type Sender, type Sent, text, type Where } from "../sender";
import { MAX_PARTS, splitPlain } from "../split";
import type { MediaRef } from "../types";

/** Twilio SMS (chat-platforms §4). */

const LIMIT = 1_600;
const WAIT_MS = 20_000;

const v = (d: SendDeps, name: string): string => appVar(d.runtime.vars, name, d.app);
const base = (d: SendDeps): string => v(d, "REVEILLE_TWILIO_API_URL").replace(/\/+$/, "");
const auth = (d: SendDeps): Record<string, string> => ({
  authorization: `Basic ${btoa(`${v(d, "REVEILLE_TWILIO_ACCOUNT_SID")}:${v(d, "REVEILLE_TWILIO_AUTH_TOKEN")}`)}`,
});

const judge =
  (d: SendDeps, bucket: string) =>
  (reply: Reply): Judged => {
    const { json, status } = reply;
    if (status >= 200 && status < 300) return { ok: json };
    const code = Number(json["code"]);
    const words = text(json["message"]) ?? `HTTP ${status}`;
    if (status === 429) return { limited: waitOf(d, reply), bucket };
    if (status >= 500) return { again: `sms: ${words}`, applied: true };
    if (status === 401) {
      d.broken("the auth token is refused");
      return { fail: failure("sms: the auth token is refused", "invalid_auth") };
    }
    if (code === 21_610) return { fail: failure("sms: this person has unsubscribed (STOP)", "21610") };
    return { fail: failure(`sms: ${words}`, String(Number.isFinite(code) ? code : status)) };
  };

async function post(d: SendDeps, to: Where, body: string): Promise<Sent> {
  const from = v(d, "REVEILLE_TWILIO_FROM");
  const bucket = `sms:${d.app}:${to.chat_id}`;
  const result = await call(d, {
    url: `${base(d)}/2010-04-01/Accounts/${encodeURIComponent(v(d, "REVEILLE_TWILIO_ACCOUNT_SID"))}/Messages.json`,
    headers: { ...auth(d), "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({
      To: to.chat_id,
      [from.startsWith("MG") ? "MessagingServiceSid" : "From"]: from,
      Body: body,
    }).toString(),
    repeatable: false,
    buckets: [bucket],
    judge: judge(d, bucket),
  });
  if ("fail" in result) return result.fail;
  const id = text(result.ok["sid"]);
  return done(id === null ? [] : [id], { chat_id: to.chat_id });
}

async function send(d: SendDeps, to: Where, content: string): Promise<Sent> {
  const rich = parseMarkdown(content);
  // A phone shows no marks; a link's address is said behind its words.
  let words = rich.text;
  for (const m of rich.marks.filter((x) => x.kind === "link").sort((a, b) => b.end - a.end))
    if (m.url && rich.text.slice(m.start, m.end) !== m.url)
      words = `${words.slice(0, m.end)} (${m.url})${words.slice(m.end)}`;
  const parts = splitPlain(words, LIMIT);
  if (parts.length === 0) return failure("nothing to send: the content is empty", "no_text");
  if (parts.length > MAX_PARTS) return failure(`too long: it would be ${parts.length} messages`, "msg_too_long");
  return inTurn(parts, (part) => post(d, to, part));
}

/** A picture of a message: Twilio's link wants our account, and leads on to a signed one that must not get it. */
async function file(d: SendDeps, ref: MediaRef): Promise<Fetched> {
  if (!URL.canParse(ref.ref)) return { why: "its link can't be read" };
  const url = new URL(ref.ref);
  const theirs = url.protocol === "https:" && /(?:^|\.)twilio\.com$/.test(url.hostname);
  if (!theirs && url.origin !== new URL(base(d)).origin) return { why: "it is not stored at Twilio" };
  try {
    const signal = AbortSignal.timeout(WAIT_MS);
    let response = await fetch(url, { headers: auth(d), redirect: "manual", signal });
    const next = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && next) {
      await response.body?.cancel();
      response = await fetch(new URL(next, url), { redirect: "manual", signal });
    }
    if (response.ok) return { response };
    await response.body?.cancel();
    return { why: `HTTP ${response.status}` };
  } catch {
    return { why: "no answer from Twilio" };
  }
}

export const smsSender: Sender = {
  name: "sms",
  limit: LIMIT,
  unset: (vars, app) =>
    ["REVEILLE_TWILIO_ACCOUNT_SID", "REVEILLE_TWILIO_AUTH_TOKEN", "REVEILLE_TWILIO_FROM"].find(
      (name) => !appVar(vars, name, app),
    ) ?? null,
  send,
  file,
};
