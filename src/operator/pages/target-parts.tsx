import type { FC } from "hono/jsx";
import { duration, latency } from "../../kernel/format";
import type { Beat, IncidentView, Json, Target } from "../../watch";
import { Chip, Snippet, Time } from "../components";
import type { PageContext } from "../context";
import { reasonWord, type State } from "../state";

/** The sections of a target's page. */

export const path = (t: Target): string => `/targets/${encodeURIComponent(t.id)}`;

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

/** What the settings section shows beside the target itself. */
export interface SettingsData {
  target: Target;
  policy: { confirm: number; confirm_unreachable: number; recover: number };
  envelope: string;
  credentials: { role: string; binding: string; present: boolean }[];
}

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

export const Look: FC<{ ctx: PageContext; look: LastLook }> = ({ ctx, look }) => (
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

export const BeatBox: FC<{ ctx: PageContext; d: { url: string | null; beat: Beat | null } | null }> = ({ ctx, d }) => {
  if (!d) return null;
  const { url, beat } = d;
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
            <Snippet
              id="beat-cron"
              label="In a crontab"
              text={`0 3 * * * backup.sh && curl -fsS -m 10 --retry 3 ${url}`}
            />
            <p class="sub">
              <code>/start</code> at its end announces a run, <code>/fail</code> or an exit code such as <code>/1</code>{" "}
              reports a failure. Whoever knows this address can report in.
            </p>
          </>
        )}
      </div>
    </section>
  );
};

export const Settings: FC<{ d: SettingsData }> = ({ d }) => {
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

export const Past: FC<{ ctx: PageContext; rows: IncidentView[] }> = ({ ctx, rows }) =>
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
