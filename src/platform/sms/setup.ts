import { appVar } from "../../kernel/config";
import { call, type SendDeps } from "../call";
import { failure, text } from "../sender";
import { type Checked, failedAs, type Setup, same, stateOf, variables } from "../setup";

async function check(d: SendDeps, webhook: string): Promise<Checked> {
  const checks = variables(
    d,
    ["REVEILLE_TWILIO_ACCOUNT_SID", "REVEILLE_TWILIO_AUTH_TOKEN", "REVEILLE_TWILIO_FROM"],
    ["REVEILLE_TWILIO_WEBHOOK_URL"],
  );
  const v = (name: string): string => appVar(d.runtime.vars, `REVEILLE_TWILIO_${name}`, d.app);
  const [sid, token, from] = [v("ACCOUNT_SID"), v("AUTH_TOKEN"), v("FROM")];
  if (!sid || !token) return { bot: null, state: "unset", checks };
  const account = `${v("API_URL").replace(/\/+$/, "")}/2010-04-01/Accounts/${encodeURIComponent(sid)}`;
  const get = (url: string) =>
    call(d, {
      url,
      method: "GET",
      headers: { authorization: `Basic ${btoa(`${sid}:${token}`)}` },
      repeatable: true,
      buckets: [],
      judge: ({ status, json }) => {
        if (status < 300) return { ok: json };
        if (status >= 500) return { again: `HTTP ${status}`, applied: false };
        return { fail: failure(`sms: ${text(json["message"]) ?? `HTTP ${status}`}`, "refused") };
      },
    });
  const result = await get(`${account}.json`);
  if ("fail" in result)
    return {
      bot: null,
      state: failedAs(result.fail),
      checks: [...checks, { check: "account", ok: false, detail: result.fail.error ?? "" }],
    };
  const status = text(result.ok["status"]);
  checks.push({ check: "account", ok: status === "active", detail: `${text(result.ok["friendly_name"])}, ${status}` });
  // A messaging service has its webhook elsewhere.
  if (from && !from.startsWith("MG")) {
    const found = await get(`${account}/IncomingPhoneNumbers.json?PhoneNumber=${encodeURIComponent(from)}`);
    const list =
      "ok" in found && Array.isArray(found.ok["incoming_phone_numbers"]) ? found.ok["incoming_phone_numbers"] : [];
    const number = list[0] as Record<string, unknown> | undefined;
    if (!number) checks.push({ check: "number", ok: false, detail: `${from} is not a number of this account` });
    else
      checks.push(
        same(
          "webhook",
          text(number["sms_url"]),
          v("WEBHOOK_URL") || webhook,
          "Set it at the number, under A message comes in",
        ),
      );
  }
  return { bot: from ? { bot_id: from, bot_ref: null, username: null } : null, state: stateOf(checks), checks };
}

export const smsSetup: Setup = { check };
