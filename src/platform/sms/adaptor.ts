import * as z from "zod";
import { appVar, readVar } from "../../kernel/config";
import { type Adaptor, type AppFacts, decodeBody, type WebhookCall } from "../adaptor";
import { stripForm } from "../strip";
import type { Answer, Inbound, MediaRef, Reading } from "../types";
import { verifyTwilio } from "./verify";

/** Twilio SMS and MMS (chat-platforms §4): scope = our number, chat = the person's. */

/** Any TwiML ends it; an empty one sends nothing back. */
const TWIML: Answer = {
  status: 200,
  body: "<Response/>",
  headers: { "content-type": "text/xml; charset=utf-8" },
};

/** What Twilio acts on by itself: after it every message to this number is refused (21610) until they start again. */
const STOP_WORDS = /^(?:stop|stopall|unsubscribe|cancel|end|quit|optout|revoke)$/i;
const STOPPED = "[They unsubscribed: nothing reaches this number until they text START.]";
const MAX_MEDIA = 10;

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const number = z.string().regex(/^[^\s]{1,100}$/);
const sms = z.object({
  MessageSid: z.string().regex(/^\w{1,64}$/),
  AccountSid: z.string().max(64).optional(),
  From: number,
  To: number,
  Body: z.string().default(""),
  NumMedia: z
    .string()
    .regex(/^\d{1,2}$/)
    .default("0"),
  OptOutType: z.string().max(20).optional(),
  ProfileName: z.string().max(300).optional(),
  // Told of a message that we sent.
  MessageStatus: z.string().max(40).optional(),
});

const kindOf = (mime: string): MediaRef["kind"] =>
  mime.startsWith("image/")
    ? "image"
    : mime.startsWith("video/")
      ? "video"
      : mime.startsWith("audio/")
        ? "audio"
        : "document";

function mediaOf(fields: Record<string, unknown>, n: number): MediaRef[] {
  return Array.from({ length: Math.min(n, MAX_MEDIA) }, (_, i) => {
    const mime = String(fields[`MediaContentType${i}`] ?? "");
    const ref = String(fields[`MediaUrl${i}`] ?? "");
    return { ref, kind: kindOf(mime), mime: mime || null, size: null, filename: null, caption: null };
  }).filter((m) => m.ref !== "");
}

async function read(call: WebhookCall, facts: AppFacts): Promise<Reading> {
  const text = decodeBody(call.bytes);
  const { fields, secrets, shapes } = stripForm(new URLSearchParams(text), "sms", facts.rules);
  const base = { answer: TWIML, events: [], secrets, shapes, ignored: null };
  const parsed = sms.safeParse(fields);
  if (!parsed.success) return { ...base, ignored: "no message" };
  const m = parsed.data;
  if (m.MessageStatus !== undefined) return { ...base, ignored: "status of a message" };
  const account = appVar(facts.vars, "REVEILLE_TWILIO_ACCOUNT_SID", call.app);
  if (account && m.AccountSid && m.AccountSid !== account) return { ...base, ignored: "another account" };
  const stop = m.OptOutType ? m.OptOutType.toUpperCase() === "STOP" : STOP_WORDS.test(m.Body.trim());
  const media = mediaOf(fields, Number(m.NumMedia));
  const event: Inbound = {
    platform: "sms",
    app: call.app,
    d1: `sms:${call.app}:${m.MessageSid}`,
    d2: `sms:${m.To}:${m.From}:${m.MessageSid}:message:0`,
    event: {
      text: stop ? `${m.Body.trim()}\n${STOPPED}` : m.Body,
      message_type: media[0]?.kind === "image" && !m.Body ? "photo" : "text",
      message_id: m.MessageSid,
      reply_to_message_id: null,
      media_urls: [],
      media: [],
      source: {
        platform: "sms",
        chat_id: m.From,
        chat_type: "dm",
        chat_name: m.ProfileName ?? null,
        user_id: m.From,
        user_name: m.ProfileName ?? null,
        thread_id: null,
        chat_topic: null,
        scope_id: m.To,
        message_id: m.MessageSid,
        is_bot: false,
        message_is_edit: false,
        one_to_one_verified: true,
      },
    },
    addressed: true,
    own: m.From === m.To || m.From === appVar(facts.vars, "REVEILLE_TWILIO_FROM", call.app),
    media,
    album: null,
    capabilities: [],
    passthrough: null,
  };
  return { ...base, events: [event] };
}

/** What Twilio has as our URL: the configured one, and its place with what the call's own query added to it. */
export function twilioUrls(vars: Record<string, unknown>, app: string, url: URL): string[] {
  const own = appVar(vars, "REVEILLE_TWILIO_WEBHOOK_URL", app);
  const configured = own || `${readVar(vars, "REVEILLE_PUBLIC_URL").replace(/\/+$/, "")}${url.pathname}`;
  const whole = configured.replace(/\?.*$/, "") + url.search;
  return [...new Set(own ? [configured, whole] : [whole])];
}

export const smsAdaptor: Adaptor = {
  name: "sms",
  tails: [""],
  refuse: 403,
  unset: (vars, app) => (appVar(vars, "REVEILLE_TWILIO_AUTH_TOKEN", app) ? null : "REVEILLE_TWILIO_AUTH_TOKEN"),
  verify: (call, vars) =>
    verifyTwilio(
      call.headers,
      call.bytes,
      twilioUrls(vars, call.app, call.url),
      appVar(vars, "REVEILLE_TWILIO_AUTH_TOKEN", call.app),
    ),
  read,
  say: (_call, text) => ({ ...TWIML, body: `<Response><Message>${escapeXml(text)}</Message></Response>` }),
};
