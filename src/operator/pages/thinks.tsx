import type { Child, FC } from "hono/jsx";
import { latency, money } from "../../kernel/format";
import type { InvestigationView } from "../../reason";
import { Time } from "../components";
import type { PageContext } from "../context";
import type { WakeNote } from "../incidents.store";
import { reasonWord } from "../state";

/** Why nobody reasoned about this incident, in words; the code stands beside it. */
const WHY: Record<string, string> = {
  unconfigured: "no engine is configured",
  cost_ladder_halted: "the budget for this is spent",
  operational_state_paused: "wakes are paused",
  sdk_timeout: "the engine did not answer in time",
  sdk_auth: "the engine refused our key",
  sdk_rate_limited: "the engine is rate limited",
  sdk_5xx: "the engine failed",
  sdk_transport: "the engine can't be reached, or its answer was lost",
  engine_unavailable: "no engine is available",
  empty_response_text: "the engine answered nothing",
  unpriced_model: "the model has no known price",
  truncated: "the answer was cut off at its length limit",
  invalid_output: "the answer was not in the form asked for",
};

const Not: FC<{ code: string }> = ({ code }) => (
  <p>
    Not investigated: {WHY[code] ?? reasonWord(code)} (<code>{code}</code>). The facts on this page are complete.
  </p>
);

/** `[E2, E3]` in a text becomes chips that jump to the rows behind the claim; everything else stays text. */
function withChips(text: string, known: ReadonlySet<string>): Child[] {
  return text.split(/(\bE\d{1,6}\b)/g).map((part) =>
    known.has(part) ? (
      <a class="chip s-unknown" href={`#${part}`}>
        {part}
      </a>
    ) : (
      part
    ),
  );
}

/** Kinds of rows that may quote a vendor's words. */
const VENDOR = new Set(["sample", "snapshot", "incident", "deploy", "vendor_status"]);

const EvidenceList: FC<{ ctx: PageContext; x: InvestigationView }> = ({ ctx, x }) => {
  const cited = new Set(x.result?.evidence ?? []);
  const rows = [...x.evidence].sort((a, b) => Number(cited.has(b.id)) - Number(cited.has(a.id)));
  const shown = rows.filter((e) => cited.has(e.id));
  const rest = rows.filter((e) => !cited.has(e.id));
  const item = (e: InvestigationView["evidence"][number]) => (
    <li id={e.id}>
      <span class="num">
        <b>{e.id}</b>
        {e.at !== null && (
          <span class="sub">
            {" "}
            <Time ctx={ctx} at={e.at} as="clock" />
          </span>
        )}
      </span>
      <span />
      <div>
        <span class="quote">{e.text}</span>{" "}
        <span class="sub">
          {e.kind.replaceAll("_", " ")}
          {VENDOR.has(e.kind) && ", from vendor"} {e.ref && <a href={`?view=everything#${e.ref}`}>in the timeline</a>}{" "}
          {cited.has(e.id) && <a href="#thinks">back to claim</a>}
        </span>
      </div>
    </li>
  );
  return (
    <>
      {shown.length > 0 && <ol class="tl">{shown.map(item)}</ol>}
      {rest.length > 0 && (
        <details id="evidence-rest">
          <summary class="sub">
            {rest.length} more {rest.length === 1 ? "row" : "rows"} it was shown
          </summary>
          <ol class="tl">{rest.map(item)}</ol>
        </details>
      )}
    </>
  );
};

const Bill: FC<{ x: InvestigationView }> = ({ x }) => (
  <p class="sub">
    {[
      ...(x.result ? [`confidence ${x.result.confidence.toFixed(2)}`] : []),
      ...(x.model ? [x.model] : []),
      money(x.usd ?? 0),
      latency(x.ms),
      ...(x.dropped > 0 ? [`${x.dropped === 1 ? "1 claim" : `${x.dropped} claims`} dropped: no evidence`] : []),
    ].join(" · ")}
  </p>
);

const Answer: FC<{ ctx: PageContext; x: InvestigationView }> = ({ ctx, x }) => {
  const { result } = x;
  if (result === null)
    return (
      <>
        <Not code={x.error ?? "unknown"} />
        {(x.usd ?? 0) > 0 && <Bill x={x} />}
      </>
    );
  const known = new Set(x.evidence.map((e) => e.id));
  return (
    <>
      {x.guess && <p>No claim below has evidence. Read it as a guess.</p>}
      <p>{withChips(result.summary, known)}</p>
      {!x.guess && !/\bE\d/.test(result.summary) && <p class="chips">{withChips(result.evidence.join(" "), known)}</p>}
      <dl>
        {result.likely_cause !== "" && (
          <>
            <dt>Likely cause</dt>
            <dd>{withChips(result.likely_cause, known)}</dd>
          </>
        )}
        {result.next_step !== "" && (
          <>
            <dt>Next step</dt>
            <dd>{withChips(result.next_step, known)}</dd>
          </>
        )}
      </dl>
      <Bill x={x} />
      <EvidenceList ctx={ctx} x={x} />
    </>
  );
};

/** What reasoning said about an incident, what it rests on, or why it said nothing. */
export const Thinks: FC<{ ctx: PageContext; wake: WakeNote | null; investigation: InvestigationView | null }> = (p) => {
  const { ctx, wake, investigation: x } = p;
  const code = wake?.reasoning_error ?? null;
  return (
    <section class="box" aria-labelledby="thinks" id="thinks-box" data-live>
      <h2 id="thinks">{x?.guess ? "A guess" : "What Reveille thinks"}</h2>
      {x !== null ? (
        <Answer ctx={ctx} x={x} />
      ) : wake === null ? (
        <p>Not investigated: nobody was woken for this.</p>
      ) : code !== null ? (
        <Not code={code} />
      ) : wake.stage === "dead" ? (
        <p>Not investigated: the wake ended as a dead letter. The facts on this page are complete.</p>
      ) : wake.dm_status === "suppressed" ? (
        <p>Not investigated: its notice was not pushed, and only what is told is looked into.</p>
      ) : wake.stage === "noticed" ? (
        <p>Not investigated: it was over before the engine was asked.</p>
      ) : wake.stage === "reserved" ? (
        <p class="muted">Reveille is looking into it. The plain notice did not wait for it.</p>
      ) : (
        <p class="muted">Not yet. The plain notice does not wait for it.</p>
      )}
    </section>
  );
};
