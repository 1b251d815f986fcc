import * as z from "zod";
import { type McpTool, objectSchema, ToolFault, text, whole } from "../messaging";
import type { EdgeEnv } from "./env";
import { apiRoutes } from "./routes/api";

/** The operator's tools of /mcp: the API's own answers, read only, so that both say the same and neither can drift. */

const limit = z.int().min(1).max(200).optional();
const id = z.string().min(1).max(100);

interface Read {
  name: string;
  description: string;
  input: z.ZodType;
  schema: Record<string, unknown>;
  path(args: Record<string, unknown>): string;
}

const query = (args: Record<string, unknown>): string => {
  const set = Object.entries(args).filter(([, v]) => v !== undefined);
  return set.length === 0 ? "" : `?${new URLSearchParams(set.map(([k, v]) => [k, String(v)]))}`;
};

const READS: Read[] = [
  {
    name: "targets",
    description: "What is watched, with the state of each.",
    input: z.object({ limit, cursor: id.optional() }),
    schema: objectSchema({ limit: whole(1, 200), cursor: text(100) }),
    path: (args) => `/targets${query(args)}`,
  },
  {
    name: "incidents",
    description: "Incidents, newest first.",
    input: z.object({
      state: z.enum(["open", "acked", "resolved"]).optional(),
      target_id: id.optional(),
      limit,
      cursor: id.optional(),
    }),
    schema: objectSchema({
      state: { type: "string", enum: ["open", "acked", "resolved"] },
      target_id: text(100),
      limit: whole(1, 200),
      cursor: text(100),
    }),
    path: (args) => `/incidents${query(args)}`,
  },
  {
    name: "timeline",
    description: "One incident with everything that happened in it, in order.",
    input: z.object({ incident_id: id }),
    schema: objectSchema({ incident_id: text(100) }, ["incident_id"]),
    path: (args) => `/incidents/${encodeURIComponent(String(args["incident_id"]))}`,
  },
  {
    name: "budget",
    description: "The month's reasoning budget: spent, reserved, left, by route, day and call.",
    input: z.object({}),
    schema: objectSchema({}),
    path: () => "/budget",
  },
  {
    name: "slo",
    description: "The wake SLO in both directions.",
    input: z.object({}),
    schema: objectSchema({}),
    path: () => "/slo",
  },
];

/** `token`: the operator token this caller has shown; the API asks for it again. */
export function operatorTools(env: EdgeEnv, token: string): McpTool[] {
  return READS.map(({ path, ...tool }) => ({
    ...tool,
    reads: true,
    call: async (args: Record<string, unknown>) => {
      const response = await apiRoutes.request(path(args), { headers: { authorization: `Bearer ${token}` } }, env);
      const body = (await response.json()) as Record<string, unknown>;
      if (response.ok) return body;
      const { message = "no answer" } = (body["error"] ?? {}) as { message?: string };
      const code = response.status === 404 ? "NOT_FOUND" : response.status < 500 ? "INVALID_INPUT" : "BUSY";
      throw new ToolFault(code, message);
    },
  }));
}
