import { DAY, MINUTE } from "../../kernel/clock";
import { utf8 } from "../../kernel/crypto";
import { all } from "../../kernel/d1";
import { countFailures, health, LISTENERS, readListenerStates } from "../../listeners";
import { plain } from "../../notify";
import { activeAt, nextOccurrences, readLiveWindows } from "../../watch";
import type { Named } from "./intents";
import type { BudgetFacts } from "./types";

/** A target that is not well, in the words the pages use. */
export interface BadTarget {
  id: string;
  name: string;
  kind: string;
  state: "down" | "degraded" | "unknown";
  reason: string;
  since: number;
  incident_id: string | null;
}

export interface OpenIncident {
  id: string;
  target_id: string;
  target_name: string;
  title: string;
  severity: string;
  category: string;
  first_bad_at: number;
  opened_at: number;
  acked_at: number | null;
  acked_by: string | null;
  snooze_until: number | null;
}

export interface Window {
  id: string;
  reason: string;
  targets: string[];
  starts_at: number;
  ends_at: number;
}

/** Everything a routine question needs: what the `snapshot` listener stores and what rules answer from. Times are ms. */
export interface LiveState {
  at: number;
  /** Differs as soon as a row differs that this state is made of. */
  mark: string;
  /** When the last watch cycle finished; 0 = never. */
  looked_at: number;
  counts: {
    total: number;
    ok: number;
    degraded: number;
    down: number;
    unknown: number;
    maintenance: number;
    paused: number;
  };
  bad: BadTarget[];
  open: OpenIncident[];
  open_total: number;
  today: {
    opened: { id: string; title: string; target_name: string; opened_at: number; resolved_at: number | null }[];
    resolved: { id: string; title: string; target_name: string; resolved_at: number; first_bad_at: number }[];
    config: { id: number; at: number; by: string; change: string }[];
  };
  maintenance: { now: Window[]; next: Window | null };
  listeners: { overall: string; down: string[] };
  switches: { paused: boolean; killed: boolean; muted_until: number | null; unreadable: boolean };
  budget: BudgetFacts | null;
}

/** Rows of one kind that a state names; beyond it the page is the place. */
const MOST = 40;
/** No answer is made of a state that was stored longer ago (`kora-watch.md` P1: 300 s, twice). */
export const FRESH = 10 * MINUTE;
/** Two watch intervals and half a one for a slow cycle: then nobody looks, and every answer says so. */
export const BLIND_AFTER = 2.5 * MINUTE;
/** `state_snapshot.data` stays under this. */
const MAX_BYTES = 64 * 1024;

const words = (text: string, max = 120): string => plain(text).slice(0, max);

export interface StateDeps {
  db: D1Database;
  now: number;
  budget: () => Promise<BudgetFacts | null>;
  switches: () => Promise<{ paused: boolean; killed: boolean; muted_until: number | null; unreadable?: true }>;
}

interface Row {
  id: string;
  name: string;
  kind: string;
  paused: number;
  status: string;
  reason: string;
  since: number;
  incident_id: string | null;
}

const STATE: Record<string, BadTarget["state"]> = { unhealthy: "down", degraded: "degraded", unknown: "unknown" };
const RANK = { down: 0, degraded: 1, unknown: 2 };

/** The rows every state hangs on, in one statement of a few index look-ups: cheap enough to ask before each answer. */
export async function readMark(db: D1Database): Promise<{ mark: string; looked_at: number }> {
  const row = await db
    .prepare(
      `SELECT (SELECT MAX(id) FROM audit) AS a, (SELECT SUM(version) FROM target_state) AS s, (SELECT COUNT(*) FROM target) AS t,
         (SELECT MAX(updated_at) FROM target) AS u, (SELECT MAX(at) FROM cost) AS c, (SELECT MAX(created_at) FROM maintenance) AS m,
         (SELECT MAX(ended_at) FROM maintenance) AS e, (SELECT SUM(ends_at) FROM maintenance) AS x,
         (SELECT finished_at FROM cycle WHERE id = 1) AS l`,
    )
    .first<Record<string, number | null>>();
  const { l, ...rest } = row ?? {};
  return { mark: Object.values(rest).join("."), looked_at: l ?? 0 };
}

/** Names of all targets, to find the one a question is about. */
export const readNames = (db: D1Database): Promise<Named[]> =>
  all<Named>(db.prepare("SELECT id, name FROM target ORDER BY num LIMIT 5000"));

/** Works the state out from the live rows. */
export async function readState(deps: StateDeps): Promise<LiveState> {
  const { db, now } = deps;
  const midnight = Math.floor(now / DAY) * DAY;
  const [
    { mark, looked_at },
    targets,
    open,
    total,
    opened,
    resolved,
    config,
    windows,
    states,
    failures,
    switches,
    budget,
  ] = await Promise.all([
    readMark(db),
    all<Row>(
      db.prepare(
        `SELECT t.id, t.name, t.kind, t.paused, s.status, s.reason, s.since, s.incident_id
           FROM target t JOIN target_state s ON s.target_id = t.id ORDER BY t.num LIMIT 5000`,
      ),
    ),
    all<OpenIncident>(
      db
        .prepare(
          `SELECT id, target_id, target_name, title, severity, category, first_bad_at, opened_at, acked_at, acked_by, snooze_until
             FROM incident WHERE resolved_at IS NULL
             ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, opened_at LIMIT ?`,
        )
        .bind(MOST),
    ),
    db.prepare("SELECT COUNT(*) AS n FROM incident WHERE resolved_at IS NULL").first<{ n: number }>(),
    all<LiveState["today"]["opened"][number]>(
      db
        .prepare(
          `SELECT id, title, target_name, opened_at, resolved_at FROM incident
             WHERE opened_at >= ? AND rehearsal = 0 ORDER BY opened_at DESC LIMIT ?`,
        )
        .bind(midnight, MOST),
    ),
    all<LiveState["today"]["resolved"][number]>(
      db
        .prepare(
          // A month back bounds the scan; what was open for longer shows in the list of resolved incidents.
          `SELECT id, title, target_name, resolved_at, first_bad_at FROM incident
             WHERE opened_at >= ? AND resolved_at >= ? AND rehearsal = 0 ORDER BY resolved_at DESC LIMIT ?`,
        )
        .bind(midnight - 30 * DAY, midnight, MOST),
    ),
    all<{ id: number; emitted_at: number; details: string }>(
      db
        .prepare(
          "SELECT id, emitted_at, details FROM audit WHERE seam = 'config.changed' AND emitted_at >= ? ORDER BY id DESC LIMIT 20",
        )
        .bind(midnight),
    ),
    readLiveWindows(db, now),
    readListenerStates(db),
    countFailures(db, now - 5 * MINUTE),
    deps.switches(),
    deps.budget(),
  ]);
  const counts = { total: 0, ok: 0, degraded: 0, down: 0, unknown: 0, maintenance: 0, paused: 0 };
  const bad: BadTarget[] = [];
  for (const t of targets) {
    const state = STATE[t.status] ?? null;
    // Reveille's own rules stand among the targets only when they have something to say, as on the overview.
    if (t.kind === "internal" && (state === null || state === "unknown")) continue;
    counts.total++;
    if (t.paused) counts.paused++;
    else if (activeAt(windows, t.id, now)) counts.maintenance++;
    else if (state === null) counts.ok++;
    else {
      counts[state]++;
      bad.push({
        id: t.id,
        name: words(t.name, 80),
        kind: t.kind,
        state,
        reason: t.reason,
        since: t.since,
        incident_id: t.incident_id,
      });
    }
  }
  bad.sort((a, b) => RANK[a.state] - RANK[b.state] || a.since - b.since);
  const spans = windows.flatMap((w) =>
    nextOccurrences(w, now, 1).map(
      (o): Window => ({ id: w.id, reason: words(w.reason), targets: w.targets.slice(0, 10), ...o }),
    ),
  );
  const next = spans.filter((w) => w.starts_at > now).sort((a, b) => a.starts_at - b.starts_at)[0] ?? null;
  const whole = health(LISTENERS, states, now, failures);
  return {
    at: now,
    mark,
    looked_at,
    counts,
    bad: bad.slice(0, MOST),
    open: open.map((i) => ({ ...i, title: words(i.title), target_name: words(i.target_name, 80) })),
    open_total: total?.n ?? open.length,
    today: {
      opened: opened.map((i) => ({ ...i, title: words(i.title), target_name: words(i.target_name, 80) })),
      resolved: resolved.map((i) => ({ ...i, title: words(i.title), target_name: words(i.target_name, 80) })),
      config: config.map((r) => {
        const d = JSON.parse(r.details) as { by?: unknown; change?: unknown; target?: unknown };
        const change = words([d.change, d.target].filter((x) => typeof x === "string").join(": ") || "a setting");
        return { id: r.id, at: r.emitted_at, by: words(String(d.by ?? "someone"), 60), change };
      }),
    },
    maintenance: { now: spans.filter((w) => w.starts_at <= now).slice(0, 10), next },
    listeners: { overall: whole.overall, down: whole.down.slice(0, 20) },
    switches: { ...switches, unreadable: switches.unreadable === true },
    budget,
  };
}

/** Stores a state as the one pre-computed row; what is too long loses its lists from their ends, never its counts. */
export async function saveState(db: D1Database, state: LiveState): Promise<number> {
  let kept = state;
  let text = JSON.stringify(kept);
  for (let n = MOST / 2; utf8(text).length > MAX_BYTES && n >= 1; n = Math.floor(n / 2)) {
    kept = {
      ...kept,
      bad: kept.bad.slice(0, n),
      open: kept.open.slice(0, n),
      today: {
        opened: kept.today.opened.slice(0, n),
        resolved: kept.today.resolved.slice(0, n),
        config: kept.today.config.slice(0, n),
      },
    };
    text = JSON.stringify(kept);
  }
  await db
    .prepare(
      "INSERT INTO state_snapshot (id, at, data) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET at = ?1, data = ?2",
    )
    .bind(state.at, text)
    .run();
  return text.length;
}

/**
 * The state to answer from: the stored one for free while it is fresh and no row behind it has changed, else the live rows.
 * `stored` says which.
 */
export async function currentState(deps: StateDeps): Promise<{ state: LiveState; stored: boolean }> {
  const [row, { mark, looked_at }] = await Promise.all([
    deps.db.prepare("SELECT at, data FROM state_snapshot WHERE id = 1").first<{ at: number; data: string }>(),
    readMark(deps.db),
  ]);
  if (row && deps.now - row.at < FRESH && deps.now >= row.at) {
    const state = JSON.parse(row.data) as LiveState;
    // A window that began or ended since is time passing, not a row that changed.
    const turned =
      (state.maintenance.next?.starts_at ?? Number.POSITIVE_INFINITY) <= deps.now ||
      state.maintenance.now.some((w) => w.ends_at <= deps.now);
    if (state.mark === mark && !turned) return { state: { ...state, looked_at }, stored: true };
  }
  return { state: await readState(deps), stored: false };
}

/** Nobody has looked lately: the states are old news. */
export const isBlind = (state: Pick<LiveState, "looked_at">, now: number): boolean =>
  state.looked_at > 0 && now - state.looked_at > BLIND_AFTER;
