import { HOUR } from "../../../kernel/clock";
import { hourMinute } from "../../../kernel/format";
import {
  bySoonestEnd,
  countIncidents,
  firstTold,
  InboxPage,
  IncidentPage,
  IncidentsPage,
  markRead,
  nextHour,
  othersAt,
  readInbox,
  readOpeningWakes,
  TABS,
} from "../../../operator";
import { answerProposal, latestInvestigation, readAsks, readProposals, readWaiting } from "../../../reason";
import { readTrustProposals } from "../../../trust";
import {
  type IncidentView,
  incidentTimeline,
  readIncident,
  readIncidents,
  readTarget,
  targetSeries,
} from "../../../watch";
import { ackIncident, snoozeIncident } from "../../acts";
import { askQuestion } from "../../asks";
import { runtime } from "../../kit";
import { fixData } from "./fix.pages";
import { missing } from "./target.pages";
import { act, done, OPERATOR, type PageCtx, pageApp, part, show } from "./visit";

/** `/incidents`, `/incidents/{id}` and `/inbox`. */
export const incidentPages = pageApp();

const LIST = 50;
const NOTICES = 50;
const WAITING = 50;
const ASKS = 10;

incidentPages.get("/incidents", async (c) => {
  const tab = TABS.find((t) => t === c.req.query("state")) ?? "open";
  const { now } = c.get("visit").ctx;
  const before = c.req.query("before")?.slice(0, 60);
  const [counts, rows] = await Promise.all([
    part(c, "counts", () => countIncidents(c.env.DB, now - 30 * 24 * HOUR)),
    part(c, "incidents", async () => {
      const items = await readIncidents(c.env.DB, { state: tab === "all" ? undefined : tab, before, limit: LIST });
      const ids = items.map((i) => i.id);
      return {
        items,
        wakes: await readOpeningWakes(c.env.DB, ids),
        next: items.length === LIST ? (ids.at(-1) ?? null) : null,
      };
    }),
  ]);
  return show(c, "Incidents", () => <IncidentsPage ctx={c.get("visit").ctx} data={{ tab, counts, rows }} />);
});

/** Two hours of latency that end with the fault or an hour after its beginning, whichever shows more of it. */
async function chartAround(c: PageCtx, i: IncidentView, num: number, every_s: number) {
  const { now } = c.get("visit").ctx;
  const first = Date.parse(i.first_bad_at);
  const end = i.resolved_at === null ? now : Date.parse(i.resolved_at);
  const to = Math.min(now, Math.max(first + HOUR, Math.min(end + HOUR / 4, first + 22 * HOUR)));
  const from = Math.min(first - HOUR, to - 2 * HOUR);
  const series = await targetSeries(c.env.DB, num, from, to);
  return { series, from, to, every_s, incidents: [{ from: first, to: Math.min(end, to), title: i.title }] };
}

incidentPages.get("/incidents/:id", async (c) => {
  const id = c.req.param("id");
  const db = c.env.DB;
  const incident = await readIncident(db, id);
  if (!incident) return missing(c, "incident", id);
  const { now } = c.get("visit").ctx;
  const target = await readTarget(db, incident.target_id);
  const end = incident.resolved_at === null ? now : Date.parse(incident.resolved_at);
  const [timeline, wake, investigation, fixes, told, chart, others, past] = await Promise.all([
    part(c, "the timeline", () => incidentTimeline(db, id)),
    part(c, "the wake", async () => (await readOpeningWakes(db, [id])).get(id) ?? null),
    part(c, "the investigation", () => latestInvestigation(db, id)),
    part(c, "fixes", () => fixData(c, incident, target)),
    firstTold(db, id).catch(() => null),
    part(c, "latency", async () => (target ? chartAround(c, incident, target.num, target.every_s) : null)),
    part(c, "other incidents", () => othersAt(db, incident.target_id, Date.parse(incident.first_bad_at), end)),
    part(c, "past incidents", async () =>
      (await readIncidents(db, { target_id: incident.target_id, before: id, limit: 5 })).filter((i) => i.id !== id),
    ),
  ]);
  const view = c.req.query("view") === "everything" ? "everything" : "story";
  const data = {
    incident,
    view,
    timeline,
    wake,
    investigation,
    fixes,
    told,
    chart,
    others,
    past,
    target: target !== null,
  } as const;
  return show(c, incident.title, () => <IncidentPage ctx={c.get("visit").ctx} data={data} />);
});

const at = (id: string): string => `/incidents/${encodeURIComponent(id)}`;

for (const verb of ["ack", "unack"] as const)
  incidentPages.post(`/incidents/:id/${verb}`, (c) => {
    const id = c.req.param("id");
    return act(c, at(id), async () => {
      const on = verb === "ack";
      const { changed } = await ackIncident(c.env, runtime(c), id, OPERATOR, on);
      if (!changed) return done(c, at(id), { text: on ? "It was acked already." : "It was not acked." });
      const text = on ? "Acked. Reminders stop; it stays open till it recovers." : "The ack was taken back.";
      return done(c, at(id), { text, undo: { action: `${at(id)}/${on ? "unack" : "ack"}`, fields: {} } });
    });
  });

incidentPages.post("/incidents/:id/snooze", (c) => {
  const id = c.req.param("id");
  return act(c, at(id), async (f) => {
    const { now, zone } = c.get("visit").ctx;
    const hours = f["for"] === "4h" ? 4 : 1;
    const until = f["for"] === "0" ? null : f["for"] === "morning" ? nextHour(8, zone, now) : now + hours * HOUR;
    const { changed } = await snoozeIncident(c.env, runtime(c), id, until, OPERATOR);
    if (until === null) return done(c, at(id), { text: changed ? "The snooze is over." : "It was not snoozed." });
    const text = `Snoozed till ${hourMinute(until, zone)}: quiet until then unless it gets worse.`;
    return done(c, at(id), { text, undo: { action: `${at(id)}/snooze`, fields: { for: "0" } } });
  });
});

incidentPages.get("/inbox", async (c) => {
  const asked = Number.parseInt(c.req.query("before") ?? "", 10);
  const { now } = c.get("visit").ctx;
  const [page, fixes, waiting, trust, asks] = await Promise.all([
    part(c, "notices", () => readInbox(c.env.DB, Number.isFinite(asked) ? asked : null, NOTICES)),
    part(c, "fixes", () => readWaiting(c.env.DB, now)),
    part(c, "proposals", async () =>
      bySoonestEnd(await readProposals(c.env.DB, { state: "pending", limit: WAITING }, now)),
    ),
    part(c, "clients' proposals", () => readTrustProposals(c.env.DB, now, WAITING)),
    part(c, "questions", () => readAsks(c.env.DB, ASKS)),
  ]);
  return show(c, "Inbox", (shell) => (
    <InboxPage ctx={c.get("visit").ctx} data={{ unread: shell.unread, fixes, waiting, trust, page, asks }} />
  ));
});

for (const answer of ["approve", "reject"] as const)
  incidentPages.post(`/inbox/proposals/:key/${answer}`, (c) =>
    act(c, "/inbox", async () => {
      const p = await answerProposal(c.env.DB, runtime(c), c.req.param("key"), answer, OPERATOR);
      const text =
        answer === "approve"
          ? `Approved: ${p.title}. Vocabulary was added; nothing was switched on.`
          : `Rejected: ${p.title}. It stays quiet for 90 days.`;
      return done(c, "/inbox", { text });
    }),
  );

incidentPages.post("/inbox/ask", (c) =>
  act(c, "/inbox", async (f) => {
    const id = await askQuestion(c.env, runtime(c), "inbox", f["question"] ?? "", OPERATOR);
    return done(c, `/inbox#ask-${id}`, { text: "Asked. The answer appears under Questions." });
  }),
);

incidentPages.post("/inbox/read", (c) =>
  act(c, "/inbox", async (f) => {
    const key = f["key"] ?? "";
    const n = await markRead(c.env.DB, key === "" ? null : key, c.get("visit").ctx.now);
    return done(c, "/inbox", { text: n === 1 ? "1 notice marked read." : `${n} notices marked read.` });
  }),
);
