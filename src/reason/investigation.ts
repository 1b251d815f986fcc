import { sha256Hex } from "../kernel/crypto";
import type { Runtime } from "../kernel/runtime";
import { promptOf, readContext } from "./context";
import { type Checked, checkEvidence, parseReply } from "./evidence";
import { makeFence } from "./fence";
import { identityFor } from "./identity";
import { investigationTools } from "./tools";
import type { EngineResult, Evidence, Investigation, ReasoningError, Tool, Usage } from "./types";

/** One reasoning run over one incident (`kora-watch.md` §6): context, call, check. It writes nothing but its tool calls. */

/** What reasoning needs of a wake. */
export interface WakeFacts {
  wake_id: string;
  incident_id: string;
  /** As the wake was committed: may its envelope act at all? */
  envelope_enabled: boolean;
}

/** The one paid call of an investigation. */
export interface InvestigationCall {
  call_id: string;
  incident_id: string;
  wake_id: string;
  system: string;
  prompt: string;
  tools: Tool[];
  max_output_tokens: number;
  max_steps: number;
  timeout_ms: number;
}

export interface InvestigateDeps {
  db: D1Database;
  runtime: Runtime;
  /** Reserve, call, settle. Never throws. `usd` is null when nothing was priced. */
  spend(call: InvestigationCall): Promise<{ result: EngineResult; usd: number | null }>;
}

/** What came of it; `result` and `error` exclude each other. */
export interface Investigated {
  result: Investigation | null;
  error: ReasoningError | null;
  evidence: readonly Evidence[];
  dropped: number;
  dropped_action: boolean;
  guess: boolean;
  model: string | null;
  usage: Usage | null;
  usd: number | null;
  ms: number;
  tool_calls: number;
  prompt_hash: string | null;
  identity_hash: string | null;
}

const MAX_OUTPUT = 1_000;
/**
 * Round trips: three of tools and the answer. The context decides most incidents, and each more would raise the sum that is
 * reserved for every one of them (about $0.15 with the small model), of which the daily cap allows few at once.
 */
const MAX_STEPS = 4;
const TIMEOUT_MS = 60_000;

/** A change of these words is a new prompt hash. */
const TASK = `You investigate one incident of a watched service for its operator. Another notice has already told the plain facts; you add why.
Answer with one JSON object and nothing else:
{"summary": "2 to 4 sentences", "evidence": ["E1"], "confidence": 0.0, "likely_cause": "one sentence", "next_step": "one thing a person should do next", "proposed_action": {"action": "...", "target_id": "...", "reason": "..."}}
Every claim of the summary ends in the ids of its evidence, like [E2, E3]; list all of them in "evidence". Ids that were not shown to you do not count.
"confidence" is from 0 to 1; below 0.5 when the evidence fits several causes. "likely_cause" says "likely" or "unknown".
Leave "proposed_action" out unless the allowed actions name one and the evidence calls for it. Tools return more rows of this incident; use them only when the rows shown do not decide it. Plain text, no markdown, no links.`;

export const callId = (wakeId: string): string => `inv:${wakeId}`;

/** What an investigation says when its answer, or any chance of one, was lost. */
export const failed = (error: ReasoningError, more: Partial<Investigated> = {}): Investigated => ({
  result: null,
  error,
  evidence: [],
  dropped: 0,
  dropped_action: false,
  guess: false,
  model: null,
  usage: null,
  usd: null,
  ms: 0,
  tool_calls: 0,
  prompt_hash: null,
  identity_hash: null,
  ...more,
});

/**
 * Investigates the incident of a wake: exactly one paid call (`call_id` = `inv:{wake_id}`), whatever it brings. Null when the
 * incident is gone. The answer can't change severity, target or incident: it has no way to name them.
 */
export async function investigate(deps: InvestigateDeps, wake: WakeFacts): Promise<Investigated | null> {
  const { db, runtime } = deps;
  const context = await readContext(deps, wake);
  if (!context) return null;
  const identity = await identityFor(db);
  const mark = makeFence();
  const { redact } = runtime;
  const system = redact.text([identity.soul, identity.system, TASK].join("\n\n"));
  const prompt = redact.text(promptOf(context, mark, runtime.clock.now()));
  // The mark is random: it is left out, so that equal prompts have equal hashes.
  const prompt_hash = await sha256Hex(JSON.stringify([system, prompt.replaceAll(mark, "")]));
  const tools = investigationTools({
    deps,
    wake,
    incident: context.incident,
    target: context.target,
    book: context.book,
    mark,
  });
  const began = runtime.clock.wall();
  const { result: answer, usd } = await deps.spend({
    call_id: callId(wake.wake_id),
    incident_id: wake.incident_id,
    wake_id: wake.wake_id,
    system,
    prompt,
    tools,
    max_output_tokens: MAX_OUTPUT,
    max_steps: MAX_STEPS,
    timeout_ms: TIMEOUT_MS,
  });
  const common: Partial<Investigated> = {
    evidence: [...context.book.list()],
    model: answer.model,
    usage: answer.usage,
    usd,
    ms: answer.ms || Math.max(0, runtime.clock.wall() - began),
    prompt_hash,
    identity_hash: identity.hash,
  };
  if (!answer.ok) return failed(answer.error, common);
  common.tool_calls = answer.tool_calls.length;
  // Half an answer is no answer: what was cut off may be the half that matters.
  if (answer.truncated) return failed("truncated", common);
  const parsed = parseReply(redact.text(answer.text));
  if (!parsed) return failed("invalid_output", common);
  const checked: Checked = checkEvidence(parsed.reply, context.scope);
  // Nothing but marks of rows that were never shown, or characters nobody sees: that is no answer.
  if (checked.result.summary === "") return failed("invalid_output", { ...common, dropped: checked.dropped });
  return {
    ...failed("invalid_output", common),
    error: null,
    result: checked.result,
    dropped: checked.dropped + parsed.mended,
    dropped_action: checked.dropped_action,
    guess: checked.guess,
  };
}
