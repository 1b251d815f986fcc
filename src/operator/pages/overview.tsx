import type { FC } from "hono/jsx";
import { count, duration, latency, NOTHING, percent, THIN } from "../../kernel/format";
import type { Uptime } from "../../watch";
import { Pager, Section, StateLine, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Sparkline, UptimeBar } from "../graphs";
import type { Counts, OverviewRow } from "../overview";
import { STATE_WORD, STATES, type State } from "../state";
import type { OverviewFacts } from "../targets.store";
import { FirstSteps } from "./first-steps";

export interface OverviewTargets {
  /** The rows of this page, already sorted, filtered and cut. */
  rows: OverviewRow[];
  counts: Counts;
  /** Targets that match the filter, and in all. */
  matching: number;
  total: number;
  page: number;
  pages: number;
}

export interface OverviewData {
  targets: Part<OverviewTargets>;
  facts: Part<OverviewFacts>;
  state: State | null;
  text: string;
}

/** The answer in words: what is wrong, or since when nothing was. */
export function verdict(t: OverviewTargets, f: OverviewFacts | null, now: number): string {
  if (t.total === 0) return "Reveille is awake and watches nothing yet.";
  const wrong = (["down", "degraded", "unknown"] as const).filter((s) => t.counts[s] > 0);
  if (wrong.length > 0) return wrong.map((s) => `${count(t.counts[s])} ${STATE_WORD[s].toLowerCase()}`).join(", ");
  const busy = t.counts.maintenance;
  const all =
    busy > 0
      ? `${count(t.counts.ok)} OK, ${busy} in maintenance.`
      : t.total === 1
        ? "It is OK."
        : `All ${count(t.total)} OK.`;
  const last = f?.last_fault;
  if (!last) return `${all} No fault yet.`;
  const ago = duration(now - last.resolved_at).split(" ")[0] ?? "";
  return `${all} Last fault ${ago} ago: ${last.target_name}, ${duration(last.resolved_at - last.first_bad_at)}.`;
}

/** `99.98 %`, marked `*` when less than 98 % of the time was seen. */
export const uptimeText = (u: Uptime): string =>
  u.percent === null ? NOTHING : `${percent(u.percent, 100)}${u.partial ? "*" : ""}`;

const Up: FC<{ u: Uptime }> = ({ u }) => {
  const seen = u.coverage === null ? "not seen yet" : `seen ${percent(u.coverage, 1)} of the time`;
  return <span title={seen}>{uptimeText(u)}</span>;
};

/** A heartbeat has no latency: it says when it was last heard and when it is due. */
const Beat: FC<{ ctx: PageContext; row: OverviewRow }> = ({ ctx, row }) => {
  const { beat_at, beat_period_s } = row.line;
  if (beat_at === null) return <span class="muted">no beat yet</span>;
  const next = beat_period_s === null ? null : beat_at + beat_period_s * 1000;
  return (
    <>
      <Time ctx={ctx} at={beat_at} />
      {next !== null && (
        <>
          , next <Time ctx={ctx} at={next} as="in" />
        </>
      )}
    </>
  );
};

const Row: FC<{ ctx: PageContext; row: OverviewRow }> = ({ ctx, row }) => {
  const { line, view } = row;
  const href = `/targets/${encodeURIComponent(line.id)}`;
  const last = row.spark.findLast((v) => v !== null) ?? row.latest?.latency_ms ?? null;
  return (
    <tr data-row={line.id} id={`t-${line.num}`}>
      <th scope="row">
        <a class="name" href={href}>
          {line.name}
        </a>{" "}
        <span class="sub">{line.kind}</span>
      </th>
      <td class="st">
        <StateLine ctx={ctx} view={view} />
        {line.incident_id && (
          <>
            {" "}
            <a class="sub" href={`/incidents/${encodeURIComponent(line.incident_id)}`}>
              incident
            </a>
          </>
        )}
      </td>
      <td class="num hide">
        <Time ctx={ctx} at={line.since} as="for" />
      </td>
      <td class="num hide">{line.kind === "heartbeat" ? NOTHING : latency(row.latest?.latency_ms)}</td>
      <td class="hide">
        {line.kind === "heartbeat" ? (
          <Beat ctx={ctx} row={row} />
        ) : (
          <Sparkline values={row.spark} label={`Latency of 24 hours, now ${latency(last)}`} />
        )}
      </td>
      <td class="full">
        <UptimeBar days={row.days} />
      </td>
      <td class="num sub">
        <Up u={row.up24} /> · <Up u={row.up30} />
      </td>
    </tr>
  );
};

const Filters: FC<{ data: OverviewData; t: OverviewTargets }> = ({ data, t }) => {
  const shown = STATES.filter((s) => t.counts[s] > 0);
  const to = (s: State | null): string => {
    const q = new URLSearchParams();
    if (s) q.set("state", s);
    if (data.text) q.set("q", data.text);
    const text = q.toString();
    return text ? `/?${text}` : "/";
  };
  const cycle = [null, ...shown];
  const next = cycle[(cycle.indexOf(data.state) + 1) % cycle.length] ?? null;
  return (
    <form method="get" action="/" class="chips">
      <label class="vh" for="filter">
        Filter targets
      </label>
      <input id="filter" name="q" type="search" placeholder="Filter targets" value={data.text} data-filter />
      {data.state && <input type="hidden" name="state" value={data.state} />}
      <a class="btn" href={to(null)} aria-current={data.state === null ? "true" : undefined}>
        All <span class="n">{count(t.total)}</span>
      </a>
      {shown.map((s) => (
        <a class="btn" href={to(s)} aria-current={data.state === s ? "true" : undefined}>
          {STATE_WORD[s]} <span class="n">{count(t.counts[s])}</span>
        </a>
      ))}
      <a href={to(next)} data-key="f" hidden>
        Next state
      </a>
    </form>
  );
};

const Table: FC<{ ctx: PageContext; data: OverviewData; t: OverviewTargets }> = ({ ctx, data, t }) => {
  const fine = t.rows.filter((r) => r.view.state === "ok" && r.view.modifiers.length === 0);
  const rest = t.rows.filter((r) => !fine.includes(r));
  const compact = t.matching > 50;
  const page = (n: number): string => {
    const q = new URLSearchParams({ page: String(n) });
    if (data.state) q.set("state", data.state);
    if (data.text) q.set("q", data.text);
    return `/?${q}`;
  };
  if (t.rows.length === 0)
    return (
      <p class="box">
        No target matches. <a href="/">Show all {count(t.total)}</a>
      </p>
    );
  return (
    <>
      <input type="checkbox" class="foldbox" id="show-fine" checked={fine.length > 0 && rest.length === 0} />{" "}
      <label for="show-fine" class="fold">
        Show {count(fine.length)} OK
      </label>
      <div class="wrap">
        <table class={`t ${compact ? "compact" : "two"}${t.rows.length > 30 ? " long" : ""}`}>
          <caption class="vh">Targets, worst first</caption>
          <thead>
            <tr>
              <th scope="col">Target</th>
              <th scope="col">State</th>
              <th scope="col" class="right">
                For
              </th>
              <th scope="col" class="right">
                p50 now
              </th>
              <th scope="col">Latency 24{THIN}h</th>
              <th scope="col">30 days</th>
              <th scope="col" class="right">
                Uptime 24{THIN}h · 30{THIN}d
              </th>
            </tr>
          </thead>
          {rest.length > 0 && (
            <tbody>
              {rest.map((row) => (
                <Row ctx={ctx} row={row} />
              ))}
            </tbody>
          )}
          {fine.length > 0 && (
            <tbody class="fine">
              {fine.map((row) => (
                <Row ctx={ctx} row={row} />
              ))}
            </tbody>
          )}
        </table>
      </div>
      <Pager
        prev={t.page > 1 ? page(t.page - 1) : null}
        next={t.page < t.pages ? page(t.page + 1) : null}
        what={`200 of ${count(t.matching)}`}
      />
    </>
  );
};

/** Only tiles that say something: a healthy page is quiet. */
const Tiles: FC<{ facts: OverviewFacts; unread: number }> = ({ facts, unread }) => {
  const tiles: { n: number; what: string; href: string }[] = [
    { n: facts.open, what: facts.open === 1 ? "open incident" : "open incidents", href: "/incidents" },
    {
      n: facts.dead_letters,
      what: facts.dead_letters === 1 ? "dead letter" : "dead letters",
      href: "/dead-letters",
    },
    { n: unread, what: "unread", href: "/inbox" },
  ];
  const said = tiles.filter((x) => x.n > 0);
  return said.length === 0 ? null : (
    <ul class="tiles">
      {said.map((x) => (
        <li>
          <a href={x.href}>
            <b class="num">{count(x.n)}</b>
            {x.what}
          </a>
        </li>
      ))}
    </ul>
  );
};

/** Overview: is anything wrong, and does it need me? */
export const OverviewPage: FC<{ ctx: PageContext; data: OverviewData; unread: number }> = ({ ctx, data, unread }) => {
  const { targets, facts } = data;
  const known = facts.ok ? facts.value : null;
  const waiting = known?.unacked ?? null;
  const empty = targets.ok && targets.value.total === 0;
  return (
    <>
      <div class="head" id="verdict" data-live>
        <div>
          <h1>{targets.ok ? verdict(targets.value, known, ctx.now) : "The targets can't be read"}</h1>
          {waiting && (
            <p class="lead">
              Waits for you: <a href={`/incidents/${encodeURIComponent(waiting.id)}`}>{waiting.title}</a>
            </p>
          )}
        </div>
        {!empty && (
          <div class="acts">
            <a class="btn" href="/ui/new" data-key="n" aria-keyshortcuts="n">
              Watch something
            </a>
          </div>
        )}
      </div>
      {facts.ok ? (
        <div id="tiles" data-live>
          <Tiles facts={facts.value} unread={unread} />
        </div>
      ) : (
        <Section ctx={ctx} part={facts} title="Incidents">
          {() => null}
        </Section>
      )}
      <Section ctx={ctx} part={targets}>
        {(t) =>
          t.total === 0 ? (
            <FirstSteps told={known?.told ?? false} connected={known?.connected ?? false} />
          ) : (
            <>
              <Filters data={data} t={t} />
              <div id="targets" data-live>
                <Table ctx={ctx} data={data} t={t} />
              </div>
              {t.rows.some((r) => r.up24.partial || r.up30.partial) && (
                <p class="sub">
                  * less than 98{THIN}% of the time was seen; unknown and maintenance are left out of uptime.
                </p>
              )}
            </>
          )
        }
      </Section>
    </>
  );
};
