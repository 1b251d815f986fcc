import type { FC } from "hono/jsx";
import { dayTime, duration } from "../../kernel/format";
import { type MaintenanceWindow, nextOccurrences, type Occurrence, occurrenceAt } from "../../watch";
import { Act, Guard, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { zoneName } from "../zone";

/** The form as typed; kept so that a refused or previewed one is shown again. */
export interface WindowForm {
  targets: string;
  kind: "once" | "cron";
  starts: string;
  length: string;
  cron: string;
  zone: string;
  reason: string;
}

export interface MaintenanceData {
  windows: Part<MaintenanceWindow[]>;
  form: WindowForm;
  problem: string | null;
  /** What the form would do; the second press saves. */
  preview: { next: Occurrence[]; zone: string; confirm: boolean; all: boolean } | null;
}

const who = (w: MaintenanceWindow): string => (w.targets[0] === "*" ? "all targets" : w.targets.join(", "));

const Span: FC<{ ctx: PageContext; o: Occurrence; zone?: string }> = ({ ctx, o, zone }) => (
  <>
    <Time ctx={ctx} at={o.starts_at} as="date" /> {zoneName(ctx.zone)}, {duration(o.ends_at - o.starts_at)}
    {zone && zone !== ctx.zone && (
      <span class="sub">
        {" "}
        ({dayTime(o.starts_at, zone, ctx.now)} {zoneName(zone)})
      </span>
    )}
  </>
);

const WindowRow: FC<{ ctx: PageContext; w: MaintenanceWindow; now: Occurrence | null }> = ({ ctx, w, now }) => {
  const next = now ?? nextOccurrences(w, ctx.now, 1)[0] ?? null;
  const over = next === null;
  const at = `/maintenance/${encodeURIComponent(w.id)}`;
  return (
    <tr data-row={w.id}>
      <th scope="row">
        {w.reason}
        <span class="sub">
          {who(w)} · by {w.created_by}
        </span>
      </th>
      <td>
        {now ? (
          <>
            till <Time ctx={ctx} at={now.ends_at} as="date" /> (<Time ctx={ctx} at={now.ends_at} as="in" />)
          </>
        ) : next ? (
          <Span ctx={ctx} o={next} zone={w.zone} />
        ) : (
          <>
            over <Time ctx={ctx} at={w.ended_at ?? w.ends_at ?? w.created_at} />
          </>
        )}
        {w.cron && (
          <span class="sub">
            {" "}
            <code>{w.cron}</code> {zoneName(w.zone)}
          </span>
        )}
      </td>
      <td>
        {!over && (
          <div class="acts">
            <Act ctx={ctx} action={`${at}/end`} label={w.cron ? "End for good" : now ? "End now" : "Cancel"} />
            {now && <Act ctx={ctx} action={`${at}/extend`} label="Extend 30 min" />}
          </div>
        )}
      </td>
    </tr>
  );
};

const Rows: FC<{
  ctx: PageContext;
  title: string;
  rows: { w: MaintenanceWindow; now: Occurrence | null }[];
  none: string;
}> = (p) => (
  <section aria-label={p.title}>
    <h2>{p.title}</h2>
    {p.rows.length === 0 ? (
      <p class="muted">{p.none}</p>
    ) : (
      <div class="wrap">
        <table class="t two">
          <caption class="vh">{p.title}</caption>
          <thead>
            <tr>
              <th scope="col">Reason</th>
              <th scope="col">When</th>
              <th scope="col">Act</th>
            </tr>
          </thead>
          <tbody>
            {p.rows.map(({ w, now }) => (
              <WindowRow ctx={p.ctx} w={w} now={now} />
            ))}
          </tbody>
        </table>
      </div>
    )}
  </section>
);

const Preview: FC<{ ctx: PageContext; data: MaintenanceData }> = ({ ctx, data }) => {
  const p = data.preview;
  if (!p) return null;
  return (
    <div class="box" role="status">
      <h3>This would silence</h3>
      <ul>
        {p.next.map((o) => (
          <li>
            <Span ctx={ctx} o={o} zone={p.zone} />
          </li>
        ))}
      </ul>
      {p.confirm && (
        <p>
          <label>
            <input type="checkbox" name="sure" value="1" required /> Yes, {p.all ? "all targets" : "longer than a day"}
          </label>
        </p>
      )}
      <button type="submit" class="go" name="save" value="1">
        Save
      </button>
    </div>
  );
};

const Form: FC<{ ctx: PageContext; data: MaintenanceData }> = ({ ctx, data }) => {
  const f = data.form;
  return (
    <form method="post" action="/maintenance" class="form" id="new">
      <h2>Plan a silence</h2>
      {data.problem && (
        <p class="box err" role="alert">
          {data.problem}
        </p>
      )}
      <Guard ctx={ctx} />
      <div class="field">
        <label for="m-targets">Target ids, or * for all</label>
        <input id="m-targets" name="targets" value={f.targets} required maxlength={2000} />
      </div>
      <fieldset class="field">
        <legend>When</legend>
        <label>
          <input type="radio" name="kind" value="once" checked={f.kind === "once"} /> Once, from
        </label>
        <input name="starts" value={f.starts} aria-label="Start" placeholder="2026-11-20 14:00" maxlength={30} />
        <label>
          <input type="radio" name="kind" value="cron" checked={f.kind === "cron"} /> Again and again, by cron
        </label>
        <input name="cron" value={f.cron} aria-label="Cron, five fields" placeholder="0 2 * * 0" maxlength={100} />
      </fieldset>
      <div class="row">
        <div class="field">
          <label for="m-length">Length</label>
          <input id="m-length" name="length" value={f.length} required placeholder="90m" maxlength={12} />
        </div>
        <div class="field">
          <label for="m-zone">Zone</label>
          <input id="m-zone" name="zone" value={f.zone} required maxlength={64} />
        </div>
      </div>
      <div class="field">
        <label for="m-reason">Reason</label>
        <input id="m-reason" name="reason" value={f.reason} required maxlength={200} />
      </div>
      <Preview ctx={ctx} data={data} />
      {!data.preview && <button type="submit">Show when</button>}
    </form>
  );
};

/** Maintenance: what is silenced now, until when? */
export const MaintenancePage: FC<{ ctx: PageContext; data: MaintenanceData }> = ({ ctx, data }) => {
  const split = (all: MaintenanceWindow[]) => {
    const rows = all.map((w) => ({
      w,
      now: occurrenceAt(w, ctx.now),
      next: nextOccurrences(w, ctx.now, 1)[0] ?? null,
    }));
    return {
      now: rows.filter((r) => r.now),
      next: rows.filter((r) => !r.now && r.next).sort((a, b) => a.next!.starts_at - b.next!.starts_at),
      past: rows.filter((r) => !r.now && !r.next).slice(0, 50),
    };
  };
  const busy = data.windows.ok ? split(data.windows.value).now.length : 0;
  return (
    <>
      <div class="head">
        <div>
          <h1>{busy === 0 ? "Nothing is silenced." : `${busy} ${busy === 1 ? "silence" : "silences"} now`}</h1>
          <p class="lead">During a window a target is looked at, its faults are not counted and nobody is told.</p>
        </div>
      </div>
      <Section ctx={ctx} part={data.windows} id="windows">
        {(all) => {
          const s = split(all);
          return (
            <>
              <Rows ctx={ctx} title="Now" rows={s.now} none="Nothing is under way." />
              <Rows ctx={ctx} title="Ahead" rows={s.next} none="Nothing is planned." />
              {s.past.length > 0 && (
                <details id="past">
                  <summary>Past</summary>
                  <Rows ctx={ctx} title="Past" rows={s.past} none="" />
                </details>
              )}
            </>
          );
        }}
      </Section>
      <Form ctx={ctx} data={data} />
    </>
  );
};
