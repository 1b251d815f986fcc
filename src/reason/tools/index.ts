import * as z from "zod";
import { auditStatement, readAudit } from "../../audit";
import { describe } from "../../kernel/errors";
import { type IncidentView, incidentTimeline, readIncidents, type Target } from "../../watch";
import { evidenceLine, lastSamples, pastText, sampleText } from "../context";
import { othersWorst } from "../context.store";
import { type Book, MAX_EVIDENCE } from "../evidence";
import { fenced, strange } from "../fence";
import type { InvestigateDeps, WakeFacts } from "../investigation";
import type { Evidence, Tool } from "../types";

/**
 * What an investigation may read beyond its prompt: our own rows about this incident, nothing else. The incident and target
 * are bound here, not named by the model, so there is no argument that could widen the scope.
 */
export interface ToolScope {
  deps: InvestigateDeps;
  wake: WakeFacts;
  incident: IncidentView;
  target: Target | null;
  book: Book;
  mark: string;
}

/** Bytes of one answer (UTF-16 units; evidence is mostly ASCII). */
export const MAX_ANSWER = 4_096;
/** Calls in one investigation; a model that loops is told that it is over. */
export const MAX_CALLS = 12;

type Row = Omit<Evidence, "id">;
type Read<I> = (scope: ToolScope, input: I) => Promise<Row[]>;

interface Spec<S extends z.ZodType> {
  name: string;
  description: string;
  input: S;
  read: Read<z.output<S>>;
}

const limit = (most: number, normal: number) => z.int().min(1).max(most).default(normal);

const spec = <S extends z.ZodType>(s: Spec<S>): Spec<S> => s;

const samples = spec({
  name: "get_samples",
  description: "The newest looks at this incident's target, oldest first.",
  input: z.strictObject({ limit: limit(60, 30) }),
  read: async ({ deps, target }, { limit }) =>
    target
      ? (await lastSamples(deps.db, target.num, deps.runtime.clock.now(), limit)).map((s) => ({
          kind: "sample",
          at: s.at,
          text: sampleText(s),
          ref: `L${s.at}`,
        }))
      : [],
});

const timeline = spec({
  name: "get_incident_timeline",
  description: "What happened in this incident so far: state changes, acts of people, notices, wakes.",
  input: z.strictObject({ limit: limit(60, 30) }),
  read: async ({ deps, incident }, { limit }) =>
    (await incidentTimeline(deps.db, incident.id))
      .filter((r) => r.kind !== "look")
      .slice(-limit)
      .map((r) => ({ kind: "timeline", at: r.at, text: strange(r.sentence, 240), ref: r.evidence_id })),
});

const others = spec({
  name: "list_targets_now",
  description: "Other targets that are not OK now, worst first, and how many are in each state.",
  input: z.strictObject({ limit: limit(40, 20) }),
  read: async ({ deps, incident }, { limit }) => {
    const { worst, counts } = await othersWorst(deps.db, incident.target_id, limit);
    const now = deps.runtime.clock.now();
    return [
      {
        kind: "target",
        at: now,
        text: `other targets now: ${counts.map((c) => `${c.n} ${c.status}`).join(", ") || "none"}`,
      },
      ...worst.map(
        (o): Row => ({
          kind: "target",
          at: o.since,
          text: `other target ${strange(o.name, 60)} (${o.kind}) is ${o.status}, ${o.reason}`,
        }),
      ),
    ];
  },
});

const past = spec({
  name: "get_past_incidents",
  description: "Earlier incidents of this incident's target, newest first.",
  input: z.strictObject({ limit: limit(20, 10) }),
  read: async ({ deps, incident }, { limit }) =>
    (await readIncidents(deps.db, { target_id: incident.target_id, before: incident.id, limit })).map((p) => ({
      kind: "incident",
      at: Date.parse(p.first_bad_at),
      text: pastText(p),
    })),
});

/** Only the names of what happened and whose act it was: details may hold a vendor's text at length. */
const audit = spec({
  name: "get_audit",
  description: "Audit rows of this incident, newest first: what Reveille and people did.",
  input: z.strictObject({ limit: limit(40, 20) }),
  read: async ({ deps, incident }, { limit }) =>
    (await readAudit(deps.db, { incident_id: incident.id, limit })).map((r) => ({
      kind: "timeline",
      at: Date.parse(r.emitted_at),
      text: `audit ${r.seam} (${r.source ?? "reveille"}): ${strange(JSON.stringify(r.details), 200)}`,
      ref: `A${r.id}`,
    })),
});

/** The read-only tools of one investigation. Each call is one audit row; a call never throws. */
export function investigationTools(scope: ToolScope): Tool[] {
  let calls = 0;
  const make = <S extends z.ZodType>({ name, description, input, read }: Spec<S>): Tool => ({
    name,
    description,
    // Offered wide, read strictly: a call out of bounds is answered and leaves its row as well.
    input: z.looseObject({ limit: z.unknown().optional().describe("how many rows; a small whole number") }),
    run: async (given) => {
      const nth = ++calls;
      const answer = await answerOf(scope, nth, () => input.parse(given), read);
      await record(scope, name, given, answer);
      return answer.text;
    },
  });
  return [make(samples), make(timeline), make(others), make(past), make(audit)];
}

interface Answer {
  text: string;
  rows: number;
  error: string | null;
}

async function answerOf<I>(scope: ToolScope, nth: number, parse: () => I, read: Read<I>): Promise<Answer> {
  if (nth > MAX_CALLS) return { text: "No more tool calls. Answer now.", rows: 0, error: "too_many_calls" };
  let input: I;
  try {
    input = parse();
  } catch {
    return { text: "This tool takes only {limit}. It is bound to this incident.", rows: 0, error: "bad_input" };
  }
  try {
    const rows = await read(scope, input);
    return { ...render(scope, rows), error: null };
  } catch (error) {
    scope.deps.runtime.log("warn", "tool.failed", { wake: scope.wake.wake_id, error: describe(error) });
    return { text: "The store did not answer.", rows: 0, error: "store_unavailable" };
  }
}

/** As many rows as fit; each gets its evidence id, so that a claim can cite it. */
function render({ book, mark }: ToolScope, rows: Row[]): { text: string; rows: number } {
  const lines: string[] = [];
  const tail = 120;
  let size = fenced(mark, []).length + tail;
  for (const row of rows) {
    if (book.list().length >= MAX_EVIDENCE) break;
    const room = evidenceLine({ id: "E9999", ...row }).length + 1;
    if (size + room > MAX_ANSWER) break;
    size += room;
    lines.push(evidenceLine(book.add(row.kind, row.at, row.text, row.ref)));
  }
  const left = rows.length - lines.length;
  return {
    text: `${fenced(mark, lines)}${left > 0 ? `\n${left} more rows left out.` : ""}`,
    rows: lines.length,
  };
}

async function record({ deps, wake, incident }: ToolScope, tool: string, given: unknown, a: Answer): Promise<void> {
  const { db, runtime } = deps;
  await auditStatement(db, {
    at: runtime.clock.now(),
    seam: "reasoning.tool_called",
    source: "reasoning",
    session_id: `probe:${incident.kind}:${incident.category}`,
    incident_id: incident.id,
    wake_id: wake.wake_id,
    details: runtime.redact.json({
      tool,
      route: "probe_investigation",
      input: strange(JSON.stringify(given) ?? "", 200),
      rows: a.rows,
      bytes: a.text.length,
      ...(a.error === null ? {} : { error: a.error }),
    }),
  })
    .run()
    .catch((error) => runtime.log("error", "audit.unwritten", { wake: wake.wake_id, error: describe(error) }));
}
