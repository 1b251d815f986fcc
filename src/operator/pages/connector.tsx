import type { Child, FC } from "hono/jsx";
import type { BindingRow, GatewayRow, GatewayView, GrantRow, InstanceRow, PolicyRow } from "../../gateway";
import { count, NOTHING } from "../../kernel/format";
import { PLATFORMS } from "../../platform";
import { Act, Chip, Guard, Id, Section, Snippet, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { State } from "../state";

/** Gateways: which instance is not taking its events, and who may reach it. */

export interface InstanceLine {
  row: InstanceRow;
  /** Null: its object did not answer. */
  live: GatewayView | null;
  gateways: GatewayRow[];
}

export interface GatewaysData {
  lines: Part<InstanceLine[]>;
  several: boolean;
  tenants: string[];
}

const LOOK: Record<GatewayView["state"], State> = {
  on: "ok",
  "going idle": "degraded",
  asleep: "maintenance",
  dead: "down",
  revoked: "unknown",
};

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
export const instancePath = (d: { tenant: string; instance: string }): string =>
  `/gateways/${encodeURIComponent(d.tenant)}/${encodeURIComponent(d.instance)}`;

/** A gateway's secret is taken for good: with none left the instance is revoked, whatever its object remembers. */
const stateOf = ({ live, gateways }: InstanceLine): GatewayView["state"] | null =>
  gateways.length > 0 && gateways.every((g) => g.revoked_at !== null) ? "revoked" : (live?.state ?? null);

const StateChip: FC<{ ctx: PageContext; line: InstanceLine }> = ({ ctx, line }) => {
  const state = stateOf(line);
  const { live } = line;
  const seen = live?.last_seen ?? null;
  return (
    <>
      <Chip state={state ? LOOK[state] : "unknown"} word={state ? capital(state) : "Can't see"} />{" "}
      {state === "dead" && <span class="mod">{seen === null ? "never connected" : <Time ctx={ctx} at={seen} />}</span>}
      {state === "asleep" && <span class="mod">wakes on an event</span>}
    </>
  );
};

/** A table that becomes cards on a phone. */
export const Table: FC<{ caption: string; heads: string[]; children: Child }> = ({ caption, heads, children }) => (
  <div class="wrap">
    <table class="t">
      <caption class="vh">{caption}</caption>
      <thead>
        <tr>
          {heads.map((h) => (
            <th scope="col">{h || <span class="vh">Act</span>}</th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  </div>
);

/** One labelled field of a form. */
export const Field: FC<{ id: string; label: string; value?: string; hint?: string; required?: boolean }> = (p) => (
  <div class="field">
    <label for={p.id}>{p.label}</label>
    <input id={p.id} name={p.id} value={p.value} required={p.required} maxlength={2000} autocomplete="off" />
    {p.hint && <span class="sub">{p.hint}</span>}
  </div>
);

const PlatformPick: FC<{ id: string; any?: string }> = ({ id, any }) => (
  <div class="field">
    <label for={id}>Platform</label>
    <select id={id} name="platform">
      {any && <option value="">{any}</option>}
      {PLATFORMS.map((p) => (
        <option value={p}>{p}</option>
      ))}
    </select>
  </div>
);

const headline = (lines: InstanceLine[]): string => {
  if (lines.length === 0) return "No gateway yet.";
  const off = lines.filter((l) => stateOf(l) === "dead" && (l.live?.waiting ?? 0) > 0).length;
  if (off > 0) return `${count(off)} of ${count(lines.length)} not taking ${off === 1 ? "its" : "their"} events.`;
  const on = lines.filter((l) => stateOf(l) === "on").length;
  return `${count(on)} of ${count(lines.length)} on.`;
};

const Line: FC<{ ctx: PageContext; line: InstanceLine; several: boolean }> = ({ ctx, line, several }) => {
  const { row, live } = line;
  const platforms = [...new Set(live?.sockets.flatMap((s) => s.platforms) ?? [])];
  return (
    <tr data-row={row.instance}>
      <th scope="row">
        <a class="name" href={instancePath(row)}>
          {row.name}
        </a>
        <span class="sub">
          {" "}
          {several && `${row.tenant} / `}
          {row.instance}
        </span>
      </th>
      <td>
        <StateChip ctx={ctx} line={line} />
      </td>
      <td class="hide">{platforms.join(", ") || NOTHING}</td>
      <td class="num">
        {live ? count(live.waiting) : NOTHING}{" "}
        {live?.oldest_at != null && (
          <span class="sub">
            oldest <Time ctx={ctx} at={live.oldest_at} as="for" />
          </span>
        )}
      </td>
      <td class="num hide">{live ? count(live.dead) : NOTHING}</td>
      <td class="nw hide">{live?.last_seen ? <Time ctx={ctx} at={live.last_seen} /> : NOTHING}</td>
    </tr>
  );
};

export const GatewaysPage: FC<{ ctx: PageContext; data: GatewaysData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{data.lines.ok ? headline(data.lines.value) : "Gateways"}</h1>
        <p class="lead">
          Events wait here until a gateway takes and acks them. <a href="/deliveries">Deliveries</a>{" "}
          <a href="/dead-letters">Dead letters</a>
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={data.lines} id="gateways">
      {(lines) =>
        lines.length === 0 ? (
          <p class="box">
            Make one below and paste its lines into your gateway. Without a gateway or an account:{" "}
            <code>npm run send -- slack message</code>
          </p>
        ) : (
          <Table
            caption="Instances and their gateways"
            heads={["Instance", "State", "Platforms", "Waiting", "Dead letters", "Last seen"]}
          >
            {lines.map((line) => (
              <Line ctx={ctx} line={line} several={data.several} />
            ))}
          </Table>
        )
      }
    </Section>
    <section class="form" aria-labelledby="new">
      <h2 id="new">New gateway</h2>
      <form method="post" action="/gateways">
        <Guard ctx={ctx} />
        <Field id="name" label="Name" required />
        <Field id="instance" label="Instance id" hint="Letters, digits, _ . -; empty: one of its own." />
        {data.several && <Field id="tenant" label="Tenant" hint={data.tenants.join(", ")} required />}
        <PlatformPick id="platform" any="every platform" />
        <Field id="bot_id" label="Bot id" hint="As the gateway greets with it; empty: any." />
        <button type="submit" class="go">
          Make it
        </button>
      </form>
    </section>
  </>
);

/** A secret on the one page that ever shows it. */
export const OncePage: FC<{ title: string; text: string; snippet: string; label: string; back: string }> = (p) => (
  <div class="form">
    <h1>{p.title}</h1>
    <p class="lead">{p.text}</p>
    <Snippet id="once" text={p.snippet} label={p.label} />
    <p>
      <a class="btn" href={p.back} data-up>
        Done
      </a>
    </p>
  </div>
);

/** Asks before what can't be undone; with `name` it must be typed. */
export const ConfirmPage: FC<{
  ctx: PageContext;
  title: string;
  text: string;
  action: string;
  label: string;
  back: string;
  name?: string;
  fields?: Record<string, string>;
}> = (p) => (
  <div class="form">
    <h1>{p.title}</h1>
    <p class="lead">{p.text}</p>
    <form method="post" action={p.action}>
      <Guard ctx={p.ctx} />
      {Object.entries(p.fields ?? {}).map(([k, v]) => (
        <input type="hidden" name={k} value={v} />
      ))}
      {p.name && <Field id="typed" label={`Type its id: ${p.name}`} required />}
      <div class="acts">
        <button type="submit" class="danger">
          {p.label}
        </button>
        <a href={p.back} data-up>
          Keep it
        </a>
      </div>
    </form>
  </div>
);

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
