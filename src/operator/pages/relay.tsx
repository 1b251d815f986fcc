import type { FC } from "hono/jsx";
import { count, NOTHING } from "../../kernel/format";
import type { AgentRow } from "../../relay";
import type { SessionIndexRow } from "../../session";
import { Chip, Id, Pager, Section, Snippet, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { State } from "../state";

export interface SessionsData {
  /** Newest first. */
  rows: Part<SessionIndexRow[]>;
  /** How many there are by status, and how many lines are shown of them. */
  counts: Part<Record<string, number>>;
  limit: number;
  /** Our own agent, or null when it has no key. */
  own: string | null;
  public_url: string;
}

export const LOOK: Record<string, { state: State; word: string }> = {
  running: { state: "ok", word: "Running" },
  queued: { state: "ok", word: "Running" },
  waiting_approval: { state: "degraded", word: "Waits for approval" },
  done: { state: "ok", word: "Done" },
  connected: { state: "ok", word: "Connected" },
  failed: { state: "down", word: "Failed" },
  interrupted: { state: "degraded", word: "Interrupted" },
};

/** The answer first: is a run stuck, and how much goes on? */
function headline(counts: Record<string, number>): string {
  const n = (key: string): number => counts[key] ?? 0;
  const running = n("running") + n("queued");
  const parts = [
    ...(running > 0 ? [`${count(running)} running`] : []),
    ...(n("waiting_approval") > 0 ? [`${count(n("waiting_approval"))} waiting for approval`] : []),
    ...(n("interrupted") > 0 ? [`${count(n("interrupted"))} interrupted`] : []),
    ...(n("failed") > 0 ? [`${count(n("failed"))} failed`] : []),
  ];
  if (parts.length > 0) return `${parts.join(", ")}.`;
  return n("done") > 0 ? "No run is stuck." : "No session yet.";
}

/** What to paste to get the first one: the published client, unmodified. */
const snippet = (address: string, url: string): string =>
  `import { connect } from "connectonion";

const agent = connect("${address}", { directUrl: "${url}" });
console.log((await agent.input("is anything down?")).text);`;

const announceSnippet = (url: string): string =>
  `from connectonion import Agent, host

host(lambda: Agent("helper"), relay_url="${url.replace(/^http/, "ws")}")`;

const SessionRow: FC<{ ctx: PageContext; row: SessionIndexRow; own: string | null }> = ({ ctx, row, own }) => {
  const look = LOOK[row.status] ?? { state: "unknown" as const, word: row.status };
  return (
    <tr data-row={row.id}>
      <th scope="row">
        <Id id={row.id} href={`/ui/sessions/${encodeURIComponent(row.id)}`} />
      </th>
      <td>{row.owner === null ? <span class="sub">nobody signed</span> : <Id id={row.owner} />}</td>
      <td>{row.agent === own ? "built in" : <Id id={row.agent} />}</td>
      <td>
        <Chip state={look.state} word={look.word} />
      </td>
      <td class="nw">
        <Time ctx={ctx} at={row.updated} />
      </td>
    </tr>
  );
};

/** Sessions: who talks to whom, and is any run stuck? */
export const SessionsPage: FC<{ ctx: PageContext; data: SessionsData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{data.counts.ok ? headline(data.counts.value) : "Sessions"}</h1>
        <p class="lead">
          A row follows its run within seconds. <a href="/ui/agents">Agents behind the relay</a>
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={data.rows} id="sessions">
      {(rows) =>
        rows.length === 0 ? (
          <div class="box">
            <p>Nobody has connected yet. The published client does it like this:</p>
            {data.own === null ? (
              <p>REVEILLE_AGENT_SEED is not set, so the built-in agent has no address.</p>
            ) : (
              <Snippet id="connect" text={snippet(data.own, data.public_url)} label="TypeScript" />
            )}
          </div>
        ) : (
          <>
            <div class="wrap">
              <table class="t two">
                <caption class="vh">Sessions, newest first</caption>
                <thead>
                  <tr>
                    <th scope="col">Session</th>
                    <th scope="col">Owner</th>
                    <th scope="col">Agent</th>
                    <th scope="col">State</th>
                    <th scope="col">Last change</th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row) => (
                    <SessionRow ctx={ctx} row={row} own={data.own} />
                  ))}
                </tbody>
              </table>
            </div>
            {rows.length === data.limit && <p class="sub">The newest {count(data.limit)} are shown.</p>}
          </>
        )
      }
    </Section>
  </>
);

export interface AgentsData {
  page: Part<{ items: AgentRow[]; next: string | null }>;
  public_url: string;
}

const AgentLine: FC<{ ctx: PageContext; a: AgentRow }> = ({ ctx, a }) => {
  const alias = a.profile?.["alias"];
  return (
    <tr data-row={a.address}>
      <th scope="row">
        {typeof alias === "string" && <b>{alias}</b>} <Id id={a.address} />
        {a.summary !== "" && <span class="sub">{a.summary.slice(0, 200)}</span>}
      </th>
      <td>
        <Chip state={a.online ? "ok" : "unknown"} word={a.online ? "Online" : "Offline"} />
      </td>
      <td class="hide">{a.shape === "legacy" ? "0.6.5, hosted by the relay" : "own host"}</td>
      <td class="nw hide">
        <Time ctx={ctx} at={a.announced_at} />
      </td>
      <td class="nw">{a.last_seen === 0 ? NOTHING : <Time ctx={ctx} at={a.last_seen} />}</td>
    </tr>
  );
};

const agentsHeadline = (items: AgentRow[]): string => {
  if (items.length === 0) return "No agent has announced itself.";
  const online = items.filter((a) => a.online).length;
  return `${count(online)} of ${count(items.length)} ${items.length === 1 ? "agent" : "agents"} online.`;
};

/** Agents behind the relay: who can be reached? */
export const AgentsPage: FC<{ ctx: PageContext; data: AgentsData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{data.page.ok ? agentsHeadline(data.page.value.items) : "Agents"}</h1>
        <p class="lead">
          An agent is online while its line is open. <a href="/ui/sessions">Sessions</a>
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={data.page} id="agents">
      {({ items, next }) =>
        items.length === 0 ? (
          <div class="box">
            <p>An agent connects itself, from anywhere that can reach this address:</p>
            <Snippet id="announce" text={announceSnippet(data.public_url)} label="Python" />
          </div>
        ) : (
          <>
            <div class="wrap">
              <table class="t two">
                <caption class="vh">Agents, online ones first</caption>
                <thead>
                  <tr>
                    <th scope="col">Agent</th>
                    <th scope="col">State</th>
                    <th scope="col" class="hide">
                      Kind
                    </th>
                    <th scope="col" class="hide">
                      Announced
                    </th>
                    <th scope="col">Last seen</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((a) => (
                    <AgentLine ctx={ctx} a={a} />
                  ))}
                </tbody>
              </table>
            </div>
            <Pager
              prev={null}
              next={next === null ? null : `/ui/agents?after=${encodeURIComponent(next)}`}
              what="agents"
            />
          </>
        )
      }
    </Section>
  </>
);
