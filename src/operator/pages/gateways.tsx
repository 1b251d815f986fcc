import type { FC } from "hono/jsx";
import { count, NOTHING } from "../../kernel/format";
import { Guard, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Field, type InstanceLine, instancePath, PlatformPick, StateChip, stateOf, Table } from "./connector-parts";

/** Gateways: which instance is not taking its events? */

export interface GatewaysData {
  lines: Part<InstanceLine[]>;
  several: boolean;
  tenants: string[];
}

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
