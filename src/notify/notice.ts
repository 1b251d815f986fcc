import { duration, hourMinute, money, plainSpaces, utcMinute, utcTime } from "../kernel/format";
import { type IncidentEvent, type IncidentFacts, seen, stateOf } from "./facts";
import { clipWords, plain, plainLines } from "./text";
import type { Notice } from "./types";

/** Limits of operator-experience §3: a title is the push preview and the mail subject. */
export const TITLE_MAX = 80;
export const BODY_MAX = 400;
const QUOTE_MAX = 300;
/** Incidents named one by one in a summary or digest. */
const LISTED = 6;

/** What every composer needs beside its facts. */
export interface Frame {
  id: string;
  /** Reveille time of the notice, ms. */
  at: number;
  publicUrl: string;
  actions?: Notice["actions"];
}

export interface IncidentInput extends Frame {
  event: IncidentEvent;
  facts: IncidentFacts;
  /** An engine will look into it after this notice. */
  investigating?: boolean;
}

/** The words for one event of one incident. Pure; never throws on odd facts. */
export function composeIncident(input: IncidentInput): Notice {
  const { facts: f, event, at } = input;
  const url = `${input.publicUrl}/incidents/${encodeURIComponent(f.id)}`;
  const { head, sentences } = words(event, f, at, input.investigating === true);
  if (f.rehearsal) sentences.push("This is a rehearsal: it is left out of uptime.");
  return {
    id: input.id,
    event,
    severity: f.severity,
    title: clipWords(plain(plainSpaces(f.rehearsal ? mark(head) : head)), TITLE_MAX),
    body: within(sentences, url),
    quote: event === "recovered" ? "" : quoteOf(f),
    incident_id: f.id,
    target_id: f.target_id,
    url,
    rehearsal: f.rehearsal,
    actions: event === "recovered" ? [] : (input.actions ?? []),
    at,
  };
}

/** "■ Down: x" → "■ Rehearsal, down: x": the mark stands before anything that may be cut off. */
const mark = (head: string): string =>
  // "OK" stays as it is; only an ordinary word loses its capital.
  head.replace(/^(\S) (\S)(?=(.?))/, (_, sign: string, first: string, second: string) => {
    const word = second === second.toLowerCase() ? first.toLowerCase() : first;
    return `${sign} Rehearsal, ${word}`;
  });

function words(event: IncidentEvent, f: IncidentFacts, at: number, investigating: boolean) {
  const state = stateOf(f);
  const subject = subjectOf(f);
  const open = `${duration(at - f.first_bad_at)}`;
  const since = `Since ${utcTime(f.first_bad_at, at)} (${open})`;
  const detail = sentence(meaning(f));
  const untouched = "Nothing was changed.";
  switch (event) {
    case "opened":
      return {
        head: `${state.sign} ${state.word}: ${subject}`,
        sentences: [
          `${since}, confirmed by ${f.confirmed_by}.`,
          detail,
          investigating ? `Reveille is looking into it. ${untouched}` : untouched,
        ],
      };
    case "raised":
      return {
        head: `${state.sign} Worse, now ${state.word.toLowerCase()}: ${subject}`,
        sentences: [`${since}; severity is now ${f.severity}.`, detail],
      };
    case "recovered":
      return recovered(f, at);
    case "flapping":
      return {
        head: `${state.sign} Flapping: ${subject}`,
        sentences: [
          `Comes and goes since ${utcTime(f.first_bad_at, at)}.`,
          detail,
          "You hear again when it stays the same for 30 min or gets worse.",
        ],
      };
    case "settled":
      return {
        head: `${state.sign} No longer flapping, ${state.word.toLowerCase()}: ${subject}`,
        sentences: [`Bad for 30 min without a change. ${since}.`, detail],
      };
    case "reminder":
      return {
        head: `${state.sign} Still ${state.word.toLowerCase()}: ${subject}`,
        sentences: [`The snooze is over. ${since}.`, detail],
      };
    case "acked":
      return f.acked_at === null
        ? { head: `${state.sign} Ack taken back: ${subject}`, sentences: [`${since}. Still open.`] }
        : {
            head: `${state.sign} Acked: ${subject}`,
            sentences: [
              `${by(f)} at ${hourMinute(f.acked_at)} UTC. ${since}.`,
              "You hear again when it gets worse or recovers.",
            ],
          };
    case "snoozed":
      return f.snooze_until === null
        ? { head: `${state.sign} Snooze ended: ${subject}`, sentences: [`${since}. Still open.`] }
        : {
            head: `${state.sign} Snoozed till ${utcMinute(f.snooze_until, at)}: ${subject}`,
            sentences: [`${since}.`, "You hear again when it gets worse, recovers, or the snooze ends."],
          };
  }
}

function recovered(f: IncidentFacts, at: number) {
  const end = f.resolved_at ?? at;
  const state = stateOf({ ...f, resolved_at: end });
  const down = duration(end - f.first_bad_at);
  const name = clipWords(plain(f.target_name), 40);
  const from = utcTime(f.first_bad_at, end).replace(/ UTC$/, "");
  const span = `${from}${from.includes(" ") ? " – " : "–"}${utcTime(end, f.first_bad_at)}`;
  const what = f.resolution === "closed" ? "Closed" : f.kind === "internal" ? "Over" : "OK again";
  return {
    head: `● ${what}: ${name}, ${state.lasted} ${down}`,
    sentences: [
      `${sentence(`Was: ${whatOf(f)}`)} ${span}.`,
      fixedBy(f),
      f.acked_by ? `${by(f)}.` : "",
      f.cost_usd > 0 ? `Cost ${money(f.cost_usd)}.` : "",
    ],
  };
}

/** "Started by Reveille, approved by ana." when a fix was seen to work. */
function fixedBy(f: IncidentFacts): string {
  if (!f.fix) return "";
  const fix = JSON.parse(f.fix) as { url: string; by: string | null };
  const done = fix.url.endsWith("/start") ? "Started" : "Restarted";
  const who = fix.by === null || fix.by === "auto" ? "" : `, approved by ${clipWords(plain(fix.by), 40)}`;
  return `${done} by Reveille${who}.`;
}

const by = (f: IncidentFacts): string => `Acked by ${plain(f.acked_by ?? "someone")}`;

/** "fly-web: no serving machine" → "no serving machine": the name is said once. The title may hold a cut name. */
function whatOf(f: IncidentFacts): string {
  const title = plain(f.title);
  const name = plain(f.target_name);
  // Both the name (which may be cut) and the words may hold a colon: the longest beginning that is the name is the name.
  for (let colon = title.lastIndexOf(": "); colon > 0; colon = title.lastIndexOf(": ", colon - 1))
    if (name.startsWith(title.slice(0, colon).replace(/…$/, ""))) return title.slice(colon + 2);
  return title;
}

function subjectOf(f: IncidentFacts): string {
  const name = clipWords(plain(f.target_name), 40);
  const what = whatOf(f);
  return what === "" || what === plain(f.target_name) ? name : `${name}, ${what}`;
}

const errorOf = (snapshot: string): string => {
  const { error } = seen(snapshot);
  return typeof error === "string" ? plain(error) : "";
};

/** The vendor's own words: strangers can write them, so they are shown as code and nowhere else. */
const quoteOf = (f: IncidentFacts): string => clipWords(errorOf(f.last_snapshot), QUOTE_MAX);

/** What it means, in our words: the detail without the error that opens it (`watch/classify.ts`), which is quoted instead. */
function meaning(f: IncidentFacts): string {
  const detail = plain(f.detail);
  for (const error of [errorOf(f.last_snapshot), errorOf(f.first_snapshot)]) {
    if (error === "") continue;
    if (detail.startsWith(error)) return detail.slice(error.length).replace(/^[.!?…]?\s*/, "");
    const cut = detail.indexOf("…");
    if (cut > 0 && error.startsWith(detail.slice(0, cut))) return detail.slice(cut + 1).trim();
  }
  return detail;
}

function sentence(text: string): string {
  const flat = plain(text);
  return flat === "" || /[.!?…]$/.test(flat) ? flat : `${flat}.`;
}

/** Joins sentences within the limit of a body; what does not fit is named by its link. */
function within(sentences: string[], url: string): string {
  const text = plainLines(plainSpaces(sentences.filter((s) => s !== "").join(" ")));
  const tail = `… full text: ${url}`;
  return clipWords(text, BODY_MAX, tail.length < BODY_MAX / 2 ? tail : "…");
}

export interface BlindInput extends Frame {
  target_id: string;
  target_name: string;
  /** Since when nothing was seen, Reveille ms. */
  since: number;
  /** Interval as set and as widened, ms. */
  every_ms: number;
  widened_ms?: number;
}

/** A vendor limits our looks: inbox only, because it is not an outage (operator-experience §3). */
export function composeBlind(input: BlindInput): Notice {
  const name = clipWords(plain(input.target_name), 40);
  const url = `${input.publicUrl}/targets/${encodeURIComponent(input.target_id)}`;
  const looks =
    input.widened_ms !== undefined && input.widened_ms > input.every_ms
      ? `Looking every ${duration(input.widened_ms)} instead of ${duration(input.every_ms)}.`
      : "Looking less often until the limit is lifted.";
  return {
    ...general(input, "blind", "info"),
    title: clipWords(`? Can't see: ${name}, rate limited since ${utcMinute(input.since, input.at)}`, TITLE_MAX),
    body: within([looks, "This is not an outage."], url),
    target_id: input.target_id,
    url,
  };
}

/** Many incidents at once: one notice instead of a burst (`kora-watch.md` §8). Worst first. */
export function composeSummary(input: Frame & { incidents: IncidentFacts[] }): Notice {
  const url = `${input.publicUrl}/incidents`;
  const rows = worstFirst(input.incidents);
  const over = rows.length > 0 && rows.every((f) => f.resolved_at !== null);
  const bad = rows.some((f) => f.severity === "critical");
  const names = rows.map((f) => plain(f.target_name));
  const marked = rows.length > 0 && rows.every((f) => f.rehearsal) ? "Rehearsal, " : "";
  return {
    ...general(input, "summary", over ? "info" : bad ? "critical" : "warning"),
    title: clipWords(
      `${over ? "●" : bad ? "■" : "▲"} ${marked}${rows.length} incidents ${over ? "over" : "at once"}: ${names.join(", ")}`,
      TITLE_MAX,
    ),
    body: list(rows, input.at, url, [
      `They ${over ? "are over" : "came"} within a short time and are told in one notice.`,
    ]),
    url,
    rehearsal: marked !== "",
  };
}

/** What was held back since the last digest (`REVEILLE_NOTICE_MODE=digest`). */
export function composeDigest(input: Frame & { incidents: IncidentFacts[]; since: number }): Notice {
  const url = `${input.publicUrl}/inbox`;
  const rows = worstFirst(input.incidents);
  const open = rows.filter((f) => f.resolved_at === null).length;
  const many = rows.length === 1 ? "1 incident" : `${rows.length} incidents`;
  return {
    ...general(input, "digest", open > 0 ? "warning" : "info"),
    title: clipWords(`${open > 0 ? "▲" : "●"} Digest: ${many}, ${open} still open`, TITLE_MAX),
    body: list(rows, input.at, url, [`Since ${utcMinute(input.since, input.at)}.`]),
    url,
  };
}

/** "Send me a test notice" (operator-experience §5, minute 4). */
export function composeTest(input: Frame): Notice {
  return {
    ...general(input, "test", "info"),
    title: "● Test notice from Reveille",
    body: within(
      [`Sent at ${utcTime(input.at, input.at)}. If you read this, the channel works. Nothing is wrong.`],
      input.publicUrl,
    ),
    url: `${input.publicUrl}/inbox`,
  };
}

const general = (input: Frame, event: Notice["event"], severity: Notice["severity"]) => ({
  id: input.id,
  event,
  severity,
  quote: "",
  incident_id: null,
  target_id: null,
  rehearsal: false,
  actions: input.actions ?? [],
  at: input.at,
});

const RANK = { critical: 0, warning: 1, info: 2 };

const worstFirst = (rows: IncidentFacts[]): IncidentFacts[] =>
  [...rows].sort((a, b) => RANK[a.severity] - RANK[b.severity] || a.opened_at - b.opened_at);

function list(rows: IncidentFacts[], at: number, url: string, first: string[]): string {
  const lines = rows.slice(0, LISTED).map((f) => {
    const state = stateOf(f);
    const end = f.resolved_at ?? at;
    const word = f.resolved_at === null ? state.word : "OK again";
    const name = clipWords(plain(f.target_name), 40);
    const mark = f.rehearsal ? "Rehearsal, " : "";
    return `${mark}${word}: ${name}, ${clipWords(whatOf(f), 60)} (${state.lasted} ${duration(end - f.first_bad_at)})`;
  });
  if (rows.length > LISTED) lines.push(`and ${rows.length - LISTED} more`);
  const text = plainLines(plainSpaces([first.join(" "), ...lines].join("\n")));
  return clipWords(text, BODY_MAX, `… full text: ${url}`);
}

/**
 * The root message of an incident's thread after a later notice: the latest state first, then what it began with, so that a
 * late reader sees the truth first. Buttons that were used are gone.
 */
export function rootAfter(first: Notice, later: Notice): Notice {
  const began = `Began as: ${first.title.replace(/^\S /, "")}. ${first.body}`;
  return {
    ...later,
    body: clipWords(`${later.body}\n${began}`, BODY_MAX, `… full text: ${later.url}`),
    quote: later.event === "recovered" ? "" : first.quote,
    actions: buttonsAfter(first, later),
  };
}

function buttonsAfter(first: Notice, later: Notice): Notice["actions"] {
  if (later.event === "recovered") return [];
  if (later.actions.length > 0) return later.actions;
  const used = later.event === "acked" ? /^Ack/ : later.event === "snoozed" ? /^Snooze/ : null;
  return used ? first.actions.filter((a) => !used.test(a.label)) : first.actions;
}

/** A notice as plain text (Telegram, mail, terminal): the same words without buttons, plus one link line. */
export function asText(notice: Notice): string {
  return [notice.title, notice.body, notice.quote === "" ? "" : `> ${notice.quote}`, notice.url]
    .filter((part) => part !== "")
    .join("\n");
}
