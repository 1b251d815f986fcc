import type { FC } from "hono/jsx";
import { count, duration, latency, NOTHING, percent, ratio } from "../../kernel/format";
import { plain } from "../../notify";
import type { DirectionRow, ProbeRow, Summary } from "../../slo";
import { Act, Chip, Id, Section, Snippet, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { State } from "../state";
import { Table } from "./connector-parts";

/** The wake SLO: is the objective kept in each direction, and how much budget is left? */

export interface SloLine {
  row: DirectionRow;
  coverage: number | null;
  windows: Record<"6h" | "24h" | "28d", Summary>;
  breaches: { reason: string; severity: string; text: string }[];
  last: ProbeRow | null;
  failures: ProbeRow[];
}

const LEVELS = [
  ["l1", "wake taken"],
  ["l2", "picked up"],
  ["l3", "answered"],
  ["l4", "seen and closed"],
] as const;

const CLASSES: Record<NonNullable<ProbeRow["error_class"]>, string> = {
  wake_push_failed: "the wake was not taken",
  ack_timeout: "not delivered within 60 s",
  reply_timeout: "delivered, not answered within 30 s",
  error_envelope: "the answer said it is an error",
  protocol_mismatch: "another text, or another sender",
  unexplained_hang: "no reason known",
  config_error: "our key, agent or URL was refused; not counted",
};

/** Below 80 % of the planned probes nothing is claimed, and below 30 of them neither. */
function verdict({ row, coverage, windows, breaches }: SloLine): [State, string] {
  const day = windows["24h"];
  if (row.paused === 1) return ["maintenance", "Paused"];
  if (breaches.some((b) => b.severity === "critical")) return ["down", "Missed"];
  if (coverage !== null && coverage < 0.8) return ["unknown", "Can't tell: too few probes ran"];
  if (day.few) return ["unknown", day.n === 0 ? "No probe yet" : `Too few to judge: ${day.n} of 30`];
  if (breaches.length > 0 || day.met === false) return ["degraded", "Missed"];
  return LEVELS.some(([l]) => day.levels[l].met === false) ? ["degraded", "Slow"] : ["ok", "Kept"];
}

function headline(lines: SloLine[]): string {
  if (lines.length === 0) return "No agent is probed yet.";
  const of = (...states: State[]): string[] =>
    lines.filter((l) => states.includes(verdict(l)[0])).map((l) => l.row.code);
  const missed = of("down", "degraded");
  if (missed.length > 0)
    return `${missed.join(" and ")} ${missed.length === 1 ? "misses its" : "miss their"} objective.`;
  const open = of("unknown");
  if (open.length > 0) return `No verdict on ${open.join(" and ")}.`;
  const paused = of("maintenance").join(" and ");
  return paused ? `${of("ok").length > 0 ? "The objective is kept; " : ""}${paused} paused.` : "The objective is kept.";
}

const LastProbe: FC<{ ctx: PageContext; p: ProbeRow }> = ({ ctx, p }) => (
  <>
    <span role="img" class="nw" aria-label={`level ${p.level} of 4`}>
      {LEVELS.map(([l]) => (p[`${l}_ms`] !== null ? "●" : "○")).join(" ")}
    </span>{" "}
    {p.status === "running" ? "under way" : `L${p.level} of L4`}, <Time ctx={ctx} at={p.started_at_ms} />
    {p.error_class && `: ${CLASSES[p.error_class]}`}{" "}
    <span class="mod">
      {LEVELS.filter(([l]) => p[`${l}_ms`] !== null)
        .map(([l]) => `${l.toUpperCase()} ${latency(p[`${l}_ms`])}`)
        .join(" · ")}
      {p.l2_known === 0 && p.status !== "running" && " · L2 not told by the peer"}
    </span>
  </>
);

const Rate: FC<{ of: Summary }> = ({ of: s }) => (
  <>
    {s.n === 0
      ? NOTHING
      : `${percent(s.n - s.failed, s.n)} of ${count(s.n)} probes, goal ${ratio(s.target).replace(".00", "")}`}
    {s.excluded > 0 && `; ${s.excluded} not counted`}
  </>
);

const left = (share: number | null): string =>
  share === null ? NOTHING : share < 0 ? `overspent by ${count(Math.round(-share * 100))} %` : ratio(share);
const times = (burn: number | null): string => (burn === null ? NOTHING : `${burn.toFixed(1)}×`);

const Direction: FC<{ ctx: PageContext; line: SloLine }> = ({ ctx, line }) => {
  const { row, coverage, windows, breaches, last, failures } = line;
  const day = windows["24h"];
  const [state, word] = verdict(line);
  const act = (verb: string, label: string, kind?: "go") => (
    <Act ctx={ctx} action={`/slo/${row.code}/${verb}`} label={label} {...(kind ? { kind } : {})} />
  );
  return (
    <section aria-labelledby={row.code}>
      <h2 id={row.code}>
        {row.code} <Chip state={state} word={word} />
      </h2>
      <p class="sub">
        {row.peer_kind}, every {duration(row.every_s * 1000)}: <Id id={plain(row.from_agent)} /> to{" "}
        <Id id={plain(row.to_agent)} />
      </p>
      {row.paused === 0 && breaches.length > 0 && (
        <div class="box err">
          {breaches.map((b) => (
            <div>
              {b.text} <a href={`/targets/reveille-slo-${b.reason}-${row.code.toLowerCase()}`}>{b.reason}</a>
            </div>
          ))}
        </div>
      )}
      <dl class="box">
        <dt>Last probe</dt>
        <dd>{last ? <LastProbe ctx={ctx} p={last} /> : "none yet; it runs within a minute of its slot"}</dd>
        <dt>24 h</dt>
        <dd>
          <Rate of={day} />
        </dd>
        <dt>28 d</dt>
        <dd>
          <Rate of={windows["28d"]} />
        </dd>
        <dt>Budget left</dt>
        <dd>
          {left(day.budget_remaining)} of 24 h, {left(windows["28d"].budget_remaining)} of 28 d
        </dd>
        <dt>Burn</dt>
        <dd>
          {times(windows["6h"].burn)} over 6 h, {times(day.burn)} over 24 h
        </dd>
        <dt>Coverage</dt>
        <dd>
          {row.paused === 1
            ? "not judged while paused"
            : coverage === null
              ? "told from the fourth slot on"
              : `${ratio(coverage)} of the planned probes ran`}
        </dd>
      </dl>
      <Table small caption={`${row.code}: time to each level in 24 h`} heads={["Level, 24 h", "p50", "p95", "Goal"]}>
        {LEVELS.map(([l, what]) => {
          const { n, p50_ms, p95_ms, objective_ms, met } = day.levels[l];
          const time = (ms: number | null) => (n > 0 && ms === null ? "never" : latency(ms));
          return (
            <tr>
              <th scope="row">
                {l.toUpperCase()} <span class="sub">{what}</span>
              </th>
              <td class="num">{time(p50_ms)}</td>
              <td class="num">{time(p95_ms)}</td>
              <td class="num">
                {latency(objective_ms)}
                {met === false && (
                  <>
                    <br />
                    <b>missed</b>
                  </>
                )}
              </td>
            </tr>
          );
        })}
      </Table>
      {failures.length > 0 && (
        <>
          <h3>Failures in 24 h</h3>
          <ul>
            {failures.map((p) => (
              <li>
                {day.classes[p.error_class!] ?? 1}× {CLASSES[p.error_class!]}{" "}
                <span class="mod">
                  {p.error_class}
                  {p.responder_status && p.responder_status !== "ok" && ` · ${plain(p.responder_status)}`}
                </span>
                , last <Time ctx={ctx} at={p.started_at_ms} />
                {p.session_id && (
                  <>
                    {" "}
                    in session <Id id={plain(p.session_id)} />
                  </>
                )}
              </li>
            ))}
          </ul>
        </>
      )}
      <div class="acts">
        {row.paused === 1 ? (
          act("resume", "Resume", "go")
        ) : (
          <>
            {act("run", "Run now")}
            {act("pause", "Pause")}
          </>
        )}
      </div>
    </section>
  );
};

const setUp = (url: string): string => `curl -X PUT ${url}/api/v1/slo/directions/C2L \\
  -H "authorization: Bearer $OPERATOR_TOKEN" -H 'content-type: application/json' \\
  -d '{"from_agent": "ID", "to_agent": "ID", "peer_kind": "embedded"}'`;

export const SloPage: FC<{ ctx: PageContext; lines: Part<SloLine[]>; public_url: string }> = (p) => (
  <>
    <div class="head">
      <div>
        <h1>{p.lines.ok ? headline(p.lines.value) : "SLO"}</h1>
        <p class="lead">
          A probe is a real message over the real wake; no model sees it. Goal: 95 % of 24 h answered.{" "}
          <a href="/messaging">Messaging</a>
        </p>
      </div>
    </div>
    <Section ctx={p.ctx} part={p.lines} id="directions">
      {(lines) =>
        lines.length === 0 ? (
          <div class="box">
            <p>
              Make two <a href="/messaging">agents</a> and a <a href="/messaging/hooks">wake hook</a> for each, then say
              who probes whom. The first probe runs within a minute.
            </p>
            <Snippet id="set" text={setUp(p.public_url)} label="Set a direction" />
          </div>
        ) : (
          lines.map((line) => <Direction ctx={p.ctx} line={line} />)
        )
      }
    </Section>
  </>
);
