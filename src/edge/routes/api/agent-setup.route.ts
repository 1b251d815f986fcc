import * as z from "zod";
import { notFound } from "../../../kernel/errors";
import {
  identityFor,
  identityInput,
  identityVersions,
  mcpName,
  mcpServerInput,
  mcpServerView,
  readMcpServer,
  readMcpServers,
} from "../../../reason";
import { apiApp, type Ctx, json, listOf, operatorRoute, runtime } from "../../kit";
import { dropIdentity, dropMcpServer, writeIdentity, writeMcpServer } from "../../reason-acts";

const identityView = z
  .object({
    agent_name: z.string(),
    soul: z.string(),
    system: z.string(),
    hash: z.string(),
    version: z.number(),
    source: z.enum(["workspace", "bundled"]),
    versions: z.array(z.object({ version: z.number(), agent_name: z.string(), created_at: z.string() })),
  })
  .meta({ id: "Identity" });

const serverView = z
  .object({
    name: z.string(),
    url: z.string(),
    credential: z.string().nullable(),
    allow: z.array(z.string()),
    enabled: z.boolean(),
    connected: z.boolean().nullable(),
    tools_count: z.number().nullable(),
    tools: z.array(z.string()),
    last_check_at: z.string().nullable(),
    last_error: z.string().nullable(),
  })
  .meta({ id: "McpServer" });

const nameParam = z.object({ name: mcpName });

const whole = async (c: Ctx, identity: Awaited<ReturnType<typeof identityFor>>) => ({
  ...identity,
  versions: await identityVersions(c.env.DB),
});

/** Who the built-in agent is, and which outside MCP servers it may use. */
export const agentSetupRoutes = apiApp()
  .openapi(
    operatorRoute("get", "/identity", "The persona and system prompt in force, and its versions", {}, identityView),
    async (c) => c.json(await whole(c, await identityFor(c.env.DB, undefined, runtime(c).log)), 200),
  )
  .openapi(
    operatorRoute(
      "put",
      "/identity",
      "Writes a new version of persona and system prompt; it is in force at once",
      { body: json(identityInput) },
      identityView,
    ),
    async (c) => c.json(await whole(c, await writeIdentity(c.env, runtime(c), c.req.valid("json"), c.get("by"))), 200),
  )
  .openapi(
    operatorRoute("delete", "/identity", "Goes back to the bundled identity; versions are kept", {}, identityView),
    async (c) => c.json(await whole(c, await dropIdentity(c.env, runtime(c), c.get("by"))), 200),
  )
  .openapi(
    operatorRoute(
      "get",
      "/mcp-servers",
      "Remote MCP servers and what the last look at each found",
      {},
      listOf(serverView),
    ),
    async (c) => c.json({ items: (await readMcpServers(c.env.DB)).map(mcpServerView), next_cursor: null }, 200),
  )
  .openapi(
    operatorRoute("get", "/mcp-servers/{name}", "One remote MCP server", { params: nameParam }, serverView),
    async (c) => {
      const { name } = c.req.valid("param");
      const server = await readMcpServer(c.env.DB, name);
      if (!server) throw notFound("mcp-server", name);
      return c.json(mcpServerView(server), 200);
    },
  )
  .openapi(
    operatorRoute(
      "put",
      "/mcp-servers/{name}",
      "Adds or replaces a remote MCP server; only the tools in `allow` reach the built-in agent",
      { params: nameParam, body: json(mcpServerInput) },
      serverView,
    ),
    async (c) => {
      const { name } = c.req.valid("param");
      return c.json(
        mcpServerView(await writeMcpServer(c.env, runtime(c), name, c.req.valid("json"), c.get("by"))),
        200,
      );
    },
  )
  .openapi(
    operatorRoute(
      "delete",
      "/mcp-servers/{name}",
      "Removes a remote MCP server",
      { params: nameParam },
      z.object({ deleted: z.string() }),
    ),
    async (c) => {
      const { name } = c.req.valid("param");
      await dropMcpServer(c.env, runtime(c), name, c.get("by"));
      return c.json({ deleted: name }, 200);
    },
  );
