import { DAY } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import { compare } from "./text";
import type { Finding, PromoteLoop } from "./types";

/** Tools that are called again and again for what could be worked out ahead: 7 days of tool calls. */

const WINDOW = 7 * DAY;
const MIN_CLUSTER = 5;
/** From this many calls on a finding is as sure as it gets. */
const SURE = 10;
const MAX_ROWS = 5_000;

/** Tools whose answer the stored state (listener `snapshot`) holds already ... */
const BACKED = ["list_targets", "list_targets_now", "list_incidents", "get_budget", "get_listeners"];
/** ... and those of an investigation, which are bound to one incident: no field could hold their answer. */
const BOUND = ["get_samples", "get_incident_timeline", "get_past_incidents", "get_audit"];
const COVERED: ReadonlySet<string> = new Set([...BACKED, ...BOUND]);

export interface ToolCount {
  tool: string;
  n: number;
  routes: string;
}

const fieldOf = (tool: string): string => tool.replace(/^(?:get|list|search|read)_/, "");

/** One finding per tool that is called five times or more and that no field of the snapshot backs. */
export function proposeFields(rows: readonly ToolCount[]): Finding[] {
  return rows
    .filter((r) => r.n >= MIN_CLUSTER && !COVERED.has(r.tool))
    .sort((a, b) => b.n - a.n || compare(a.tool, b.tool))
    .map(({ tool, n, routes }) => ({
      cluster: tool,
      title: `${tool} was asked ${n} times in 7 days: its answer could stand in the snapshot`,
      confidence: Math.min(1, n / SURE),
      cluster_size: n,
      facts: { field: fieldOf(tool), tool, routes: routes.split(",").sort(compare) },
      vocabulary: { field: fieldOf(tool), tool },
    }));
}

/** Calls of one tool, by tool or by route and tool; `?` = Reveille ms. */
export const TOOL_CALLS = `SELECT emitted_at, COALESCE(json_extract(details, '$.tool_name'), json_extract(details, '$.tool')) AS tool,
    COALESCE(json_extract(details, '$.route'), 'unknown') AS route
  FROM audit WHERE seam = 'reasoning.tool_called' ORDER BY id DESC LIMIT ${MAX_ROWS}`;

export const snapshotExpand: PromoteLoop = {
  name: "snapshot_expand",
  variable: "REVEILLE_PROMOTE_SNAPSHOT_EXPAND_ENABLED",
  seam: "promotion.snapshot_field_added",
  kind: "snapshot_field",
  approval: "Records that this field is wanted. No code and no snapshot is changed by it.",
  find: async (db, now) =>
    proposeFields(
      await all<ToolCount>(
        db
          .prepare(
            `SELECT tool, COUNT(*) AS n, group_concat(DISTINCT route) AS routes FROM (${TOOL_CALLS})
             WHERE emitted_at >= ? AND typeof(tool) = 'text' GROUP BY tool`,
          )
          .bind(now - WINDOW),
      ),
    ),
};
