import * as z from "zod";
import { appVar } from "../../kernel/config";
import { type Adaptor, type AppFacts, decodeBody, parseBody, type WebhookCall } from "../adaptor";
import { type Stripped, strip, stripForm } from "../strip";
import type { Answer, Reading } from "../types";
import { readCommand } from "./command";
import { envelope, readEvent } from "./events";
import { readInteraction } from "./interact";
import type { InteractionReading } from "./interact.parts";
import { verifySlack } from "./verify";

const ok: Answer = { status: 200 };

const head = z.object({
  type: z.string().max(100).optional(),
  challenge: z.string().max(1_000).optional(),
  // Who the event was sent to: our bot user, told by every event without a call (§1.1).
  authorizations: z
    .array(z.object({ user_id: z.string().optional(), is_bot: z.boolean().optional() }))
    .optional()
    .catch(undefined),
});

async function events(call: WebhookCall, facts: AppFacts): Promise<Reading> {
  const text = decodeBody(call.bytes);
  const bare = { answer: ok, events: [], secrets: [], shapes: [] };
  if (text === "") return { ...bare, ignored: "empty body" };
  const value = parseBody(text);
  const { data } = head.safeParse(value);
  if (data?.type === "url_verification" && data.challenge !== undefined)
    return {
      ...bare,
      ignored: "url_verification",
      answer: { status: 200, body: data.challenge, headers: { "content-type": "text/plain; charset=utf-8" } },
    };
  const bot = facts.bot?.bot_id ?? data?.authorizations?.find((a) => a.is_bot)?.user_id ?? null;
  const { secrets, shapes } = strip(value, "slack", facts.rules);
  const base = { answer: ok, events: [], secrets, shapes, ignored: null };
  const outer = envelope.safeParse(value);
  if (!outer.success) return { ...base, ignored: `callback ${(data?.type ?? "none").slice(0, 60)}` };
  const read = readEvent(outer.data, facts, call.app, bot);
  if ("ignored" in read) return { ...base, ignored: read.ignored.slice(0, 100) };
  if ("revoked" in read) return { ...base, revoked: { scope_id: read.revoked } };
  if ("deleted" in read) return { ...base, deleted: read.deleted, ignored: "deleted message" };
  return { ...base, events: [read.inbound] };
}

const reading = (read: InteractionReading, { secrets, shapes }: Stripped): Reading => ({
  // A modal stays open until it is answered with JSON.
  answer: read.modal ? { status: 200, body: "{}", headers: { "content-type": "application/json" } } : ok,
  events: read.events,
  ...(read.presses.length > 0 ? { presses: read.presses } : {}),
  ignored: read.ignored,
  secrets,
  shapes,
});

async function form(call: WebhookCall, facts: AppFacts): Promise<Reading> {
  const fields = new URLSearchParams(decodeBody(call.bytes));
  const none = { answer: ok, events: [], secrets: [], shapes: [] };
  // Slack asks so whether our certificate is good.
  if (fields.get("ssl_check") === "1") return { ...none, ignored: "ssl_check" };
  const bot = facts.bot?.bot_id ?? null;
  if (call.tail === "commands") {
    const stripped = stripForm(fields, "slack", facts.rules);
    const given = { facts, app: call.app, bot, taken: stripped.taken };
    return reading(await readCommand(stripped.fields, given), stripped);
  }
  const payload = fields.get("payload");
  if (payload === null) return { ...none, ignored: "no payload" };
  const value = parseBody(payload);
  const stripped = strip(value, "slack", facts.rules);
  return reading(await readInteraction(value, { facts, app: call.app, bot, taken: stripped.taken }), stripped);
}

/** Slack: Events API, interactivity, slash commands (chat-platforms §1). */
export const slackAdaptor: Adaptor = {
  name: "slack",
  tails: ["events", "interactions", "commands"],
  refuse: 401,
  never: { "x-slack-no-retry": "1" },
  unset: (vars, app) => (appVar(vars, "REVEILLE_SLACK_SIGNING_SECRET", app) ? null : "REVEILLE_SLACK_SIGNING_SECRET"),
  verify: (call, vars, nowS) =>
    verifySlack(
      call.headers,
      call.bytes,
      ["REVEILLE_SLACK_SIGNING_SECRET", "REVEILLE_SLACK_SIGNING_SECRET_OLD"].map((name) =>
        appVar(vars, name, call.app),
      ),
      nowS,
    ),
  read: (call, facts) => (call.tail === "events" ? events(call, facts) : form(call, facts)),
  // Only who typed a command can be answered in the answer, and only they see it.
  say: (call, text) =>
    call.tail === "commands"
      ? {
          status: 200,
          body: JSON.stringify({ response_type: "ephemeral", text }),
          headers: { "content-type": "application/json" },
        }
      : null,
};
