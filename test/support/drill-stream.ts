import { randomUUID } from "node:crypto";
import { type Ask, type Goal, type Kind, type LineView, type SessionView, TOKEN } from "./drill-client.types";
import type { Frame } from "./onion-host";

/** What a client holds of numbered streams: every number once and in order, unless it was told otherwise. */

interface Wrong {
  goal: Goal;
  what: string;
}

export const newAsk = (kind: Kind, tokens: string[], prompt: (token: string) => string): Ask => ({
  ...{ kind, tokens, session: null, prompts: tokens.map(prompt), inputs: tokens.map(() => randomUUID()) },
  ...{ sends: 0, accepted: null, last: 0, last_id: null, signalled: false, said: false },
  ...{ answered: new Set(), end: null, results: [] },
});

/** Names of other clients in a frame's text. */
export function othersIn(text: string, name: string): string[] {
  const names = [...text.matchAll(TOKEN)].map((m) => `k${m[1]}`);
  return [...new Set(names)].filter((n) => n !== name);
}

/** An event of an agent that numbers its own, from 1 in each run. */
export function hearEvent(ask: Ask, frame: Frame): Wrong | null {
  const n = Number(frame["n"]);
  const before = ask.last;
  if (n <= before) return { goal: "repeat", what: `event ${n} again, after ${before}` };
  ask.last = n;
  ask.last_id = String(frame["id"]);
  return n === before + 1 || ask.signalled ? null : { goal: "gap", what: `event ${n} after ${before}` };
}

/** A frame of the built-in agent's log. */
export function hearSeq(session: SessionView, line: LineView, frame: Frame): void {
  const seq = Number(frame["seq"]);
  line.seen.push({ seq, id: `${frame["type"]} ${frame["id"]}` });
  session.seq = Math.max(session.seq, seq);
}

/**
 * Holds each line against the whole log, which starts at 1. A line must carry its numbers without a hole. Its first is the one
 * after its cursor; on a stock line that may be the first of a later run, since stock clients get the run under way only.
 */
export function logFaults(session: SessionView, log: LineView): Wrong[] {
  const out: Wrong[] = [];
  const wrong = (goal: Goal, what: string): unknown => out.push({ goal, what: `session ${session.id}: ${what}` });
  const ids = new Map(log.seen.map((f) => [f.seq, f.id]));
  if (log.seen.some((f, i) => f.seq !== i + 1)) wrong("gap", `its log is ${log.seen.map((f) => f.seq)}`);
  const starts = new Set([1, ...log.seen.filter((f) => f.id.endsWith(":end")).map((f) => f.seq + 1)]);
  for (const line of session.lines) {
    const [first] = line.seen;
    if (!first) continue;
    for (const f of line.seen)
      if (ids.get(f.seq) !== f.id) wrong("wrong", `${f.seq} was ${f.id}, and is ${ids.get(f.seq)} in the log`);
    for (const [i, f] of line.seen.entries()) {
      const due = first.seq + i;
      if (f.seq === due) continue;
      wrong(f.seq < due ? "repeat" : "gap", `${line.path} line carried ${line.seen.map((x) => x.seq)}`);
      break;
    }
    const later = line.path === "stock" && first.seq > line.cursor && starts.has(first.seq);
    if (first.seq === line.cursor + 1 || later || line.gap) continue;
    wrong(first.seq <= line.cursor ? "repeat" : "gap", `${line.path} line after ${line.cursor} began at ${first.seq}`);
  }
  return out;
}
