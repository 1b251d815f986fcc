import { DAY } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import { TOOL_CALLS } from "./snapshot-expand";
import { compare } from "./text";
import type { Finding, PromoteLoop } from "./types";

/** Tools a route is offered and never uses: each one is paid for in every prompt. 30 days of tool calls. */

const WINDOW = 30 * DAY;
const MIN_CALLS = 20;

export interface RouteTool {
  route: string;
  tool: string;
  n: number;
}

/** One finding per route with 20 calls or more: the tools other routes used and this one never did. */
export function proposeTrims(rows: readonly RouteTool[]): Finding[] {
  const known = new Set(rows.map((r) => r.tool));
  const routes = new Map<string, { calls: number; tools: Set<string> }>();
  for (const { route, tool, n } of rows) {
    const entry = routes.get(route) ?? { calls: 0, tools: new Set() };
    entry.calls += n;
    entry.tools.add(tool);
    routes.set(route, entry);
  }
  return [...routes]
    .map(([route, { calls, tools }]) => ({
      route,
      calls,
      unused: [...known].filter((t) => !tools.has(t)).sort(compare),
    }))
    .filter((r) => r.calls >= MIN_CALLS && r.unused.length > 0)
    .sort((a, b) => compare(a.route, b.route))
    .map(({ route, calls, unused }) => ({
      cluster: route,
      title: `${route} never used ${unused.length === 1 ? "1 tool" : `${unused.length} tools`} in ${calls} calls of 30 days`,
      confidence: Math.min(1, calls / (2 * MIN_CALLS)),
      cluster_size: calls,
      facts: { route, "never used": unused, "tool calls": calls },
      vocabulary: { route, drop: unused },
    }));
}

export const toolTrimming: PromoteLoop = {
  name: "tool_trimming",
  variable: "REVEILLE_PROMOTE_TOOL_TRIMMING_ENABLED",
  seam: "promotion.tool_trim_proposed",
  kind: "tool_trim",
  approval: "Records the list. No tool is taken from a route by it.",
  find: async (db, now) =>
    proposeTrims(
      await all<RouteTool>(
        db
          .prepare(
            `SELECT route, tool, COUNT(*) AS n FROM (${TOOL_CALLS})
             WHERE emitted_at >= ? AND typeof(tool) = 'text' AND route <> 'unknown' GROUP BY route, tool`,
          )
          .bind(now - WINDOW),
      ),
    ),
};
