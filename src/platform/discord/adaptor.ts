import { appVar } from "../../kernel/config";
import { toBase64, utf8 } from "../../kernel/crypto";
import { type Adaptor, type AppFacts, MalformedPayload, type WebhookCall } from "../adaptor";
import { parseExact } from "../exact";
import { strip } from "../strip";
import type { Answer, Passthrough, Reading } from "../types";
import { LATER_SAME_MESSAGE, later, NO_CHOICES, PONG, UNHEARD, whisper } from "./answer";
import { capabilityOf, isPrivate, readInteraction } from "./normalise";
import { head, interaction, type Payload } from "./payload";
import { verifyDiscord } from "./verify";

/** The body as it was understood, without its credential; no header of the call but what tells its form (hermes-relay §6.6). */
const forward = (botId: string, sanitised: unknown): Passthrough => ({
  platform: "discord",
  botId,
  method: "POST",
  path: "/interactions",
  headers: [["content-type", "application/json"]],
  bodyB64: toBase64(utf8(JSON.stringify(sanitised))),
});

const answerTo = (i: Payload): Answer => (i.type === 3 ? LATER_SAME_MESSAGE : later(isPrivate(i)));

async function read(call: WebhookCall, facts: AppFacts): Promise<Reading> {
  const bare = { answer: { status: 200 }, events: [], secrets: [], shapes: [] };
  if (call.bytes.length === 0) return { ...bare, ignored: "empty body" };
  const value = parseExact(call.bytes);
  const { data: top } = head.safeParse(value);
  if (!top || Array.isArray(value)) throw new MalformedPayload("no interaction");
  // One key proves one application; this one says that it is another.
  const ours = appVar(facts.vars, "REVEILLE_DISCORD_APPLICATION_ID", call.app) || facts.bot?.bot_id;
  if (ours && top.application_id && top.application_id !== ours)
    return { ...bare, answer: { status: 401 }, ignored: "another application" };
  // Its own, not one of a part that comes before it.
  const token = (value as { token?: unknown }).token;
  const { secrets, shapes } = strip(value, "discord", facts.rules);
  const base = { ...bare, secrets, shapes, ignored: null };
  if (call.tail === "events") {
    const kind = (value as { event?: { type?: unknown } }).event?.type;
    const ignored = top.type === 0 ? "ping" : `webhook event ${String(kind).slice(0, 60)}`;
    return { ...base, answer: { status: 204 }, ignored };
  }
  if (top.type === 1) return { ...base, answer: PONG, ignored: "ping" };
  if (top.type === 4) return { ...base, answer: NO_CHOICES, ignored: "autocomplete" };
  if (top.type !== 2 && top.type !== 3 && top.type !== 5) throw new MalformedPayload(`interaction type ${top.type}`);
  const parsed = interaction.safeParse(value);
  const event = parsed.success ? readInteraction(parsed.data, call.app) : null;
  if (!parsed.success || !event) throw new MalformedPayload("interaction of another shape");
  const i = parsed.data;
  const own = {
    ...event,
    capabilities: capabilityOf(i, typeof token === "string" ? token : undefined, facts.now),
    passthrough: forward(i.application_id, value),
  };
  return { ...base, answer: answerTo(i), ...(i.type === 3 ? {} : { unheard: UNHEARD }), events: [own] };
}

/** Discord: HTTP interactions and Webhook Events (chat-platforms §2). Ordinary messages do not come this way. */
export const discordAdaptor: Adaptor = {
  name: "discord",
  tails: ["interactions", "events"],
  refuse: 401,
  unset: (vars, app) => (appVar(vars, "REVEILLE_DISCORD_PUBLIC_KEY", app) ? null : "REVEILLE_DISCORD_PUBLIC_KEY"),
  verify: (call, vars, nowS) =>
    verifyDiscord(call.headers, call.bytes, appVar(vars, "REVEILLE_DISCORD_PUBLIC_KEY", call.app), nowS),
  read: (call, facts) =>
    read(call, facts).catch((error) => {
      throw error instanceof RangeError ? new MalformedPayload("nested too deep") : error;
    }),
  say: (call, text) => (call.tail === "interactions" ? whisper(text) : null),
};
