import type { SessionView } from "../src/session";
import { agentLine } from "./agent-line.do";
import { clientLine } from "./client-line.do";
import type { ObjectEnv } from "./env";
import type { RunHome } from "./run-home";

/** What an operator sees of a relayed session and may do to it, asked of its home. */

/** Null: unknown or expired. */
export async function viewRelayed(home: RunHome, env: ObjectEnv): Promise<Omit<SessionView, "built_in"> | null> {
  const shown = await home.view();
  if (!shown) return null;
  const { agent_line, ...view } = shown;
  const id = await agentLine(env.AGENT_LINE, agent_line).listener(view.session_id);
  const info = id === null ? null : await clientLine(env.CLIENT_LINE, id).lineInfo(id);
  const lines = id === null || !info ? [] : [{ id, from: view.owner, lent: id !== view.session_id, ...info }];
  return { ...view, lines };
}

/** Ends the run, tells its client, and asks the agent to stop. The run's id, or null: none goes on. */
export async function cancelRelayed(home: RunHome, env: ObjectEnv, error: string): Promise<string | null> {
  const run = await home.cancel(error);
  if (!run) return null;
  const agent = agentLine(env.AGENT_LINE, run.agent_line);
  const id = await agent.listener(run.session_id);
  if (id !== null) await clientLine(env.CLIENT_LINE, id).tellEnd(run.session_id, error);
  await agent.interrupt(run.session_id);
  return run.id;
}

/** Closes the line of the session's client, whoever holds its socket. False: there is none of that name. */
export async function closeRelayedLine(home: RunHome, env: ObjectEnv, line: string): Promise<boolean> {
  const run = await home.run();
  const id = run && (await agentLine(env.AGENT_LINE, run.agent_line).listener(run.session_id));
  return id === line && (await clientLine(env.CLIENT_LINE, line).shutLine(line));
}
