import type { FC } from "hono/jsx";
import { count, duration, NOTHING } from "../../kernel/format";
import type { ListenerHealth, ListenerWord, Overall } from "../../listeners";
import { Chip, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { State } from "../state";

export interface ListenersData {
  health: Part<{ overall: Overall; ready: boolean; fatal: string[]; listeners: ListenerHealth[] }>;
  heartbeat_url_set: boolean;
}

const LOOK: Record<ListenerWord, { state: State; word: string }> = {
  ok: { state: "ok", word: "OK" },
  late: { state: "down", word: "Late" },
  failing: { state: "down", word: "Failing" },
  never_ran: { state: "unknown", word: "Never ran" },
  not_installed: { state: "unknown", word: "Not installed" },
};

/** The pair that watches each other comes first, then trouble, then registration order. */
const PAIR = ["heartbeat", "dead_man"];
function ordered(list: ListenerHealth[]): ListenerHealth[] {
  const rank = (l: ListenerHealth): number =>
    PAIR.includes(l.name) ? 0 : l.state === "late" || l.state === "failing" ? 1 : 2;
  return [...list].sort((a, b) => rank(a) - rank(b));
}

const Row: FC<{ ctx: PageContext; l: ListenerHealth }> = ({ ctx, l }) => {
  const look = LOOK[l.state];
  const failing = l.state === "failing" && !l.down;
  return (
    <tr data-row={l.name}>
      <th scope="row">
        <b>{l.name}</b> {l.fatal && <span class="n">fatal</span>}
        <span class="sub">
          {l.what} · {l.home}
        </span>
      </th>
      <td>
        <Chip state={failing ? "degraded" : look.state} word={look.word} />
      </td>
      <td class="num hide">{l.interval_s === null ? "at start" : duration(l.interval_s * 1000)}</td>
      <td class="nw">{l.last_ok_at === null ? NOTHING : <Time ctx={ctx} at={l.last_ok_at} />}</td>
      <td class="nw hide">{l.due_at === null ? NOTHING : <Time ctx={ctx} at={l.due_at} as="in" />}</td>
      <td class="num hide">{count(l.consecutive_errors)}</td>
      <td class="sub full">{l.last_error ? <span class="quote">{l.last_error}</span> : (l.note ?? "")}</td>
    </tr>
  );
};

const headline = (list: ListenerHealth[], ready: boolean): string => {
  const down = list.filter((l) => l.down);
  if (!ready) return "Not fit for use.";
  if (down.length > 0)
    return `${count(down.length)} of ${count(list.length)} need a look: ${down.map((l) => l.name).join(", ")}`;
  const ran = list.filter((l) => l.state === "ok").length;
  return ran === 0 ? "Nothing has run yet." : "Every periodic task is alive.";
};

const Table: FC<{ ctx: PageContext; rows: ListenerHealth[]; title: string }> = ({ ctx, rows, title }) => (
  <div class="wrap">
    <table class="t two">
      <caption class="vh">{title}</caption>
      <thead>
        <tr>
          <th scope="col">Listener</th>
          <th scope="col">State</th>
          <th scope="col" class="right">
            Every
          </th>
          <th scope="col">Last OK</th>
          <th scope="col">Due</th>
          <th scope="col" class="right">
            Errors
          </th>
          <th scope="col">Last error, note</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((l) => (
          <Row ctx={ctx} l={l} />
        ))}
      </tbody>
    </table>
  </div>
);

/** Listeners: is every periodic task alive? */
export const ListenersPage: FC<{ ctx: PageContext; data: ListenersData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{data.health.ok ? headline(data.health.value.listeners, data.health.value.ready) : "Listeners"}</h1>
        {data.health.ok && data.health.value.fatal.map((text) => <p class="lead">{text}</p>)}
        <p class="lead">
          {data.heartbeat_url_set
            ? "The outside heartbeat is pinged each minute."
            : "No outside heartbeat is set (REVEILLE_HEARTBEAT_URL): if all of Reveille is gone, nobody says so."}
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={data.health} id="listeners">
      {({ listeners }) => {
        const built = listeners.filter((l) => l.state !== "not_installed");
        const rest = listeners.filter((l) => l.state === "not_installed");
        return (
          <>
            <Table ctx={ctx} rows={ordered(built)} title="Listeners" />
            {rest.length > 0 && (
              <details id="not-installed">
                <summary>{count(rest.length)} not installed in this build</summary>
                <Table ctx={ctx} rows={rest} title="Not installed" />
              </details>
            )}
          </>
        );
      }}
    </Section>
  </>
);
