import type { FC } from "hono/jsx";
import { count } from "../../kernel/format";
import { Act, Guard, Id, Pager, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Field, Table } from "./connector-parts";
import { pathOf, queryOf } from "./deliveries";

export interface DeadRow {
  id: string;
  kind: string;
  ref: string | null;
  reason: string;
  created_at: number;
  replayed_at: number | null;
  tenant: string | null;
  instance: string | null;
  seq: number | null;
}

export interface DeadData {
  rows: Part<DeadRow[]>;
  groups: Part<{ kind: string; reason: string; tenant: string | null; instance: string | null; n: number }[]>;
  limit: number;
  query: { tenant: string; instance: string };
}

const RangeForm: FC<{ ctx: PageContext; tenant: string; instance: string; n: number }> = ({
  ctx,
  tenant,
  instance,
  n,
}) => (
  <details id={`range-${tenant}-${instance}`}>
    <summary>
      Send many of {instance} again ({count(n)})
    </summary>
    <form method="post" action="/dead-letters/replay" class="form">
      <Guard ctx={ctx} />
      <input type="hidden" name="tenant" value={tenant} />
      <input type="hidden" name="instance" value={instance} />
      <Field id="from" label="From number" hint="Both empty: all that were not sent again." />
      <Field id="to" label="To number" />
      <div class="field">
        <label>
          <input type="checkbox" name="override" value="1" /> also what was sent again before
        </label>
      </div>
      <button type="submit">Send again, in order</button>
    </form>
  </details>
);

/** Dead letters: what was given up, and why. */
export const DeadPage: FC<{ ctx: PageContext; data: DeadData }> = ({ ctx, data }) => {
  const open = data.groups.ok ? data.groups.value.reduce((sum, g) => sum + g.n, 0) : 0;
  const instances = new Map<string, { tenant: string; instance: string; n: number }>();
  for (const g of data.groups.ok ? data.groups.value : []) {
    if (g.tenant === null || g.instance === null) continue;
    const key = `${g.tenant}/${g.instance}`;
    instances.set(key, { tenant: g.tenant, instance: g.instance, n: (instances.get(key)?.n ?? 0) + g.n });
  }
  return (
    <>
      <div class="head">
        <div>
          <h1>{open === 0 ? "No dead letters." : `${count(open)} dead ${open === 1 ? "letter" : "letters"}.`}</h1>
          <p class="lead">
            What was given up is kept and can be sent again. An event that was acked is never sent twice by it.{" "}
            <a href="/deliveries">Deliveries</a>
          </p>
        </div>
      </div>
      <Section ctx={ctx} part={data.groups} id="reasons">
        {(groups) => (
          <>
            {groups.length > 0 && (
              <ul>
                {groups.map((g) => (
                  <li>
                    {g.kind}
                    {g.instance && ` to ${g.instance}`}: {g.reason.slice(0, 200)}: <b class="num">{count(g.n)}</b>
                  </li>
                ))}
              </ul>
            )}
            {[...instances.values()].map((i) => (
              <RangeForm ctx={ctx} {...i} />
            ))}
          </>
        )}
      </Section>
      <Section ctx={ctx} part={data.rows} id="dead">
        {(rows) =>
          rows.length === 0 ? (
            <p class="box">Nothing was given up{data.query.instance && ` for ${data.query.instance}`}.</p>
          ) : (
            <>
              <Table caption="Dead letters, newest first" heads={["Time", "What", "Reason", ""]}>
                {rows.map((d) => (
                  <tr data-row={d.id}>
                    <th scope="row" class="nw">
                      <Time ctx={ctx} at={d.created_at} />
                    </th>
                    <td>
                      {d.tenant !== null && d.instance !== null && d.seq !== null ? (
                        <a href={pathOf({ tenant: d.tenant, instance: d.instance }, d.seq)}>
                          {d.kind} {d.seq} to {d.instance}
                        </a>
                      ) : (
                        <>
                          {d.kind} {d.ref && <Id id={d.ref} />}
                        </>
                      )}
                    </td>
                    <td class="full">{d.reason}</td>
                    <td>
                      {d.replayed_at === null ? (
                        <Act ctx={ctx} action="/dead-letters/one" label="Send again" fields={{ id: d.id }} />
                      ) : (
                        <span class="sub">
                          sent again <Time ctx={ctx} at={d.replayed_at} />
                        </span>
                      )}
                    </td>
                  </tr>
                ))}
              </Table>
              {rows.length === data.limit && (
                <Pager
                  prev={null}
                  next={`/dead-letters?${queryOf({ ...data.query, before: String(rows.at(-1)!.created_at) })}`}
                  what="letters"
                />
              )}
            </>
          )
        }
      </Section>
    </>
  );
};
