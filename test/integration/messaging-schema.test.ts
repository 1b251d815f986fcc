import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import type { EdgeEnv } from "../../src/edge/env";
import { operatorTools } from "../../src/edge/operator-tools";
import { agentTools, type McpTool, ownHook, type WorkspacePort } from "../../src/messaging";

/** What tools/list says of arguments is what a call is held to. */

const agent = agentTools({
  me: { id: "a", name: "a", workspace: "w", profile: "standard" },
  workspace: {} as WorkspacePort,
  status: async () => ({}),
});

describe("the schema of", () => {
  it.each<[string, McpTool]>([...agent, ...operatorTools(env as unknown as EdgeEnv, "t")].map((t) => [t.name, t]))(
    "%s",
    (_, tool) => {
      expect(tool.schema).toEqual(z.toJSONSchema(tool.input, { io: "input" }));
    },
  );
});

it("knows its own hooks, and nothing that only looks like one", () => {
  const at = (url: string, base = "https://edge.example") => ownHook(url, base);
  expect(at("https://edge.example/hooks/h1")).toBe("/hooks/h1");
  expect(at("/hooks/h1", "")).toBe("/hooks/h1");
  expect(at("https://edge.example/r/hooks/h1", "https://edge.example/r/")).toBe("/hooks/h1");
  for (const url of [
    "https://edge.example.evil/hooks/h1",
    "http://edge.example/hooks/h1",
    "https://edge.example:8443/hooks/h1",
    "https://edge.example/hooks/h1/x",
    "https://edge.example/hooks/",
    "https://edge.example/mcp",
    "//evil.example/hooks/h1",
    "/hooks/../mcp",
    "hooks/h1",
  ])
    expect(at(url), url).toBeNull();
});
