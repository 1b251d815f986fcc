import { workspaceObject } from "../../durable-objects/workspace.stub";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { agentOfKey, agentTools, answerBody, refuseHead, statusOf } from "../messaging";
import { isOwnUrl } from "../slo";
import type { ConsumerEnv } from "./env";

/**
 * Our own `/mcp`, answered here: a Worker that fetches its own zone may reach the origin behind it, or nothing. Same code as the
 * route's, same agents, same object; the operator's tools are not reachable.
 */
export async function answerOwnMcp(env: ConsumerEnv, runtime: Runtime, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = headers.get("authorization")?.replace(/^Bearer /, "") ?? "";
  const me = await agentOfKey(env.DB, key, runtime.clock.now());
  if (!me) return Response.json({ error: "unauthorized" }, { status: 401 });
  const refused = refuseHead(headers);
  if (refused) return refused;
  return answerBody(String(init.body), {
    name: "reveille",
    version: "0.1.0",
    instructions: "",
    tools: agentTools({
      me,
      workspace: workspaceObject(env.WORKSPACE, me.workspace),
      status: (args) => statusOf(env.DB, me.workspace, args),
    }),
    failed: (tool, error) => runtime.log("error", "mcp.tool_failed", { tool, error: describe(error) }),
  });
}

/** Is this URL our own `/mcp`? */
export const isOwnMcp = (url: URL, publicUrl: string): boolean =>
  isOwnUrl(url, publicUrl) && url.pathname === `${new URL(publicUrl).pathname.replace(/\/+$/, "")}/mcp`;
