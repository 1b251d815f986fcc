import type { FC } from "hono/jsx";
import { DAY, HOUR } from "../kernel/clock";
import { clockTime, count, day, dayTime, hourMinute, latency } from "../kernel/format";
import type { Series } from "../watch";
import type { PageContext } from "./context";
import { linePath, percentile, round } from "./graphs";

/** One slot of the latency chart. Null latency is a real gap and is never bridged. */
export interface ChartSlot {
  at: number;
  n: number;
  p50: number | null;
  p95: number | null;
  max: number | null;
  unknown: boolean;
  maintenance: boolean;
  bad: boolean;
}

const SLOTS = 120;

/** Slots of a series over [from, to): raw looks are gathered into 120, hours and days stand as they are. */
export function chartSlots(series: Series, from: number, to: number): ChartSlot[] {
  if (series.grain !== "raw") {
    const step = series.grain === "hour" ? HOUR : DAY;
    const first = Math.floor(from / step) * step;
    const found = new Map(series.points.map((p) => [p.at, p]));
    return Array.from({ length: Math.ceil((to - first) / step) }, (_, i) => {
      const at = first + i * step;
      const p = found.get(at);
      return {
        at,
        n: p?.n ?? 0,
        p50: p?.p50 ?? null,
        p95: p?.p95 ?? null,
        max: p?.max ?? null,
        unknown: !p || (p.unknown > 0 && p.ok + p.degraded + p.bad === 0),
        maintenance: (p?.maintenance ?? 0) > 0,
        bad: (p?.bad ?? 0) > 0,
      };
    });
  }
  const size = (to - from) / SLOTS;
  const groups: (typeof series.points)[] = Array.from({ length: SLOTS }, () => []);
  for (const p of series.points) groups[Math.min(SLOTS - 1, Math.max(0, Math.floor((p.at - from) / size)))]?.push(p);
  return groups.map((g, i) => {
    const values = g.flatMap((p) => (p.latency_ms === null ? [] : [p.latency_ms]));
    return {
      at: from + i * size,
      n: g.length,
      p50: percentile(values, 0.5),
      p95: percentile(values, 0.95),
      max: values.length ? Math.max(...values) : null,
      unknown: g.length > 0 && g.every((p) => p.status === "unknown"),
      maintenance: g.some((p) => p.maintenance),
      bad: g.some((p) => p.status === "unhealthy"),
    };
  });
}

/** The least of 1, 2, 2.5, 5 × 10ⁿ at or above `v`, times four grid lines. */
export function niceTop(v: number): number {
  if (v <= 4) return 4;
  const quarter = v / 4;
  const scale = 10 ** Math.floor(Math.log10(quarter));
  const step = [1, 2, 2.5, 5, 10].find((s) => s * scale >= quarter) ?? 10;
  return step * scale * 4;
}

const W = 720;
const TOP = 8;
const BASE = 200;
const STRIP = 212;

/** A slot that has no look beside one that has: sparse targets are looked at less often than there are slots. */
function bridged(slots: ChartSlot[], reach: number): ChartSlot[] {
  let last: ChartSlot | null = null;
  return slots.map((s) => {
    if (s.n > 0) {
      last = s;
      return s;
    }
    return last && s.at - last.at < reach ? { ...last, at: s.at, n: 0, max: null } : s;
  });
}

const area = (slots: ChartSlot[], x: (i: number) => number, y: (v: number) => number): string => {
  let path = "";
  for (let i = 0; i < slots.length; ) {
    if (slots[i]!.p50 === null) {
      i++;
      continue;
    }
    let j = i;
    while (j < slots.length && slots[j]!.p50 !== null) j++;
    const run = slots.slice(i, j);
    const up = run.map((s, k) => `${round(x(i + k))} ${round(y(s.p95 ?? s.p50!))}`);
    const down = run.map((s, k) => `${round(x(i + k))} ${round(y(s.p50!))}`).reverse();
    path += `M${up.join("L")}L${down.join("L")}z`;
    i = j;
  }
  return path;
};

export interface ChartData {
  series: Series;
  from: number;
  to: number;
  every_s: number;
  incidents: { from: number; to: number; title: string }[];
}

/** The latency of one target: p50 line over a p50-p95 band, gaps where nobody saw, incidents tinted. Drawn by the server. */
export const LatencyChart: FC<{ ctx: PageContext; data: ChartData }> = ({ ctx, data }) => {
  const { from, to, series } = data;
  const size = (to - from) / SLOTS;
  const raw = chartSlots(series, from, to);
  const slots = series.grain === "raw" ? bridged(raw, Math.max(1.5 * data.every_s * 1000, size)) : raw;
  const x = (i: number): number => ((slots[i]!.at - from) / (to - from)) * W;
  const top = niceTop(Math.max(1, ...slots.map((s) => s.p95 ?? 0)));
  const y = (v: number): number => BASE - (Math.min(v, top) / top) * (BASE - TOP);
  const wide = W / slots.length;
  const strip = (pick: (s: ChartSlot) => boolean): string =>
    slots
      .map((s, i) => (pick(s) ? `M${round(x(i))} ${BASE + 3}h${round(wide)}v${STRIP - BASE - 3}h-${round(wide)}z` : ""))
      .join("");
  const dots =
    to - from <= DAY
      ? raw
          .map((s) =>
            s.max !== null && s.max > (s.p95 ?? 0)
              ? `M${round(((s.at - from) / (to - from)) * W)} ${round(y(s.max))}h.01`
              : "",
          )
          .join("")
      : "";
  const ticks = Array.from({ length: 5 }, (_, i) => from + ((to - from) * i) / 4);
  const tick = (at: number): string => (to - from <= DAY ? hourMinute(at, ctx.zone) : day(at, ctx.zone));
  const known = slots.filter((s) => s.p50 !== null);
  const unknown = strip((s) => s.unknown);
  const maint = strip((s) => s.maintenance);
  return (
    <figure class="chart">
      <div class="y sub num" aria-hidden="true">
        {[4, 3, 2, 1, 0].map((k) => (
          <span>{k === 0 ? "0" : latency((top * k) / 4)}</span>
        ))}
      </div>
      <svg viewBox={`0 0 ${W} 216`} preserveAspectRatio="none" role="img" aria-label={chartLabel(slots)}>
        {data.incidents.map((i) => {
          const a = Math.max(0, ((i.from - from) / (to - from)) * W);
          const b = Math.min(W, ((i.to - from) / (to - from)) * W);
          return b > a ? (
            <rect class="inc" x={round(a)} y={TOP} width={Math.max(2, round(b - a))} height={BASE - TOP}>
              <title>{i.title}</title>
            </rect>
          ) : null;
        })}
        <path
          class="grid"
          vector-effect="non-scaling-stroke"
          d={[0, 1, 2, 3, 4].map((k) => `M0 ${round(y((top * k) / 4))}h${W}`).join("")}
        />
        <path class="area" d={area(slots, x, y)} />
        <path
          class="p95"
          vector-effect="non-scaling-stroke"
          d={linePath(
            slots.map((s) => s.p95),
            x,
            y,
          )}
        />
        <path
          class="p50"
          vector-effect="non-scaling-stroke"
          d={linePath(
            slots.map((s) => s.p50),
            x,
            y,
          )}
        />
        {dots && <path class="max" vector-effect="non-scaling-stroke" d={dots} />}
        {unknown && <path fill="url(#hatch)" d={unknown} />}
        {maint && <path fill="url(#stripe)" d={maint} />}
      </svg>
      <div class="x sub num" aria-hidden="true">
        {ticks.map((at) => (
          <span>{tick(at)}</span>
        ))}
      </div>
      <figcaption class="sub">
        p50 line, band to p95{dots ? ", dots are the slowest look" : ""}.{unknown && " Hatched: could not see."}
        {maint && " Striped: maintenance."}
        {data.incidents.length > 0 && " Tinted: incident."}
      </figcaption>
      <details>
        <summary>Same data as a table</summary>
        <div class="wrap">
          <table class="compact">
            <caption class="vh">Latency over time</caption>
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col" class="right">
                  p50
                </th>
                <th scope="col" class="right">
                  p95
                </th>
                <th scope="col" class="right">
                  Max
                </th>
                <th scope="col" class="right">
                  Looks
                </th>
              </tr>
            </thead>
            <tbody>
              {known
                .filter((s) => s.n > 0)
                .slice(-120)
                .reverse()
                .map((s) => (
                  <tr>
                    <th scope="row" class="num">
                      {to - from <= DAY ? clockTime(s.at, ctx.zone) : dayTime(s.at, ctx.zone, ctx.now)}
                    </th>
                    <td class="num">{latency(s.p50)}</td>
                    <td class="num">{latency(s.p95)}</td>
                    <td class="num">{latency(s.max)}</td>
                    <td class="num">{count(s.n)}</td>
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
};

function chartLabel(slots: ChartSlot[]): string {
  const p50 = slots.flatMap((s) => (s.p50 === null ? [] : [s.p50]));
  if (p50.length === 0) return "Latency: nothing seen yet";
  return `Latency: p50 from ${latency(Math.min(...p50))} to ${latency(Math.max(...p50))}, last ${latency(p50.at(-1))}`;
}
