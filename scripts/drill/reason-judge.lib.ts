import type { LlmCall } from "../../test/support/llm.types";
import type { Measure } from "../lib/measure";
import { acts, count, ENDED, type Kind, type Outside, own, type Round, rows, told, undone } from "./reason.lib";

/** `npm run drill -- reason`: the ledgers of the outside beside our rows. */

/** claude-haiku-4-5, nanodollars a token, as the provider's price list says. */
const RATES = { input: 1_000, output: 5_000, cache_write: 1_250, cache_read: 100 };
const bill = (calls: readonly LlmCall[]): number =>
  calls.reduce((sum, { usage: u }) => {
    if (!u) return sum;
    return (
      sum +
      u.input * RATES.input +
      u.output * RATES.output +
      u.cache_write * RATES.cache_write +
      u.cache_read * RATES.cache_read
    );
  }, 0);

export type Totals = Record<string, number>;
const add = (t: Totals, name: string, n: number): void => {
  t[name] = (t[name] ?? 0) + n;
};

/** Adds what one round comes to. Everything that has a goal is a fault when it is not 0. */
export async function judgeRound(round: Round, out: Outside, t: Totals): Promise<void> {
  const like = own(round);
  const n = async (sql: string, ...bound: unknown[]): Promise<number> =>
    (await rows<{ n: number }>(round, sql, ...bound))[0]?.n ?? Number.NaN;
  const heard = told(out).filter((m) => round.broken.has(m.name));
  const wakes = new Map(
    (
      await rows<{ id: string; n: number }>(
        round,
        `SELECT target_id AS id, COUNT(*) AS n FROM wake WHERE event IN ('opened', 'raised', 'settled') AND target_id LIKE ? GROUP BY 1`,
        like,
      )
    ).map((r) => [r.id, r.n]),
  );
  const marks = new Map(
    (
      await rows<{ id: string; n: number }>(
        round,
        `SELECT i.target_id AS id, COUNT(*) AS n FROM notice_attempt a JOIN incident i ON i.id = a.incident_id
         WHERE a.state = 'unknown' AND i.target_id LIKE ? GROUP BY 1`,
        like,
      )
    ).map((r) => [r.id, r.n]),
  );
  const acted = acts(out);
  for (const name of round.broken) {
    const of = (kind: Kind): number => count(heard, (m) => m.name === name && m.kind === kind);
    add(t, "faults", 1);
    if (of("opened") === 0) add(t, "plain_missing", 1);
    const doubles = (["opened", "recovered", "explained", "fix"] as const).reduce(
      (sum, kind) => sum + Math.max(0, of(kind) - 1),
      0,
    );
    const marked = Math.min(doubles, marks.get(name) ?? 0);
    add(t, "doubles_marked", marked);
    add(t, "doubles_unmarked", doubles - marked);
    const first = count(round.calls, (c) => c.about === name && c.messages === 1);
    add(t, "calls_second", Math.max(0, first - 1));
    add(t, "wakes_more", Math.max(0, (wakes.get(name) ?? 0) - 1));
    const posts = count(acted, (a) => a === name);
    add(t, "posts", posts);
    add(t, "posts_second", Math.max(0, posts - 1));
  }
  const asked = new Map<string, LlmCall[]>();
  for (const c of round.calls) asked.set(c.request_id ?? "", [...(asked.get(c.request_id ?? "") ?? []), c]);
  // A round of a tool loop brings more messages than the one before: the same number twice is the same call again.
  for (const [, calls] of asked) add(t, "calls_second", calls.length - new Set(calls.map((c) => c.messages)).size);
  add(t, "calls", asked.size);
  const ids = await rows<{ id: string; target: string }>(
    round,
    "SELECT 'inv:' || wake_id AS id, target_id AS target FROM wake WHERE target_id LIKE ?",
    like,
  );
  const targets = new Map(ids.map((r) => [r.id, r.target]));
  add(
    t,
    "calls_astray",
    count(round.calls, (c) => (targets.get(c.request_id ?? "") ?? null) !== c.about),
  );

  await judgeMoney(round, asked, t);
  const incidents = await n("SELECT COUNT(*) AS n FROM incident WHERE target_id LIKE ?", like);
  add(t, "incidents_off", Math.abs(incidents - round.broken.size));
  add(t, "undone", await undone(round));
  add(
    t,
    "unnoticed",
    await n(
      `SELECT COUNT(*) AS n FROM wake w WHERE w.target_id LIKE ? AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.wake_id = w.wake_id)`,
      like,
    ),
  );
  const why = await rows<{ id: string }>(
    round,
    `SELECT i.target_id AS id FROM investigation v JOIN incident i ON i.id = v.incident_id
     WHERE v.result IS NOT NULL AND i.target_id LIKE ?`,
    like,
  );
  add(t, "explained", why.length);
  add(
    t,
    "why_missing",
    count(why, (w) => !heard.some((m) => m.name === w.id && m.kind === "explained")),
  );
  const fixes = await rows<{ state: string; app: string }>(round, "SELECT state, app FROM autofix");
  add(t, "fixes", fixes.length);
  add(
    t,
    "unknown_outcome",
    count(fixes, (f) => f.state === "unknown_outcome"),
  );
  add(
    t,
    "fixes_running",
    count(fixes, (f) => f.state === "running"),
  );
  add(
    t,
    "fixes_untold",
    count(fixes, (f) => ENDED.includes(`'${f.state}'`) && !fixTold(heard, f)),
  );
}

const fixTold = (heard: ReturnType<typeof told>, f: { state: string; app: string }): boolean =>
  heard.some(
    (m) => m.name === f.app && m.kind === "fix" && (f.state !== "unknown_outcome" || m.text.startsWith("? Outcome")),
  );

/** The provider's count beside table `cost` (calls that came back) and beside the budget (all of them). */
async function judgeMoney(round: Round, asked: ReadonlyMap<string, LlmCall[]>, t: Totals): Promise<void> {
  const cost = await rows<{ call_id: string; usd: number; error: string | null }>(
    round,
    "SELECT call_id, usd, error FROM cost",
  );
  let ours = 0;
  let theirs = 0;
  for (const row of cost) {
    // A call without an answer may be billed or not: its row holds the worst case.
    if (row.error === "sdk_transport" || row.error === "sdk_timeout") continue;
    ours += Math.round(row.usd * 1e9);
    theirs += bill(asked.get(row.call_id) ?? []);
  }
  const kept = new Set(cost.map((r) => r.call_id));
  add(
    t,
    "calls_lost",
    count([...asked.keys()], (id) => !kept.has(id)),
  );
  add(t, "usd_off", Math.abs(ours - theirs) / 1e9);
  const b = await round.box.api.call<{
    spent_usd: number;
    reserved_usd: number;
    by_route: { day_usd: number }[];
  }>("GET", "/api/v1/budget");
  // A fast clock may turn the month; the sliding day holds every call of a drill.
  const day = b.by_route.reduce((sum, r) => sum + r.day_usd, 0);
  const counted = Math.max(b.spent_usd + b.reserved_usd, day);
  const provider = bill([...asked.values()].flat()) / 1e9;
  add(t, "usd_provider", provider);
  add(t, "usd_counted", counted);
  add(t, "usd_uncounted", Math.max(0, Math.round((provider - counted) * 1e9)) / 1e9);
}

export function measures(t: Totals, cut: ReadonlyMap<string, number>): Measure[] {
  const plain = (name: string, label: string, unit = ""): Measure => ({
    name: `reason.${name}`,
    label,
    value: Math.round((t[name] ?? 0) * 1e6) / 1e6,
    unit,
    goal: null,
    compare: "=",
  });
  const none = (name: string, label: string): Measure => ({ ...plain(name, label), value: t[name] ?? 0, goal: 0 });
  const at = (stage: string, goal: number | null): Measure => ({
    name: `reason.cut_${stage.replaceAll(" ", "_")}`,
    label: `cut at ${stage}`,
    value: cut.get(stage) ?? 0,
    unit: "",
    goal,
    compare: ">=",
  });
  return [
    plain("faults", "faults"),
    plain("calls", "LLM calls"),
    none("calls_second", "second LLM calls"),
    none("calls_astray", "LLM calls about another target than their wake's"),
    plain("posts", "vendor POSTs"),
    none("posts_second", "second vendor POSTs"),
    none("plain_missing", "missing plain notices"),
    none("unnoticed", "wakes without notice"),
    plain("explained", "investigations with an answer"),
    none("why_missing", "answers not told"),
    none("doubles_unmarked", "unmarked doubles"),
    plain("doubles_marked", "marked doubles"),
    none("incidents_off", "incidents too many or few"),
    none("wakes_more", "second investigations asked for"),
    none("undone", "wakes undone"),
    plain("fixes", "fixes"),
    none("fixes_running", "fixes running for ever"),
    plain("unknown_outcome", "fixes of unknown outcome"),
    none("fixes_untold", "fixes nobody was told of"),
    plain("usd_provider", "provider's count", "USD"),
    plain("usd_counted", "budget's count", "USD"),
    none("usd_off", "USD off for calls that came back"),
    none("usd_uncounted", "USD the budget missed"),
    plain("calls_lost", "calls without a row"),
    ...["new", "claimed", "plain_noticed", "reserved", "investigated", "fix running", "fix sent"].map((s) => at(s, 3)),
    ...["fix approved", "fix unverified", "fix untold"].map((s) => at(s, null)),
  ];
}
