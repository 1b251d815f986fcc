import { tmpdir } from "node:os";
import type { Measure } from "../lib/measure";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { quantile, seeded, sleep } from "../lib/sandbox";
import { hasMemory, MEMORY } from "./connector/edge";
import { type Cost, probeCosts } from "./slo/cost";
import { type Contender, onStage, type Stage, type Timed } from "./slo/stage";

/**
 * Hook received to reply sent, beside a bare Worker that makes the same two MCP calls in the request itself. Both are in one workerd,
 * each on its own socket, and take turns within every round. The reply's time is taken by the peer, the start by the sender: one
 * process, one clock. One probe at a time and nothing left of the one before, as probes are minutes apart in the field.
 */

const ROUNDS = 10;
const EACH = 40;
const MEMORY_ROUNDS = 4;
const AT_ONCE = 8;
const AT_ONCE_EACH = 240;
const REST_MS = 5;
/** Pages synced before each stretch, so that the figures say what the disk was like. */
const COMMITS = 5;

interface Series {
  accepted: number[];
  replied: number[];
  /** Median of each round. */
  medians: number[];
}

const mid = (values: number[]): number => quantile(values, 0.5);

/** Each in turn, in another order every round. The first, unmeasured probes open and compile. */
async function rounds(
  ctx: RunContext,
  what: string,
  all: Contender[],
  n: number,
  before: () => void = () => {},
): Promise<Series[]> {
  const random = seeded(ctx.seed);
  const series = all.map((): Series => ({ accepted: [], replied: [], medians: [] }));
  for (const c of all) for (let i = 0; i < 20; i++) await c.probe();
  for (let i = 0; i < n && !ctx.signal.aborted; i++) {
    ctx.progress.update(what, `round ${i + 1} of ${n}`);
    const order = all.map((c, k) => ({ c, k, at: random() })).sort((a, b) => a.at - b.at);
    for (const { c, k } of order) {
      before();
      const took: Timed[] = [];
      for (let j = 0; j < EACH && !ctx.signal.aborted; j++) {
        took.push(await c.probe());
        await sleep(REST_MS);
      }
      const s = series[k]!;
      s.accepted.push(...took.map((t) => t.accepted));
      s.replied.push(...took.map((t) => t.replied));
      s.medians.push(mid(took.map((t) => t.replied)));
    }
  }
  return series;
}

const m = (
  name: string,
  label: string,
  value: number,
  unit: string,
  goal: number | null,
  compare: Measure["compare"],
  beside: string | null = null,
): Measure => ({ name: `slo.${name}`, label, value, unit, goal, compare, beside });

const ms = (n: number): string => `${n.toFixed(1)} ms`;

/** How much later than the bare Worker's: the median of the rounds' differences of medians. */
const later = (a: Series, b: Series): number => mid(a.medians.map((n, i) => n - b.medians[i]!));

async function onDisk(ctx: RunContext, stage: Stage): Promise<Measure[]> {
  const all = [stage.edge, stage.bare, stage.queued];
  const commits: number[] = [];
  const sync = (): void => void commits.push(...Array.from({ length: COMMITS }, stage.commit));
  const [edge, bare, queued] = (await rounds(ctx, "one at a time", all, ROUNDS, sync)) as [Series, Series, Series];
  const spent = stage.spent.slice(-ROUNDS * EACH);
  const at = (p: number): string =>
    `bare ${ms(quantile(bare.replied, p))}, bare behind a queue ${ms(quantile(queued.replied, p))}`;
  const percentile = (p: number): Measure =>
    m(`p${p}`, `hook received to reply sent, p${p}`, quantile(edge.replied, p / 100), "ms", null, "<", at(p / 100));
  return [
    m("behind_p50", "p50 after the bare Worker's", later(edge, bare), "ms", 25, "<="),
    percentile(50),
    percentile(95),
    percentile(99),
    m(
      "commit_p50",
      "a page synced on that disk, p50",
      mid(commits),
      "ms",
      null,
      "<",
      `p95 ${ms(quantile(commits, 0.95))}`,
    ),
    m("behind_queued_p50", "p50 after that of a bare queue", later(edge, queued), "ms", null, "<="),
    m("queue_p50", "a bare queue's p50 after the bare Worker's", later(queued, bare), "ms", null, "<="),
    m("accepted_p50", "p50 to accepted:true", mid(edge.accepted), "ms", null, "<"),
    m(
      "taken_p50",
      "of ours: partitioned to taken from the queue, p50",
      mid(spent.map((s) => s.queued)),
      "ms",
      null,
      "<",
    ),
    m(
      "answering_p50",
      "of ours: taken from the queue to replied, p50",
      mid(spent.map((s) => s.answering)),
      "ms",
      null,
      "<",
    ),
    ...(await atOnce(ctx, stage)),
  ];
}

/** A burst: without a goal, because probes do not come so. */
async function atOnce(ctx: RunContext, stage: Stage): Promise<Measure[]> {
  const took = new Map<string, number[]>();
  for (const c of [stage.edge, stage.bare]) {
    ctx.progress.update("at once", c.name);
    const times: number[] = [];
    let left = AT_ONCE_EACH;
    const lane = async (): Promise<void> => {
      while (left-- > 0 && !ctx.signal.aborted) times.push((await c.probe()).replied);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    took.set(c.name, times);
  }
  const [edge, bare] = [took.get("edge")!, took.get("bare")!];
  return [50, 99].map((p) =>
    m(
      `at_once_p${p}`,
      `${AT_ONCE} probes at once, p${p}`,
      quantile(edge, p / 100),
      "ms",
      null,
      "<",
      `bare ${ms(quantile(bare, p / 100))}`,
    ),
  );
}

/** Where a commit costs nothing the difference is hops and CPU. */
async function inMemory(ctx: RunContext, stage: Stage): Promise<Measure> {
  const [edge, bare] = (await rounds(ctx, "in memory", [stage.edge, stage.bare], MEMORY_ROUNDS)) as [Series, Series];
  const both = `${ms(mid(edge.replied))}, bare ${ms(mid(bare.replied))}`;
  return m(
    "memory_behind_p50",
    "state in memory: p50 after the bare Worker's",
    later(edge, bare),
    "ms",
    null,
    "<=",
    both,
  );
}

/** What the peer heard: each probe acked once and answered once. */
function faults(stage: Stage): number {
  const heard = [...stage.peer.heard.values()];
  return stage.sent() - heard.length + heard.filter((h) => h.acks !== 1 || h.replies !== 1).length;
}

async function money(ctx: RunContext, folder: string): Promise<Measure[]> {
  const { together, lone } = await probeCosts(folder, ctx.signal, (what) => ctx.progress.update("cost", what));
  const parts = (c: Cost): string =>
    `${c.rows.toFixed(1)} rows (D1 ${c.d1Rows.toFixed(1)}), ${c.reads.toFixed(0)} read, ${c.workerRequests.toFixed(2)} + ` +
    `${c.objectRequests.toFixed(2)} requests, ${c.queueOps.toFixed(1)} queue operations, ${c.cpu.toFixed(0)} ms CPU`;
  return [
    m("dollars", "dollars per million probes, together", together.dollars, "$", null, "<", parts(together)),
    m("lone_dollars", "dollars per million probes, lone", lone.dollars, "$", null, "<", parts(lone)),
  ];
}

async function run(ctx: RunContext): Promise<RunResult> {
  const measures: Measure[] = [];
  let wrong = 0;
  await onStage({}, async (stage) => {
    measures.push(...(await onDisk(ctx, stage)));
    wrong += faults(stage);
  });
  if (hasMemory() && !ctx.signal.aborted)
    await onStage({ folder: MEMORY }, async (stage) => {
      measures.push(await inMemory(ctx, stage));
      wrong += faults(stage);
    });
  if (!ctx.signal.aborted) measures.push(...(await money(ctx, hasMemory() ? MEMORY : tmpdir())));
  measures.push(m("wrong", "probes not acked and answered exactly once", wrong, "", 0, "="));
  return {
    title: "probe at the hook → ack → reply at the peer",
    note: `${ROUNDS} rounds of ${EACH} in turns; state on disk where not said otherwise`,
    measures,
  };
}

export const runner: Runner = {
  name: "slo",
  what: "hook received to reply sent beside a bare Worker with the same two calls; dollars per million probes; 3 min",
  run,
};
