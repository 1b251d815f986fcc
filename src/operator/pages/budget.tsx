import type { FC } from "hono/jsx";
import { count, day, latency, money, NOTHING } from "../../kernel/format";
import type { BudgetState, CostView, DaySpend, RouteSpend } from "../../reason";
import { BurnDown, PoolBar } from "../budget-charts";
import { Id, Section, Time } from "../components";
import type { PageContext, Part } from "../context";

export interface BudgetData {
  state: Part<BudgetState & { projection: { month_usd: number; empty_at: number | null } | null }>;
  days: Part<DaySpend[]>;
  calls: Part<CostView[]>;
  /** What the consumer says of its engine, or null when it has not spoken. */
  engine: string | null;
}

type State = Extract<BudgetData["state"], { ok: true }>["value"];

/** The answer first: will it last the month? */
function headline(s: State): string {
  if (s.rung === "hard_stop_100" && s.spent >= s.pool) return "The month's budget is spent.";
  if (s.share >= 1) return "Too little of the month's budget is left for a call.";
  if (s.calls === 0) return "Nothing has been spent this month.";
  if (!s.projection) return `${money(s.spent)} spent; too early in the month to say whether it lasts.`;
  if (s.projection.empty_at !== null) return `At this rate it is empty on ${day(s.projection.empty_at)}.`;
  return `It lasts: about ${money(s.projection.month_usd)} of ${money(s.pool)} by the end of the month.`;
}

const CHANGED: Record<BudgetState["rung"], string | null> = {
  normal: null,
  warn_75: "Since 75 %: only the small model is asked.",
  downshift_90: "Since 90 %: only the small model is asked.",
  hard_stop_100: "At 100 %: no model is asked. Notices still go out, plain.",
};

const Routes: FC<{ routes: [string, RouteSpend][] }> = ({ routes }) => (
  <div class="wrap">
    <table class="t">
      <caption class="vh">Spending by route</caption>
      <thead>
        <tr>
          <th scope="col">Route</th>
          <th scope="col" class="right">
            24 h
          </th>
          <th scope="col" class="right">
            Most in 24 h
          </th>
          <th scope="col" class="right">
            This month
          </th>
          <th scope="col" class="right">
            Calls
          </th>
        </tr>
      </thead>
      <tbody>
        {routes.map(([route, r]) => (
          <tr>
            <th scope="row">{route}</th>
            <td class="num hide">{money(r.day.usd)}</td>
            <td class="num hide">{r.cap_usd === null ? NOTHING : money(r.cap_usd)}</td>
            <td class="num">{money(r.month.usd)}</td>
            <td class="num">{count(r.month.calls)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

const Days: FC<{ days: DaySpend[] }> = ({ days }) => {
  const routes = [...new Set(days.map((d) => d.route))].sort();
  const dates = [...new Set(days.map((d) => d.day))].sort((a, b) => b - a);
  const of = (at: number, route: string): DaySpend | undefined => days.find((d) => d.day === at && d.route === route);
  return (
    <div class="wrap">
      <table class="t compact">
        <caption class="vh">Spending by day and route, UTC days</caption>
        <thead>
          <tr>
            <th scope="col">Day</th>
            {routes.map((route) => (
              <th scope="col" class="right">
                {route}
              </th>
            ))}
            <th scope="col" class="right">
              Together
            </th>
          </tr>
        </thead>
        <tbody>
          {dates.map((at) => (
            <tr>
              <th scope="row">{day(at)}</th>
              {routes.map((route) => {
                const d = of(at, route);
                return <td class="num">{d ? money(d.usd) : NOTHING}</td>;
              })}
              <td class="num">{money(days.filter((d) => d.day === at).reduce((n, d) => n + d.usd, 0))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
};

const Calls: FC<{ ctx: PageContext; calls: CostView[] }> = ({ ctx, calls }) => (
  <div class="wrap">
    <table class="t compact long">
      <caption class="vh">Last calls</caption>
      <thead>
        <tr>
          <th scope="col">When</th>
          <th scope="col">Route</th>
          <th scope="col">Model</th>
          <th scope="col" class="right">
            Tokens in, out
          </th>
          <th scope="col" class="right">
            Took
          </th>
          <th scope="col" class="right">
            Cost
          </th>
          <th scope="col">For</th>
        </tr>
      </thead>
      <tbody>
        {calls.map((call) => (
          <tr data-row={call.call_id}>
            <th scope="row" class="nw">
              <Time ctx={ctx} at={call.at} />
            </th>
            <td>{call.route}</td>
            <td>
              {call.model}
              {call.escalated && <span class="sub"> {call.escalated}</span>}
            </td>
            <td class="num hide">
              {count(call.input_tokens + call.cache_read_tokens + call.cache_write_tokens)}, {count(call.output_tokens)}
            </td>
            <td class="num hide">{latency(call.ms)}</td>
            <td class="num">{money(call.usd)}</td>
            <td class={call.incident_id || call.error ? "full" : "hide"}>
              {call.incident_id ? (
                <Id id={call.incident_id} href={`/incidents/${encodeURIComponent(call.incident_id)}`} />
              ) : (
                NOTHING
              )}
              {call.error && <span class="sub"> {call.error}</span>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

/** Budget: will it last the month? */
export const BudgetPage: FC<{ ctx: PageContext; data: BudgetData }> = ({ ctx, data }) => {
  const state = data.state.ok ? data.state.value : null;
  return (
    <>
      <div class="head">
        <div>
          <h1>{state ? headline(state) : "Budget"}</h1>
          {state && CHANGED[state.rung] && <p class="lead">{CHANGED[state.rung]}</p>}
          <p class="lead">
            Engine: {data.engine ?? "not heard of yet"}. The pool is <code>REVEILLE_CREDIT_POOL_USD</code>
            {state && (
              <>
                ; it starts anew <Time ctx={ctx} at={state.resets_at} as="in" />
              </>
            )}
            .
          </p>
        </div>
      </div>
      <Section ctx={ctx} part={data.state} id="pool">
        {(s) => <PoolBar state={s} />}
      </Section>
      {state && (
        <Section ctx={ctx} part={data.days} title="What is left" id="burn">
          {(days) => <BurnDown state={state} days={days} emptyAt={state.projection?.empty_at ?? null} />}
        </Section>
      )}
      {state && Object.keys(state.by_route).length > 0 && (
        <section aria-label="By route" id="routes" data-live="">
          <h2>By route</h2>
          <Routes routes={Object.entries(state.by_route)} />
        </section>
      )}
      <Section ctx={ctx} part={data.days} title="By day" id="days">
        {(days) => (days.length === 0 ? <p class="muted">No call this month.</p> : <Days days={days} />)}
      </Section>
      <Section ctx={ctx} part={data.calls} title="Last calls" id="calls">
        {(calls) =>
          calls.length === 0 ? (
            <p class="muted">No call yet. Each one is a row here, with what it cost.</p>
          ) : (
            <Calls ctx={ctx} calls={calls} />
          )
        }
      </Section>
    </>
  );
};
