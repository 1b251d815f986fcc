import type { FC } from "hono/jsx";
import type { AuditView } from "../../audit";
import { bytes, count, NOTHING } from "../../kernel/format";
import { type EventView, type LineView, type RunView, type SessionView, STALE_AFTER } from "../../session";
import { Act, Chip, Id, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { LOOK } from "./relay";

export interface SessionData {
  session: SessionView;
  /** Wall ms of this rendering: lines are told in wall time. */
  wall: number;
  audit: Part<AuditView[]>;
}

export const sessionPath = (id: string): string => `/ui/sessions/${encodeURIComponent(id)}`;

const confirmPath = (id: string, act: string, line?: string): string =>
  `${sessionPath(id)}/confirm?${new URLSearchParams({ act, ...(line === undefined ? {} : { line }) })}`;

const StateChip: FC<{ status: string }> = ({ status }) => {
  const look = LOOK[status] ?? { state: "unknown" as const, word: status };
  return <Chip state={look.state} word={look.word} />;
};

/** The answer first: is a run stuck, and does anybody listen? */
function headline({ status, lines }: SessionView): string {
  const who = lines.length === 0 ? "nobody listens" : `${count(lines.length)} ${lines.length === 1 ? "line" : "lines"}`;
  return `${LOOK[status]?.word ?? status}, ${who}.`;
}

const isLive = (status: string): boolean => status === "running" || status === "waiting_approval";

const RunRow: FC<{ ctx: PageContext; run: RunView; expires: number | null }> = ({ ctx, run, expires }) => (
  <tr data-row={run.id}>
    <th scope="row">
      <Id id={run.id} />
      {run.inputs > 1 && <span class="sub">{count(run.inputs)} inputs, one result</span>}
    </th>
    <td>
      <StateChip status={run.status} />
      {run.waits_for && <span class="sub">waits for {run.waits_for}</span>}
      {run.error && (
        <span class="sub">
          <span class="quote">{run.error}</span>
        </span>
      )}
    </td>
    <td class="num">{run.result_bytes === null ? NOTHING : bytes(run.result_bytes)}</td>
    <td class="nw">
      <Time ctx={ctx} at={run.created} />
    </td>
    <td class="nw hide">{run.finished === null ? NOTHING : <Time ctx={ctx} at={run.finished} />}</td>
    <td class="nw hide">{expires === null ? NOTHING : <Time ctx={ctx} at={expires} as="in" />}</td>
  </tr>
);

const LineRow: FC<{ ctx: PageContext; line: LineView; session: string; wall: number }> = (p) => {
  const { ctx, line, wall } = p;
  // Wall time as the page's clock shows it.
  const at = (ms: number): number => ctx.now - (wall - ms) * ctx.rate;
  const stale = line.heard_at === null || wall - line.heard_at > STALE_AFTER;
  return (
    <tr data-row={line.id}>
      <th scope="row">
        <Id id={line.id} />
      </th>
      <td>
        <Chip state={stale ? "unknown" : "ok"} word={stale ? "Stale" : "Live"} />
        {line.lent && <span class="mod"> lent</span>}
      </td>
      <td class="nw">{line.heard_at === null ? NOTHING : <Time ctx={ctx} at={at(line.heard_at)} />}</td>
      <td class="nw hide">{line.opened_at === null ? NOTHING : <Time ctx={ctx} at={at(line.opened_at)} />}</td>
      <td>
        <a href={confirmPath(p.session, "close", line.id)}>Close</a>
      </td>
    </tr>
  );
};

const EventRow: FC<{ ctx: PageContext; e: EventView }> = ({ ctx, e }) => (
  <tr data-row={String(e.seq)}>
    <th scope="row" class="num">
      {e.seq}
    </th>
    <td class="nw">{e.at === null ? NOTHING : <Time ctx={ctx} at={e.at} as="clock" />}</td>
    <td class="nw">{e.type}</td>
    <td class="full one">
      <details id={`e-${e.seq}`}>
        <summary>{e.text.slice(0, 120)}</summary>
        <pre tabindex={0}>{e.text}</pre>
      </details>
    </td>
  </tr>
);

const Heads: FC<{ names: [string, string?][] }> = ({ names }) => (
  <thead>
    <tr>
      {names.map(([name, look]) => (
        <th scope="col" class={look}>
          {name}
        </th>
      ))}
    </tr>
  </thead>
);

/** One session: who talks to whom, how its runs went, who listens, what was said last. */
export const SessionPage: FC<{ ctx: PageContext; data: SessionData }> = ({ ctx, data }) => {
  const { session: s } = data;
  const id = s.session_id;
  return (
    <>
      <div class="head">
        <div>
          <h1>{headline(s)}</h1>
          <p class="lead">
            Session <Id id={id} /> · <a href="/ui/sessions">All sessions</a>
          </p>
        </div>
        <div class="acts">
          {isLive(s.status) ? (
            <a class="btn danger" href={confirmPath(id, "cancel")}>
              Interrupt the run
            </a>
          ) : (
            <a class="btn danger" href={confirmPath(id, "forget")}>
              Forget it
            </a>
          )}
        </div>
      </div>
      <dl class="box">
        <dt>Owner</dt>
        <dd>{s.owner === null ? "nobody signed" : <Id id={s.owner} />}</dd>
        <dt>Agent</dt>
        <dd>
          {s.built_in ? "built in" : "behind the relay"} {s.agent !== null && <Id id={s.agent} />}
        </dd>
        {s.mode !== null && (
          <>
            <dt>Mode</dt>
            <dd>{s.mode}</dd>
          </>
        )}
        <dt>Begun</dt>
        <dd>
          <Time ctx={ctx} at={s.created} />
        </dd>
        <dt>Forgotten</dt>
        <dd>{s.expires === null ? "not while a run goes on" : <Time ctx={ctx} at={s.expires} as="in" />}</dd>
      </dl>
      <section aria-label="Runs" id="runs">
        <h2>Runs</h2>
        {s.runs.length === 0 ? (
          <p class="box">No input yet.</p>
        ) : (
          <div class="wrap">
            <table class="t two">
              <caption class="vh">Runs, newest first</caption>
              <Heads names={[["Run"], ["State"], ["Result"], ["Begun"], ["Ended", "hide"], ["Forgotten", "hide"]]} />
              <tbody>
                {s.runs.map((run) => (
                  <RunRow ctx={ctx} run={run} expires={isLive(run.status) ? null : s.expires} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
      <section aria-label="Lines" id="lines">
        <h2>Lines</h2>
        {s.lines.length === 0 ? (
          <p class="box">Nobody listens. A run goes on without them, and its result waits here.</p>
        ) : (
          <div class="wrap">
            <table class="t two">
              <caption class="vh">Lines, oldest first</caption>
              <Heads names={[["Line"], ["State"], ["Last heard"], ["Opened", "hide"], ["Act"]]} />
              <tbody>
                {s.lines.map((line) => (
                  <LineRow ctx={ctx} line={line} session={id} wall={data.wall} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
      <section aria-label="Event log" id="log">
        <h2>Event log</h2>
        {s.log.tail.length === 0 ? (
          <p class="box">Nothing is logged.</p>
        ) : (
          <>
            <p class="sub">
              {count(s.log.first)} to {count(s.log.last)} are kept; the last {count(s.log.tail.length)} are shown, as
              they were sent.
            </p>
            <div class="wrap">
              <table class="t compact">
                <caption class="vh">Events, oldest first</caption>
                <Heads names={[["Number"], ["Time"], ["Kind"], ["Frame"]]} />
                <tbody>
                  {s.log.tail.map((e) => (
                    <EventRow ctx={ctx} e={e} />
                  ))}
                </tbody>
              </table>
            </div>
          </>
        )}
      </section>
      <Section ctx={ctx} part={data.audit} title="Audit" id="audit">
        {(rows) =>
          rows.length === 0 ? (
            <p class="box">Nobody has acted on it.</p>
          ) : (
            <ul>
              {rows.map((r) => (
                <li>
                  <Time ctx={ctx} at={Date.parse(r.emitted_at)} /> {r.seam}{" "}
                  <span class="sub">
                    {Object.entries(r.details)
                      .filter(([, v]) => typeof v === "string")
                      .map(([k, v]) => `${k} ${String(v).slice(0, 80)}`)
                      .join(" · ")}
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </Section>
    </>
  );
};

const WORDS = {
  close: {
    title: "Close this line?",
    text: "Its client is cut off (4411) and may come back. The run goes on without it. To keep the client out, block its owner.",
    label: "Close the line",
  },
  cancel: {
    title: "Interrupt the run?",
    text: "It ends as interrupted and its client is told so. What it was asked is not answered; this can't be undone.",
    label: "Interrupt the run",
  },
  forget: {
    title: "Forget this session?",
    text: "Results, event log and conversation are deleted now instead of when they expire. Its owner can't fetch them any more; this can't be undone.",
    label: "Forget it",
  },
} as const;

/** What an act does, before it is done. */
export const SessionActPage: FC<{ ctx: PageContext; id: string; act: keyof typeof WORDS; line: string | null }> = (
  p,
) => {
  const words = WORDS[p.act];
  return (
    <div class="form">
      <h1>{words.title}</h1>
      <p class="lead">
        Session <Id id={p.id} />
        {p.line !== null && (
          <>
            , line <Id id={p.line} />
          </>
        )}
        . {words.text}
      </p>
      <div class="acts">
        <Act
          ctx={p.ctx}
          action={`${sessionPath(p.id)}/act`}
          label={words.label}
          kind="danger"
          fields={{ act: p.act, ...(p.line === null ? {} : { line: p.line }) }}
        />
        <a href={sessionPath(p.id)} data-up>
          Leave it
        </a>
      </div>
    </div>
  );
};
