import type { Child, FC } from "hono/jsx";
import { clockTime, day, duration, latency, money } from "../../kernel/format";
import type { InvestigationView } from "../../reason";
import type { IncidentView, TimelineRow } from "../../watch";
import { type ChartData, LatencyChart } from "../chart";
import { Act, Chip, Id, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { WakeNote } from "../incidents.store";
import { offset, storyOf, TimelineList } from "../timeline";
import { ApproveBox, type FixData } from "./approve";
import { incidentState, noticeWord } from "./incidents";
import { Thinks } from "./thinks";

export interface IncidentData {
  incident: IncidentView;
  /** "story" leaves out single looks and wakes that only repeat a notice. */
  view: "story" | "everything";
  timeline: Part<TimelineRow[]>;
  wake: Part<WakeNote | null>;
  investigation: Part<InvestigationView | null>;
  fixes: Part<FixData>;
  told: { at: number; channel: string } | null;
  chart: Part<ChartData | null>;
  others: Part<{ id: string; target_name: string; title: string; opened_at: number; resolved_at: number | null }[]>;
  past: Part<IncidentView[]>;
  /** The target still exists. */
  target: boolean;
}

const Facts: FC<{ ctx: PageContext; d: IncidentData }> = ({ ctx, d }) => {
  const { incident: i } = d;
  const zero = Date.parse(i.first_bad_at);
  const at = (iso: string | null): Child =>
    iso === null ? (
      <span class="muted">not yet</span>
    ) : (
      <>
        <Time ctx={ctx} at={Date.parse(iso)} as="clock" /> <span class="sub">{offset(Date.parse(iso) - zero)}</span>
      </>
    );
  return (
    <section class="box" aria-labelledby="facts" id="facts-box" data-live>
      <h2 id="facts">Facts</h2>
      <dl>
        <dt>Target</dt>
        <dd>
          {d.target ? (
            <a href={`/targets/${encodeURIComponent(i.target_id)}`}>{i.target_name}</a>
          ) : (
            `${i.target_name} (deleted)`
          )}
        </dd>
        <dt>First bad</dt>
        <dd>
          <Time ctx={ctx} at={zero} as="clock" /> <span class="sub">{day(zero, ctx.zone)}</span>
        </dd>
        <dt>Confirmed</dt>
        <dd>{at(i.opened_at)}</dd>
        <dt>Notified</dt>
        <dd>
          {at(d.told ? new Date(d.told.at).toISOString() : null)} {d.told && <span class="sub">{d.told.channel}</span>}
        </dd>
        <dt>Acked</dt>
        <dd>
          {at(i.acked_at)} {i.acked_by && <span class="sub">by {i.acked_by}</span>}
        </dd>
        <dt>Recovered</dt>
        <dd>{at(i.resolved_at)}</dd>
        <dt>Downtime</dt>
        <dd>{i.downtime_ms === null ? <Time ctx={ctx} at={zero} as="for" /> : duration(i.downtime_ms)}</dd>
        <dt>Cost</dt>
        <dd>{money(i.cost_usd)}</dd>
        <dt>Latency then</dt>
        <dd>{latency(i.first_snapshot?.latency_ms)}</dd>
        {d.wake.ok && d.wake.value && (
          <>
            <dt>Wake</dt>
            <dd>
              <Id id={d.wake.value.wake_id} href={`/audit?q=${encodeURIComponent(`wake:${d.wake.value.wake_id}`)}`} />
            </dd>
            <dt>Notice</dt>
            <dd>{noticeWord(d.wake.value)}</dd>
          </>
        )}
        <dt>Incident</dt>
        <dd>
          <Id id={i.id} href={`/audit?q=${encodeURIComponent(`incident:${i.id}`)}`} />
        </dd>
      </dl>
    </section>
  );
};

const Links: FC<{ ctx: PageContext; rows: { id: string; name: string; at: number; tail: string }[]; none: string }> = (
  p,
) =>
  p.rows.length === 0 ? (
    <p class="muted">{p.none}</p>
  ) : (
    <ul>
      {p.rows.map((r) => (
        <li>
          <a href={`/incidents/${encodeURIComponent(r.id)}`}>{r.name}</a>{" "}
          <span class="sub">
            <Time ctx={p.ctx} at={r.at} />
            {r.tail}
          </span>
        </li>
      ))}
    </ul>
  );

const Buttons: FC<{ ctx: PageContext; i: IncidentView }> = ({ ctx, i }) => {
  if (i.resolved_at !== null) return null;
  const at = `/incidents/${encodeURIComponent(i.id)}`;
  const snoozed = i.snooze_until !== null && Date.parse(i.snooze_until) > ctx.now;
  return (
    <div class="acts stick" id="buttons" data-live>
      {i.acked_at === null ? (
        <Act
          ctx={ctx}
          action={`${at}/ack`}
          label="Ack"
          kind="go"
          hotkey="a"
          press
          title="Stops reminders; the incident stays open till it recovers"
        />
      ) : (
        <Act ctx={ctx} action={`${at}/unack`} label="Take ack back" />
      )}
      {snoozed ? (
        <Act ctx={ctx} action={`${at}/snooze`} label="End snooze" fields={{ for: "0" }} />
      ) : (
        <>
          <Act ctx={ctx} action={`${at}/snooze`} label="Snooze 1 h" fields={{ for: "1h" }} hotkey="z" />
          <Act ctx={ctx} action={`${at}/snooze`} label="4 h" fields={{ for: "4h" }} />
          <Act ctx={ctx} action={`${at}/snooze`} label="Till 08:00" fields={{ for: "morning" }} />
        </>
      )}
    </div>
  );
};

/** One incident: what broke, why, what can I do? */
export const IncidentPage: FC<{ ctx: PageContext; data: IncidentData }> = ({ ctx, data: d }) => {
  const { incident: i } = d;
  const zero = Date.parse(i.first_bad_at);
  const words = [
    i.severity,
    i.category,
    i.resolved_at === null
      ? `open ${duration(ctx.now - Date.parse(i.opened_at))}`
      : `lasted ${duration(i.downtime_ms)}`,
    `confirmed by ${i.confirmed_by}`,
  ];
  if (i.rehearsal) words.push("rehearsal");
  if (i.flapping) words.push("flapping");
  if (i.acked_by) words.push(`acked by ${i.acked_by}`);
  if (i.snooze_until !== null && Date.parse(i.snooze_until) > ctx.now)
    words.push(`snoozed till ${clockTime(Date.parse(i.snooze_until), ctx.zone).slice(0, 5)}`);
  const self = `/incidents/${encodeURIComponent(i.id)}`;
  return (
    <>
      <div class="head" id="head" data-live>
        <div>
          <h1>
            <Chip state={incidentState(i)} word={i.resolved_at === null ? undefined : "OK again"} /> {i.title}
          </h1>
          <p class="lead">{words.join(" · ")}</p>
          {i.detail && <p class="lead">{i.detail}</p>}
        </div>
        <Buttons ctx={ctx} i={i} />
      </div>
      <div class="cols">
        <div class="main">
          {d.wake.ok && d.investigation.ok ? (
            <Thinks ctx={ctx} wake={d.wake.value} investigation={d.investigation.value} />
          ) : (
            <Section<unknown> ctx={ctx} part={d.wake.ok ? d.investigation : d.wake} title="What Reveille thinks">
              {() => null}
            </Section>
          )}
          {d.fixes.ok ? (
            <ApproveBox ctx={ctx} incident={i.id} d={d.fixes.value} />
          ) : (
            <Section ctx={ctx} part={d.fixes} title="Fix">
              {() => null}
            </Section>
          )}
        </div>
        <div class="side">
          <Facts ctx={ctx} d={d} />
          <Section ctx={ctx} part={d.others} title="At that time">
            {(rows) => (
              <Links
                ctx={ctx}
                none="No other incident."
                rows={rows.map((r) => ({
                  id: r.id,
                  name: r.title,
                  at: r.opened_at,
                  tail: r.resolved_at === null ? ", open" : "",
                }))}
              />
            )}
          </Section>
          <Section ctx={ctx} part={d.past} title="This target before">
            {(rows) => (
              <Links
                ctx={ctx}
                none="First incident of this target."
                rows={rows.map((r) => ({
                  id: r.id,
                  name: r.title,
                  at: Date.parse(r.opened_at),
                  tail: r.downtime_ms === null ? "" : `, ${duration(r.downtime_ms)}`,
                }))}
              />
            )}
          </Section>
        </div>
        <div class="main">
          <ul class="tabs" aria-label="Timeline">
            <li>
              <a href={self} aria-current={d.view === "story" ? "true" : undefined}>
                Story
              </a>
            </li>
            <li>
              <a href={`${self}?view=everything`} aria-current={d.view === "everything" ? "true" : undefined}>
                Everything
              </a>
            </li>
          </ul>
          <Section ctx={ctx} part={d.timeline} title="Timeline" id="timeline">
            {(rows) => <TimelineList ctx={ctx} rows={d.view === "story" ? storyOf(rows, zero) : rows} zero={zero} />}
          </Section>
          <Section ctx={ctx} part={d.chart} title="Latency of the 2 h around it" id="latency">
            {(chart) =>
              chart ? (
                <LatencyChart ctx={ctx} data={chart} />
              ) : (
                <p class="muted">The target is gone; its looks with it.</p>
              )
            }
          </Section>
        </div>
      </div>
      <a href="/incidents" data-up hidden>
        Incidents
      </a>
    </>
  );
};
