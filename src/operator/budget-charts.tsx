import type { FC } from "hono/jsx";
import { DAY } from "../kernel/clock";
import { day, money, percent } from "../kernel/format";
import { type BudgetState, type DaySpend, monthStart } from "../reason";
import { round } from "./graphs";

/** Pictures of the budget, drawn on the server: the pool with its rungs, and what is left over the month. */

const RUNGS = [75, 90, 100];

/** Spent, reserved and left of the pool; everything it shows stands in its label too. */
export const PoolBar: FC<{ state: BudgetState }> = ({ state: s }) => {
  const x = (usd: number): number => round(s.pool > 0 ? Math.min(720, (usd / s.pool) * 720) : 720);
  const spent = x(s.spent);
  const reserved = Math.max(0, x(s.spent + s.reserved) - spent);
  const label = `${money(s.spent)} spent, ${money(s.reserved)} reserved, ${money(s.left)} left of ${money(s.pool)}`;
  return (
    <div class="wide">
      <svg class="pool" viewBox="0 0 720 40" preserveAspectRatio="none" role="img" aria-label={label}>
        <path class="b-pool" d="M0 8h720v24H0z" />
        {spent > 0 && <path class="b-spent" d={`M0 8h${spent}v24H0z`} />}
        {reserved > 0 && <path class="b-reserved" d={`M${spent} 8h${reserved}v24h-${reserved}z`} />}
        {RUNGS.map((r) => (
          <path class="b-rung" d={`M${Math.min(719.5, r * 7.2)} 2v36`} />
        ))}
      </svg>
      <p class="ends sub">
        <span>{label}</span>
        <span>rungs at 75, 90, 100 %</span>
      </p>
    </div>
  );
};

const W = 720;
/** Height of the drawing and its base line; the figure's labels stand beside the part between. */
const H = 220;
const BASE = 200;

/** What is left, in percent, against the month: even pace dashed, actual solid, projection dotted. */
export const BurnDown: FC<{ state: BudgetState; days: DaySpend[]; emptyAt: number | null }> = ({
  state: s,
  days,
  emptyAt,
}) => {
  const start = monthStart(s.at);
  const x = (at: number): number => round(((at - start) / (s.resets_at - start)) * W);
  const y = (left: number): number => round(8 + (1 - Math.max(0, Math.min(1, left))) * (BASE - 8));
  const points: string[] = [`0 ${y(1)}`];
  let used = 0;
  for (let at = start; at < s.at; at += DAY) {
    used += days.filter((d) => d.day === at).reduce((n, d) => n + d.usd, 0);
    if (at + DAY < s.at) points.push(`${x(at + DAY)} ${y(s.pool > 0 ? 1 - used / s.pool : 0)}`);
  }
  // The object's own sum ends the line: it is the truth, and knows of calls that have no row yet.
  const now = s.pool > 0 ? 1 - s.spent / s.pool : 0;
  points.push(`${x(s.at)} ${y(now)}`);
  const slope = s.at > start ? (1 - now) / (s.at - start) : 0;
  const end = emptyAt ?? s.resets_at;
  const ends =
    emptyAt === null
      ? "lasts the month at this rate"
      : emptyAt <= s.at
        ? "it is empty"
        : `empty on ${day(emptyAt)} at this rate`;
  return (
    <figure class="chart">
      <div class="y sub" aria-hidden="true">
        <span>100 %</span>
        <span>50 %</span>
        <span>0 %</span>
      </div>
      <svg
        viewBox={`0 0 ${W} ${H}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Budget left: ${percent(Math.max(0, now), 1)} now, ${ends}`}
      >
        <path class="grid" d={[0.25, 0.1, 0].map((r) => `M0 ${y(r)}H${W}`).join("")} />
        <path class="pace" d={`M0 ${y(1)}L${W} ${y(0)}`} />
        <path class="p50" d={`M${points.join("L")}`} />
        <path class="proj" d={`M${x(s.at)} ${y(now)}L${x(end)} ${y(1 - slope * (end - start))}`} />
      </svg>
      <div class="x sub" aria-hidden="true">
        <span>{day(start)}</span>
        <span>{day(s.resets_at - 1)}</span>
      </div>
      <figcaption class="sub">
        Left of the pool, in percent, with lines where 75, 90 and 100 % are spent. Solid: actual. Dashed: an even pace.
        Dotted: {ends}.
      </figcaption>
    </figure>
  );
};
