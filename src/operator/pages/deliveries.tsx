import type { FC } from "hono/jsx";
import type { DeliveryRow, Destination } from "../../gateway";
import { count, duration, latency, NOTHING } from "../../kernel/format";
import { plain } from "../../notify";
import type { VaultRow } from "../../vault";
import { Act, Chip, Id, Pager, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import type { State } from "../state";
import { instancePath, Table } from "./connector-parts";

/** Deliveries: did this message arrive, and where is it stuck? */

export type DeliveryLine = DeliveryRow & Destination;

export interface DeliveriesData {
  page: Part<{ items: DeliveryLine[]; next: number | null; silent: string[]; unasked: number }>;
  query: { q: string; state: string; tenant: string; instance: string };
}

const STATES: Record<DeliveryRow["state"], [State, string]> = {
  received: ["degraded", "Received"],
  queued: ["degraded", "Waiting"],
  delivered: ["ok", "Delivered"],
  dead: ["down", "Dead"],
};

interface Stage {
  name: string;
  at: number | null;
}

/** The stages of a way. Bytes are verified as they are received, so both have one time. */
const stagesOf = (d: DeliveryRow): Stage[] => [
  { name: "received", at: d.verified_at },
  { name: "verified", at: d.verified_at },
  { name: "stored", at: d.stored_at },
  { name: "sent", at: d.sent_at },
  { name: "acked", at: d.acked_at },
  { name: "accepted", at: d.answered_at },
];

const Dots: FC<{ d: DeliveryRow }> = ({ d }) => {
  const stages = stagesOf(d);
  const reached = stages.filter((s) => s.at !== null).map((s) => s.name);
  const last = stages.findIndex((s) => s.at === null);
  const text = stages.map((s, i) => (s.at !== null ? "●" : d.state === "dead" && i === last ? "✕" : "○")).join(" ");
  return (
    <span
      role="img"
      class="nw"
      aria-label={`${reached.join(", ")}${d.state === "dead" ? "; then dead" : ""}`}
      title={reached.join(", ")}
    >
      {text}
    </span>
  );
};

/** The page of one event. */
export const pathOf = (d: Destination, seq: number): string =>
  `/deliveries/${encodeURIComponent(d.tenant)}/${encodeURIComponent(d.instance)}/${seq}`;

/** A query as a link keeps it. */
export const queryOf = (q: Record<string, string>): string =>
  new URLSearchParams(Object.entries(q).filter(([, v]) => v !== "")).toString();

const Row: FC<{ ctx: PageContext; d: DeliveryLine }> = ({ ctx, d }) => {
  const end = d.acked_at ?? d.sent_at;
  return (
    <tr data-row={String(d.seq)}>
      <th scope="row" class="nw">
        <a href={pathOf(d, d.seq)}>
          <Time ctx={ctx} at={d.stored_at} />
        </a>
      </th>
      <td>
        {d.platform} <span class="sub">{d.instance}</span>
      </td>
      <td class="full">
        <span class="quote">{plain(d.text).slice(0, 80) || d.message_type}</span>{" "}
        <span class="sub">{plain(d.user_name ?? d.user_id ?? "")}</span>
      </td>
      <td>
        <Dots d={d} />
        {d.why && <span class="sub"> {d.why}</span>}
      </td>
      <td class="num">{end === null ? NOTHING : latency(Math.max(0, end - d.stored_at))}</td>
      <td class="num hide">{count(d.attempts + (d.acked_at === null ? 0 : 1))}</td>
    </tr>
  );
};

export const DeliveriesPage: FC<{ ctx: PageContext; data: DeliveriesData }> = ({ ctx, data }) => {
  const { page, query } = data;
  const stuck = page.ok ? page.value.items.filter((d) => d.state === "queued" || d.state === "received").length : 0;
  const filtered = Object.values(query).some((v) => v !== "");
  return (
    <>
      <div class="head">
        <div>
          <h1>{stuck > 0 ? `${count(stuck)} ${stuck === 1 ? "event waits" : "events wait"}.` : "Deliveries"}</h1>
          <p class="lead">
            Dots: received, verified, stored, sent, acked, and a message of the gateway accepted by the platform.{" "}
            <a href="/dead-letters">Dead letters</a>
          </p>
        </div>
      </div>
      <form method="get" action="/deliveries" class="acts chips">
        <label class="vh" for="q">
          Find
        </label>
        <input id="q" name="q" type="search" value={query.q} placeholder="text, id, chat" autocomplete="off" />
        <label class="vh" for="state">
          State
        </label>
        <select id="state" name="state">
          <option value="">any state</option>
          {Object.entries(STATES).map(([value, [, word]]) => (
            <option value={value} selected={query.state === value}>
              {word}
            </option>
          ))}
        </select>
        {query.instance && <input type="hidden" name="instance" value={query.instance} />}
        {query.tenant && <input type="hidden" name="tenant" value={query.tenant} />}
        <button type="submit">Find</button>
        {filtered && <a href="/deliveries">All</a>}
      </form>
      <Section ctx={ctx} part={page} id="deliveries">
        {({ items, next, silent, unasked }) => (
          <>
            {silent.length > 0 && (
              <p class="box err">Did not answer: {silent.join(", ")}. Their events are not shown.</p>
            )}
            {unasked > 0 && <p class="sub">{count(unasked)} more instances are searched by name only.</p>}
            {items.length === 0 ? (
              <p class="box">
                {filtered ? "Nothing found." : "No event yet."} Try: <code>npm run send -- slack message</code>
              </p>
            ) : (
              <Table caption="Events, newest first" heads={["Time", "Where", "What", "Way", "To ack", "Tries"]}>
                {items.map((d) => (
                  <Row ctx={ctx} d={d} />
                ))}
              </Table>
            )}
            <Pager
              prev={null}
              next={next === null ? null : `/deliveries?${queryOf({ ...query, before: String(next) })}`}
              what="events"
            />
          </>
        )}
      </Section>
    </>
  );
};

export const DeliveryPage: FC<{ ctx: PageContext; d: DeliveryLine; vault: Part<VaultRow[]> }> = ({ ctx, d, vault }) => {
  const [state, word] = STATES[d.state];
  const begun = d.stored_at;
  const again = d.state === "delivered" || d.replayed_as !== null;
  return (
    <>
      <div class="head">
        <div>
          <h1>
            {d.platform} {d.message_type} to {d.instance}
          </h1>
          <p class="lead">
            <Chip state={state} word={word} /> <Dots d={d} /> {d.why}
          </p>
        </div>
        {(d.state === "delivered" || d.state === "dead") && (
          <Act
            ctx={ctx}
            action={`${pathOf(d, d.seq)}/replay`}
            label={again ? "Send again, though it was sent" : "Send again"}
            fields={again ? { override: "1" } : {}}
          />
        )}
      </div>
      <section id="way" data-live>
        <Table caption="Its way" heads={["Stage", "When", "After storing"]}>
          {stagesOf(d).map((s) => (
            <tr>
              <th scope="row">{s.name}</th>
              <td>{s.at === null ? NOTHING : <Time ctx={ctx} at={s.at} as="clock" />}</td>
              <td class="num">{s.at === null || s.at < begun ? NOTHING : latency(s.at - begun)}</td>
            </tr>
          ))}
        </Table>
      </section>
      <section>
        <dl class="box">
          <dt>Instance</dt>
          <dd>
            <a href={instancePath(d)}>
              {d.tenant} / {d.instance}
            </a>
          </dd>
          <dt>From</dt>
          <dd>
            {plain(d.user_name ?? "")} <code>{d.user_id}</code> in <code>{d.chat_id}</code>, app {d.app}
          </dd>
          <dt>Text</dt>
          <dd>
            <span class="quote">{plain(d.text) || NOTHING}</span>
          </dd>
          <dt>Buffer id</dt>
          <dd>
            <Id id={d.buffer_id} />
          </dd>
          <dt>Dedupe key</dt>
          <dd>
            <code>{d.key}</code>
          </dd>
          <dt>Tries without an ack</dt>
          <dd>{count(d.attempts)}</dd>
          {d.replayed_as !== null && (
            <>
              <dt>Sent again as</dt>
              <dd>
                <a href={pathOf(d, d.replayed_as)}>{d.replayed_as}</a>
              </dd>
            </>
          )}
        </dl>
      </section>
      <Section ctx={ctx} part={vault} title="Credentials of this chat">
        {(rows) =>
          rows.length === 0 ? (
            <p class="sub">None. What a platform hands over is sealed here and crosses to no gateway.</p>
          ) : (
            <Table caption="Credentials of this chat" heads={["Kind", "State", "Age", "Lives", "Uses left"]}>
              {rows.map((v) => (
                <tr>
                  <th scope="row">{v.kind}</th>
                  <td>{v.state}</td>
                  <td>{duration(Math.max(0, ctx.now - v.sealed_at))}</td>
                  <td>
                    <Time ctx={ctx} at={v.expires_at} as="in" />
                  </td>
                  <td class="num">
                    {v.uses_left ?? "any"} <span class="sub">used {count(v.wielded)}</span>
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Section>
    </>
  );
};
