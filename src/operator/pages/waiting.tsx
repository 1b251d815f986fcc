import type { FC } from "hono/jsx";
import type { ProposalView } from "../../reason";
import type { TrustProposal } from "../../trust";
import { Act, Section, Time } from "../components";
import type { PageContext, Part } from "../context";
import { Proposals } from "./trust-tables";

const words = (value: string | number | string[]): string =>
  Array.isArray(value) ? (value.length > 0 ? value.join(", ") : "none") : String(value);

const Proposal: FC<{ ctx: PageContext; p: ProposalView }> = ({ ctx, p }) => {
  const at = `/inbox/proposals/${p.key}`;
  return (
    <section class="box" data-row={p.key} id={`proposal-${p.key}`} aria-label={p.title}>
      <h3>{p.title}</h3>
      <p class="sub">
        {p.loop.replaceAll("_", " ")} · confidence {p.confidence.toFixed(2)} · seen {p.seen}{" "}
        {p.seen === 1 ? "time" : "times"}, last <Time ctx={ctx} at={Date.parse(p.updated_at)} />
        {p.expires_at && (
          <>
            {" "}
            · ends <Time ctx={ctx} at={Date.parse(p.expires_at)} as="date" /> unless seen again
          </>
        )}
      </p>
      <details>
        <summary>What it found</summary>
        <dl>
          {Object.entries(p.facts).map(([label, value]) => (
            <>
              <dt>{label}</dt>
              <dd>
                <span class="quote">{words(value)}</span>
              </dd>
            </>
          ))}
        </dl>
      </details>
      <p>Approving adds vocabulary; nothing is switched on. {p.approval} Rejecting keeps it quiet for 90 days.</p>
      <div class="acts">
        <Act ctx={ctx} action={`${at}/approve`} label="Approve" title={`Approve: ${p.title}`} />
        <Act ctx={ctx} action={`${at}/reject`} label="Reject" kind="plain" title={`Reject: ${p.title}`} />
      </div>
    </section>
  );
};

/** What wants an answer: proposals of the promote loops, those that end first on top. Nothing when nothing waits. */
export const Waiting: FC<{ ctx: PageContext; part: Part<ProposalView[]> }> = ({ ctx, part }) =>
  part.ok && part.value.length === 0 ? null : (
    <Section ctx={ctx} part={part} title="Waiting" id="waiting">
      {(proposals) => (
        <>
          {proposals.map((p) => (
            <Proposal ctx={ctx} p={p} />
          ))}
        </>
      )}
    </Section>
  );

/** Clients whose level somebody suggests to change; only a person does it. Nothing when nothing waits. */
export const TrustWaiting: FC<{ ctx: PageContext; part: Part<TrustProposal[]> }> = ({ ctx, part }) =>
  part.ok && part.value.length === 0 ? null : (
    <Section ctx={ctx} part={part} title="Clients" id="trust">
      {(items) => (
        <>
          <p>
            Confirming changes the client's level at once; rejecting changes nothing. <a href="/ui/trust">Trust</a>
          </p>
          <Proposals ctx={ctx} items={items} at="/inbox/trust" />
        </>
      )}
    </Section>
  );

/** Those that end first on top. */
export const bySoonestEnd = (proposals: ProposalView[]): ProposalView[] =>
  [...proposals].sort((a, b) => (a.expires_at ?? "").localeCompare(b.expires_at ?? ""));
