import type { FC } from "hono/jsx";
import { count, dayTime, duration, latency, NOTHING } from "../../kernel/format";
import type { Beat, IncidentView, Json, Target, Uptime } from "../../watch";
import { type ChartData, LatencyChart } from "../chart";
import { Act, Chip, Guard, Section, Snippet, StateLine, Time } from "../components";
import type { PageContext, Part } from "../context";
import { UptimeBar } from "../graphs";
import { reasonWord, type State, type StateView } from "../state";
import { uptimeText } from "./overview";

export interface LastLook {
  at: number;
  state: State;
  reason: string;
  latency_ms: number | null;
  error: string | null;
  details: Record<string, Json>;
  /** When the details were seen; packs do not keep those of every healthy look. */
  details_at: number | null;
  rehearsal: boolean;
}

export interface TargetData {
  target: Target;
  view: StateView;
  since: number;
  incident: { id: string; title: string } | null;
  next_look_at: number | null;
  policy: { confirm: number; confirm_unreachable: number; recover: number };
  envelope: string;
  credentials: { role: string; binding: string; present: boolean }[];
  beat: { url: string | null; beat: Beat | null } | null;
  look: Part<LastLook | null>;
  range: Range;
  chart: Part<ChartData>;
  history: Part<{ days: (State | null)[]; titles: string[]; up24: Uptime; up30: Uptime; from: number }>;
  incidents: Part<IncidentView[]>;
}

export const RANGES = ["2h", "24h", "7d", "30d", "400d"] as const;
export type Range = (typeof RANGES)[number];

const path = (t: Target): string => `/targets/${encodeURIComponent(t.id)}`;

const Actions: FC<{ ctx: PageContext; d: TargetData }> = ({ ctx, d }) => {
  const { target: t } = d;
  const at = path(t);
  const own = t.source === "builtin";
  const muted = (t.muted_until ?? 0) > ctx.now;
  return (
    <div class="acts">
      {!own && !t.paused && <Act ctx={ctx} action={`${at}/look`} label="Look now" kind="go" hotkey="r" press />}
      {!own && (
        <Act
          ctx={ctx}
          action={`${at}/${t.paused ? "resume" : "pause"}`}
          label={t.paused ? "Resume" : "Pause"}
          title={t.paused ? "Looks again from the next cycle" : "Stops looking; an open incident is closed quietly"}
        />
      )}
      <Act
        ctx={ctx}
        action={`${at}/mute`}
        label={muted ? "Unmute" : "Mute 1 h"}
        fields={{ minutes: muted ? "0" : "60" }}
        title={muted ? "Notices are pushed again" : "For 1 h its notices go to the inbox only"}
      />
      {!own && !t.paused && (
        <Act
          ctx={ctx}
          action={`${at}/rehearse`}
          label="Rehearse a fault"
          title="Feeds made-up bad looks to this target, then good ones; every notice and row says rehearsal; left out of uptime"
        />
      )}
    </div>
  );
};

const Now: FC<{ ctx: PageContext; d: TargetData }> = ({ ctx, d }) => {
  const { target: t } = d;
  if (t.paused) return <>Paused: nobody looks.</>;
  if (t.kind === "internal") return <>Computed by Reveille itself every minute.</>;
  return (
    <>
      For <Time ctx={ctx} at={d.since} as="for" />
      {d.next_look_at !== null && (
        <>
          {" · "}next look <Time ctx={ctx} at={d.next_look_at} as="in" />
        </>
      )}
      {" · "}every {duration(t.every_s * 1000)}
    </>
  );
};

const DetailRows: FC<{ value: Record<string, Json> }> = ({ value }) => (
  <dl>
    {Object.entries(value).map(([k, v]) => (
      <>
        <dt>{k}</dt>
        <dd>{typeof v === "object" && v !== null ? <code>{JSON.stringify(v)}</code> : String(v)}</dd>
      </>
    ))}
  </dl>
);

const Look: FC<{ ctx: PageContext; look: LastLook }> = ({ ctx, look }) => (
  <div class="box">
    <p>
      <Chip state={look.state} /> <Time ctx={ctx} at={look.at} />
      {look.latency_ms !== null && <> · {latency(look.latency_ms)}</>}
      {look.rehearsal && " · rehearsal"}
      {look.reason !== "ok" && (
        <>
          {" · "}
          {reasonWord(look.reason)} <code class="muted">{look.reason}</code>
        </>
      )}
    </p>
    {look.error && <p>{look.error}</p>}
    {Object.keys(look.details).length > 0 && (
      <>
        {look.details_at !== null && look.details_at !== look.at && (
          <p class="sub">
            Details seen <Time ctx={ctx} at={look.details_at} />
          </p>
        )}
        <DetailRows value={look.details} />
        <details id="raw">
          <summary class="sub">As stored (redacted)</summary>
          <pre tabindex={0}>{JSON.stringify(look.details, null, 2)}</pre>
        </details>
      </>
    )}
  </div>
);

const BeatBox: FC<{ ctx: PageContext; d: TargetData }> = ({ ctx, d }) => {
  if (!d.beat) return null;
  const { url, beat } = d.beat;
  return (
    <section aria-label="How to report in">
      <h2>How to report in</h2>
      <div class="box">
        {beat?.last_at ? (
          <p>
            Last beat <Time ctx={ctx} at={beat.last_at} /> ({beat.last_kind}
            {beat.duration_ms !== null && <>, the run took {duration(beat.duration_ms)}</>}).
            {beat.note && (
              <>
                {" "}
                It said: <span class="quote">{beat.note}</span>
              </>
            )}
          </p>
        ) : (
          <p>No beat yet.</p>
        )}
        {url === null ? (
          <p class="muted">
            <code>REVEILLE_BEAT_KEY</code> is not set, so there is no address to report to.
          </p>
        ) : (
          <>
            <Snippet id="beat-url" label="Address" text={url} />
            <Snippet id="beat-curl" label="At the end of a job" text={`curl -fsS -m 10 --retry 3 ${url}`} />
            <Snippet id="beat-cron" label="In a crontab" text={`0 3 * * * backup.sh && curl -fsS -m 10 --retry 3 ${url}`} />
            <p class="sub">
              <code>/start</code> at its end announces a run, <code>/fail</code> or an exit code such as <code>/1</code> reports a
              failure. Whoever knows this address can report in.
            </p>
          </>
        )}
      </div>
    </section>
  );
};

const Settings: FC<{ ctx: PageContext; d: TargetData }> = ({ d }) => {
  const { target: t, policy: p } = d;
  return (
    <section aria-label="Settings">
      <h2>Settings</h2>
      <div class="box">
        <dl>
          <dt>Id</dt>
          <dd>
            <code>{t.id}</code>
          </dd>
          <dt>Kind</dt>
          <dd>{t.kind}</dd>
          <dt>Every</dt>
          <dd>{duration(t.every_s * 1000)}</dd>
          <dt>Confirmed by</dt>
          <dd>
            {p.confirm} bad looks, {p.confirm_unreachable} without an answer
          </dd>
          <dt>Recovered by</dt>
          <dd>{p.recover} good looks</dd>
          <dt>Fix envelope</dt>
          <dd>{d.envelope}</dd>
          {d.credentials.map((c) => (
            <>
              <dt>{c.role}</dt>
              <dd>
                <code>{c.binding}</code> {c.present ? "present" : <b>missing</b>}
                {!c.present && (
                  <div class="sub">
                    Set it: <code>npx wrangler secret put {c.binding}</code>, locally a line in <code>.dev.vars</code>
                  </div>
                )}
              </dd>
            </>
          ))}
          {Object.entries(t.config).map(([k, v]) => (
            <>
              <dt>{k}</dt>
              <dd>
                <code>{typeof v === "string" ? v : JSON.stringify(v)}</code>
              </dd>
            </>
          ))}
        </dl>
      </div>
      {t.source !== "builtin" && (
        <p>
          <a href={`${path(t)}/delete`}>Delete this target</a>
        </p>
      )}
    </section>
  );
};

const Past: FC<{ ctx: PageContext; rows: IncidentView[] }> = ({ ctx, rows }) =>
  rows.length === 0 ? (
    <p class="muted">No incident yet.</p>
  ) : (
    <div class="wrap">
      <table class="t two">
        <caption class="vh">Incidents of this target, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Incident</th>
            <th scope="col">Opened</th>
            <th scope="col" class="right">
              Lasted
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((i) => (
            <tr data-row={i.id}>
              <th scope="row">
                <a class="name" href={`/incidents/${encodeURIComponent(i.id)}`}>
                  {i.title}
                </a>
                <span class="sub">
                  {i.severity}
                  {i.rehearsal && " · rehearsal"}
                  {i.state !== "resolved" && ` · ${i.state}`}
                </span>
              </th>
              <td>
                <Time ctx={ctx} at={Date.parse(i.opened_at)} />
              </td>
              <td class="num">{i.downtime_ms === null ? "open" : duration(i.downtime_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

/** One target: how is it now, and since when? */
export const TargetPage: FC<{ ctx: PageContext; data: TargetData }> = ({ ctx, data: d }) => {
  const { target: t } = d;
  return (
    <>
      <div class="head" id="head" data-live>
        <div>
          <h1>{t.name}</h1>
          <p class="lead">
            <StateLine ctx={ctx} view={d.view} />
            {d.incident && (
              <>
                {" "}
                <a href={`/incidents/${encodeURIComponent(d.incident.id)}`}>{d.incident.title}</a>
              </>
            )}
          </p>
          <p class="lead">
            <Now ctx={ctx} d={d} />
          </p>
        </div>
        <Actions ctx={ctx} d={d} />
      </div>
      {t.kind !== "heartbeat" && t.kind !== "internal" && (
        <>
          <ul class="tabs" aria-label="Range">
            {RANGES.map((r) => (
              <li>
                <a href={`${path(t)}?range=${r}`} aria-current={r === d.range ? "true" : undefined}>
                  {r.replace(/(\d+)(\w)/, "$1 $2")}
                </a>
              </li>
            ))}
          </ul>
          <Section ctx={ctx} part={d.chart} title="Latency" id="latency">
            {(chart) => <LatencyChart ctx={ctx} data={chart} />}
          </Section>
        </>
      )}
      <BeatBox ctx={ctx} d={d} />
      <Section ctx={ctx} part={d.history} title="30 days" id="uptime">
        {(h) => (
          <div class="wide">
            <UptimeBar days={h.days} titles={h.titles} />
            <p class="ends sub num">
              <span>{dayTime(h.from, ctx.zone, ctx.now).split(" ").slice(0, 2).join(" ")}</span>
              <span>
                24 h {uptimeText(h.up24)} · 30 d {uptimeText(h.up30)}
              </span>
              <span>today</span>
            </p>
          </div>
        )}
      </Section>
      <Section ctx={ctx} part={d.look} title="Last look" id="look">
        {(look) =>
          look ? (
            <Look ctx={ctx} look={look} />
          ) : (
            <p class="box">
              {d.next_look_at !== null ? (
                <>
                  First look <Time ctx={ctx} at={d.next_look_at} as="in" />. Or look now.
                </>
              ) : (
                NOTHING
              )}
            </p>
          )
        }
      </Section>
      <Section ctx={ctx} part={d.incidents} title="Incidents" id="incidents">
        {(rows) => <Past ctx={ctx} rows={rows} />}
      </Section>
      <Settings ctx={ctx} d={d} />
      <a href="/" data-up hidden>
        Overview
      </a>
    </>
  );
};

/** Deleting can't be undone: the page says what goes, what stays, and asks for the name. */
export const DeletePage: FC<{ ctx: PageContext; target: Target; incidents: number; problem?: string }> = (p) => {
  const { ctx, target: t, incidents } = p;
  return (
    <div class="form">
      <h1>Delete {t.name}?</h1>
      <p class="lead">
        Reveille stops looking at it at once; its state, settings and beat address go, and an open incident is closed. Its{" "}
        {count(incidents)} incidents, their notices and the audit rows stay. This can't be undone.
      </p>
      {p.problem && (
        <p class="box err" role="alert">
          {p.problem}
        </p>
      )}
      <form method="post" action={`${path(t)}/delete`}>
        <Guard ctx={ctx} />
        <div class="field">
          <label for="name">
            Type its name: <code>{t.name}</code>
          </label>
          <input id="name" name="name" required autocomplete="off" spellcheck={false} />
        </div>
        <div class="acts">
          <button type="submit" class="danger">
            Delete
          </button>
          <a href={path(t)} data-up>
            Keep it
          </a>
        </div>
      </form>
    </div>
  );
};

