import * as z from "zod";
import { auditStatement, readAudit, SEAMS } from "../../audit";
import { iso } from "../../kernel/clock";
import { describe } from "../../kernel/errors";
import type { Runtime } from "../../kernel/runtime";
import {
  type IncidentView,
  incidentTimeline,
  latestSamples,
  readIncident,
  readIncidents,
  readState,
  readTarget,
} from "../../watch";
import { fenced, strange } from "../fence";
import type { Route, Tool } from "../types";
import type { LiveState } from "./state";

/** What the built-in agent may look up: our own rows, read only, bounded. Nothing here can change, send or spend. */

export interface ToolDeps {
  db: D1Database;
  runtime: Runtime;
  state: LiveState;
  /** The question the calls belong to. */
  ask_id: string;
  route: Route;
  /** The mark of this call's fences. */
  mark: string;
}

/** One answer's most characters. */
const MAX_ANSWER = 4_096;
/** Calls for one question, over all tools; a model that loops is told that it is over. */
export const MAX_CALLS = 12;

interface Spec<S extends z.ZodType> {
  name: string;
  description: string;
  input: S;
  read(deps: ToolDeps, input: z.output<S>): Promise<unknown[]>;
}
const spec = <S extends z.ZodType>(s: Spec<S>): Spec<S> => s;
const id = z.string().min(1).max(100);

/** An incident in one line of facts; its words may be a vendor's. */
const incidentFacts = (i: IncidentView) => ({
  cite: `[incident:${i.id}]`,
  target: `[target:${i.target_id}]`,
  name: strange(i.target_name, 80),
  title: strange(i.title, 160),
  state: i.state,
  severity: i.severity,
  category: i.category,
  first_bad_at: i.first_bad_at,
  opened_at: i.opened_at,
  resolved_at: i.resolved_at,
  acked_by: i.acked_by === null ? null : strange(i.acked_by, 60),
  investigations: i.investigations,
  cost_usd: i.cost_usd,
});

const targets = spec({
  name: "list_targets",
  description: "Watched targets that are not OK, worst first, and how many are in each state.",
  input: z.strictObject({}),
  read: async ({ state }) => [
    { counts: state.counts, as_of: iso(state.at) },
    ...state.bad.map((b) => ({
      cite: `[target:${b.id}]`,
      name: strange(b.name, 80),
      kind: b.kind,
      state: b.state,
      reason: b.reason,
      since: iso(b.since),
    })),
  ],
});

const target = spec({
  name: "get_target",
  description: "One watched target by id: state, since, last look.",
  input: z.strictObject({ id }),
  read: async ({ db, state }, { id }) => {
    const [row, kept, latest] = await Promise.all([readTarget(db, id), readState(db, id), latestSamples(db, state.at)]);
    if (!row || !kept) return [{ error: "no such target" }];
    const sample = latest.get(row.num) ?? null;
    return [
      {
        cite: `[target:${row.id}]`,
        name: strange(row.name, 80),
        kind: row.kind,
        paused: row.paused,
        status: kept.machine.status,
        reason: kept.machine.reason,
        since: iso(kept.machine.since),
        phase: kept.machine.phase,
        open_incident: kept.machine.incident ? `[incident:${kept.machine.incident.id}]` : null,
        last_look: sample && { at: iso(sample.at), status: sample.status, latency_ms: sample.latency_ms },
      },
    ];
  },
});

const incidents = spec({
  name: "list_incidents",
  description: "Incidents, newest first, of all targets or of one.",
  input: z.strictObject({
    state: z.enum(["open", "acked", "resolved"]).optional(),
    target_id: id.optional(),
    limit: z.int().min(1).max(20).default(10),
  }),
  read: async ({ db }, q) => (await readIncidents(db, q)).map(incidentFacts),
});

const incident = spec({
  name: "get_incident",
  description: "One incident by id, with what was seen and the newest investigation.",
  input: z.strictObject({ id }),
  read: async ({ db }, { id }) => {
    const found = await readIncident(db, id);
    if (!found) return [{ error: "no such incident" }];
    const said = await db
      .prepare("SELECT result, error FROM investigation WHERE incident_id = ? ORDER BY at DESC LIMIT 1")
      .bind(id)
      .first<{ result: string | null; error: string | null }>();
    return [
      {
        ...incidentFacts(found),
        detail: strange(found.detail, 300),
        confirmed_by: strange(found.confirmed_by, 120),
        investigation: said === null ? null : strange(said.result ?? said.error ?? "", 900),
      },
    ];
  },
});

const timeline = spec({
  name: "get_timeline",
  description: "What happened in one incident: state changes, acts of people, notices.",
  input: z.strictObject({ incident_id: id, limit: z.int().min(1).max(40).default(20) }),
  read: async ({ db }, { incident_id, limit }) =>
    (await incidentTimeline(db, incident_id))
      .slice(-limit)
      .map((r) => ({ at: iso(r.at), source: r.source, what: strange(r.sentence, 200) })),
});

const budget = spec({
  name: "get_budget",
  description: "What reasoning has cost this month and what is left.",
  input: z.strictObject({}),
  read: async ({ state }) => [
    state.budget === null ? { error: "the budget can't be read now" } : { cite: "[budget]", ...state.budget },
  ],
});

const listeners = spec({
  name: "get_listeners",
  description: "Reveille's own health: periodic tasks that do not run, switches that hold something back.",
  input: z.strictObject({}),
  read: async ({ state }) => [
    {
      overall: state.listeners.overall,
      not_running: state.listeners.down.map((d) => `[listener:${d}]`),
      switches: state.switches,
      maintenance: state.maintenance,
    },
  ],
});

const audit = spec({
  name: "search_audit",
  description: "Audit rows, newest first: who did what. Filter by seam or incident.",
  input: z.strictObject({
    seam: z.enum(SEAMS).optional(),
    incident_id: id.optional(),
    limit: z.int().min(1).max(30).default(15),
  }),
  read: async ({ db }, q) =>
    (await readAudit(db, q)).map((r) => ({
      cite: `[audit:${r.id}]`,
      at: r.emitted_at,
      seam: r.seam,
      source: r.source,
      details: strange(JSON.stringify(r.details), 200),
    })),
});

/** Names of our own tools: a remote tool may not take one. */
export const OWN_TOOLS = [
  "list_targets",
  "get_target",
  "list_incidents",
  "get_incident",
  "get_timeline",
  "get_budget",
  "get_listeners",
  "search_audit",
] as const;

/** The tools of one question: ours, then the remote ones whose names are free. Every call is one audit row; none throws. */
export function agentTools(deps: ToolDeps, remote: readonly Tool[] = []): Tool[] {
  let calls = 0;
  const counted = (
    name: string,
    description: string,
    input: z.ZodType,
    run: (given: unknown) => Promise<string>,
  ): Tool => ({
    name,
    description,
    input,
    run: async (given) => {
      const over = ++calls > MAX_CALLS;
      const started = deps.runtime.clock.wall();
      let error: string | null = over ? "too_many_calls" : null;
      let text = "No more tool calls. Answer now.";
      if (!over)
        try {
          text = await run(given);
        } catch (thrown) {
          const wrong = thrown instanceof z.ZodError;
          error = wrong ? "bad_input" : "failed";
          text = wrong ? "The input does not fit this tool." : "The tool did not answer.";
          if (!wrong)
            deps.runtime.log("warn", "tool.failed", { tool: name, ask: deps.ask_id, error: describe(thrown) });
        }
      await note(deps, name, { bytes: text.length, ms: deps.runtime.clock.wall() - started, error });
      return text;
    },
  });
  const own = <S extends z.ZodType>({ name, description, input, read }: Spec<S>): Tool =>
    counted(name, description, input, async (given) => render(deps.mark, await read(deps, input.parse(given))));
  const taken = new Set<string>(OWN_TOOLS);
  return [
    own(targets),
    own(target),
    own(incidents),
    own(incident),
    own(timeline),
    own(budget),
    own(listeners),
    own(audit),
    ...remote
      .filter((t) => !taken.has(t.name))
      .map((t) => counted(t.name, t.description, t.input, async (given) => String(await t.run(given)))),
  ];
}

/** As many rows as fit, as data that no text in it can end. */
function render(mark: string, rows: unknown[]): string {
  const lines: string[] = [];
  let size = 200;
  for (const row of rows) {
    const line = JSON.stringify(row);
    if (size + line.length > MAX_ANSWER) break;
    size += line.length + 1;
    lines.push(line);
  }
  const left = rows.length - lines.length;
  return `${fenced(mark, lines)}${rows.length === 0 ? "\nNo rows." : ""}${left > 0 ? `\n${left} more left out.` : ""}`;
}

/** The row that proves a call: the tool and what it cost, never what was asked or answered. */
async function note(
  deps: ToolDeps,
  tool: string,
  more: { bytes: number; ms: number; error: string | null },
): Promise<void> {
  const { db, runtime, ask_id, route } = deps;
  await auditStatement(db, {
    at: runtime.clock.now(),
    seam: "reasoning.tool_called",
    source: "reasoning",
    session_id: `ask:${ask_id}`,
    details: { tool, route, bytes: more.bytes, ms: more.ms, ...(more.error === null ? {} : { error: more.error }) },
  })
    .run()
    .catch((error) => runtime.log("error", "audit.unwritten", { ask: ask_id, error: describe(error) }));
}
