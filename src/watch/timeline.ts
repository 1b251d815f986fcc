import { duration, plainSpaces, utcMinute } from "../kernel/format";

/** One line of an incident's story (operator-experience §2, incident page). `at` is Reveille ms; the API shows it as ISO. */
export interface TimelineRow {
  at: number;
  kind: "state" | "look" | "audit" | "notice" | "person" | "wake";
  /** One sentence in plain words; vendor text stands in `details` only. */
  sentence: string;
  /** Who says so: probe, Reveille, a channel, a person. */
  source: string;
  /** Stable name of the row behind this line: L<ms> look, A<id> audit, W<id> wake, N<id> notice attempt. */
  evidence_id?: string;
  details: Record<string, unknown>;
}

export interface AuditFact {
  id: number;
  emitted_at: number;
  seam: string;
  source: string | null;
  details: Record<string, unknown>;
}

export interface WakeFact {
  wake_id: string;
  event: string;
  stage: string;
  severity: string | null;
  created_at: number;
  claimed_at: number | null;
  plain_noticed_at: number | null;
  investigated_at: number | null;
  done_at: number | null;
  attempts: number;
  dm_status: string | null;
  reasoning_error: string | null;
  last_error: string | null;
}

export interface AttemptFact {
  id: number;
  channel: string;
  n: number;
  state: string;
  started_at: number;
  finished_at: number | null;
  error: string | null;
  event: string;
  title: string;
}

export interface LookFact {
  at: number;
  status: string;
  reason: string;
  latency_ms: number | null;
  maintenance: boolean;
  rehearsal: boolean;
  error: string | null;
  details: Record<string, unknown> | null;
}

const STATUS_WORD: Record<string, string> = {
  healthy: "OK",
  degraded: "Degraded",
  unhealthy: "Down",
  unknown: "Unknown",
};
const word = (status: unknown): string => STATUS_WORD[String(status)] ?? String(status);
const plain = (code: unknown): string => String(code).replaceAll("_", " ");
const short = (ms: number): string => plainSpaces(duration(ms));
/** A moment in a stored row is ISO text; the reader gets it short. */
const moment = (text: unknown, now: number): string => {
  const at = typeof text === "string" ? Date.parse(text) : typeof text === "number" ? text : Number.NaN;
  return Number.isNaN(at) ? String(text) : utcMinute(at, now);
};

type Said = Pick<TimelineRow, "kind" | "sentence" | "source">;

function sayAudit(a: AuditFact): Said | null {
  const d = a.details;
  const by = typeof d["by"] === "string" ? d["by"] : (a.source ?? "Reveille");
  switch (a.seam) {
    // These two have their own rows (wake, notice attempt) with more in them.
    case "probe.wake_requested":
    case "notification.dispatched":
      return null;
    case "probe.investigation_completed":
      // Without an engine the wake's own row says why; there is nothing more to tell.
      if (d["reasoning_error"]) return null;
      return d["skipped"] || !d["model_used"]
        ? { kind: "audit", source: "reasoning", sentence: `Not investigated: ${plain(d["skipped"] ?? "not pushed")}` }
        : {
            kind: "audit",
            source: "reasoning",
            sentence: `Investigated by ${String(d["model_used"])}${d["guess"] ? ": a guess" : ""}`,
          };
    case "reasoning.tool_called":
      return { kind: "audit", source: "reasoning", sentence: `Reasoning read more: ${plain(d["tool"])}` };
    case "probe.state_changed":
      return {
        kind: "state",
        source: "probe",
        sentence: `${word(d["from"])} → ${word(d["to"])}${d["reason"] && d["reason"] !== "ok" ? `: ${plain(d["reason"])}` : ""}`,
      };
    case "incident.opened":
      return {
        kind: "state",
        source: "Reveille",
        sentence: `Incident opened: ${plain(d["severity"])}, confirmed by ${plain(d["confirmed_by"])}${d["rehearsal"] ? ", rehearsal" : ""}`,
      };
    case "incident.raised":
      return { kind: "state", source: "Reveille", sentence: `Raised from ${plain(d["from"])} to ${plain(d["to"])}` };
    case "probe.flapping":
      return {
        kind: "state",
        source: "Reveille",
        sentence: d["on"] ? "Flapping: up and down within an hour" : "No longer flapping",
      };
    case "probe.recovered":
      return {
        kind: "state",
        source: "Reveille",
        sentence: `${d["resolution"] === "closed" ? "Closed" : "Recovered"} after ${short(Number(d["downtime_ms"]))}`,
      };
    case "incident.acked":
      return { kind: "person", source: by, sentence: d["on"] === false ? `${by} took the ack back` : `Acked by ${by}` };
    case "incident.snoozed":
      return {
        kind: "person",
        source: by,
        sentence: d["until"] ? `Snoozed till ${moment(d["until"], a.emitted_at)} by ${by}` : "Snooze ended",
      };
    case "autofix.proposed":
    case "autofix.approved":
    case "autofix.denied":
    case "autofix.outcome":
    case "tool.probe_autofix_attempted":
      return sayFix(a, by);
    default:
      return { kind: "audit", source: a.source ?? "Reveille", sentence: plain(a.seam) };
  }
}

/** A fix in the story: asked, answered, run, ended. */
function sayFix(a: AuditFact, by: string): Said {
  const d = a.details;
  // A refused call may have named anything.
  const id = String(d["target_id"]);
  const machine = /^[\w-]{1,64}$/.test(id) ? `machine ${id}` : "a machine that can't be";
  const told = (sentence: string): Said => ({ kind: "audit", source: "envelope", sentence });
  switch (a.seam) {
    case "autofix.proposed":
      return told(
        d["mode"] === "auto" ? `Fix of ${machine} goes ahead (mode auto)` : `Asked to approve a fix of ${machine}`,
      );
    case "autofix.approved":
      return { kind: "person", source: by, sentence: `Fix of ${machine} approved by ${by}` };
    case "autofix.denied":
      return { kind: "person", source: by, sentence: `Fix of ${machine} denied by ${by}` };
    case "autofix.outcome":
      return told(`Fix of ${machine}: ${plain(d["outcome"])}`);
    default:
      switch (d["status"]) {
        case "dry_run":
          return told(`Dry run: a fix of ${machine} was written down, not sent`);
        case "attempted":
          return told(`Fix of ${machine} was sent`);
        case "unknown_outcome":
          return told(`Fix of ${machine} stopped half way: outcome unknown`);
        case "execution_failed":
          return told(`Fix of ${machine} was ${d["sent"] ? "refused by the vendor" : "not sent"}`);
        default:
          return told(`Fix of ${machine} refused: ${plain(d["code"])}`);
      }
  }
}

const DM_WORD: Record<string, string> = {
  sent: "told",
  failed_send: "nobody could be told",
  engine_unavailable_fallback: "told plainly",
  engine_unavailable_failed_send: "nobody could be told",
  suppressed: "inbox only",
};

/** What came of one wake, in words. */
function sayWake(w: WakeFact): string {
  if (w.stage === "dead") return `Wake (${plain(w.event)}) ended as a dead letter: ${w.last_error ?? "no reason kept"}`;
  if (w.done_at === null)
    return w.plain_noticed_at === null
      ? `Wake (${plain(w.event)}) waits at stage ${plain(w.stage)}`
      : `Wake (${plain(w.event)}) is told; its explanation is at stage ${plain(w.stage)}`;
  const told = w.dm_status ? `, ${DM_WORD[w.dm_status] ?? plain(w.dm_status)}` : "";
  const why = w.reasoning_error ? `, not investigated (${plain(w.reasoning_error)})` : "";
  return `Wake (${plain(w.event)}) done in ${short(w.done_at - w.created_at)}${told}${why}`;
}

function sayAttempt(a: AttemptFact): string {
  const to = a.channel === "inbox" ? "Inbox" : a.channel.slice(0, 1).toUpperCase() + a.channel.slice(1);
  const nth = a.n > 1 ? `, try ${a.n}` : "";
  switch (a.state) {
    case "sent":
      return a.channel === "inbox" ? `Notice “${a.title}” is in the inbox` : `${to} was told: “${a.title}”${nth}`;
    case "failed":
      return `${to} could not be told${nth}: ${a.error ?? "no reason given"}`;
    case "unknown":
      return `${to} may have been told${nth}: the answer was lost`;
    case "suppressed":
      return `Not sent to ${to}: ${a.error ?? "held back"}`;
    default:
      return `Telling ${to}${nth}`;
  }
}

const ORDER: TimelineRow["kind"][] = ["look", "state", "audit", "person", "wake", "notice"];

/** Joins the rows of one incident into one story, in order of time; at one moment cause stands before effect. Pure. */
export function tellStory(facts: {
  audit: AuditFact[];
  wakes: WakeFact[];
  attempts: AttemptFact[];
  looks: LookFact[];
}): TimelineRow[] {
  const rows: TimelineRow[] = [];
  for (const a of facts.audit) {
    const said = sayAudit(a);
    if (said)
      rows.push({ at: a.emitted_at, ...said, evidence_id: `A${a.id}`, details: { seam: a.seam, ...a.details } });
  }
  for (const w of facts.wakes)
    rows.push({
      at: w.done_at ?? w.created_at,
      kind: "wake",
      source: "Reveille",
      sentence: sayWake(w),
      evidence_id: `W${w.wake_id}`,
      details: { ...w },
    });
  for (const n of facts.attempts)
    rows.push({
      at: n.finished_at ?? n.started_at,
      kind: "notice",
      source: n.channel,
      sentence: sayAttempt(n),
      evidence_id: `N${n.id}`,
      details: { ...n },
    });
  for (const l of facts.looks)
    rows.push({
      at: l.at,
      kind: "look",
      source: l.rehearsal ? "rehearsal" : "probe",
      sentence: `Look: ${word(l.status)}${l.reason === "ok" ? "" : `, ${plain(l.reason)}`}${l.maintenance ? ", in maintenance" : ""}`,
      evidence_id: `L${l.at}`,
      details: {
        latency_ms: l.latency_ms,
        ...(l.error ? { error: l.error } : {}),
        ...(l.details ? { details: l.details } : {}),
      },
    });
  const rank = (r: TimelineRow): number => ORDER.indexOf(r.kind);
  return rows.sort((a, b) => a.at - b.at || rank(a) - rank(b));
}
