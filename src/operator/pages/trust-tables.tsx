import type { FC } from "hono/jsx";
import { count, NOTHING } from "../../kernel/format";
import type { Person, Promotion, TrustProposal } from "../../trust";
import { Act, Id, Time } from "../components";
import type { PageContext } from "../context";

/** The tables of `/ui/trust`: what is proposed, who has which level, which promotions can be taken back. */

/** `at`: where the answers are posted, so that the reader comes back to the page they were given on. */
export const Proposals: FC<{ ctx: PageContext; items: TrustProposal[]; at?: string }> = ({
  ctx,
  items,
  at = "/ui/trust/proposals",
}) => (
  <div class="wrap">
    <table class="t two">
      <caption class="vh">Proposals, soonest end first</caption>
      <thead>
        <tr>
          <th scope="col">Client</th>
          <th scope="col">Suggested</th>
          <th scope="col">Ends</th>
          <th scope="col">Answer</th>
        </tr>
      </thead>
      <tbody>
        {items.map((p) => (
          <tr data-row={p.id}>
            <th scope="row">
              <Id id={p.client_id} />
            </th>
            <td>
              {p.action === "block" ? "block" : p.level === "contact" ? "contact → whitelist" : "stranger → contact"}
              <span class="sub">
                {p.by === "llm" ? "Tier two" : "A rule"} says: <span class="quote">{p.reason}</span>
              </span>
            </td>
            <td>
              <Time ctx={ctx} at={p.expires_at} as="in" />
            </td>
            <td>
              <div class="acts">
                <Act
                  ctx={ctx}
                  action={`${at}/${p.id}`}
                  label="Confirm"
                  kind="go"
                  title={`Confirm: ${p.action} ${p.client_id}`}
                  fields={{ answer: "confirm" }}
                />
                <Act
                  ctx={ctx}
                  action={`${at}/${p.id}`}
                  label="Reject"
                  title={`Reject: ${p.action} ${p.client_id}`}
                  fields={{ answer: "reject" }}
                />
              </div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

const Acts: FC<{ ctx: PageContext; p: Person }> = ({ ctx, p }) => {
  const button = (action: string, label: string, kind?: "danger") => (
    <Act
      ctx={ctx}
      action="/ui/trust/act"
      label={label}
      {...(kind ? { kind } : {})}
      fields={{ action, client: p.client_id }}
    />
  );
  return (
    <div class="acts">
      {(p.level === "stranger" || p.level === "contact") && button("promote", "Promote")}
      {(p.level === "contact" || p.level === "whitelist") && button("demote", "Demote")}
      {p.level === "blocked" ? button("unblock", "Unblock") : button("block", "Block", "danger")}
      {!p.client_id.includes("*") && (
        <a href={`/ui/trust/admin?client=${encodeURIComponent(p.client_id)}&on=${p.admin ? "0" : "1"}`}>
          {p.admin ? "Remove admin" : "Make admin"}
        </a>
      )}
    </div>
  );
};

export const People: FC<{ ctx: PageContext; people: Person[] }> = ({ ctx, people }) => (
  <div class="wrap">
    <table class="t two">
      <caption class="vh">Clients by level</caption>
      <thead>
        <tr>
          <th scope="col">Client</th>
          <th scope="col">Level</th>
          <th scope="col">Since</th>
          <th scope="col">Last seen</th>
          <th scope="col" class="right">
            24 h
          </th>
          <th scope="col">Act</th>
        </tr>
      </thead>
      <tbody>
        {people.map((p) => (
          <tr data-row={p.client_id}>
            <th scope="row">
              <Id id={p.client_id} />
              {p.by && (
                <span class="sub">
                  by {p.via}
                  {p.via === "admin" && (
                    <>
                      {" "}
                      <Id id={p.by} />
                    </>
                  )}
                </span>
              )}
            </th>
            <td>
              {p.level}
              {p.admin && <b> · admin</b>}
            </td>
            <td class="hide">{p.since === null ? NOTHING : <Time ctx={ctx} at={p.since} />}</td>
            <td>{p.last_seen === null ? NOTHING : <Time ctx={ctx} at={p.last_seen} />}</td>
            <td class="num hide">
              {count(p.requests_24h)}
              {p.denied_24h > 0 && <span class="sub"> {count(p.denied_24h)} denied</span>}
            </td>
            <td class="full">
              <Acts ctx={ctx} p={p} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

export const Promotions: FC<{ ctx: PageContext; items: Promotion[] }> = ({ ctx, items }) => (
  <div class="wrap">
    <table class="t compact">
      <caption class="vh">Promotions that can be taken back</caption>
      <thead>
        <tr>
          <th scope="col">When</th>
          <th scope="col">Client</th>
          <th scope="col">Change</th>
          <th scope="col">By</th>
          <th scope="col">Act</th>
        </tr>
      </thead>
      <tbody>
        {items.map((p) => (
          <tr data-row={String(p.audit_id)}>
            <th scope="row" class="nw">
              <Time ctx={ctx} at={p.at} />
            </th>
            <td>
              <Id id={p.target} />
            </td>
            <td>
              {p.from_level} → {p.to_level}
            </td>
            <td class="sub">{p.actor.startsWith("0x") ? <Id id={p.actor} /> : p.actor}</td>
            <td>
              <Act ctx={ctx} action="/ui/trust/revert" label="Revert" fields={{ audit: String(p.audit_id) }} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);
