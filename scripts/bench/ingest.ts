import { tmpdir } from "node:os";
import type { Measure } from "../lib/measure";
import { cpuMs } from "../lib/processes";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { quantile, seeded } from "../lib/sandbox";
import { type Cost, loneCost, streamCost } from "./connector/cost";
import { hasMemory, MEMORY, onStage, PATH, type Stage } from "./connector/edge";
import { listen } from "./connector/gateway";
import { askAll, hookLanes } from "./connector/hooks";
import { closedLoop, type Lanes, type Load } from "./relay/load";

/**
 * Signed webhooks to durable acks beside a bare Worker that stores the same bytes with a commit each, both in one workerd on one
 * disk, and beside fastify + SQLite on the same disk. They take turns within every round; what is judged is the median of the
 * rounds' ratios. Nobody listens meanwhile: an ack says that the event is stored, not that a gateway has it.
 */

const IN_FLIGHT = 32;
const ROUNDS = 9;
/** Facts are believed for 5 s: every stretch begins with reading them, so it must not be short. */
const STRETCH = 1_500;
const MEMORY_ROUNDS = 3;
const DELIVERED = 2_000;

interface Series {
  one: Load[];
  many: Load[];
}

async function run(ctx: RunContext): Promise<RunResult> {
  const measures: Measure[] = [];
  await onStage({}, async (stage) => {
    measures.push(...(await onDisk(ctx, stage)), await delivered(ctx, stage));
  });
  const fast = hasMemory() ? MEMORY : tmpdir();
  if (fast === MEMORY && !ctx.signal.aborted)
    await onStage({ folder: MEMORY }, async (stage) => measures.push(...(await inMemory(ctx, stage))));
  if (!ctx.signal.aborted) measures.push(...(await money(ctx, fast)));
  return {
    title: "signed webhook → verified, gated, durable → ack",
    note: `${ROUNDS} rounds in turns, medians; state on disk where not said otherwise`,
    measures,
  };
}

/** One chat whose events come one after the other, and several whose events come at once. */
interface Contender {
  one: Lanes;
  many: Lanes;
}

async function contenders(stage: Stage): Promise<Contender[]> {
  const { who } = await stage.home("ingest");
  const to = (name: string, url: string, path: string): Contender => ({
    one: hookLanes(name, url, path, 1, who.slice(0, 1)),
    many: hookLanes(name, url, path, IN_FLIGHT, who),
  });
  return [to("edge", stage.edge, PATH), to("bare", stage.bare, "/"), to("fastify", stage.peer.http, "/webhooks/slack")];
}

/** Each lane in turn, in another order every round. The first, unmeasured turn opens and compiles. */
async function rounds(ctx: RunContext, what: string, all: Contender[], n: number, pid: number): Promise<Series[]> {
  const random = seeded(ctx.seed);
  const series = all.map((): Series => ({ one: [], many: [] }));
  for (const { many } of all) await closedLoop(many, IN_FLIGHT, 400);
  for (let i = 0; i < n && !ctx.signal.aborted; i++) {
    ctx.progress.update(what, `round ${i + 1} of ${n}`);
    const order = all.map((lanes, k) => ({ ...lanes, k, at: random() })).sort((a, b) => a.at - b.at);
    for (const { one, k } of order) series[k]!.one.push(await closedLoop(one, 1, STRETCH));
    for (const { many, k } of order) {
      const cpu = cpuMs(pid);
      const load = await closedLoop(many, IN_FLIGHT, STRETCH);
      series[k]!.many.push({ ...load, cpu: ((cpuMs(pid) - cpu) * 1_000) / load.n });
    }
  }
  return series;
}

const mid = (values: number[]): number => quantile(values, 0.5);
const rate = (loads: Load[]): number => mid(loads.map((l) => l.perSecond));
const ratio = (a: Load[], b: Load[]): number => mid(a.map((l, i) => l.perSecond / b[i]!.perSecond));
const n0 = (n: number): string => Math.round(n).toLocaleString("en");

const m = (
  name: string,
  label: string,
  value: number,
  unit: string,
  goal: number | null,
  compare: Measure["compare"],
  beside: string | null = null,
): Measure => ({ name: `ingest.${name}`, label, value, unit, goal, compare, beside });

async function onDisk(ctx: RunContext, stage: Stage): Promise<Measure[]> {
  const all = await contenders(stage);
  const [edge, bare, fastify] = (await rounds(ctx, "on disk", all, ROUNDS, stage.rt.workerdPid)) as [
    Series,
    Series,
    Series,
  ];
  for (const { one, many } of all) await Promise.all([one.close(), many.close()]);
  const rates = (key: keyof Series): string =>
    `bare ${n0(rate(bare[key]))}, fastify + SQLite ${n0(rate(fastify[key]))}`;
  return [
    m("ratio_32", `of the bare Worker, ${IN_FLIGHT} in flight`, ratio(edge.many, bare.many), "x", 2, ">="),
    m("ratio_1", "of the bare Worker, 1 in flight", ratio(edge.one, bare.one), "x", 0.85, ">="),
    m("rate_32", `acked events/s, ${IN_FLIGHT} in flight`, rate(edge.many), "/s", null, ">=", rates("many")),
    m("rate_1", "acked events/s, 1 in flight", rate(edge.one), "/s", null, ">=", rates("one")),
    m(
      "p99_32",
      `ack p99, ${IN_FLIGHT} in flight`,
      mid(edge.many.map((l) => l.p99)),
      "ms",
      null,
      "<",
      `bare ${mid(bare.many.map((l) => l.p99)).toFixed(0)} ms, fastify ${mid(fastify.many.map((l) => l.p99)).toFixed(0)} ms`,
    ),
  ];
}

/** The same with a gateway that takes each event at once: two commits for an event, and one in flight towards the gateway. */
async function delivered(ctx: RunContext, stage: Stage): Promise<Measure> {
  ctx.progress.update("delivered", `${n0(DELIVERED)} events`);
  const home = await stage.home("delivered");
  const lanes = hookLanes("edge", stage.edge, PATH, IN_FLIGHT, home.who);
  const line = await listen(`${stage.edge}/relay`, DELIVERED, 0, home);
  await askAll(lanes, DELIVERED);
  const done = await line.drained.finally(() => line.close());
  await lanes.close();
  return m("delivered", "events/s through to a gateway's ack", done.perSecond, "/s", null, ">=");
}

/** Where a commit costs nothing the difference is all CPU. */
async function inMemory(ctx: RunContext, stage: Stage): Promise<Measure[]> {
  const all = await contenders(stage);
  const [edge, bare, fastify] = (await rounds(ctx, "in memory", all, MEMORY_ROUNDS, stage.rt.workerdPid)) as [
    Series,
    Series,
    Series,
  ];
  for (const { one, many } of all) await Promise.all([one.close(), many.close()]);
  const cpu = (s: Series): number => mid(s.many.map((l) => l.cpu!));
  return [
    m(
      "memory_rate_32",
      `acked events/s, ${IN_FLIGHT} in flight, state in memory`,
      rate(edge.many),
      "/s",
      null,
      ">=",
      `bare ${n0(rate(bare.many))}, fastify + SQLite ${n0(rate(fastify.many))}`,
    ),
    m("cpu", "CPU of workerd per event", cpu(edge), "µs", null, "<", `bare ${n0(cpu(bare))} µs`),
  ];
}

async function money(ctx: RunContext, folder: string): Promise<Measure[]> {
  ctx.progress.update("cost", "a stream");
  const stream = await streamCost(folder);
  ctx.progress.update("cost", "lone events");
  const lone = await loneCost(folder, ctx.signal);
  const parts = (c: Cost): string =>
    `${c.requests.toFixed(2)} requests, ${c.alarms.toFixed(2)} alarms, ${c.cpu.toFixed(1)} ms CPU`;
  return [
    m("rows", "row writes per delivered event, stream", stream.rows, "rows", 3, "<="),
    m("lone_rows", "row writes per delivered event, lone", lone.rows, "rows", 3, "<="),
    m("dollars", "dollars per million delivered, stream", stream.dollars, "$", 5, "<", parts(stream)),
    m("lone_dollars", "dollars per million delivered, lone", lone.dollars, "$", 5, "<", parts(lone)),
  ];
}

export const runner: Runner = {
  name: "ingest",
  what: "signed webhooks a second beside a bare Worker and fastify + SQLite; rows and dollars per delivered event; 3 min",
  run,
};
