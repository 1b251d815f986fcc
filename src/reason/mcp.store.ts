import * as z from "zod";
import { iso } from "../kernel/clock";
import { mcpCredentialAllowed } from "../kernel/config";
import { all } from "../kernel/d1";
import { badRequest, ReveilleError } from "../kernel/errors";
import { type AllowEntry, checkUrl, isPrivateHost } from "../kernel/net-guard";

/** The catalogue of remote MCP servers, and what was last seen of each. No connection is made here. */

/** More servers than this are not asked for their health at once. */
export const MAX_SERVERS = 20;

export const mcpName = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/, "lower-case letters, digits and -");
const toolName = z.string().regex(/^[A-Za-z0-9_./-]{1,64}$/, "a tool's name as its server lists it");

/** A server as an operator writes it: all of it each time. */
export const mcpServerInput = z.strictObject({
  url: z.string().min(1).max(500),
  /** Name of a binding of the consumer that holds its bearer token. */
  credential: z.string().max(70).nullable().default(null),
  /** Tools the built-in agent may use; every other one stays out of its reach. */
  allow: z.array(toolName).max(50).default([]),
  enabled: z.boolean().default(true),
});
export type McpServerInput = z.infer<typeof mcpServerInput>;

/** One tool as its server listed it: an outsider's text, already cut. */
export const listedTool = z.object({
  name: z.string(),
  description: z.string(),
  input: z.record(z.string(), z.unknown()).nullable(),
});
export type ListedTool = z.infer<typeof listedTool>;

export interface McpServer extends McpServerInput {
  name: string;
  /** null: not looked at yet. */
  connected: boolean | null;
  tools_count: number | null;
  tools: ListedTool[];
  last_check_at: number | null;
  last_error: string | null;
}

interface Row {
  name: string;
  url: string;
  credential: string | null;
  allow: string;
  enabled: number;
  connected: number | null;
  tools_count: number | null;
  tools: string | null;
  last_check_at: number | null;
  last_error: string | null;
}

const fromRow = (row: Row): McpServer => ({
  ...row,
  allow: z.array(z.string()).parse(JSON.parse(row.allow)),
  enabled: row.enabled === 1,
  connected: row.connected === null ? null : row.connected === 1,
  tools: row.tools === null ? [] : z.array(listedTool).parse(JSON.parse(row.tools)),
});

/** Every server, by name. */
export const readMcpServers = async (db: D1Database): Promise<McpServer[]> =>
  (await all<Row>(db.prepare("SELECT * FROM mcp_server ORDER BY name"))).map(fromRow);

export async function readMcpServer(db: D1Database, name: string): Promise<McpServer | null> {
  const row = await db.prepare("SELECT * FROM mcp_server WHERE name = ?").bind(name).first<Row>();
  return row ? fromRow(row) : null;
}

/**
 * Checks what a schema can't: where the URL leads and whose secret it would get.
 * @throws ReveilleError 400 with the field.
 */
export function checkMcpServer(input: McpServerInput, list: AllowEntry[]): void {
  const url = checkUrl(input.url, list, "url");
  // Rows are shown in the API, and a query is where secrets are put by habit.
  if (url.search !== "" || url.hash !== "")
    throw badRequest(
      "bad_url",
      "The URL of an MCP server must not carry a query or a fragment.",
      "url",
      "A token belongs into a binding: name it in `credential`.",
    );
  if (input.credential === null) return;
  if (!mcpCredentialAllowed(input.credential))
    throw badRequest(
      "bad_credential",
      "An MCP server may only name a binding that starts with WATCH_MCP_.",
      "credential",
      "Put the token into the consumer: npx wrangler secret put WATCH_MCP_EXAMPLE -c wrangler.consumer.toml",
    );
  // A private host is on the operator's own allow-list; over the open network a token needs TLS.
  if (url.protocol === "http:" && !isPrivateHost(url.hostname))
    throw badRequest("insecure_url", "A server that gets a credential must be reached over https.", "url");
}

/**
 * Writes a server. What was seen of it is forgotten when it may be another one now. True when it is new.
 * @throws ReveilleError 409 `too_many` at the 21st.
 */
export async function putMcpServer(db: D1Database, name: string, input: McpServerInput): Promise<boolean> {
  const before = await readMcpServer(db, name);
  const done = await db
    .prepare(
      `INSERT INTO mcp_server (name, url, credential, allow, enabled)
       SELECT ?1, ?2, ?3, ?4, ?5
       WHERE EXISTS (SELECT 1 FROM mcp_server WHERE name = ?1) OR (SELECT COUNT(*) FROM mcp_server) < ?6
       ON CONFLICT (name) DO UPDATE SET
         connected = CASE WHEN url = ?2 AND credential IS ?3 THEN connected END,
         tools_count = CASE WHEN url = ?2 AND credential IS ?3 THEN tools_count END,
         tools = CASE WHEN url = ?2 AND credential IS ?3 THEN tools END,
         last_check_at = CASE WHEN url = ?2 AND credential IS ?3 THEN last_check_at END,
         last_error = CASE WHEN url = ?2 AND credential IS ?3 THEN last_error END,
         url = ?2, credential = ?3, allow = ?4, enabled = ?5`,
    )
    .bind(
      name,
      input.url,
      input.credential,
      JSON.stringify([...new Set(input.allow)].sort()),
      input.enabled ? 1 : 0,
      MAX_SERVERS,
    )
    .run();
  if ((done.meta.changes ?? 0) === 0)
    throw new ReveilleError({
      status: 409,
      code: "too_many",
      message: `There are ${MAX_SERVERS} MCP servers already.`,
      hint: "Delete one first: DELETE /api/v1/mcp-servers/{name}",
    });
  return before === null;
}

/** True when there was one. */
export async function deleteMcpServer(db: D1Database, name: string): Promise<boolean> {
  const done = await db.prepare("DELETE FROM mcp_server WHERE name = ?").bind(name).run();
  return (done.meta.changes ?? 0) > 0;
}

/** What a look at a server found. `error` is redacted. */
export interface McpHealth {
  tools: ListedTool[] | null;
  error: string | null;
}

/**
 * The cached row of a look. The list of a server that did not answer now stays, so that its tools come back by themselves.
 * Nothing is written when the server was changed meanwhile.
 */
export const saveMcpHealth = (
  db: D1Database,
  server: Pick<McpServer, "name" | "url" | "credential">,
  health: McpHealth,
  now: number,
): D1PreparedStatement =>
  db
    .prepare(
      `UPDATE mcp_server SET connected = ?4, tools_count = COALESCE(?5, tools_count), tools = COALESCE(?6, tools),
         last_check_at = ?7, last_error = ?8
       WHERE name = ?1 AND url = ?2 AND credential IS ?3`,
    )
    .bind(
      server.name,
      server.url,
      server.credential,
      health.error === null ? 1 : 0,
      health.tools?.length ?? null,
      health.tools === null ? null : JSON.stringify(health.tools),
      now,
      health.error,
    );

/** A server as the API shows it: names of tools, not their texts. */
export const mcpServerView = ({ tools, last_check_at, ...server }: McpServer) => ({
  ...server,
  tools: tools.map((t) => t.name),
  last_check_at: iso(last_check_at),
});
