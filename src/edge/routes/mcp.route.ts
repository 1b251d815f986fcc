import { Hono } from "hono";
import { workspaceObject } from "../../../durable-objects/workspace.stub";
import { readVar } from "../../kernel/config";
import { sameSecret } from "../../kernel/crypto";
import { describe } from "../../kernel/errors";
import { readCapped } from "../../kernel/http";
import {
  agentOfKey,
  agentTools,
  answerBody,
  isAgentKey,
  MAX_REQUEST,
  type McpServer,
  type McpTool,
  refuseHead,
  statusOf,
} from "../../messaging";
import { type AppEnv, type Ctx, runtime } from "../kit";
import { operatorTools } from "../operator-tools";

/** `/mcp`: agents' messaging under their keys, and the operator's read tools under the operator token (wake-slo §3). */
export const mcpRoutes = new Hono<AppEnv>();

const VERSION = "0.1.0";

const unauthorized = (): Response =>
  Response.json(
    { error: "unauthorized" },
    { status: 401, headers: { "www-authenticate": 'Bearer realm="reveille", error="invalid_token"' } },
  );

/** The tools of whoever holds this token, or the refusal. Nothing of the body has been read. */
async function toolsOf(c: Ctx): Promise<{ tools: McpTool[]; instructions: string } | Response> {
  const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(c.req.header("authorization") ?? "")?.[1];
  if (token === undefined) return unauthorized();
  const rt = runtime(c);
  if (isAgentKey(token)) {
    const me = await agentOfKey(c.env.DB, token, rt.clock.now());
    if (!me) return unauthorized();
    const tools = agentTools({
      me,
      workspace: workspaceObject(c.env.WORKSPACE, me.workspace),
      status: (args) => statusOf(c.env.DB, me.workspace, args),
    });
    return { tools, instructions: `You are agent "${me.name}" in workspace "${me.workspace}".` };
  }
  const expected = readVar(rt.vars, "REVEILLE_OPERATOR_TOKEN");
  if (expected && (await sameSecret(token, expected)))
    return { tools: operatorTools(c.env, token), instructions: "What Reveille knows. Nothing here changes anything." };
  // An operator token may be a short one; agents' keys can't be guessed.
  const { success } = await c.env.AUTH_LIMIT.limit({ key: `mcp:${c.req.header("cf-connecting-ip") ?? "local"}` });
  return success ? unauthorized() : Response.json({ error: "too_many_tries" }, { status: 429 });
}

mcpRoutes.all("/mcp", async (c) => {
  if (c.req.method !== "POST")
    return Response.json(
      { jsonrpc: "2.0", error: { code: -32000, message: "Method not allowed." }, id: null },
      { status: 405, headers: { allow: "POST" } },
    );
  const caller = await toolsOf(c);
  if (caller instanceof Response) return caller;
  const refused = refuseHead(c.req.raw.headers);
  if (refused) return refused;
  const tooLarge = (): Response => Response.json({ error: "payload_too_large" }, { status: 413 });
  if (Number(c.req.header("content-length") ?? 0) > MAX_REQUEST) return tooLarge();
  const { bytes, truncated } = await readCapped(c.req.raw.body, MAX_REQUEST);
  if (truncated) return tooLarge();
  const { log } = runtime(c);
  const server: McpServer = {
    name: "reveille",
    version: VERSION,
    ...caller,
    failed: (tool, error) => log("error", "mcp.tool_failed", { tool, error: describe(error) }),
  };
  return answerBody(new TextDecoder().decode(bytes), server);
});
