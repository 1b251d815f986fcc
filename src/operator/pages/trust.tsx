import type { FC } from "hono/jsx";
import { count } from "../../kernel/format";
import type { ClientLevel, Person, PolicyInForce, Promotion, TestResult, TrustProposal } from "../../trust";
import { Act, Guard, Id, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { People, Promotions, Proposals } from "./trust-tables";

export interface TrustData {
  address: string | null;
  level: ClientLevel | null;
  policy: Part<PolicyInForce>;
  share: Part<{ decisions: number; llm: number }>;
  proposals: Part<TrustProposal[]>;
  people: Part<Person[]>;
  promotions: Part<Promotion[]>;
  /** What the tester was asked and said. */
  test: { fields: Record<string, string>; result: TestResult | null; problem: string | null } | null;
  /** A policy text that could not be put in force, and why. */
  draft: { text: string; problem: string } | null;
}

const LEVELS: ClientLevel[] = ["blocked", "stranger", "contact", "whitelist"];
const WORD: Record<ClientLevel, string> = {
  blocked: "Blocked",
  stranger: "Strangers",
  contact: "Contacts",
  whitelist: "Whitelist",
};

/** The answer first: does anybody wait for me? */
function headline(data: TrustData): string {
  const waiting = data.proposals.ok ? data.proposals.value.length : 0;
  if (waiting > 0) return `${waiting} ${waiting === 1 ? "proposal waits" : "proposals wait"} for you.`;
  const people = data.people.ok ? data.people.value : [];
  const knocked = people.filter((p) => p.level === "stranger" && p.denied_24h > 0).length;
  return knocked === 0
    ? "Nobody waits."
    : `${count(knocked)} ${knocked === 1 ? "stranger" : "strangers"} knocked today.`;
}

/** How much was decided without a model. */
const shareLine = (s: { decisions: number; llm: number }): string =>
  s.decisions === 0
    ? "No decision in the last 24 h."
    : `${count(s.decisions)} decisions in 24 h, ${Math.floor((100 * (s.decisions - s.llm)) / s.decisions)} % by rules, ${count(s.llm)} by tier two.`;

const FROM = {
  operator: "put in force here",
  variable: "from REVEILLE_TRUST_POLICY",
  default: "the default of this environment",
} as const;

const PolicyBox: FC<{ ctx: PageContext; p: PolicyInForce; draft: TrustData["draft"] }> = ({ ctx, p, draft }) => {
  const text = "error" in p.policy ? p.text : p.policy.text;
  return (
    <>
      {"error" in p.policy && (
        <p class="box err" role="alert">
          This policy can't be read, so everybody is refused: {p.policy.error}
        </p>
      )}
      <p>
        <b>{"error" in p.policy ? "unreadable" : p.policy.name}</b>, {FROM[p.from]}
        {p.at && (
          <>
            {" "}
            by {p.by} <Time ctx={ctx} at={Date.parse(p.at)} />
          </>
        )}
        .
      </p>
      <details open={draft !== null}>
        <summary>Source text</summary>
        <form method="post" action="/ui/trust/policy" class="form">
          <Guard ctx={ctx} />
          {draft && (
            <p class="box err" role="alert">
              {draft.problem}
            </p>
          )}
          <div class="field">
            <label for="t-policy">
              Policy: open, careful, strict, or a text that begins with ---. Empty: the configured one.
            </label>
            <textarea id="t-policy" name="policy" rows={18} maxlength={32768} spellcheck={false}>
              {draft?.text ?? text}
            </textarea>
          </div>
          <button type="submit">Put in force</button>
        </form>
      </details>
    </>
  );
};

const OUTCOME = { allow: "Allowed", deny: "Denied", ask: "Tier two would be asked" } as const;

const Tester: FC<{ ctx: PageContext; test: TrustData["test"] }> = ({ ctx, test }) => {
  const f = test?.fields ?? {};
  const r = test?.result;
  return (
    <section aria-label="Try the policy" id="tester">
      <h2>Try the policy</h2>
      <form method="post" action="/ui/trust/test" class="form">
        <Guard ctx={ctx} />
        <div class="field">
          <label for="t-client">Address</label>
          <input
            id="t-client"
            name="client"
            value={f["client"] ?? ""}
            required
            maxlength={66}
            spellcheck={false}
            placeholder="0x…"
          />
        </div>
        <div class="row">
          <div class="field">
            <label for="t-level">Level</label>
            <select id="t-level" name="level">
              <option value="">its own</option>
              {LEVELS.map((l) => (
                <option value={l} selected={f["level"] === l}>
                  {l}
                </option>
              ))}
            </select>
          </div>
          <div class="field">
            <label for="t-code">Invite code</label>
            <input id="t-code" name="code" type="password" autocomplete="off" maxlength={200} />
          </div>
          <div class="field">
            <label for="t-payment">Payment</label>
            <select id="t-payment" name="payment">
              <option value="">none</option>
              <option value="proven" selected={f["payment"] === "proven"}>
                proven
              </option>
              <option value="unproven" selected={f["payment"] === "unproven"}>
                not proven
              </option>
            </select>
          </div>
        </div>
        <button type="submit">Try</button>
        {test?.problem && (
          <p class="box err" role="alert">
            {test.problem}
          </p>
        )}
        {r && (
          <p class="box" role="status">
            <b>{OUTCOME[r.outcome]}</b>, by {r.rule}.{r.changes && ` The client ${r.changes}.`}
            {r.onboard && ` It is offered: ${r.onboard.methods.join(", ")}.`} Nothing was changed.
          </p>
        )}
      </form>
    </section>
  );
};

/** Trust: who is waiting, who is blocked? */
export const TrustPage: FC<{ ctx: PageContext; data: TrustData }> = ({ ctx, data }) => (
  <>
    <div class="head">
      <div>
        <h1>{headline(data)}</h1>
        {data.share.ok && <p class="lead">{shareLine(data.share.value)}</p>}
        <p class="lead">
          {data.address ? (
            <>
              This host is <Id id={data.address} />; whoever holds its key is super admin.
            </>
          ) : (
            <>
              This host has no address yet: set <code>REVEILLE_AGENT_SEED</code>.
            </>
          )}
        </p>
      </div>
    </div>
    <Section ctx={ctx} part={data.proposals} title="Proposals" id="proposals">
      {(items) =>
        items.length === 0 ? (
          <p class="muted">Nothing is proposed. A model or a rule may suggest; only you change a level.</p>
        ) : (
          <Proposals ctx={ctx} items={items} />
        )
      }
    </Section>
    <Section ctx={ctx} part={data.people} title="Clients" id="people">
      {(people) => (
        <>
          <ul class="tabs" aria-label="Level">
            {[null, ...LEVELS].map((l) => (
              <li>
                <a href={l ? `/ui/trust?level=${l}` : "/ui/trust"} aria-current={data.level === l ? "page" : undefined}>
                  {l ? WORD[l] : "All"}
                </a>
              </li>
            ))}
          </ul>
          {people.length === 0 ? (
            <p class="muted">
              {data.level
                ? `No ${WORD[data.level].toLowerCase()}.`
                : "No one has knocked. Strangers are met by the policy below."}
            </p>
          ) : (
            <People ctx={ctx} people={people} />
          )}
        </>
      )}
    </Section>
    <section aria-label="One client">
      <h2>One client</h2>
      <form method="post" action="/ui/trust/act" class="form">
        <Guard ctx={ctx} />
        <div class="field">
          <label for="t-one">Address, or a pattern with *</label>
          <input id="t-one" name="client" required maxlength={100} spellcheck={false} placeholder="0x…" />
        </div>
        <div class="acts">
          <button type="submit" name="action" value="promote">
            Promote
          </button>
          <button type="submit" name="action" value="demote">
            Demote
          </button>
          <button type="submit" name="action" value="block" class="danger">
            Block
          </button>
          <button type="submit" name="action" value="unblock">
            Unblock
          </button>
        </div>
      </form>
    </section>
    <Section ctx={ctx} part={data.promotions} title="Promotions" id="promotions">
      {(items) =>
        items.length === 0 ? (
          <p class="muted">No promotion can be taken back.</p>
        ) : (
          <Promotions ctx={ctx} items={items} />
        )
      }
    </Section>
    <Section ctx={ctx} part={data.policy} title="Policy in force" id="policy">
      {(p) => <PolicyBox ctx={ctx} p={p} draft={data.draft} />}
    </Section>
    <Tester ctx={ctx} test={data.test} />
  </>
);

/** Making or unmaking an admin is asked twice. */
export const AdminPage: FC<{ ctx: PageContext; client: string; on: boolean }> = ({ ctx, client, on }) => (
  <div class="form">
    <h1>{on ? "Make this client an admin?" : "Take the admin mark away?"}</h1>
    <p class="lead">
      <Id id={client} />{" "}
      {on ? "could then promote, demote, block and unblock every client." : "can then change nobody's level any more."}
    </p>
    <div class="acts">
      <Act
        ctx={ctx}
        action="/ui/trust/act"
        label={on ? "Make admin" : "Remove admin"}
        kind="danger"
        fields={{ action: on ? "add_admin" : "remove_admin", client }}
      />
      <a href="/ui/trust" data-up>
        Leave it
      </a>
    </div>
  </div>
);
