import * as z from "zod";
import { money, plainSpaces, utcMinute } from "../kernel/format";
import { type Frame, TITLE_MAX } from "./notice";
import { clipWords } from "./text";
import type { Notice } from "./types";

/** What a `budget` wake carries: a share of the month's pool that was reached. USD and Reveille ms. */
export const budgetPayload = z.object({
  threshold: z.number().int().min(1).max(100),
  spent: z.number().min(0),
  pool: z.number().min(0),
  resets_at: z.number().int(),
});
export type BudgetPayload = z.infer<typeof budgetPayload>;

/** The words for a share of the budget. 75 and 100 % are incidents of Reveille's own rule and told as such. */
export function composeBudget(input: Frame & BudgetPayload): Notice {
  const { threshold, spent, pool, resets_at, at } = input;
  const usd = (n: number): string => plainSpaces(money(n));
  const left = usd(Math.max(0, pool - spent));
  const then =
    threshold >= 90
      ? "Only the small model is asked. At 100 % reasoning stops, and notices stay plain."
      : "Nothing changes yet: from 75 % on only the small model is asked.";
  return {
    id: input.id,
    event: "budget",
    severity: threshold >= 90 ? "warning" : "info",
    title: clipWords(
      `${threshold >= 90 ? "▲ " : ""}Budget: ${threshold} % of the month's reasoning is spent`,
      TITLE_MAX,
    ),
    body: `${usd(spent)} of ${usd(pool)} is spent, ${left} is left until ${utcMinute(resets_at, at)}. ${then}`,
    quote: "",
    incident_id: null,
    target_id: null,
    url: `${input.publicUrl}/budget`,
    rehearsal: false,
    actions: input.actions ?? [],
    at,
  };
}
