import type { Cron } from "croner";
import { SECOND } from "./clock";

/**
 * The first start after `after`, ms, or null. When clocks go back, croner takes a reference in the repeated hour for its
 * first pass and answers with a time before it; going on from that answer leads past the hour. So a start inside the repeated
 * hour comes once, in the first pass.
 */
export function nextStart(rule: Cron, after: number): number | null {
  // croner works in whole seconds, and starts are whole minutes.
  let from = Math.floor(after / SECOND) * SECOND;
  // Two answers suffice for one clock change; the bound keeps a surprise from hanging a cycle.
  for (let i = 0; i < 10; i++) {
    const start = rule.nextRun(new Date(from))?.getTime();
    if (start === undefined) return null;
    if (start > after) return start;
    from = start;
  }
  return null;
}
