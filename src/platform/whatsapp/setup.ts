import { appVar } from "../../kernel/config";
import { call, type SendDeps } from "../call";
import { failure, text } from "../sender";
import { type Checked, failedAs, type Setup, stateOf, variables } from "../setup";

async function check(d: SendDeps): Promise<Checked> {
  const checks = variables(d, [
    "REVEILLE_WHATSAPP_APP_SECRET",
    "REVEILLE_WHATSAPP_VERIFY_TOKEN",
    "REVEILLE_WHATSAPP_ACCESS_TOKEN",
    "REVEILLE_WHATSAPP_PHONE_ID",
  ]);
  const v = (name: string): string => appVar(d.runtime.vars, `REVEILLE_WHATSAPP_${name}`, d.app);
  if (!v("ACCESS_TOKEN") || !v("PHONE_ID")) return { bot: null, state: "unset", checks };
  const fields = "fields=display_phone_number,verified_name,quality_rating";
  const result = await call(d, {
    url: `${v("API_URL").replace(/\/+$/, "")}/${encodeURIComponent(v("PHONE_ID"))}?${fields}`,
    method: "GET",
    headers: { authorization: `Bearer ${v("ACCESS_TOKEN")}` },
    repeatable: true,
    buckets: [],
    judge: ({ status, json }) => {
      if (status < 300) return { ok: json };
      if (status >= 500) return { again: `HTTP ${status}`, applied: false };
      const { message } = (json["error"] ?? {}) as { message?: unknown };
      return { fail: failure(`whatsapp: ${text(message) ?? `HTTP ${status}`}`, "refused") };
    },
  });
  if ("fail" in result)
    return {
      bot: null,
      state: failedAs(result.fail),
      checks: [...checks, { check: "phone number", ok: false, detail: result.fail.error ?? "" }],
    };
  const number = text(result.ok["display_phone_number"]);
  const username = text(result.ok["verified_name"]);
  checks.push({ check: "phone number", ok: true, detail: `${number}, ${username}` });
  return { bot: { bot_id: v("PHONE_ID"), bot_ref: number, username }, state: stateOf(checks), checks };
}

export const whatsappSetup: Setup = { check };
