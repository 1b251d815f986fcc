import type { Child, FC } from "hono/jsx";
import { duration } from "../../kernel/format";
import type { FixRow, FixView } from "../../reason";
import { Act, Section, Time } from "../components";
import type { PageContext, Part } from "../context";

/** What the box needs beside the incident. */
export interface FixData {
  /** Newest first. */
  fixes: FixView[];
  /** Machines a person may ask a fix for. */
  fixable: { app: string; machine: string }[];
  /** The envelope as it is in force. */
  enabled: boolean;
  mode: string;
  /** The incident is open and in nobody's hands. */
  open: boolean;
}

const past = (f: FixView): string => `${f.verb}ed`;
const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const ms = (iso: string | null): number => (iso === null ? 0 : Date.parse(iso));

/** The state of a fix in words; what is not known is said so. */
export function fixWord(f: FixView, now: number): string {
  const who = f.by === "auto" ? "without a question (mode auto)" : `by ${f.by ?? "someone"}`;
  switch (f.state) {
    case "planned":
      return "dry run: not sent";
    case "waiting":
      return ms(f.expires_at) <= now ? "expired" : "waiting for an answer";
    case "approved":
      return `approved ${who}, starting`;
    case "running":
      return `approved ${who}, running (lease held)`;
    case "denied":
      return `denied ${who}; nothing was changed`;
    case "expired":
      return "expired; nothing was changed";
    case "failed":
      return f.started_at === null ? "not sent; nothing was changed" : "refused by the vendor; not tried again";
    case "unknown_outcome":
      return `outcome unknown: check machine ${f.machine} yourself`;
    case "done":
      return f.outcome === null
        ? `${past(f)}, being verified`
        : { recovered: "recovered", no_change: "no change", worse: "worse" }[f.outcome];
  }
}

const stateOf = (json: Record<string, unknown> | null): string =>
  json !== null && typeof json["state"] === "string" ? json["state"] : "not seen";

const Request: FC<{ f: FixView }> = ({ f }) => <pre tabindex={0}>{JSON.stringify(f.request, null, 2)}</pre>;

const Question: FC<{ ctx: PageContext; f: FixView }> = ({ ctx, f }) => {
  const at = `/incidents/${encodeURIComponent(f.incident_id)}/fix`;
  const fields = { approval: f.approval?.id ?? "" };
  return (
    <>
      <p>
        Attempt 1 of 1. A {f.verb} can't be undone. If it fails nothing else is tried. Answer till{" "}
        <Time ctx={ctx} at={ms(f.expires_at)} as="clock" /> (<Time ctx={ctx} at={ms(f.expires_at)} as="in" />
        ); it counts once, here or in chat.
      </p>
      <div class="acts">
        <Act ctx={ctx} action={`${at}/approve`} label={`Approve ${f.verb}`} fields={fields} hotkey="y" />
        <Act ctx={ctx} action={`${at}/deny`} label="Deny" kind="danger" fields={fields} hotkey="d" />
      </div>
    </>
  );
};

const Fix: FC<{ ctx: PageContext; f: FixView }> = ({ ctx, f }) => {
  const waits =
    f.state === "waiting" && ms(f.expires_at) > ctx.now && f.approval !== null && f.approval.used_at === null;
  const ended = f.started_at !== null && f.finished_at !== null;
  return (
    <div id={`fix-${f.created_at}`}>
      <p>
        <b>
          {upper(f.verb)} machine <code>{f.machine}</code> of app <code>{f.app}</code>
        </b>
        : {fixWord(f, ctx.now)}. <span class="sub">mode {f.mode}</span>
      </p>
      {f.reason !== "" && (
        <p class="sub">
          Asked for because: <span class="quote">{f.reason}</span>
        </p>
      )}
      {f.state === "planned" && <p>This is what would be sent. Not sent: the envelope is in dry run.</p>}
      <Request f={f} />
      {waits && <Question ctx={ctx} f={f} />}
      {f.approval?.used_at && (
        <p class="sub">
          {f.approval.answer === "deny" ? "Denied" : "Approved"} by {f.approval.used_by}{" "}
          <Time ctx={ctx} at={ms(f.approval.used_at)} />.
        </p>
      )}
      {(f.state === "done" || f.state === "failed") && (
        <p class="sub">
          Before: {stateOf(f.before_state)}. After: {stateOf(f.after_state)}.
          {ended && ` Took ${duration(ms(f.finished_at) - ms(f.started_at))}.`}
        </p>
      )}
      {f.error && (
        <p>
          <span class="quote">{f.error}</span>
        </p>
      )}
    </div>
  );
};

const LABEL: Record<string, string> = { dry_run: "Dry run", approve: "Ask to approve", auto: "Run now:" };

const Ask: FC<{ ctx: PageContext; incident: string; d: FixData }> = ({ ctx, incident, d }) => {
  const taken = d.fixes.some((f) => f.mode !== "dry_run" && !["denied", "expired"].includes(f.state) && !unsent(f));
  if (!d.open || !d.enabled || taken || d.fixable.length === 0) return null;
  return (
    <>
      <p class="sub">
        The envelope is on, mode {d.mode}. A fix is one start or restart of one machine; one attempt an incident.
      </p>
      <div class="acts">
        {d.fixable.slice(0, 5).map((m) => (
          <Act
            ctx={ctx}
            action={`/incidents/${encodeURIComponent(incident)}/fix`}
            label={`${LABEL[d.mode] ?? "Ask for"} ${d.mode === "auto" ? "" : "a "}fix of ${m.machine}`.replace(
              "  ",
              " ",
            )}
            kind={d.mode === "auto" ? "danger" : undefined}
            fields={{ target_id: m.machine }}
          />
        ))}
      </div>
    </>
  );
};

const unsent = (f: FixView): boolean => f.state === "failed" && f.started_at === null;

/** One action a person can allow: what it sends, how often, what happens when it fails, until when. */
export const ApproveBox: FC<{ ctx: PageContext; incident: string; d: FixData }> = ({ ctx, incident, d }): Child => {
  if (d.fixes.length === 0 && (!d.enabled || !d.open || d.fixable.length === 0)) return null;
  const waiting = d.fixes.some((f) => f.state === "waiting" && ms(f.expires_at) > ctx.now);
  return (
    <section class="box" aria-labelledby="fix" id="fix-box" data-live>
      <h2 id="fix">{waiting ? "Approve one action?" : "Fix"}</h2>
      {d.fixes.map((f) => (
        <Fix ctx={ctx} f={f} />
      ))}
      <Ask ctx={ctx} incident={incident} d={d} />
    </section>
  );
};

/** Fixes that wait for an answer, in the inbox: what and until when; the answer is given where the exact request stands. */
export const WaitingFixes: FC<{ ctx: PageContext; part: Part<FixRow[]> }> = ({ ctx, part }) =>
  part.ok && part.value.length === 0 ? null : (
    <Section ctx={ctx} part={part} title="Fixes to approve" id="fixes">
      {(rows) => (
        <ul>
          {rows.map((f) => (
            <li>
              <a href={`/incidents/${encodeURIComponent(f.incident_id)}#fix-box`}>
                Fix machine {f.machine} of app {f.app}
              </a>{" "}
              <span class="sub">
                of {f.target_id}, answer <Time ctx={ctx} at={f.expires_at ?? f.created_at} as="in" />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
