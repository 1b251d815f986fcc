import { utcMinute } from "../../kernel/format";
import { plain } from "../../notify";
import {
  type IncidentView,
  latestSamples,
  readIncident,
  readIncidents,
  readTarget,
  readState as readTargetState,
} from "../../watch";
import type { Reading } from "./intents";
import { blindLine, claim, LISTED, name, plural, type RuleAnswer, span } from "./rules.words";
import type { LiveState } from "./state";

/** Rules about one target or one incident: they read its live rows, whatever the stored state says. */

const WORD: Record<string, string> = { healthy: "OK", degraded: "degraded", unhealthy: "down", unknown: "unknown" };

export async function status(
  db: D1Database,
  s: LiveState,
  r: Reading,
  now: number,
  question: string,
): Promise<RuleAnswer> {
  if (!r.target) return unknownTarget(s, question);
  const [target, state, latest] = await Promise.all([
    readTarget(db, r.target.id),
    readTargetState(db, r.target.id),
    latestSamples(db, now),
  ]);
  if (!target || !state) return unknownTarget(s, question);
  const { machine } = state;
  const sample = latest.get(target.num);
  const word = machine.status === "unknown" ? "can't be seen" : WORD[machine.status];
  const reason = machine.reason === "ok" ? "" : ` (${machine.reason})`;
  const since = `since ${utcMinute(machine.since, now)}, ${span(now - machine.since)}`;
  const seen = sample
    ? ` Last look ${utcMinute(sample.at, now)}${sample.latency_ms === null ? ", no answer" : `, ${sample.latency_ms} ms`}.`
    : "";
  const lines = [
    `${blindLine(s, now)}${name(target.name)} is ${target.paused ? `paused; last seen ${word}` : word}${reason}, ${since}.${seen}`,
  ];
  const claims = [claim("target", target.id)];
  const incident = machine.incident ? await readIncident(db, machine.incident.id) : null;
  if (incident) {
    lines.push(`Open incident: ${plain(incident.title)} (${incident.severity}${ackWords(incident)}).`);
    claims.push(claim("incident", incident.id));
  }
  const window = s.maintenance.now.find((w) => w.targets[0] === "*" || w.targets.includes(target.id));
  if (window) {
    lines.push(`In maintenance till ${utcMinute(window.ends_at, now)}: ${window.reason}.`);
    claims.push(claim("maintenance", window.id));
  }
  return { text: lines.join("\n"), claims };
}

const ackWords = (i: Pick<IncidentView, "acked_at" | "acked_by">): string =>
  i.acked_at === null ? ", not acked" : `, acked by ${name(i.acked_by ?? "someone")}`;

function unknownTarget(s: LiveState, question: string): RuleAnswer {
  const asked = plain(question).slice(0, 60);
  const known = s.bad.slice(0, 3).map((b) => b.name);
  return {
    text: `No watched target is named in "${asked}". ${plural(s.counts.total, "target")} ${s.counts.total === 1 ? "is" : "are"} watched${known.length > 0 ? `; not well now: ${known.join(", ")}` : ", none of them bad now"}. Use a name as the overview shows it.`,
    claims: s.bad.slice(0, 3).map((b) => claim("target", b.id)),
  };
}

/** What the newest investigation of an incident says, or why there is none. */
async function explained(db: D1Database, incident: string): Promise<string> {
  const row = await db
    .prepare("SELECT result, error, guess FROM investigation WHERE incident_id = ? ORDER BY at DESC LIMIT 1")
    .bind(incident)
    .first<{ result: string | null; error: string | null; guess: number }>();
  if (!row) return "It was not investigated, so only the facts are known.";
  if (row.result === null) return `Not investigated: ${row.error ?? "no answer"}. The facts above are complete.`;
  const result = JSON.parse(row.result) as { summary?: string; likely_cause?: string };
  const said = plain(
    [result.summary, result.likely_cause ? `Likely: ${result.likely_cause}` : ""].filter(Boolean).join(" "),
  );
  return `${row.guess ? "A guess" : "Reveille thinks"}: ${said.slice(0, 500)}`;
}

export async function why(
  db: D1Database,
  s: LiveState,
  r: Reading,
  now: number,
  question: string,
): Promise<RuleAnswer> {
  const picked = r.incident
    ? await readIncident(db, r.incident)
    : r.target
      ? ((await readIncidents(db, { target_id: r.target.id, limit: 1 }))[0] ?? null)
      : s.open[0]
        ? await readIncident(db, s.open[0].id)
        : null;
  if (!picked) {
    if (r.incident)
      return { text: `No incident ${r.incident}. Check the id, or search it on the audit page.`, claims: [] };
    if (r.target)
      return { text: `${name(r.target.name)} has had no incident.`, claims: [claim("target", r.target.id)] };
    return s.open_total === 0
      ? { text: "No incident is open, so there is nothing to explain.", claims: [] }
      : unknownTarget(s, question);
  }
  const first = Date.parse(picked.first_bad_at);
  const end = picked.resolved_at === null ? null : Date.parse(picked.resolved_at);
  const lasted =
    end === null
      ? `open for ${span(now - Date.parse(picked.opened_at))}${ackWords(picked)}`
      : `resolved ${utcMinute(end, now)} after ${span(end - first)}`;
  const detail = plain(picked.detail).slice(0, 300);
  return {
    text: [
      `${plain(picked.title)}: ${picked.category}, ${picked.severity}, first bad ${utcMinute(first, now)}, ${lasted}. Confirmed by ${plain(picked.confirmed_by)}.`,
      detail === "" ? "" : `Seen: ${detail}`,
      await explained(db, picked.id),
    ]
      .filter(Boolean)
      .join("\n"),
    claims: [claim("incident", picked.id), claim("target", picked.target_id)],
  };
}

export async function whoAcked(db: D1Database, s: LiveState, r: Reading, now: number): Promise<RuleAnswer> {
  const one = r.incident
    ? await readIncident(db, r.incident)
    : r.target
      ? ((await readIncidents(db, { target_id: r.target.id, limit: 1 }))[0] ?? null)
      : null;
  const rows: Pick<IncidentView, "id" | "title" | "acked_at" | "acked_by">[] = one
    ? [one]
    : s.open.map((i) => ({ ...i, acked_at: i.acked_at === null ? null : new Date(i.acked_at).toISOString() }));
  if (rows.length === 0)
    return {
      text: r.incident ? `No incident ${r.incident}.` : "No incident is open, so nobody needed to ack.",
      claims: [],
    };
  const lines = rows
    .slice(0, LISTED)
    .map((i) =>
      i.acked_at === null
        ? `Nobody acked ${plain(i.title)}.`
        : `${name(i.acked_by ?? "Someone")} acked ${plain(i.title)} at ${utcMinute(Date.parse(i.acked_at), now)}.`,
    );
  return { text: lines.join("\n"), claims: rows.slice(0, LISTED).map((i) => claim("incident", i.id)) };
}
