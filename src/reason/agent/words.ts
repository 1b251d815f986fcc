import { money, plainSpaces, utcMinute } from "../../kernel/format";
import { type Answer, BY_RULES } from "./types";

/** Why no model answered, as the end of "by rules: …". */
function why(error: string): string {
  switch (error) {
    case "unconfigured":
      return "no engine is configured";
    case "cost_ladder_halted":
      return "the budget allows no call";
    case "operational_state_paused":
      return "reasoning is paused";
    case "unpriced_model":
      return "the model has no price";
    case "sdk_timeout":
      return "the model did not answer in time";
    case "sdk_auth":
      return "the model's key was refused";
    case "sdk_rate_limited":
      return "the model is rate limited";
    case "sdk_transport":
      return "the model's answer was lost";
    case "empty_response_text":
      return "the model gave an empty answer";
    default:
      return "the model gave no usable answer";
  }
}

/** The line under every answer: who made it, from when, at what price. `now` is Reveille ms. */
export function signature(a: Answer, now: number): string {
  const asOf = `as of ${utcMinute(a.as_of, now)}`;
  if (a.engine !== BY_RULES) return `${a.engine}, ${plainSpaces(money(a.usd))}, ${asOf}`;
  if (a.reasoning_error === null) return `By rules, ${asOf}`;
  return `By rules (${why(a.reasoning_error)}, ${a.reasoning_error}), ${asOf}`;
}
