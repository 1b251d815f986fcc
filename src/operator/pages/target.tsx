import type { FC } from "hono/jsx";
import { day, duration, NOTHING } from "../../kernel/format";
import type { Beat, IncidentView, Uptime } from "../../watch";
import { type ChartData, LatencyChart } from "../chart";
import { Act, Section, StateLine, Time } from "../components";
import type { PageContext, Part } from "../context";
import { UptimeBar } from "../graphs";
import type { State, StateView } from "../state";
import { uptimeText } from "./overview";
import { BeatBox, type LastLook, Look, Past, path, Settings, type SettingsData } from "./target-parts";

export interface TargetData extends SettingsData {
  view: StateView;
  since: number;
  incident: { id: string; title: string } | null;
  next_look_at: number | null;
  beat: { url: string | null; beat: Beat | null } | null;
  look: Part<LastLook | null>;
  range: Range;
  chart: Part<ChartData>;
  history: Part<{ days: (State | null)[]; titles: string[]; up24: Uptime; up30: Uptime; from: number }>;
  incidents: Part<IncidentView[]>;
}

export const RANGES = ["2h", "24h", "7d", "30d", "400d"] as const;
export type Range = (typeof RANGES)[number];

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
      {!own && !t.paused && !d.incident && !d.view.modifiers.includes("rehearsal") && (
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
      <BeatBox ctx={ctx} d={d.beat} />
      <Section ctx={ctx} part={d.history} title="30 days" id="uptime">
        {(h) => (
          <div class="wide">
            <UptimeBar days={h.days} titles={h.titles} />
            <p class="ends sub num">
              <span>{day(h.from)}</span>
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
      <Settings d={d} />
      <a href="/" data-up hidden>
        Overview
      </a>
    </>
  );
};
