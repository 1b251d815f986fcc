import { HOUR, MINUTE } from "../../../kernel/clock";
import { readCredential } from "../../../kernel/config";
import { hourMinute } from "../../../kernel/format";
import {
  countOfTarget,
  DeletePage,
  type LastLook,
  NotFoundPage,
  RANGES,
  type Range,
  readLastLook,
  readTargetHistory,
  STATE_WORD,
  stateOfStatus,
  type TargetData,
  TargetPage,
  viewOf,
} from "../../../operator";
import {
  activeAt,
  type Beat,
  bindingsOf,
  envelopeOf,
  type IncidentView,
  type Machine,
  nextDue,
  policyOf,
  readBeat,
  readIncidents,
  readLiveWindows,
  readState,
  readTarget,
  type Target,
  targetSeries,
} from "../../../watch";
import { deleteTarget, lookNow, muteTarget, patchTarget, rehearse } from "../../acts";
import { beatPath } from "../../beat";
import { runtime } from "../../kit";
import { act, done, OPERATOR, type PageCtx, pageApp, part, show } from "./visit";

/** `/targets/{id}` and its acts. */
export const targetPages = pageApp();

const SPAN: Record<Range, number> = {
  "2h": 2 * HOUR,
  "24h": 24 * HOUR,
  "7d": 168 * HOUR,
  "30d": 720 * HOUR,
  "400d": 9_600 * HOUR,
};

export const missing = (c: PageCtx, what: string, id: string): Promise<Response> =>
  show(c, "Not found", () => <NotFoundPage what={what} id={id.slice(0, 80)} />, 404);

const at = (id: string): string => `/targets/${encodeURIComponent(id)}`;

async function lastLook(c: PageCtx, t: Target): Promise<LastLook | null> {
  const s = await readLastLook(c.env.DB, t.num, c.get("visit").ctx.now);
  if (!s) return null;
  return {
    at: s.at,
    state: s.maintenance ? "maintenance" : stateOfStatus(s.status),
    reason: s.reason,
    latency_ms: s.latency_ms,
    error: s.error ?? null,
    details: s.details ?? {},
    details_at: s.details_at,
    rehearsal: s.rehearsal,
  };
}

/** The target's state as the overview would show it, from its machine instead of its row. */
function viewFrom(c: PageCtx, t: Target, m: Machine | null, confirm: number, maintenance: boolean): TargetData["view"] {
  const { now } = c.get("visit").ctx;
  const open = m?.incident ?? null;
  const line = {
    ...t,
    paused: t.paused ? 1 : 0,
    phase: m?.phase ?? ("steady" as const),
    status: m?.status ?? ("unknown" as const),
    reason: m?.reason ?? ("not_looked_yet" as const),
    since: m?.since ?? t.created_at,
    incident_id: open?.id ?? null,
    bad: m?.bad ?? 0,
    confirm,
    acked_at: open?.acked ? now : null,
    snooze_until: open?.snooze_until ?? null,
    flapping: open?.flapping ? 1 : 0,
    rehearsal: open?.rehearsal || m?.rehearsal ? 1 : 0,
    severity: open?.severity ?? null,
    beat_at: null,
    beat_period_s: null,
  };
  return viewOf(line, { now, confirm, latest: new Map(), inMaintenance: () => maintenance });
}

const chartOf = async (c: PageCtx, t: Target, from: number, to: number, incidents: IncidentView[]) => ({
  series: await targetSeries(c.env.DB, t.num, from, to),
  from,
  to,
  every_s: t.every_s,
  incidents: incidents
    .map((i) => ({
      from: Date.parse(i.first_bad_at),
      to: i.resolved_at ? Date.parse(i.resolved_at) : to,
      title: i.title,
    }))
    .filter((i) => i.to > from && i.from < to),
});

const beatOf = async (c: PageCtx, t: Target): Promise<{ url: string | null; beat: Beat | null } | null> =>
  t.kind === "heartbeat"
    ? { url: (await beatPath(c.env, runtime(c), t)) ?? null, beat: await readBeat(c.env.DB, t.num) }
    : null;

async function dataOf(c: PageCtx, t: Target, range: Range): Promise<TargetData> {
  const { now } = c.get("visit").ctx;
  const db = c.env.DB;
  const { config, vars } = runtime(c);
  const [state, windows, incidents, beat, look, history] = await Promise.all([
    readState(db, t.id),
    readLiveWindows(db, now),
    part(c, "incidents", () => readIncidents(db, { target_id: t.id, limit: 20 })),
    beatOf(c, t),
    part(c, "the last look", () => lastLook(c, t)),
    part(c, "uptime", () => readTargetHistory(db, t, now)),
  ]);
  const known = incidents.ok ? incidents.value : [];
  const chart = await part(c, "latency", () => chartOf(c, t, now - SPAN[range], now, known));
  const m = state?.machine ?? null;
  const policy = policyOf(t, config);
  const open = known.find((i) => i.id === m?.incident?.id);
  const { fix_name } = envelopeOf(t.kind);
  const steady = t.kind === "internal" ? null : nextDue(t.id, t.every_s, m?.not_before ?? null, now);
  return {
    target: t,
    view: viewFrom(c, t, m, policy.confirm, activeAt(windows, t.id, now) !== null),
    since: m?.since ?? t.created_at,
    incident: open ? { id: open.id, title: open.title } : null,
    next_look_at: t.paused ? null : (m?.next_look_at ?? steady),
    policy,
    envelope: fix_name === "(none)" ? "none declared" : fix_name,
    credentials: Object.entries(bindingsOf(t)).map(([role, binding]) => ({
      role,
      binding,
      present: readCredential(vars, binding) !== null,
    })),
    beat,
    look,
    range,
    chart,
    history,
    incidents,
  };
}

targetPages.get("/targets/:id", async (c) => {
  const id = c.req.param("id");
  const t = await readTarget(c.env.DB, id);
  if (!t) return missing(c, "target", id);
  const asked = c.req.query("range");
  const data = await dataOf(c, t, RANGES.find((r) => r === asked) ?? "24h");
  return show(c, t.name, () => <TargetPage ctx={c.get("visit").ctx} data={data} />);
});

targetPages.post("/targets/:id/look", (c) => {
  const id = c.req.param("id");
  return act(c, at(id), async () => {
    const { snapshot: s } = await lookNow(c.env, id);
    const word = STATE_WORD[stateOfStatus(s.status)];
    const text = [`Looked: ${word}`, s.latency_ms === null ? null : `${s.latency_ms} ms`, s.error]
      .filter(Boolean)
      .join(", ");
    return done(c, at(id), { text: `${text}.`.replace(/\.\.$/, "."), bad: s.status === "unhealthy" });
  });
});

for (const verb of ["pause", "resume"] as const)
  targetPages.post(`/targets/:id/${verb}`, (c) => {
    const id = c.req.param("id");
    return act(c, at(id), async () => {
      await patchTarget(c.env, runtime(c), id, { paused: verb === "pause" }, OPERATOR);
      const back = verb === "pause" ? "resume" : "pause";
      const text = verb === "pause" ? "Paused: nobody looks at it." : "Resumed: it is looked at from the next cycle.";
      return done(c, at(id), { text, undo: { action: `${at(id)}/${back}`, fields: {} } });
    });
  });

targetPages.post("/targets/:id/mute", (c) => {
  const id = c.req.param("id");
  return act(c, at(id), async (f) => {
    const { now, zone } = c.get("visit").ctx;
    const minutes = Math.min(7 * 1440, Math.max(0, Number.parseInt(f["minutes"] ?? "60", 10) || 0));
    const until = minutes === 0 ? null : now + minutes * MINUTE;
    await muteTarget(c.env, runtime(c), id, until, OPERATOR);
    const text =
      until === null ? "Unmuted." : `Muted till ${hourMinute(until, zone)}: its notices go to the inbox only.`;
    const undo = { action: `${at(id)}/mute`, fields: { minutes: until === null ? "60" : "0" } };
    return done(c, at(id), { text, undo });
  });
});

targetPages.post("/targets/:id/rehearse", (c) => {
  const id = c.req.param("id");
  return act(c, at(id), async () => {
    await rehearse(c.env, runtime(c), id, OPERATOR);
    return done(c, at(id), {
      text: "Rehearsal started: bad looks, a notice, recovery. Every row of it says rehearsal.",
    });
  });
});

const deletePage = async (c: PageCtx, id: string, problem?: string): Promise<Response> => {
  const t = await readTarget(c.env.DB, id);
  if (!t) return missing(c, "target", id);
  const incidents = await countOfTarget(c.env.DB, id);
  const { ctx } = c.get("visit");
  return show(
    c,
    `Delete ${t.name}`,
    () => <DeletePage ctx={ctx} target={t} incidents={incidents} {...(problem ? { problem } : {})} />,
    problem ? 400 : 200,
  );
};

targetPages.get("/targets/:id/delete", (c) => deletePage(c, c.req.param("id")));

targetPages.post("/targets/:id/delete", (c) => {
  const id = c.req.param("id");
  return act(c, `${at(id)}/delete`, async (f) => {
    const t = await readTarget(c.env.DB, id);
    if (!t) return missing(c, "target", id);
    if ((f["name"] ?? "").trim() !== t.name)
      return deletePage(c, id, `The name is “${t.name}”; what you typed is another. Nothing was deleted.`);
    await deleteTarget(c.env, runtime(c), id, OPERATOR);
    return done(c, "/", { text: `${t.name} was deleted. Its incidents and audit rows stay.` });
  });
});
