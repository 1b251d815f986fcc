import * as z from "zod";
import { plainLines } from "../notify";
import { flyConfig, readIncident, readIncidents, readTarget } from "../watch";
import { type Named, read } from "./agent/intents";
import { readNames } from "./agent/state";
import { readApproval } from "./approval.store";
import { FIX_ACTION, type FixVerb, fixableMachines, fixKey, operatorCaller, TARGET_ID, verbFor } from "./autofix";
import { readFix } from "./autofix.store";
import { preview, proposeFix } from "./fix";
import { answerFix } from "./fix.answer";
import { type FixDeps, looksFor } from "./fix.load";
import type { Tool } from "./types";

/**
 * An act that the built-in agent wants for a client: the one fix that is declared (`kora-watch.md` §4). It is asked of the
 * client as `approval_needed` and carried out through the same gates, rows and runs as an operator's fix; only an admin of the
 * agent may have one. Nothing here reaches a vendor.
 */

export const wishSchema = z.object({
  incident_id: z.string().min(1).max(64),
  target: z.string().max(200),
  app: z.string().max(200),
  machine: z.string().regex(TARGET_ID),
  verb: z.enum(["start", "restart"]),
});
export type Wish = z.infer<typeof wishSchema>;

/** The name clients see; approving it "for this session" covers this act alone. */
export const WISH_TOOL = FIX_ACTION;

type Deps = Pick<FixDeps, "db" | "runtime">;

/** Words that ask for the one act we have; "fix" and "recover" too. */
const WANTED = /\b(?:re-?start|start|reboot|fix|recover|bring (?:it )?(?:back )?up)\b/;

/** What a prompt asks to have done, found by words and live rows alone: no model. Null: nothing that we could do. */
export async function wishOf(deps: Deps, question: string): Promise<Wish | null> {
  const names: Named[] = await readNames(deps.db);
  const reading = read(question, names);
  if (reading.intent !== "act" || !WANTED.test(question.toLowerCase())) return null;
  // A target's own name may look like an incident's id.
  const named = reading.incident === null ? null : await readIncident(deps.db, reading.incident);
  const open =
    named === null && reading.target ? ({ target_id: reading.target.id, state: "open", limit: 1 } as const) : null;
  const incident = named ?? (open === null ? null : ((await readIncidents(deps.db, open))[0] ?? null));
  if (!incident) return null;
  const machines = await machinesOf(deps, incident.id);
  // Of several the prompt must name one: we never choose which machine a person meant.
  return machines.find((m) => question.includes(m.machine)) ?? (machines.length === 1 ? machines[0]! : null);
}

/** Machines of an incident that could be started or restarted now. */
async function machinesOf({ db, runtime }: Deps, incidentId: string): Promise<Wish[]> {
  const incident = await readIncident(db, incidentId);
  const target = incident && (await readTarget(db, incident.target_id));
  const config = target ? flyConfig.safeParse(target.config).data : undefined;
  if (!incident || !target || !config || incident.resolved_at !== null) return [];
  const looks = await looksFor(db, incident, target, runtime.clock.now());
  return fixableMachines(looks, config.apps).map(({ app, machine, state }) => ({
    incident_id: incident.id,
    target: target.name,
    app,
    machine,
    verb: verbFor(state),
  }));
}

const asked = (wish: Wish, by: string) => ({
  incident_id: wish.incident_id,
  wake_id: null,
  action: FIX_ACTION,
  target_id: wish.machine,
  reason: "asked for in a session",
  caller: operatorCaller(by),
});

/** Whether an approval would do anything now: the refusal's words, or the mode. Writes nothing. */
export const previewWish = (
  deps: FixDeps,
  wish: Wish,
  by: string,
): Promise<{ refused: string } | { mode: "dry_run" | "approve" | "auto" }> => preview(deps, asked(wish, by));

const NOUN: Record<FixVerb, string> = { start: "Start", restart: "Restart" };
const subject = (w: Wish): string => `machine ${w.machine} of app ${w.app}`;

/** The question as stock clients read it (`connectonion.md` (c), stream events). */
export function wishFrame(wish: Wish, id: string, ts: number) {
  const { incident_id, app, machine, verb } = wish;
  return {
    type: "approval_needed",
    ...{ id, ts, tool: WISH_TOOL },
    arguments: { incident_id, app, machine, verb },
    description: plainLines(
      `${NOUN[verb]} ${subject(wish)}. One attempt; a ${verb} can't be undone; if it fails nothing else is tried.`,
    ),
  };
}

/** The same wish is asked once, however often its run is taken up again. */
export const wishKey = ({ incident_id, machine }: Wish): string => `${WISH_TOOL}:${incident_id}:${machine}`;

const done = (w: Wish): string =>
  `${NOUN[w.verb]} of ${subject(w)} is approved and on its way; its verified outcome will be on the page of incident ${w.incident_id}.`;

/** What this client is told of a fix that an earlier try of its run has begun; null: there is none, or it was turned down. */
export async function doneBefore({ db }: Deps, wish: Wish, by: string): Promise<string | null> {
  const row = await readFix(db, fixKey("auto", wish.incident_id, wish.machine));
  const over = row === null || row.by !== by || ["waiting", "denied", "expired"].includes(row.state);
  return over ? null : done(wish);
}

/**
 * Carries out a wish that its client approved: every gate again, then the run goes to the queue. A second call for the same
 * client goes on where the first was cut off. Returns what the client is told.
 */
export async function carryOut(deps: FixDeps, wish: Wish, by: string): Promise<string> {
  const before = await readFix(deps.db, fixKey("auto", wish.incident_id, wish.machine));
  const waits = before?.by === by && before.state === "waiting";
  const proposed = waits
    ? ({ ok: true, key: before.key, status: "waiting" } as const)
    : await proposeFix(deps, asked(wish, by));
  if (!proposed.ok) return `Not done: ${proposed.message} (${proposed.code})`;
  if (proposed.status === "dry_run")
    return `${NOUN[wish.verb]} of ${subject(wish)}: dry run. The exact request is on the incident's page; nothing was sent.`;
  if (proposed.status === "waiting") {
    const approval = await readApproval(deps.db, proposed.key);
    const said = approval && (await answerFix(deps, approval.id, "approve", by));
    if (said && !said.ok && said.why === "used" && said.answer === "deny") return `Not done: ${said.by} denied it.`;
    if (!said || (!said.ok && said.why !== "used")) return "Not done: the question is over.";
  }
  return done(wish);
}

/** The model's way to wish: it only notes what is wanted; the client is asked after the answer. */
export function wishTool(deps: Deps, wanted: (wish: Wish) => void): Tool {
  const input = z.strictObject({ incident_id: z.string().min(1).max(64), machine: z.string().regex(TARGET_ID) });
  return {
    name: "request_machine_restart",
    description:
      "Asks the person for approval to start or restart one unhealthy machine of an open incident. Use it only when the person asks for that act. Nothing happens without the approval.",
    input,
    run: async (given) => {
      const { incident_id, machine } = input.parse(given);
      const machines = await machinesOf(deps, incident_id);
      const wish = machines.find((m) => m.machine === machine);
      if (!wish) return `No such unhealthy machine. Possible: ${machines.map((m) => m.machine).join(", ") || "none"}.`;
      wanted(wish);
      return "Noted. The person is asked for approval after your answer; do not claim that it was done.";
    },
  };
}
