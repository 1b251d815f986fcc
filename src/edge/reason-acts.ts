import { auditStatement } from "../audit";
import { notFound } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import {
  checkMcpServer,
  deleteMcpServer,
  type Identity,
  type IdentityInput,
  identityFor,
  identityHash,
  type McpServer,
  type McpServerInput,
  putMcpServer,
  readMcpServer,
  resetIdentity,
  saveIdentity,
} from "../reason";
import type { EdgeEnv } from "./env";

/** What an operator sets up for reasoning: who speaks, and which outside tools it may use. Every act is a `config.changed` row. */

const note = (env: EdgeEnv, runtime: Runtime, by: string, details: Record<string, unknown>): Promise<unknown> =>
  auditStatement(env.DB, {
    at: runtime.clock.now(),
    seam: "config.changed",
    source: "operator",
    details: runtime.redact.json({ by, ...details }),
  }).run();

/** Writes a new version of the identity; the texts stay out of the audit row, their hash stands for them. */
export async function writeIdentity(
  env: EdgeEnv,
  runtime: Runtime,
  input: IdentityInput,
  by: string,
): Promise<Identity> {
  const version = await saveIdentity(env.DB, input, runtime.clock.now());
  await note(env, runtime, by, { change: "identity written", version, hash: await identityHash(input) });
  return identityFor(env.DB, undefined, runtime.log);
}

/** Back to the bundled identity. The versions before stay. */
export async function dropIdentity(env: EdgeEnv, runtime: Runtime, by: string): Promise<Identity> {
  const version = await resetIdentity(env.DB, runtime.clock.now());
  await note(env, runtime, by, { change: "identity reset to the bundled one", version });
  return identityFor(env.DB, undefined, runtime.log);
}

/** Adds or replaces an MCP server. @throws ReveilleError 400 with the field, 409 `too_many`. */
export async function writeMcpServer(
  env: EdgeEnv,
  runtime: Runtime,
  name: string,
  input: McpServerInput,
  by: string,
): Promise<McpServer> {
  checkMcpServer(input, runtime.config.allowPrivate);
  const made = await putMcpServer(env.DB, name, input);
  await note(env, runtime, by, {
    change: made ? "MCP server added" : "MCP server changed",
    server: name,
    url: input.url,
    credential: input.credential,
    allow: input.allow,
    enabled: input.enabled,
  });
  const server = await readMcpServer(env.DB, name);
  if (!server) throw notFound("mcp-server", name);
  return server;
}

/** @throws ReveilleError 404. */
export async function dropMcpServer(env: EdgeEnv, runtime: Runtime, name: string, by: string): Promise<void> {
  if (!(await deleteMcpServer(env.DB, name))) throw notFound("mcp-server", name);
  await note(env, runtime, by, { change: "MCP server deleted", server: name });
}
