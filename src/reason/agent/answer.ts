import { auditStatement } from "../../audit";
import { describe } from "../../kernel/errors";
import type { Runtime } from "../../kernel/runtime";
import { clipWords, plainLines } from "../../notify";
import { chooseModel, needsEscalation } from "../budget";
import { makeFence, withoutLinks } from "../fence";
import { identityFor } from "../identity";
import { type SpendResult, settingsOf, spend } from "../spend";
import type { BudgetPort, Engine, EngineOk, ReasoningError, Route, Tool } from "../types";
import { type Claim, checkClaims, readMarks } from "./cites";
import { type Reading, read } from "./intents";
import { readPhrases } from "./phrases";
import { promptOf, TASK } from "./prompt";
import { answerByRules } from "./rules";
import { blindLine } from "./rules.words";
import { currentState, type LiveState, readNames, type StateDeps } from "./state";
import { agentTools } from "./tools";
import { type Answer, type AskRow, type AskSource, type BudgetFacts, BY_RULES } from "./types";

/** What answering needs from its Worker. `remote`: tools of other servers, by allow-list; they only add what can be read. */
export interface AnswerDeps {
  db: D1Database;
  runtime: Runtime;
  engine: Engine;
  budget: BudgetPort;
  switches: StateDeps["switches"];
  remote(): Promise<Tool[]>;
}

/** What the budget knows, as answers tell it; null when it can't be read. */
export const budgetFacts = (budget: BudgetPort, now: number): Promise<BudgetFacts | null> =>
  budget.state(now).then(
    ({ pool, spent, reserved, left, rung }) => ({ pool, spent, reserved, left, rung }),
    () => null,
  );

/** A direct question is `slack_dm`, whichever door it came in by; mail and queued runs have routes of their own (§7). */
const ROUTE: Record<AskSource, Route> = {
  slack_dm: "slack_dm",
  inbox: "slack_dm",
  api: "slack_dm",
  email: "email_inbound",
  run: "scheduled_task",
};

const MAX_OUTPUT = 700;
/** Rounds of tool calls; one more round trip answers. */
const MAX_STEPS = 6;
const TIMEOUT_MS = 60_000;
/** Longest answer, characters (operator-experience §3: a notice's thread stays readable). */
const MAX_TEXT = 1_500;

/** An operator's way to ask for the large model. */
const PREFIX = /^\s*(\/opus)\b\s*/i;

/** A question of somebody who is no operator: it chooses no model. */
export const withoutPrefix = (question: string): string => question.replace(/^(?:\s*\/opus\b\s*)+/i, "");

/**
 * Answers a question: by rules from live rows when they suffice, when no engine is configured, or when the engine gives
 * nothing; else by a model under the budget. Every citation names a row that exists. It writes only cost and audit rows.
 * @throws only when the store does not answer.
 */
export async function answer(deps: AnswerDeps, ask: Pick<AskRow, "id" | "source" | "question">): Promise<Answer> {
  const { db, runtime } = deps;
  const began = runtime.clock.wall();
  const now = runtime.clock.now();
  const prefix = PREFIX.exec(ask.question)?.[1] ?? null;
  const question = ask.question.replace(PREFIX, "").trim();
  const [{ state }, names, phrases] = await Promise.all([
    currentState({ db, now, budget: () => budgetFacts(deps.budget, now), switches: deps.switches }),
    readNames(db),
    readPhrases(db),
  ]);
  const reading = read(question, names, phrases);
  const rules = (error: ReasoningError | null): Promise<Answer> =>
    byRules(deps, state, reading, question, now, error, began);
  if (deps.engine.name === "none") return rules("unconfigured");
  if (reading.routine && prefix === null) return rules(null);
  const said = await askModel(deps, ask, { question, prefix, state, now });
  if (!said.ok) return rules(said.error);
  return (
    (await byModel(deps, said, state, reading, now, began)) ?? {
      ...(await rules("empty_response_text")),
      usd: said.usd,
    }
  );
}

async function byRules(
  { db, runtime }: AnswerDeps,
  state: LiveState,
  reading: Reading,
  question: string,
  now: number,
  error: ReasoningError | null,
  began: number,
): Promise<Answer> {
  const { text, claims } = await answerByRules(db, state, reading, question, now);
  const { cites, dropped } = await checkClaims(db, claims);
  return {
    text: clipWords(runtime.redact.text(text), MAX_TEXT),
    engine: BY_RULES,
    intent: reading.intent,
    cites,
    as_of: state.at,
    dropped,
    guess: false,
    reasoning_error: error,
    usd: null,
    ms: runtime.clock.wall() - began,
  };
}

type Said = (EngineOk & { usd: number | null }) | { ok: false; error: ReasoningError };

interface Question {
  question: string;
  prefix: string | null;
  state: LiveState;
  now: number;
}

/** The small model first; once more the large one when the first answer knows that it is none (`kora-watch.md` §7). */
async function askModel(deps: AnswerDeps, ask: Pick<AskRow, "id" | "source">, q: Question): Promise<Said> {
  const { db, runtime, engine, budget } = deps;
  const route = ROUTE[ask.source];
  const [identity, switches, remote] = await Promise.all([
    identityFor(db),
    deps.switches(),
    deps.remote().catch((error): Tool[] => {
      runtime.log("warn", "remote_tools.unavailable", { ask: ask.id, error: describe(error) });
      return [];
    }),
  ]);
  const mark = makeFence();
  const system = runtime.redact.text([identity.soul, identity.system, TASK].join("\n\n"));
  const prompt = runtime.redact.text(promptOf(q.question, q.state, q.now, mark));
  const tools = agentTools({ db, runtime, state: q.state, ask_id: ask.id, route, mark }, remote);
  const choice = { prefix: q.prefix, question: q.question };
  const call = (n: number, more: { model?: string; escalated?: string }): Promise<SpendResult> =>
    spend(
      { db, runtime, engine, budget, paused: switches.paused },
      {
        call_id: `ask:${ask.id}:${n}`,
        route,
        system,
        prompt,
        tools,
        choice,
        max_output_tokens: MAX_OUTPUT,
        max_steps: MAX_STEPS,
        timeout_ms: TIMEOUT_MS,
        ...more,
      },
    );
  const first = await call(1, {});
  if (!first.ok) return { ok: false, error: first.error };
  if (q.prefix !== null) await noteOverride(deps, ask.id, route, first.model);
  const rung = first.rung ?? "normal";
  const small = chooseModel({ ...choice, rung, route, force: settingsOf(runtime).force_large })?.size === "small";
  const escalated = small ? needsEscalation({ rung, input: q.question, answer: first.text }) : null;
  if (escalated === null || engine.large === null || engine.large === engine.small) return first;
  const second = await call(2, { model: engine.large, escalated });
  return second.ok ? { ...second, usd: (first.usd ?? 0) + (second.usd ?? 0) } : first;
}

/** The operator chose the model: the router's loop reads these rows. */
const noteOverride = ({ db, runtime }: AnswerDeps, ask: string, route: Route, model: string): Promise<unknown> =>
  auditStatement(db, {
    at: runtime.clock.now(),
    seam: "opus_override.applied",
    source: "reasoning",
    session_id: `ask:${ask}`,
    details: { route, model },
  })
    .run()
    .catch((error) => runtime.log("error", "audit.unwritten", { ask, error: describe(error) }));

/** The model's answer with its marks checked; null when nothing is left of it that a person could read. */
async function byModel(
  { db, runtime }: AnswerDeps,
  said: Extract<Said, { ok: true }>,
  state: LiveState,
  reading: Reading,
  now: number,
  began: number,
): Promise<Answer | null> {
  // Links and invisible characters can't come from our rows: whoever wrote them wanted to lead an operator elsewhere.
  const text = withoutLinks(plainLines(runtime.redact.text(said.text)));
  const marks = readMarks(text);
  const { cites, dropped } = await checkClaims(db, marks.claims);
  const key = (c: Claim): string => `${c.kind}:${c.id}`;
  const known = new Map(cites.map((c) => [key(c), c.label]));
  const shown = marks.replace((c) => (known.has(key(c)) ? `[${known.get(key(c))}]` : null));
  if (shown === "") return null;
  const guess = cites.length === 0;
  const whole = [
    blindLine(state, now).trim(),
    guess ? "A guess, no row backs it:" : "",
    `${clipWords(shown, MAX_TEXT)}${said.truncated ? " (Cut short by the token limit.)" : ""}`,
  ];
  return {
    text: whole.filter(Boolean).join("\n"),
    engine: said.model,
    intent: reading.intent,
    cites,
    as_of: state.at,
    dropped,
    guess,
    reasoning_error: said.truncated ? "truncated" : null,
    usd: said.usd,
    ms: runtime.clock.wall() - began,
  };
}
