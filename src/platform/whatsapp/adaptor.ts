import { appVar } from "../../kernel/config";
import { sameSecret } from "../../kernel/crypto";
import type { Adaptor, AppFacts, WebhookCall } from "../adaptor";
import { parseExact } from "../exact";
import { strip } from "../strip";
import type { Answer, Reading } from "../types";
import { batch, readChange } from "./normalise";
import { verifyWhatsApp } from "./verify";

async function read(call: WebhookCall, facts: AppFacts): Promise<Reading> {
  const value = parseExact(call.bytes);
  const { secrets, shapes } = strip(value, "whatsapp", facts.rules);
  const base = { answer: { status: 200 }, secrets, shapes };
  const parsed = batch.safeParse(value);
  if (!parsed.success) return { ...base, events: [], ignored: "no batch of messages" };
  const phone = appVar(facts.vars, "REVEILLE_WHATSAPP_PHONE_ID", call.app);
  const read = parsed.data.entry.flatMap((e) => e.changes).map((c) => readChange(c, call.app, phone));
  const why = [...new Set(read.flatMap((r) => r.ignored))].join(", ").slice(0, 100);
  return { ...base, events: read.flatMap((r) => r.events), ignored: why || null };
}

/** Meta asks once, when the URL is saved, whether it is ours. */
async function handshake(call: WebhookCall, vars: Record<string, unknown>): Promise<Answer> {
  const query = call.url.searchParams;
  const token = appVar(vars, "REVEILLE_WHATSAPP_VERIFY_TOKEN", call.app);
  const challenge = query.get("hub.challenge") ?? "";
  const good = await sameSecret(query.get("hub.verify_token") ?? "", token);
  if (!good || token === "" || query.get("hub.mode") !== "subscribe" || challenge.length > 1_000)
    return { status: 403 };
  return {
    status: 200,
    body: challenge,
    headers: { "content-type": "text/plain", "x-content-type-options": "nosniff" },
  };
}

/** WhatsApp Cloud API (chat-platforms §4). */
export const whatsappAdaptor: Adaptor = {
  name: "whatsapp",
  tails: [""],
  refuse: 401,
  unset: (vars, app) => (appVar(vars, "REVEILLE_WHATSAPP_APP_SECRET", app) ? null : "REVEILLE_WHATSAPP_APP_SECRET"),
  verify: (call, vars) =>
    verifyWhatsApp(call.headers, call.bytes, appVar(vars, "REVEILLE_WHATSAPP_APP_SECRET", call.app)),
  read,
  handshake,
};
