import type { FC } from "hono/jsx";
import type { BindingRow, GatewayRow, GrantRow, PolicyRow } from "../../gateway";
import { count, NOTHING } from "../../kernel/format";
import { Act, Chip, Guard, Id, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Field, type InstanceLine, instancePath, PlatformPick, StateChip, Table } from "./connector-parts";

/** One instance: its gateways, what waits, and who may reach it. */

export interface InstanceData {
  line: InstanceLine;
  bindings: Part<BindingRow[]>;
  grants: Part<GrantRow[]>;
  policies: Part<PolicyRow[]>;
}

const Waiting: FC<{ ctx: PageContext; line: InstanceLine }> = ({ ctx, line }) => {
  const { live, row } = line;
  const query = `tenant=${encodeURIComponent(row.tenant)}&instance=${encodeURIComponent(row.instance)}`;
  if (!live) return <p class="box err">Its object did not answer. What waits in it is kept.</p>;
  return (
    <dl class="box">
      <dt>Waiting</dt>
      <dd>
        <a href={`/deliveries?${query}`}>{count(live.waiting)}</a>
        {live.oldest_at !== null && (
          <>
            , oldest <Time ctx={ctx} at={live.oldest_at} />
          </>
        )}
        {live.received > 0 && `, ${count(live.received)} until their credential is sealed`}
      </dd>
      <dt>Dead letters</dt>
      <dd>
        <a href={`/dead-letters?${query}`}>{count(live.dead)}</a>
      </dd>
      <dt>Last greeting, ack or close</dt>
      <dd>{live.last_seen === null ? "never connected" : <Time ctx={ctx} at={live.last_seen} />}</dd>
      {live.poked_at !== null && (
        <>
          <dt>Woken</dt>
          <dd>
            <Time ctx={ctx} at={live.poked_at} />
          </dd>
        </>
      )}
      <dt>Sockets</dt>
      <dd>
        {live.sockets.length === 0 && "none"}
        {live.sockets.map((s) => (
          <div>
            <Id id={s.gateway_id} /> {s.platforms.join(", ") || "not greeted"}, open{" "}
            <Time ctx={ctx} at={s.opened_at} as="for" />
            {s.newest && ", takes the events"}
            {s.in_flight > 0 && `, ${count(s.in_flight)} unacked`}
          </div>
        ))}
      </dd>
      {live.why && (
        <>
          <dt>Revoked because</dt>
          <dd>{live.why}</dd>
        </>
      )}
    </dl>
  );
};

/** What a click on a row's own button posts. */
const RowAct: FC<{ ctx: PageContext; base: string; verb: string; label: string; fields: Record<string, string> }> = (
  p,
) => (
  <td>
    <div class="acts">
      <Act ctx={p.ctx} action={`${p.base}/${p.verb}`} label={p.label} fields={p.fields} />
    </div>
  </td>
);

const Gateways: FC<{ ctx: PageContext; base: string; rows: GatewayRow[] }> = ({ ctx, base, rows }) => (
  <Table caption="Gateways of this instance" heads={["Gateway", "Speaks for", "Made", ""]}>
    {rows.map((g) => (
      <tr>
        <th scope="row">
          <Id id={g.id} /> {g.revoked_at !== null && <Chip state="unknown" word="Revoked" />}
        </th>
        <td>{g.identities.map(([p, b]) => (b ? `${p} (${b})` : p)).join(", ") || NOTHING}</td>
        <td class="nw">
          <Time ctx={ctx} at={g.created_at} />
        </td>
        <td>
          {g.revoked_at === null && (
            <div class="acts">
              <Act ctx={ctx} action={`${base}/rotate`} label="Rotate secret" fields={{ id: g.id }} />
              <a class="btn danger" href={`${base}/revoke?id=${encodeURIComponent(g.id)}`}>
                Revoke…
              </a>
            </div>
          )}
        </td>
      </tr>
    ))}
  </Table>
);

export const InstancePage: FC<{ ctx: PageContext; data: InstanceData }> = ({ ctx, data }) => {
  const { line } = data;
  const { row } = line;
  const base = instancePath(row);
  const choice = (value: string, text: string) => (
    <option value={value} selected={row.principal === value}>
      {text}
    </option>
  );
  return (
    <>
      <div class="head">
        <div>
          <h1>{row.name}</h1>
          <p class="lead">
            <StateChip ctx={ctx} line={line} /> {row.tenant} / {row.instance}
          </p>
        </div>
      </div>
      <section id="state" data-live>
        <Waiting ctx={ctx} line={line} />
      </section>
      <section aria-labelledby="gw">
        <h2 id="gw">Gateways</h2>
        {line.gateways.length === 0 ? (
          <p class="box">
            None. <a href="/gateways">Make one</a> with the instance id <code>{row.instance}</code>.
          </p>
        ) : (
          <Gateways ctx={ctx} base={base} rows={line.gateways} />
        )}
      </section>
      <Section ctx={ctx} part={data.bindings} title="Linked people">
        {(rows) => (
          <>
            <form method="post" action={`${base}/link`} class="acts chips">
              <Guard ctx={ctx} />
              <PlatformPick id="link-platform" any="any platform" />
              <button type="submit">Make a link code</button>
            </form>
            {rows.length > 0 ? (
              <Table caption="Linked people" heads={["Person", "Where", "Since", "", ""]}>
                {rows.map((b) => {
                  const fields = { platform: b.platform, user_id: b.user_id };
                  return (
                    <tr>
                      <th scope="row">
                        {b.platform} <code>{b.user_id}</code>
                      </th>
                      <td>{b.scope_id ? <code>{b.scope_id}</code> : NOTHING}</td>
                      <td class="nw">
                        <Time ctx={ctx} at={b.created_at} />
                      </td>
                      {b.dm_default ? (
                        <td>DMs come here</td>
                      ) : (
                        <RowAct ctx={ctx} base={base} verb="dm" label="Send DMs here" fields={fields} />
                      )}
                      <RowAct ctx={ctx} base={base} verb="unlink" label="Unlink" fields={fields} />
                    </tr>
                  );
                })}
              </Table>
            ) : (
              <p class="box">Nobody is linked. Make a code; the person sends it to the bot in a DM.</p>
            )}
          </>
        )}
      </Section>
      <Section ctx={ctx} part={data.grants} title="Channels it holds">
        {(rows) => (
          <>
            {rows.length > 0 && (
              <Table caption="Channels it holds" heads={["Channel", "Scope", "Since", ""]}>
                {rows.map((g) => (
                  <tr>
                    <th scope="row">
                      {g.platform} <code>{g.channel_id}</code>
                    </th>
                    <td>{g.scope_id ? <code>{g.scope_id}</code> : NOTHING}</td>
                    <td class="nw">
                      <Time ctx={ctx} at={g.created_at} />
                    </td>
                    <RowAct
                      ctx={ctx}
                      base={base}
                      verb="release"
                      label="Release"
                      fields={{ platform: g.platform, scope_id: g.scope_id, channel_id: g.channel_id }}
                    />
                  </tr>
                ))}
              </Table>
            )}
            <details>
              <summary>Hold a channel, for people who are not linked</summary>
              <form method="post" action={`${base}/grant`} class="form">
                <Guard ctx={ctx} />
                <PlatformPick id="grant-platform" />
                <Field id="scope_id" label="Team, server or number" hint="Empty for Telegram." />
                <Field id="channel_id" label="Channel id" required />
                <button type="submit">Hold it</button>
              </form>
            </details>
          </>
        )}
      </Section>
      <section class="form" aria-labelledby="who">
        <h2 id="who">Who may talk to it</h2>
        <form method="post" action={`${base}/policy`}>
          <Guard ctx={ctx} />
          <div class="field">
            <label for="principal">In channels it holds</label>
            <select id="principal" name="principal">
              {choice("owner-only", "linked people alone")}
              {choice("allow-list", "linked people, and the ids below")}
              {choice("any", "anybody in the channel")}
            </select>
          </div>
          <div class="field">
            <label for="allow">Ids, one a line</label>
            <textarea id="allow" name="allow" rows={3}>
              {row.allow.join("\n")}
            </textarea>
          </div>
          <Field
            id="wake_url"
            label="Wake URL"
            hint={
              row.wake_url
                ? "Set, and not shown again; - takes it away."
                : "Called when an event comes and the gateway sleeps."
            }
          />
          <button type="submit">Save</button>
        </form>
      </section>
      <Section ctx={ctx} part={data.policies} title="What its gateway wants to hear of others">
        {(rows) =>
          rows.length === 0 ? (
            <p class="sub">Its gateway set no rule: everything of channels it holds.</p>
          ) : (
            <ul>
              {rows.map((p) => (
                <li>
                  {p.platform}: {p.require_address ? "only what addresses it" : "everything"}
                  {p.free_response_scopes.length > 0 && `, and all of ${p.free_response_scopes.join(", ")}`}
                  {p.allow_other_bots ? "; other bots too" : ""}
                </li>
              ))}
            </ul>
          )
        }
      </Section>
      <p>
        <a class="btn danger" href={`${base}/deprovision`}>
          Deprovision…
        </a>
      </p>
    </>
  );
};
