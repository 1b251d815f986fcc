import type { Child, FC } from "hono/jsx";
import { clockTime, duration } from "../kernel/format";
import type { TimelineRow } from "../watch";
import { Shape } from "./components";
import type { PageContext } from "./context";
import type { State } from "./state";

/** The state a state row changed to; the shape is drawn for these rows alone. */
function shapeOf(row: TimelineRow): State | null {
  if (row.kind !== "state") return null;
  const seam = String(row.details["seam"] ?? "");
  if (seam === "probe.recovered") return "ok";
  if (seam === "probe.state_changed")
    return (
      ({ healthy: "ok", degraded: "degraded", unhealthy: "down" } as Record<string, State>)[
        String(row.details["to"])
      ] ?? "unknown"
    );
  return seam === "incident.opened" || seam === "incident.raised" ? "down" : null;
}

/** The story leaves single looks to "Everything"; the first bad one stays, it is where the story begins. */
export function storyOf(rows: TimelineRow[], first_bad_at: number): TimelineRow[] {
  return rows.filter((r) => {
    if (r.kind === "look") return r.at === first_bad_at;
    // What reasoning read on its way is in the rows it cites.
    if (r.details["seam"] === "reasoning.tool_called") return false;
    // A finished wake is told by its notice, unless it says why nobody reasoned.
    if (r.kind === "wake")
      return r.details["stage"] === "dead" || r.details["done_at"] === null || r.details["reasoning_error"] !== null;
    return true;
  });
}

/** `+31 s` or `−2 min` from the first bad look. */
export const offset = (ms: number): string => `${ms < 0 ? "−" : "+"}${duration(Math.abs(ms))}`;
const SILENT = 60_000;

/** The rows of an incident in order: state shapes for state changes only, a mark for a person, a dot for all else. */
export const TimelineList: FC<{ ctx: PageContext; rows: TimelineRow[]; zero: number }> = ({ ctx, rows, zero }) => {
  const out: Child[] = [];
  let last = rows[0]?.at ?? 0;
  for (const row of rows) {
    if (row.at - last > SILENT)
      out.push(
        <li>
          <span />
          <span />
          <span class="gap">{duration(row.at - last)} without a change</span>
        </li>,
      );
    last = row.at;
    const shape = shapeOf(row);
    const { details } = row;
    out.push(
      <li id={row.evidence_id} data-row={row.evidence_id}>
        <span class="num">
          <time datetime={new Date(row.at).toISOString()}>{clockTime(row.at, ctx.zone)}</time>
          <span class="sub"> {offset(row.at - zero)}</span>
        </span>
        {shape ? (
          <Shape state={shape} />
        ) : (
          <svg viewBox="0 0 12 12" aria-hidden="true">
            {row.kind === "person" ? (
              <path class="dot" d="M1 1h10v7H6l-3 3V8H1z" />
            ) : (
              <circle class="dot" cx="6" cy="6" r="2.5" />
            )}
          </svg>
        )}
        <div>
          {row.sentence} <span class="sub">{row.source}</span>
          {typeof details["error"] === "string" && row.kind === "look" && (
            <div>
              <span class="quote">{details["error"]}</span>
            </div>
          )}
          <details id={`d-${row.evidence_id}`}>
            <summary class="sub">{row.evidence_id?.startsWith("A") ? "Audit row" : "Details"}</summary>
            <pre tabindex={0}>{JSON.stringify(details, null, 2)}</pre>
          </details>
        </div>
      </li>,
    );
  }
  return <ol class="tl">{out}</ol>;
};
