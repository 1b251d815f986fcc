import type { FC } from "hono/jsx";
import { clockTime, day, shortId } from "../../kernel/format";
import type { AuditLine } from "../audit.store";
import { type AuditChip, chipText, joinChips, KEYS } from "../audit-query";
import { Pager, Section } from "../components";
import type { PageContext, Part } from "../context";

export interface AuditData {
  chips: AuditChip[];
  page: Part<{ rows: AuditLine[]; next: number | null }>;
}

const to = (chips: AuditChip[]): string =>
  chips.length === 0 ? "/audit" : `/audit?q=${encodeURIComponent(joinChips(chips))}`;

const QueryBar: FC<{ chips: AuditChip[] }> = ({ chips }) => (
  <form method="get" action="/audit">
    <div class="field">
      <label for="audit-q">Query: {KEYS.map((k) => `${k}:`).join(" ")} or any id</label>
      <div class="row">
        <input
          id="audit-q"
          name="q"
          value={joinChips(chips)}
          placeholder="seam:incident.acked since:2h"
          maxlength={400}
          data-filter
          autocomplete="off"
        />
        <button type="submit">Search</button>
      </div>
    </div>
    {chips.length > 0 && (
      <div class="chips">
        {chips.map((c) => (
          <a class="btn" href={to(chips.filter((x) => x !== c))} aria-label={`Drop ${chipText(c)}`}>
            {chipText(c)} ✕
          </a>
        ))}
      </div>
    )}
  </form>
);

/** A few of a row's details in one line; the whole of it is one press away. */
function gist(details: Record<string, unknown>): string {
  return Object.entries(details)
    .filter(([, v]) => v !== null && v !== "" && typeof v !== "object")
    .slice(0, 5)
    .map(([k, v]) => `${k} ${String(v).slice(0, 60)}`)
    .join(" · ");
}

const Row: FC<{ ctx: PageContext; row: AuditLine }> = ({ ctx, row }) => {
  const details = JSON.parse(row.details) as Record<string, unknown>;
  const joins = [
    ["incident", row.incident_id],
    ["wake", row.wake_id],
    ["session", row.session_id],
  ] as const;
  return (
    <tr data-row={String(row.id)} id={`a-${row.id}`}>
      <th scope="row" class="num">
        <a href={`#a-${row.id}`} class="name">
          {clockTime(row.emitted_at, ctx.zone)}
        </a>{" "}
        <span class="sub">{day(row.emitted_at, ctx.zone)}</span>
      </th>
      <td class="nw">
        <a href={to([{ key: "seam", value: row.seam }])}>{row.seam}</a> <span class="sub">{row.source}</span>
      </td>
      <td class="full one">
        <details id={`ad-${row.id}`}>
          <summary>{gist(details) || "details"}</summary>
          <pre tabindex={0}>{JSON.stringify(details, null, 2)}</pre>
        </details>
      </td>
      <td class="nw">
        {joins.map(([key, id]) =>
          id ? (
            <>
              <a href={to([{ key, value: id }])} title={id}>
                {key === "session" ? "session" : `${key} ${shortId(id)}`}
              </a>{" "}
            </>
          ) : null,
        )}
      </td>
    </tr>
  );
};

/** Audit: what happened, in order? */
export const AuditPage: FC<{ ctx: PageContext; data: AuditData }> = ({ ctx, data }) => {
  const last = data.chips.at(-1);
  return (
    <>
      <div class="head">
        <h1>Audit</h1>
      </div>
      <QueryBar chips={data.chips} />
      <Section ctx={ctx} part={data.page} id="rows">
        {({ rows, next }) =>
          rows.length === 0 ? (
            <p class="box">
              {last ? (
                <>
                  No row matches <code>{joinChips(data.chips)}</code>.{" "}
                  <a href={to(data.chips.slice(0, -1))}>
                    Drop <code>{chipText(last)}</code>
                  </a>
                </>
              ) : (
                "No row yet."
              )}
            </p>
          ) : (
            <>
              <div class="wrap">
                <table class={`t compact${rows.length > 30 ? " long" : ""}`}>
                  <caption class="vh">Audit rows, newest first</caption>
                  <thead>
                    <tr>
                      <th scope="col">Time</th>
                      <th scope="col">Seam</th>
                      <th scope="col">Details</th>
                      <th scope="col">Joined by</th>
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((row) => (
                      <Row ctx={ctx} row={row} />
                    ))}
                  </tbody>
                </table>
              </div>
              <Pager
                prev={null}
                next={
                  next === null
                    ? null
                    : `/audit?${new URLSearchParams({ q: joinChips(data.chips), before: String(next) })}`
                }
                what="rows"
              />
            </>
          )
        }
      </Section>
    </>
  );
};
