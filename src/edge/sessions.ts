import { clientLine } from "../../durable-objects/client-line.do";
import { hostAddress } from "../../durable-objects/host";
import { sessionObject } from "../../durable-objects/session.stub";
import { auditStatement } from "../audit";
import { notFound, ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { readIndex, type SessionView, usableSessionId } from "../session";
import type { EdgeEnv } from "./env";

/** What an operator sees of sessions and may do to them, for API and page alike: with our own agent, or behind the relay. */

export const SESSION_ACTS = ["close", "cancel", "forget"] as const;
export type SessionAct = (typeof SESSION_ACTS)[number];

/** What the client is told of a run that an operator ended. */
const CANCELLED = "interrupted by the operator";

/** A session with its home, or null: unknown and expired look the same. */
export async function findSession(env: EdgeEnv, runtime: Runtime, given: string): Promise<SessionView | null> {
  const id = usableSessionId(given);
  if (id === null) return null;
  const [row, own] = await Promise.all([readIndex(env.DB, id).catch(() => null), hostAddress(runtime)]);
  const hosted = async (): Promise<SessionView | null> => {
    const view = await sessionObject(env.SESSION, id).view();
    return view && { ...view, agent: own, built_in: true };
  };
  const relayed = async (): Promise<SessionView | null> => {
    const view = await clientLine(env.CLIENT_LINE, id).view();
    return view && { ...view, built_in: false };
  };
  // The index lags some seconds, and an id has two homes: the one it names is asked first.
  const homes = row !== null && row.agent !== own ? [relayed, hosted] : [hosted, relayed];
  return (await homes[0]!()) ?? (await homes[1]!());
}

/** @throws ReveilleError 404 */
export async function readSession(env: EdgeEnv, runtime: Runtime, id: string): Promise<SessionView> {
  const found = await findSession(env, runtime, id);
  if (!found) throw notFound("session", id);
  return found;
}

const homeOf = (env: EdgeEnv, { built_in, session_id }: SessionView) =>
  built_in ? sessionObject(env.SESSION, session_id) : clientLine(env.CLIENT_LINE, session_id);

/**
 * Closes one line, ends the run that goes on, or has results, log and conversation forgotten. One audit row each.
 * @throws ReveilleError 404 for a session or line that is not there, 409 `not_running` or `running`.
 */
export async function actOnSession(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  what: { act: SessionAct; line?: string | undefined },
  by: string,
): Promise<{ message: string }> {
  const session = await readSession(env, runtime, id);
  const home = homeOf(env, session);
  const done = async (message: string, more: Record<string, string>): Promise<{ message: string }> => {
    const { act } = what;
    const details = { by, act, owner: session.owner, agent: session.agent, ...more };
    await auditStatement(env.DB, {
      ...{ at: runtime.clock.now(), seam: "session.changed", source: "operator", session_id: session.session_id },
      details: runtime.redact.json(details) as Record<string, unknown>,
    }).run();
    return { message };
  };
  switch (what.act) {
    case "close": {
      const line = what.line ?? "";
      if (!(await home.closeLine(line))) throw notFound("line", line);
      return done("The line is closed; its client may come back", { line });
    }
    case "cancel": {
      const run = await home.cancel(CANCELLED);
      if (run === null)
        throw new ReveilleError({ status: 409, code: "not_running", message: "No run goes on in this session." });
      return done("The run is interrupted", { run });
    }
    case "forget":
      if (!(await home.drop()))
        throw new ReveilleError({
          status: 409,
          code: "running",
          message: "A run goes on in this session.",
          hint: "Cancel it first.",
        });
      return done("Result and log are forgotten", {});
    default:
      throw what.act satisfies never;
  }
}
