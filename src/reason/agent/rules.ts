import { money, plainSpaces, ratio, utcMinute } from "../../kernel/format";
import { plainLines } from "../../notify";
import type { Reading } from "./intents";
import { status, whoAcked, why } from "./rules.incident";
import { blindLine, claim, LISTED, more, plural, type RuleAnswer, span } from "./rules.words";
import type { LiveState } from "./state";

/** Answers without a model: sentences over live rows, each naming the rows it stands on. */

const HELP =
  'I answer from what Reveille sees. Ask: "anything down?", "status of NAME", "why is NAME down?", "what changed today?", "who acked?", "budget?", "next maintenance?". I only read; acting is done with the buttons of a notice or on the pages.';

function overall(s: LiveState, now: number): RuleAnswer {
  const { counts } = s;
  if (counts.total === 0)
    return { text: "Reveille watches nothing yet. Add a target on the overview page.", claims: [] };
  const down = s.bad.filter((b) => b.state === "down");
  const degraded = s.bad.filter((b) => b.state === "degraded");
  const unknown = s.bad.filter((b) => b.state === "unknown");
  const list = (rows: typeof s.bad): string =>
    `${rows
      .slice(0, LISTED)
      .map((b) => `${b.name} (${span(now - b.since)}, ${b.reason})`)
      .join(", ")}${more(rows.length)}`;
  const parts = [
    counts.down > 0 ? `${counts.down} down: ${list(down)}.` : "",
    counts.degraded > 0 ? `${counts.degraded} degraded: ${list(degraded)}.` : "",
    counts.unknown > 0 ? `${counts.unknown} can't be seen: ${list(unknown)}.` : "",
  ].filter(Boolean);
  const rest = [
    counts.maintenance > 0 ? `${counts.maintenance} in maintenance` : "",
    counts.paused > 0 ? `${counts.paused} paused` : "",
  ].filter(Boolean);
  const tail = rest.length > 0 ? ` (${rest.join(", ")})` : "";
  const head =
    parts.length === 0
      ? `Nothing is down: ${counts.ok} of ${plural(counts.total, "target")} OK${tail}.`
      : `${parts.join(" ")} ${counts.ok} of ${plural(counts.total, "target")} OK${tail}.`;
  const waiting = s.open.filter((i) => i.acked_at === null);
  const open =
    s.open_total === 0
      ? "No incident is open."
      : `${plural(s.open_total, "incident")} open${waiting.length > 0 ? `, ${waiting.length} not acked` : ", all acked"}.`;
  return {
    text: `${blindLine(s, now)}${head} ${open}`,
    claims: [
      ...s.bad.slice(0, LISTED).map((b) => claim("target", b.id)),
      ...s.open.slice(0, LISTED).map((i) => claim("incident", i.id)),
    ],
  };
}

function maintenance(s: LiveState, now: number): RuleAnswer {
  const scope = (t: string[]): string => (t[0] === "*" ? "all targets" : t.slice(0, LISTED).join(", "));
  const running = s.maintenance.now.map(
    (w) => `Now till ${utcMinute(w.ends_at, now)}: ${w.reason} (${scope(w.targets)}).`,
  );
  const { next } = s.maintenance;
  const ahead = next
    ? `Next: ${utcMinute(next.starts_at, now)} for ${span(next.ends_at - next.starts_at)}, ${next.reason} (${scope(next.targets)}).`
    : "No further maintenance is planned.";
  return {
    text: [...running, ahead].join("\n"),
    claims: [...s.maintenance.now, ...(next ? [next] : [])].map((w) => claim("maintenance", w.id)),
  };
}

const RUNG: Record<string, string> = {
  normal: "no limit is near",
  warn_75: "past 75 %: the small model only",
  downshift_90: "past 90 %: the small model only",
  hard_stop_100: "spent: no model is asked till the month ends",
};

function budget(s: LiveState): RuleAnswer {
  if (!s.budget)
    return { text: "The budget can't be read now; the budget page tries again.", claims: [claim("budget", "budget")] };
  const { pool, spent, reserved, left, rung } = s.budget;
  const share = plainSpaces(ratio(pool > 0 ? spent / pool : 1));
  return {
    text: `This month ${plainSpaces(money(spent))} of ${plainSpaces(money(pool))} is spent (${share}), ${plainSpaces(money(reserved))} reserved, ${plainSpaces(money(left))} left; ${RUNG[rung] ?? rung}.`,
    claims: [claim("budget", "budget")],
  };
}

function changed(s: LiveState, now: number): RuleAnswer {
  const { opened, resolved, config } = s.today;
  if (opened.length + resolved.length + config.length === 0)
    return {
      text: `${blindLine(s, now)}Nothing changed since 00:00 UTC: no incident opened or closed, no setting was touched.`,
      claims: [],
    };
  const lines = [
    opened.length > 0
      ? `Opened ${opened.length}: ${opened
          .slice(0, LISTED)
          .map((i) => `${i.title} (${utcMinute(i.opened_at, now)}${i.resolved_at === null ? ", still open" : ""})`)
          .join("; ")}${more(opened.length)}.`
      : "No incident opened.",
    resolved.length > 0
      ? `Resolved ${resolved.length}: ${resolved
          .slice(0, LISTED)
          .map((i) => `${i.target_name} after ${span(i.resolved_at - i.first_bad_at)}`)
          .join("; ")}${more(resolved.length)}.`
      : "",
    config.length > 0
      ? `Settings: ${config
          .slice(0, LISTED)
          .map((c) => `${c.change} by ${c.by} (${utcMinute(c.at, now)})`)
          .join("; ")}${more(config.length)}.`
      : "",
  ];
  return {
    text: `${blindLine(s, now)}Since 00:00 UTC:\n${lines.filter(Boolean).join("\n")}`,
    claims: [
      ...[...opened, ...resolved].slice(0, LISTED).map((i) => claim("incident", i.id)),
      ...config.slice(0, LISTED).map((c) => claim("audit", String(c.id))),
    ],
  };
}

function listeners(s: LiveState, now: number): RuleAnswer {
  const { overall: whole, down } = s.listeners;
  const stopped = [
    s.switches.unreadable ? "the switchboard can't be read, so reasoning is stopped" : "",
    s.switches.paused ? "wakes are paused" : "",
    s.switches.killed ? "autofix is killed" : "",
    (s.switches.muted_until ?? 0) > now ? `notices are muted till ${utcMinute(s.switches.muted_until!, now)}` : "",
  ].filter(Boolean);
  const look =
    s.looked_at > 0 ? ` The last watch cycle finished ${utcMinute(s.looked_at, now)}.` : " No watch cycle has run yet.";
  return {
    text: `${blindLine(s, now)}Reveille itself: ${whole}${down.length > 0 ? `; not running: ${down.join(", ")}` : ""}.${look}${stopped.length > 0 ? ` Held back: ${stopped.join("; ")}.` : ""}`,
    claims: [
      ...down.map((d) => claim("listener", d)),
      ...(stopped.length > 0 ? [claim("switchboard", "switchboard")] : []),
    ],
  };
}

function act(s: LiveState, r: Reading): RuleAnswer {
  const mine = s.open.find((i) => i.target_id === r.target?.id || i.id === r.incident) ?? null;
  return {
    text: `I only read; nothing was changed. Acks, snoozes and approvals are the buttons of a notice or of the ${mine ? "incident's page" : "pages"}; switches are on the switchboard.`,
    claims: mine ? [claim("incident", mine.id)] : [],
  };
}

/** Answers a question from live rows. `r` is what `read` made of it; an intent it does not know gets an honest help text. */
export async function answerByRules(
  db: D1Database,
  s: LiveState,
  r: Reading,
  question: string,
  now: number,
): Promise<RuleAnswer> {
  switch (r.intent) {
    case "overall":
      return overall(s, now);
    case "status":
      return status(db, s, r, now, question);
    case "why":
      return why(db, s, r, now, question);
    case "who_acked":
      return whoAcked(db, s, r, now);
    case "maintenance":
      return maintenance(s, now);
    case "budget":
      return budget(s);
    case "changed":
      return changed(s, now);
    case "listeners":
      return listeners(s, now);
    case "act":
      return act(s, r);
    case "secrets":
      return {
        text: "I can't read credentials: they are in no table that I can look at, and nothing I say may hold one.",
        claims: [],
      };
    case "help":
      return { text: HELP, claims: [] };
    default:
      if (r.phrase?.template)
        return {
          text: `${plainLines(r.phrase.template)}\n(A reply an operator approved, not live state.)`,
          claims: [],
        };
      return { text: `I don't understand this question by rules. ${HELP}`, claims: [] };
  }
}
