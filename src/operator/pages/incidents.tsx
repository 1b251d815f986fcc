import type { FC } from "hono/jsx";
import { count, duration, money, NOTHING } from "../../kernel/format";
import type { IncidentView } from "../../watch";
import { Chip, Pager, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { IncidentCounts, WakeNote } from "../incidents.store";
import type { State } from "../state";

export type Tab = "open" | "acked" | "resolved" | "all";
export const TABS: Tab[] = ["open", "acked", "resolved", "all"];

export interface IncidentsData {
  tab: Tab;
  counts: Part<IncidentCounts>;
  rows: Part<{ items: IncidentView[]; wakes: Map<string, WakeNote>; next: string | null }>;
}

const NAMES: Record<Tab, string> = { open: "Open", acked: "Acked", resolved: "Resolved", all: "All" };

/** What an incident shows as: a resolved one is OK again, an open one has the state its fault gave the target. */
export function incidentState(i: IncidentView): State {
  if (i.resolved_at !== null) return "ok";
  return i.last_snapshot?.status === "degraded" ? "degraded" : "down";
}

const NOTICE: Record<string, string> = {
  sent: "told",
  failed_send: "not told: every channel failed",
  engine_unavailable_fallback: "told, plain",
  engine_unavailable_failed_send: "not told: every channel failed",
  suppressed: "inbox only",
};

/** Whether a person was told, in words. */
export const noticeWord = (w: WakeNote | undefined): string =>
  w === undefined
    ? "no wake"
    : w.dm_status === null
      ? w.stage === "dead"
        ? "dead letter"
        : "on its way"
      : (NOTICE[w.dm_status] ?? w.dm_status);

const Row: FC<{ ctx: PageContext; i: IncidentView; wake: WakeNote | undefined }> = ({ ctx, i, wake }) => (
  <tr data-row={i.id}>
    <th scope="row">
      <a class="name" href={`/incidents/${encodeURIComponent(i.id)}`}>
        {i.title}
      </a>
      <span class="sub">
        {i.target_name} · {i.severity}
        {i.rehearsal && " · rehearsal"}
        {i.flapping && " · flapping"}
      </span>
    </th>
    <td>
      <Chip
        state={incidentState(i)}
        word={i.state === "resolved" ? "Resolved" : i.state === "acked" ? "Acked" : "Open"}
      />
    </td>
    <td>
      <Time ctx={ctx} at={Date.parse(i.opened_at)} />
    </td>
    <td class="num">
      {i.downtime_ms === null ? <Time ctx={ctx} at={Date.parse(i.first_bad_at)} as="for" /> : duration(i.downtime_ms)}
    </td>
    <td class="sub">{noticeWord(wake)}</td>
    <td class="sub hide">{i.investigations > 0 ? `${i.investigations}` : (wake?.reasoning_error ?? NOTHING)}</td>
    <td class="num hide">{money(i.cost_usd)}</td>
  </tr>
);

const headline = (c: IncidentCounts): string => {
  const open = c.open + c.acked;
  return open === 0 ? "No open incident." : `${count(open)} open ${open === 1 ? "incident" : "incidents"}`;
};

/** Incidents: what is open, and what has it cost? */
export const IncidentsPage: FC<{ ctx: PageContext; data: IncidentsData }> = ({ ctx, data }) => {
  const { tab, counts } = data;
  const n: Partial<Record<Tab, number>> = counts.ok
    ? {
        open: counts.value.open,
        acked: counts.value.acked,
        resolved: counts.value.all - counts.value.open - counts.value.acked,
        all: counts.value.all,
      }
    : {};
  return (
    <>
      <div class="head">
        <div>
          <h1>{counts.ok ? headline(counts.value) : "Incidents"}</h1>
          {counts.ok && <p class="lead">{count(counts.value.resolved_30d)} resolved in 30 d.</p>}
        </div>
      </div>
      {!counts.ok && (
        <Section ctx={ctx} part={counts}>
          {() => null}
        </Section>
      )}
      <ul class="tabs" aria-label="State">
        {TABS.map((t) => (
          <li>
            <a
              href={t === "open" ? "/incidents" : `/incidents?state=${t}`}
              aria-current={t === tab ? "true" : undefined}
            >
              {NAMES[t]} {n[t] !== undefined && <span class="n">{count(n[t])}</span>}
            </a>
          </li>
        ))}
      </ul>
      <Section ctx={ctx} part={data.rows} id="list">
        {({ items, wakes, next }) =>
          items.length === 0 ? (
            <p class="box">{tab === "open" ? "Nothing is open." : `No ${NAMES[tab].toLowerCase()} incident.`}</p>
          ) : (
            <>
              <div class="wrap">
                <table class={`t two${items.length > 30 ? " long" : ""}`}>
                  <caption class="vh">Incidents, newest first</caption>
                  <thead>
                    <tr>
                      <th scope="col">Incident</th>
                      <th scope="col">State</th>
                      <th scope="col">Opened</th>
                      <th scope="col" class="right">
                        Lasted
                      </th>
                      <th scope="col">Notice</th>
                      <th scope="col">Investigation</th>
                      <th scope="col" class="right">
                        Cost
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((i) => (
                      <Row ctx={ctx} i={i} wake={wakes.get(i.id)} />
                    ))}
                  </tbody>
                </table>
              </div>
              <Pager
                prev={null}
                next={next ? `/incidents?state=${tab}&before=${encodeURIComponent(next)}` : null}
                what="incidents"
              />
            </>
          )
        }
      </Section>
    </>
  );
};
