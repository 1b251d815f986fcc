import type { Measure } from "../lib/measure";
import { cpuMs } from "../lib/processes";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, quantile, type Sandbox, type Service, seeded, sleep, startService } from "../lib/sandbox";
import {
  addTargets,
  enter,
  history,
  minute,
  nameOf,
  nextMinute,
  note,
  nothingSeen,
  type Seen,
  TARGETS,
} from "./watch/stage";

/** 1,000 targets: what a healthy minute costs, whether a bad one fits into a minute, and how fast the overview is. */

const HEALTHY = 5;
const MIXED = 4;
const MIXED_EVERY = 40_000;
const VIEWS = 60;

async function run(ctx: RunContext): Promise<RunResult> {
  const seen = nothingSeen();
  const service = await startService();
  const box = await openSandbox({ onLog: (e) => note(seen, e) });
  try {
    ctx.progress.update("set up", `${TARGETS} targets`);
    await addTargets(box, service);
    const healthy = await healthyMinutes(ctx, box, seen);
    const mixed = await mixedMinutes(ctx, box, service, seen);
    const overview = await views(ctx, box);
    const healthyLine = await emptyMinute(box, seen);
    return {
      title: `healthy cycle, ${TARGETS.toLocaleString("en")} targets`,
      note: `${HEALTHY} runs, median; then ${MIXED} minutes with 1 % slow, 1 % dead, 1 % flapping`,
      measures: [
        m("wall", "wall", healthy.wall, "ms", 60_000, "<", `${healthyLine.wall.toFixed(0)} ms with no target due`),
        m("cpu", "CPU of workerd", healthy.cpu, "ms", null, "<", `${healthyLine.cpu.toFixed(0)} ms with no target due`),
        m("rows_written", "D1 rows written", healthy.rows, "rows", 16, "<="),
        m("mixed_wall", "worst mixed minute, wall", mixed.wall, "ms", 60_000, "<"),
        m("lost_shards", "shards lost", mixed.lost, "", 0, "="),
        m("false_wakes", "false wakes", mixed.falseWakes, "", 0, "="),
        m("dead_found", "dead targets found", mixed.deadFound, "", TARGETS / 100, "="),
        m(
          "overview_p95",
          "overview p95",
          overview.p95,
          "ms",
          300,
          "<",
          `${overview.p50.toFixed(0)} ms median; /healthz ${overview.bare.toFixed(1)} ms`,
        ),
        m("overview_bytes", "overview HTML", overview.bytes / 1024, "KiB", null, "<"),
      ],
    };
  } finally {
    await box.close();
    await service.close();
  }
}

const m = (
  name: string,
  label: string,
  value: number,
  unit: string,
  goal: number | null,
  compare: Measure["compare"],
  beside: string | null = null,
): Measure => ({ name: `watch.${name}`, label, value, unit, goal, compare, beside });

async function healthyMinutes(
  ctx: RunContext,
  box: Sandbox,
  seen: Seen,
): Promise<{ wall: number; cpu: number; rows: number }> {
  // The first look of a target writes its state; that is set-up, not a healthy minute.
  await minute(box, seen, nextMinute());
  const walls: number[] = [];
  const cpus: number[] = [];
  const rows: number[] = [];
  for (let i = 0; i < HEALTHY && !ctx.signal.aborted; i++) {
    ctx.progress.update("healthy", `${i + 1} of ${HEALTHY}`);
    const cpu = cpuMs(box.rt.workerdPid);
    const done = await minute(box, seen, nextMinute());
    walls.push(done.wall);
    rows.push(done.rows);
    cpus.push(cpuMs(box.rt.workerdPid) - cpu);
  }
  return { wall: quantile(walls, 0.5), cpu: quantile(cpus, 0.5), rows: Math.max(...rows) };
}

async function mixedMinutes(
  ctx: RunContext,
  box: Sandbox,
  service: Service,
  seen: Seen,
): Promise<{ wall: number; lost: number; falseWakes: number; deadFound: number }> {
  const random = seeded(ctx.seed);
  const order = Array.from({ length: TARGETS }, (_, i) => i).sort(() => random() - 0.5);
  const each = TARGETS / 100;
  const [slow, dead, flapping] = [0, 1, 2].map((k) => order.slice(k * each, (k + 1) * each).map(nameOf)) as [
    string[],
    string[],
    string[],
  ];
  for (const id of slow) service.set(id, "slow");
  for (const id of dead) service.set(id, "hang");
  // Bad when the cycle looks, good when the object looks again: a blip a minute.
  for (const id of flapping) {
    if (service.hits(id) % 2 === 1) await fetch(`${service.url}/${id}`);
    service.set(id, "flap");
  }
  let wall = 0;
  let lost = 0;
  for (let i = 0; i < MIXED && !ctx.signal.aborted; i++) {
    ctx.progress.update("mixed", `minute ${i + 1} of ${MIXED}`);
    const began = Date.now();
    const done = await minute(box, seen, nextMinute());
    wall = Math.max(wall, done.wall);
    lost += done.lost;
    await sleep(Math.max(0, MIXED_EVERY - (Date.now() - began)));
  }
  const own = new Set(dead);
  return {
    wall,
    lost,
    falseWakes: seen.wakes.filter((t) => !own.has(t)).length,
    deadFound: new Set(seen.wakes.filter((t) => own.has(t))).size,
  };
}

async function views(
  ctx: RunContext,
  box: Sandbox,
): Promise<{ p50: number; p95: number; bare: number; bytes: number }> {
  ctx.progress.update("history", "14 days");
  await history(box);
  const cookie = await enter(box);
  const times: number[] = [];
  const bare: number[] = [];
  let bytes = 0;
  for (let i = 0; i < VIEWS && !ctx.signal.aborted; i++) {
    ctx.progress.update("overview", `${i + 1} of ${VIEWS}`);
    let began = performance.now();
    const page = await fetch(`${box.rt.url}/`, { headers: { cookie, connection: "close" } });
    const html = await page.text();
    times.push(performance.now() - began);
    if (page.status !== 200 || !html.includes("bench-"))
      throw new Error(`The overview answered ${page.status} without its targets.`);
    bytes = Buffer.byteLength(html);
    began = performance.now();
    await (await fetch(`${box.rt.url}/healthz`, { headers: { connection: "close" } })).text();
    bare.push(performance.now() - began);
  }
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), bare: quantile(bare, 0.5), bytes };
}

/** The bare line beside the figures: a tick of the same installation with every target paused. */
async function emptyMinute(box: Sandbox, seen: Seen): Promise<{ wall: number; cpu: number }> {
  await box.rt.d1.prepare("UPDATE target SET paused = 1 WHERE source <> 'builtin'").run();
  const cpu = cpuMs(box.rt.workerdPid);
  const { wall } = await minute(box, seen, nextMinute());
  return { wall, cpu: cpuMs(box.rt.workerdPid) - cpu };
}

export const runner: Runner = {
  name: "watch",
  what: "1,000 targets: wall, CPU, rows of a healthy minute; a bad minute; the overview over 14 days",
  run,
};
