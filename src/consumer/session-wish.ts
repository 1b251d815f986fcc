import * as z from "zod";
import type { Runtime } from "../kernel/runtime";
import {
  APPROVAL_LIFE,
  carryOut,
  doneBefore,
  previewWish,
  WISH_TOOL,
  type Wish,
  wishFrame,
  wishKey,
  wishSchema,
} from "../reason";
import type { Question } from "../session";
import { fixDeps } from "./autofix";
import type { ConsumerEnv } from "./env";

/** An act that a client of the built-in agent wants: asked of it as `approval_needed`, and done when it says so. */

/** How far a run is: kept with its question, so that whoever takes it up after the answer asks no model again. */
const progress = z.object({
  /** One text for each prompt answered. */
  texts: z.array(z.string()),
  /** What the last of them wants to have done. */
  wish: wishSchema.nullable(),
  /** When that was asked, Reveille ms. */
  asked_at: z.number().nullable(),
});
export type Progress = z.infer<typeof progress>;

export const freshProgress = (): Progress => ({ texts: [], wish: null, asked_at: null });

/** What a run's claim brought back of its question; a fresh start when it asked none. */
export function progressOf(resume: string | null): Progress {
  const read = resume === null ? null : progress.safeParse(JSON.parse(resume));
  return read?.success ? read.data : freshProgress();
}

const approval = z.looseObject({ approved: z.boolean(), feedback: z.string().nullish() });

export const ONLY_ADMINS = "Only an admin of this agent may have a machine started or restarted.";

export const blockedEvent = () => ({
  type: "tool_blocked",
  tool: WISH_TOOL,
  reason: "forbidden",
  message: ONLY_ADMINS,
});

export interface WishPorts {
  env: ConsumerEnv;
  owner: string;
  /** May this client have acts done? Read anew each time: the mark may be taken away while a question waits. */
  mayAct(): Promise<boolean>;
  run: string;
  runtime: Runtime;
  ask(question: Question): Promise<{ answer: unknown } | { parked: boolean }>;
  emit(event: { type: string } & Record<string, unknown>): void;
}

/** The name in rows and notices: who it was, and which run. Stable, so that a second call finds the first one's fix. */
const callerName = (p: WishPorts): string =>
  `client ${p.owner.slice(0, 6)}…${p.owner.slice(-4)} run ${p.run.slice(0, 8)}`;

/**
 * Settles a wish: refused by a gate, asked and answered, or `null`: the question waits, and the run with it. A dry run needs no
 * approval: nothing is sent. Without an approval nothing else goes on from here.
 */
export async function settleWish(p: WishPorts, wish: Wish, progress: Progress): Promise<string | null> {
  const deps = await fixDeps(p.env);
  const by = callerName(p);
  const before = await doneBefore(deps, wish, by);
  if (before !== null) return before;
  const seen = await previewWish(deps, wish, by);
  if ("refused" in seen) return `Not done: ${seen.refused}`;
  if (seen.mode !== "dry_run") {
    const { clock } = p.runtime;
    const asked_at = progress.asked_at ?? clock.now();
    const key = wishKey(wish);
    const said = await p.ask({
      key,
      frame: wishFrame(wish, `${p.run}:${key}`, clock.wall() / 1000),
      resume: JSON.stringify({ ...progress, wish, asked_at } satisfies Progress),
    });
    if (!("answer" in said)) return null;
    const answer = approval.safeParse(said.answer);
    if (!answer.success || !answer.data.approved) {
      const why = answer.data?.feedback;
      return `Not done: you refused it${why ? ` (${why.slice(0, 200)})` : ""}.`;
    }
    if (clock.now() - asked_at > APPROVAL_LIFE) return "Not done: the 15 minutes to answer are over. Ask again.";
  }
  if (!(await p.mayAct())) {
    p.emit(blockedEvent());
    return `Not done: ${ONLY_ADMINS}`;
  }
  const tool_id = crypto.randomUUID();
  const { incident_id, app, machine, verb } = wish;
  p.emit({ type: "tool_call", tool_id, name: WISH_TOOL, args: { incident_id, app, machine, verb }, status: "running" });
  const text = await carryOut(deps, wish, by);
  const status = text.startsWith("Not done") ? "error" : "success";
  p.emit({ type: "tool_result", tool_id, name: WISH_TOOL, status, result: text });
  return text;
}
