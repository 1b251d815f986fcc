import type { FC } from "hono/jsx";
import { count, NOTHING } from "../../kernel/format";
import type { MsgAgent, WorkspaceCounts } from "../../messaging";
import { plain } from "../../notify";
import { Act, Chip, Guard, Id, Pager, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Field, Pick, PROOFS, placeOf, Table } from "./connector-parts";

/** Agent messaging: do agents' messages get read? */

export interface MessagingData {
  /** Counts are null where the workspace's object did not answer, or was not asked. */
  workspaces: Part<{ id: string; agents: number; active: number; counts: WorkspaceCounts | null }[]>;
  agents: Part<{ items: MsgAgent[]; next: string | null }>;
}

export const agentPath = (id: string): string => `/messaging/agents/${encodeURIComponent(id)}`;

function headline({ workspaces: w }: MessagingData): string {
  if (!w.ok) return "Messaging";
  if (w.value.length === 0) return "No messaging agent yet.";
  const waits = w.value.flatMap((x) => Object.values(x.counts?.unread ?? {})).reduce((a, b) => a + b, 0);
  if (waits > 0) return `${count(waits)} ${waits === 1 ? "message waits" : "messages wait"} to be read.`;
  return w.value.some((x) => x.counts === null) ? "Messaging" : "Every message was read.";
}

const Agent: FC<{ ctx: PageContext; a: MsgAgent; unread: number | null }> = ({ ctx, a, unread }) => {
  const on = a.active === 1;
  const base = agentPath(a.id);
  return (
    <tr data-row={a.id}>
      <th scope="row">
        <b>{plain(a.name)}</b>{" "}
        <span class="sub">
          {a.workspace} <Id id={a.id} />
        </span>
      </th>
      <td>
        <Chip state={on ? "ok" : "unknown"} word={on ? "Active" : "Off"} />{" "}
        {a.old_key_until !== null && a.old_key_until > ctx.now && (
          <span class="mod">
            old key ends <Time ctx={ctx} at={a.old_key_until} as="in" />
          </span>
        )}
      </td>
      <td class="nw">{a.last_seen === null ? "never seen" : <Time ctx={ctx} at={a.last_seen} />}</td>
      <td class="nw">{a.wake_url === null ? "reads its inbox" : placeOf(a.wake_url)}</td>
      <td class="num">
        {count(unread)} <span class="sub">unread</span>
      </td>
      <td>
        <div class="acts">
          {on ? (
            <>
              <Act ctx={ctx} action={`${base}/rotate`} label="New key" />
              <a class="btn danger" href={`${base}/deactivate`}>
                Deactivate…
              </a>
            </>
          ) : (
            <Act ctx={ctx} action={`${base}/activate`} label="Activate" />
          )}
        </div>
      </td>
    </tr>
  );
};

export const MessagingPage: FC<{ ctx: PageContext; data: MessagingData }> = ({ ctx, data }) => {
  const { workspaces, agents } = data;
  const of = new Map(workspaces.ok ? workspaces.value.map((w) => [w.id, w.counts]) : []);
  return (
    <>
      <div class="head">
        <div>
          <h1>{headline(data)}</h1>
          <p class="lead">
            Agents write to each other through <code>/mcp</code>. <a href="/messaging/hooks">Wake hooks</a>{" "}
            <a href="/slo">SLO</a>
          </p>
        </div>
      </div>
      <Section ctx={ctx} part={agents} id="agents">
        {({ items, next }) =>
          items.length === 0 ? (
            <p class="box">Make one below: its key, and the lines that connect it, are shown once.</p>
          ) : (
            <>
              <Table caption="Agents" heads={["Agent", "State", "Last seen", "Woken at", "Unread", ""]}>
                {items.map((a) => {
                  const counts = of.get(a.workspace);
                  return <Agent ctx={ctx} a={a} unread={counts ? (counts.unread[a.id] ?? 0) : null} />;
                })}
              </Table>
              <Pager prev={null} next={next && `/messaging?after=${encodeURIComponent(next)}`} what="agents" />
            </>
          )
        }
      </Section>
      <Section ctx={ctx} part={workspaces} title="Workspaces, last 24 h" id="workspaces">
        {(rows) =>
          rows.length > 0 && (
            <Table caption="Workspaces" heads={["Workspace", "Agents", "Sessions", "Messages", "Wakes"]}>
              {rows.map(({ id, agents, active, counts: n }) => (
                <tr>
                  <th scope="row">{id}</th>
                  <td>
                    {count(active)} of {count(agents)} active
                  </td>
                  <td>{n ? `${count(n.sessions)} sessions, ${count(n.open)} open` : NOTHING}</td>
                  <td>{n ? `${count(n.messages)} messages` : NOTHING}</td>
                  <td>{n ? `${count(n.unwoken)} wakes failed` : "did not answer"}</td>
                </tr>
              ))}
            </Table>
          )
        }
      </Section>
      <section class="form" aria-labelledby="new">
        <h2 id="new">New agent</h2>
        <form method="post" action="/messaging/agents">
          <Guard ctx={ctx} />
          <Field id="name" label="Name" required />
          <Field
            id="workspace"
            label="Workspace"
            value="main"
            hint="Agents write to agents of the same one."
            required
          />
          <Field id="wake_url" label="Wake URL" hint="Or /hooks/ID of a hook here. Empty: it reads its inbox." />
          <Pick id="wake_auth" label="Its wakes are proven by" of={PROOFS} />
          <Field
            id="wake_secret"
            label="Wake secret"
            hint="A hook here: that hook's. Empty: one is made and shown once."
          />
          <button type="submit" class="go">
            Make it
          </button>
        </form>
      </section>
    </>
  );
};
