import { latency, money, plainSpaces } from "../kernel/format";
import type { IncidentFacts } from "./facts";
import { type Frame, TITLE_MAX } from "./notice";
import { clipWords, plain } from "./text";
import type { Notice } from "./types";

/** The notice under the plain one: why, or why nobody knows (operator-experience §3). */

/** Title and body together (operator-experience §3). */
export const EXPLAINED_MAX = 900;

/** What an investigation gave, as far as a notice says it. */
export interface Explained {
  result: {
    summary: string;
    evidence: readonly string[];
    confidence: number;
    likely_cause: string;
    next_step: string;
  } | null;
  /** `reasoning_error`; set when `result` is null. */
  error: string | null;
  /** No claim has evidence. */
  guess: boolean;
  /** Claims that were dropped because they had none. */
  dropped: number;
  usd: number | null;
  ms: number;
}

/** One sentence for each reason; the code itself is on the page. */
const WHY: Record<string, string> = {
  cost_ladder_halted: "the budget for this is spent",
  operational_state_paused: "wakes are paused",
  sdk_timeout: "the engine did not answer in time",
  sdk_auth: "the engine refused our key",
  sdk_rate_limited: "the engine is rate limited",
  sdk_5xx: "the engine failed",
  sdk_transport: "the engine could not be reached or its answer was lost",
  unconfigured: "no engine is configured",
  empty_response_text: "the engine answered nothing",
  unpriced_model: "the model has no known price",
  truncated: "the answer was cut off at its length limit",
  invalid_output: "the answer was not in the form asked for",
};

/** Why there is no explanation, in words; unknown codes read as they are. */
export function whyNot(error: string): string {
  const status = /^sdk_4xx_(\d{3})$/.exec(error)?.[1];
  return WHY[error] ?? (status ? `the engine refused the request (HTTP ${status})` : plain(error).replaceAll("_", " "));
}

export function composeInvestigation(input: Frame & { facts: IncidentFacts; explained: Explained }): Notice {
  const { facts: f, explained: x } = input;
  const name = clipWords(plain(f.target_name), 40);
  const url = `${input.publicUrl}/incidents/${encodeURIComponent(f.id)}`;
  const { head, body } = x.result === null ? failure(x, name) : answer(x, x.result, name);
  const title = clipWords(`${f.rehearsal ? "Rehearsal. " : ""}${head}`, TITLE_MAX);
  return {
    id: input.id,
    event: "explained",
    severity: f.severity,
    title,
    body: within(body, EXPLAINED_MAX - title.length - 1, url),
    quote: "",
    incident_id: f.id,
    target_id: f.target_id,
    url,
    rehearsal: f.rehearsal,
    actions: [],
    at: input.at,
  };
}

function failure(x: Explained, name: string) {
  const spent = x.usd !== null && x.usd > 0 ? ` ${plainSpaces(money(x.usd))}.` : "";
  return {
    head: `Not investigated: ${name}`,
    body: { lines: [`Because ${whyNot(x.error ?? "unknown")}. The facts above are complete.${spent}`], foot: "" },
  };
}

function answer(x: Explained, r: NonNullable<Explained["result"]>, name: string) {
  const sure = `confidence ${r.confidence.toFixed(2)}`;
  const cited = /\[E\d+/.test(r.summary) || r.evidence.length === 0 ? "" : ` [${r.evidence.slice(0, 6).join(", ")}]`;
  const none = x.guess ? ["No claim has evidence."] : [];
  const dropped = x.dropped > 0 ? [`${x.dropped === 1 ? "1 claim" : `${x.dropped} claims`} dropped: no evidence.`] : [];
  return {
    head: x.guess ? `A guess (${sure}): ${name}` : `Why (${sure}): ${name}`,
    body: {
      lines: [
        ...none,
        `${withoutStop(r.summary)}${cited}.`,
        r.likely_cause === "" ? "" : `Likely: ${withoutStop(r.likely_cause.replace(/^likely:?\s*/i, ""))}.`,
        r.next_step === "" ? "" : `Next: ${withoutStop(r.next_step.replace(/^next:?\s*/i, ""))}.`,
        ...dropped,
      ],
      foot: `${plainSpaces(money(x.usd))}, ${plainSpaces(latency(x.ms))}`,
    },
  };
}

const withoutStop = (text: string): string => plain(text).replace(/[.\s]+$/, "");

/** The words within their limit; what it cost is never what is cut off. */
function within(body: { lines: string[]; foot: string }, max: number, url: string): string {
  const text = body.lines.filter((l) => l !== "" && l !== ".").join("\n");
  const tail = `… full text: ${url}`;
  const foot = body.foot === "" ? "" : `\n${body.foot}`;
  return clipWords(text, max - foot.length, tail.length < max / 2 ? tail : "…") + foot;
}
