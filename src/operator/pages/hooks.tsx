import type { FC } from "hono/jsx";
import type { Hook } from "../../hooks";
import { count, shortId } from "../../kernel/format";
import { plain } from "../../notify";
import { Act, Chip, Guard, Pager, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Field, Pick, PROOFS, placeOf, Table } from "./connector-parts";

/** Wake hooks: is every hook taken, and did its last wake arrive? */

export interface HooksData {
  hooks: Part<{ items: Hook[]; next: string | null }>;
}

function recipientOf({ recipient: r }: Hook): string {
  if (r.kind === "webhook") return placeOf(r.url);
  if (r.kind === "agent") return shortId(r.address);
  if (r.kind === "mail") return `inbox of ${shortId(r.agent_id)} in ${r.workspace}`;
  return r.kind === "gateway" ? `gateway ${r.instance}, ${r.platform}` : "built-in agent";
}

const failed = (h: Hook): boolean => h.last_error?.startsWith("error") ?? false;

const headline = (items: Hook[]): string => {
  if (items.length === 0) return "No wake hook yet.";
  const bad = items.filter(failed).length;
  if (bad > 0) return `${count(bad)} ${bad === 1 ? "hook" : "hooks"} failed last time.`;
  const off = items.filter((h) => !h.enabled).length;
  return `${count(items.length - off)} of ${count(items.length)} hooks on.`;
};

const Line: FC<{ ctx: PageContext; h: Hook }> = ({ ctx, h }) => {
  const base = `/messaging/hooks/${h.id}`;
  return (
    <tr data-row={h.id}>
      <th scope="row">
        <b>{h.id}</b> <span class="sub">{plain(h.title)}</span>
      </th>
      <td>
        <Chip state={h.enabled ? "ok" : "unknown"} word={h.enabled ? "On" : "Off"} />{" "}
        <span class="mod">
          {h.mode}, {h.auth_mode}
        </span>
      </td>
      <td>
        {plain(h.agent_name)} <span class="sub">to {plain(recipientOf(h))}</span>
      </td>
      <td class="num">
        {count(h.trigger_count)}× {h.last_triggered_at !== null && <Time ctx={ctx} at={h.last_triggered_at} />}
      </td>
      <td>
        {failed(h) ? <Chip state="down" word="Failed" /> : null}{" "}
        <span class="mod">{h.last_error ?? h.last_status ?? "nothing came yet"}</span>
      </td>
      <td>
        <div class="acts">
          <Act
            ctx={ctx}
            action={`${base}/${h.enabled ? "disable" : "enable"}`}
            label={h.enabled ? "Disable" : "Enable"}
          />
          <Act ctx={ctx} action={`${base}/rotate`} label="New secret" />
          <a class="btn danger" href={`${base}/delete`}>
            Delete…
          </a>
        </div>
      </td>
    </tr>
  );
};

export const HooksPage: FC<{ ctx: PageContext; data: HooksData }> = ({ ctx, data: { hooks } }) => (
  <>
    <div class="head">
      <div>
        <h1>{hooks.ok ? headline(hooks.value.items) : "Wake hooks"}</h1>
        <p class="lead">
          A hook is a URL that wakes an agent: <code>POST /hooks/ID</code>. <a href="/messaging">Messaging</a>{" "}
          <a href="/slo">SLO</a>
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={hooks} id="hooks">
      {({ items, next }) =>
        items.length === 0 ? (
          <p class="box">Make one below: its secret, and a request to try it with, are shown once.</p>
        ) : (
          <>
            <Table caption="Wake hooks" heads={["Hook", "State", "Wakes", "Taken", "Last", ""]}>
              {items.map((h) => (
                <Line ctx={ctx} h={h} />
              ))}
            </Table>
            <Pager prev={null} next={next && `/messaging/hooks?after=${encodeURIComponent(next)}`} what="hooks" />
          </>
        )
      }
    </Section>
    <section class="form" aria-labelledby="new">
      <h2 id="new">New hook</h2>
      <form method="post" action="/messaging/hooks">
        <Guard ctx={ctx} />
        <Field id="id" label="Id" hint="Letters, digits, - and _; empty: one of its own." />
        <Field id="title" label="Title" required />
        <Field id="agent_id" label="Agent id" hint="As its senders know it." required />
        <Field id="agent_name" label="Agent name" required />
        <Pick id="auth_mode" label="Senders prove themselves by" of={PROOFS} />
        <Pick
          id="mode"
          label="Mode"
          of={[
            ["wake", "wake: hand each message on"],
            ["cron_task", "cron_task: run the template"],
          ]}
        />
        <Pick
          id="kind"
          label="Messages go to"
          of={[
            ["builtin", "the built-in agent"],
            ["agent", "an agent behind the relay"],
            ["mail", "an agent's inbox"],
            ["webhook", "a URL"],
          ]}
        />
        <Field id="to" label="Recipient" hint="Address, WORKSPACE/AGENT ID, or URL; empty for the built-in agent." />
        <div class="field">
          <label for="template">Template</label>
          <textarea id="template" name="template" rows={3} />
          <span class="sub">{"{{word}} is replaced from the payload; empty: the message itself."}</span>
        </div>
        <button type="submit" class="go">
          Make it
        </button>
      </form>
    </section>
  </>
);
