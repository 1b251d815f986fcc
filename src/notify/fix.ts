import { duration, plainSpaces, utcMinute, utcTime } from "../kernel/format";
import { clipWords, plain, plainLines } from "./text";
import type { Notice } from "./types";

/** The words of a fix: the question, the dry run, what came of it (operator-experience §3). */

/** Limits of operator-experience §3. */
export const APPROVAL_MAX = 600;
const TITLE_MAX = 80;
const BODY_MAX = 400;
const REASON_MAX = 240;

/** What a notice may say about a fix. Times in Reveille ms. */
export interface FixWords {
  incident_id: string;
  target_id: string;
  severity: Notice["severity"];
  verb: "start" | "restart";
  app: string;
  machine: string;
  /** Who answered, if a person did. */
  by: string | null;
  /** The vendor call that would leave. */
  url: string;
  /** Why it was asked for, in the words of reasoning or a person: shown as code, never rendered. */
  reason: string;
  expires_at: number | null;
}

interface Frame {
  id: string;
  at: number;
  publicUrl: string;
}

const what = (f: FixWords): string => `${f.verb} machine ${f.machine} of app ${clipWords(plain(f.app), 30)}`;
const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const past = (f: FixWords): string => `${f.verb}ed`;

function base(
  frame: Frame,
  f: FixWords,
  event: "approval" | "fix",
  title: string,
  sentences: string[],
  max: number,
): Notice {
  const url = `${frame.publicUrl}/incidents/${encodeURIComponent(f.incident_id)}`;
  const text = plainLines(plainSpaces(sentences.filter(Boolean).join(" ")));
  return {
    id: frame.id,
    event,
    severity: f.severity,
    title: clipWords(plain(title), TITLE_MAX),
    body: clipWords(text, max, `… full text: ${url}`),
    quote: "",
    incident_id: f.incident_id,
    target_id: f.target_id,
    url,
    rehearsal: false,
    actions: [],
    at: frame.at,
  };
}

const quoted = (reason: string, room: number): string =>
  clipWords(plain(reason), Math.max(0, Math.min(REASON_MAX, room)));

/** The question: one action, what it sends, what happens when it fails, until when; at most 600 characters in all. */
export function composeFixAsk(frame: Frame, f: FixWords, actions: Notice["actions"]): Notice {
  const n = base(
    frame,
    f,
    "approval",
    `Approve one action? ${upper(what(f))}`,
    [
      `${upper(what(f))}. Attempt 1 of 1; a ${f.verb} can't be undone; if it fails nothing else is tried.`,
      `Sends POST ${f.url}.`,
      f.expires_at === null ? "" : `Expires ${utcTime(f.expires_at, frame.at)}.`,
      actions.length > 0 ? "" : "Open the link to answer; replies to this message are not read.",
    ],
    APPROVAL_MAX - TITLE_MAX,
  );
  return { ...n, quote: quoted(f.reason, APPROVAL_MAX - n.title.length - n.body.length), actions };
}

export type Answer = "approved" | "denied" | "expired" | "refused";

/** The question after its answer: no buttons, who and when. */
export function composeFixAnswered(frame: Frame, f: FixWords, answer: Answer, detail = ""): Notice {
  const who = f.by === null ? "" : ` by ${clipWords(plain(f.by), 40)}`;
  const when = utcMinute(frame.at, frame.at);
  const said: Record<Answer, [string, string]> = {
    approved: [`Approved${who}: ${what(f)}`, `Approved${who} at ${when}. Running…`],
    denied: [`Denied${who}: ${what(f)}`, `Denied${who} at ${when}. Nothing was changed.`],
    expired: [`Expired: ${what(f)}`, "Nobody answered in time. Nothing was changed."],
    refused: [`Not sent: ${what(f)}`, `${detail} Nothing was changed.`],
  };
  const [title, body] = said[answer];
  return base(frame, f, "approval", title, [body], BODY_MAX);
}

/** A dry run: the exact request, and that it stayed here. */
export function composeFixDryRun(frame: Frame, f: FixWords): Notice {
  const n = base(
    frame,
    f,
    "fix",
    `Dry run: would ${what(f)}`,
    [
      `Dry run: would send POST ${f.url} (with the machine's lease), not sent.`,
      "The envelope is in dry run; nothing was changed and no attempt was used.",
    ],
    BODY_MAX,
  );
  return { ...n, quote: quoted(f.reason, REASON_MAX) };
}

export type FixResult =
  | { kind: "recovered"; state: string; ms: number }
  | { kind: "no_change"; state: string | null; ms: number; error: string | null }
  | { kind: "worse"; state: string | null; error: string | null }
  /** Nothing left us, or the vendor said no. */
  | { kind: "failed"; sent: boolean; error: string }
  | { kind: "unknown_outcome" };

/** What came of it. Never promises more than was seen. */
export function composeFixResult(frame: Frame, f: FixWords, r: FixResult): Notice {
  const machine = `machine ${f.machine} of app ${clipWords(plain(f.app), 30)}`;
  const who =
    f.by === null || f.by === "auto"
      ? "Ran without a question (mode auto)."
      : `Approved by ${clipWords(plain(f.by), 40)}.`;
  const done = (title: string, ...sentences: string[]): Notice => base(frame, f, "fix", title, sentences, BODY_MAX);
  switch (r.kind) {
    case "recovered":
      return done(
        `● ${upper(past(f))}, serves again: ${machine}`,
        `It is ${r.state} and passes its checks, ${duration(r.ms)} after the ${f.verb}.`,
        who,
        "The incident ends after two good looks.",
      );
    case "no_change":
      return done(
        `■ No change after the ${f.verb}: ${machine}`,
        r.state === null
          ? `The machine could not be read for ${duration(r.ms)}.`
          : `It is ${r.state} and does not serve ${duration(r.ms)} later.`,
        r.error ? `Fly said: ${r.error}.` : "",
        who,
        "Nothing else is tried.",
      );
    case "worse":
      return done(
        `■ Worse after the ${f.verb}: ${machine}`,
        r.state === null ? "" : `The machine is ${r.state}.`,
        r.error ? `Fly said: ${r.error}.` : "",
        who,
        "Nothing else is tried; please look at it yourself.",
      );
    case "failed":
      return done(
        r.sent ? `Refused by Fly: ${what(f)}` : `Not sent: ${what(f)}`,
        r.error.endsWith(".") ? r.error : `${r.error}.`,
        r.sent ? "Fly refused it, so nothing was changed; it is not tried again." : "Nothing was changed.",
      );
    case "unknown_outcome":
      return done(
        `? Outcome unknown: check machine ${f.machine} yourself`,
        `The run stopped after the ${f.verb} of ${machine} may have been sent.`,
        "It is not tried again.",
      );
  }
}
