import { DAY } from "../../kernel/clock";
import { all } from "../../kernel/d1";
import { compare } from "./text";
import type { Finding, PromoteLoop } from "./types";

/** Routes whose choice between the small and the large model looks wrong: a sliding 24 h. */

const WINDOW = DAY;
const MIN_CALLS = 20;
/** Share of a route's calls that went to the large model from which its triggers deserve a look. */
const TIGHTEN = 0.4;
/** Times an operator asked for the large model by hand from which the triggers look too strict. */
const LOOSEN = 3;

export interface RouteCalls {
  route: string;
  calls: number;
  escalated: number;
  usd: number;
}
export interface RouteOverrides {
  route: string;
  n: number;
}

const finding = (
  kind: "tighten_review" | "loosen_review",
  route: string,
  more: Pick<Finding, "title" | "confidence" | "cluster_size" | "facts">,
): Finding => ({ cluster: JSON.stringify([route, kind]), vocabulary: { route, review: kind }, ...more });

/** `tighten_review` for routes that escalate often, `loosen_review` for routes an operator had to push. */
export function proposeRouting(calls: readonly RouteCalls[], overrides: readonly RouteOverrides[]): Finding[] {
  const tighten = calls
    .filter((r) => r.calls >= MIN_CALLS && r.escalated / r.calls >= TIGHTEN)
    .sort((a, b) => compare(a.route, b.route))
    .map((r) =>
      finding("tighten_review", r.route, {
        title: `${r.route} asked the large model in ${Math.round((r.escalated / r.calls) * 100)} % of ${r.calls} calls of 24 h`,
        confidence: Math.min(1, r.calls / (2 * MIN_CALLS)),
        cluster_size: r.calls,
        facts: { review: "tighten", calls: r.calls, escalated: r.escalated, spent: `$${r.usd.toFixed(4)}` },
      }),
    );
  const loosen = overrides
    .filter((r) => r.n >= LOOSEN)
    .sort((a, b) => compare(a.route, b.route))
    .map((r) =>
      finding("loosen_review", r.route, {
        title: `The large model was asked for by hand ${r.n} times on ${r.route} within 24 h`,
        confidence: Math.min(1, r.n / (2 * LOOSEN)),
        cluster_size: r.n,
        facts: { review: "loosen", "asked by hand": r.n },
      }),
    );
  return [...tighten, ...loosen];
}

export const routerTuning: PromoteLoop = {
  name: "router_tuning",
  variable: "REVEILLE_PROMOTE_ROUTER_TUNING_ENABLED",
  seam: "promotion.router_trigger_proposed",
  kind: "router",
  approval: "Records that the triggers of this route want a review. The router goes on as it is.",
  find: async (db, now) => {
    const [calls, overrides] = await Promise.all([
      all<RouteCalls>(
        db
          .prepare(
            `SELECT route, COUNT(*) AS calls, SUM(escalated IS NOT NULL) AS escalated, COALESCE(SUM(usd), 0) AS usd
             FROM cost WHERE at > ? AND error IS NULL GROUP BY route`,
          )
          .bind(now - WINDOW),
      ),
      all<RouteOverrides>(
        db
          .prepare(
            `SELECT route, COUNT(*) AS n FROM (
               SELECT emitted_at, COALESCE(json_extract(details, '$.route'), 'unknown') AS route
               FROM audit WHERE seam = 'opus_override.applied' ORDER BY id DESC LIMIT 2000)
             WHERE emitted_at > ? GROUP BY route`,
          )
          .bind(now - WINDOW),
      ),
    ]);
    return proposeRouting(calls, overrides);
  },
};
