import { mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keysOf } from "../../test/support/onion-keys";
import { bundleWorker } from "../lib/bundle";
import type { Measure } from "../lib/measure";
import { cpuMs } from "../lib/processes";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { type LocalRuntime, startRuntime } from "../lib/runtime";
import { SANDBOX_VARS, seeded, sleep } from "../lib/sandbox";
import { type Costs, HOUR, measureCosts } from "./relay/costs";
import { against, LINES, lentRatio, m, mid, n0, OPEN_RATE, opened, perSecond, type Series } from "./relay/figures";
import { hostLanes, openLines, plainLanes, relayLanes, startAgent } from "./relay/lines";
import { closedLoop, type Lanes, type Load, openLoop } from "./relay/load";
import { startPeers } from "./relay/peers";

/**
 * Client -> session -> agent -> session -> client beside a bare chain of the same objects with the same commits. Both are in
 * one workerd, each reached over its own socket, and take turns within every round; what is judged is the median of the
 * rounds' ratios. State is kept in memory where the system has such a folder: on a disk both mostly wait for the same fsync,
 * and a slow hop would not show.
 */

const IDLE = 2_000;
const ROUNDS = 6;
const IDLE_ROUNDS = 4;
const DISK_ROUNDS = 3;
const OPEN_ROUNDS = 3;
const STRETCH = 1_000;
const HOST = keysOf("bench-host");
const COMPATIBILITY_DATE = "2026-04-20";

async function run(ctx: RunContext): Promise<RunResult> {
  const shm = memoryFolder();
  const chainCode = await bundleWorker("scripts/bench/relay/chain.worker.ts");
  const measures: Measure[] = [];
  await inRuntime(shm ?? tmpdir(), chainCode, {}, async (rt) => measures.push(...(await speed(ctx, rt))));
  if (shm !== null && !ctx.signal.aborted)
    await inRuntime(tmpdir(), chainCode, {}, async (rt) => measures.push(...(await onDisk(ctx, rt))));
  if (!ctx.signal.aborted)
    await inRuntime(shm ?? tmpdir(), chainCode, { edgeEntry: "scripts/bench/relay/counted.worker.ts" }, async (rt) =>
      measures.push(...(await money(ctx, rt))),
    );
  return {
    title: `client → session → agent → session → client, ${LINES} lines`,
    note: `${ROUNDS} rounds in turns, medians; state in ${shm === null ? "the temp folder" : "memory"}`,
    measures,
  };
}

/** A folder in memory, or null. */
function memoryFolder(): string | null {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize > 2 ** 30 ? "/dev/shm" : null;
  } catch {
    return null;
  }
}

async function inRuntime(
  folder: string,
  chainCode: string,
  more: { edgeEntry?: string },
  work: (rt: LocalRuntime) => Promise<unknown>,
): Promise<void> {
  const dataDir = mkdtempSync(join(folder, "reveille-bench-"));
  const names = ["Front", "Back", "Echo"];
  const rt = await startRuntime({
    port: 0,
    dataDir,
    vars: {
      ...SANDBOX_VARS,
      REVEILLE_AGENT_SEED: Buffer.from(HOST.privateKey).toString("hex"),
      REVEILLE_TRUST_POLICY: "open",
    },
    beside: [
      {
        name: "chain",
        modules: [{ type: "ESModule", path: "index.mjs", contents: chainCode }],
        compatibilityDate: COMPATIBILITY_DATE,
        durableObjects: Object.fromEntries(
          names.map((className) => [className.toUpperCase(), { className, useSQLite: true }]),
        ),
      },
    ],
    ...more,
  });
  try {
    await work(rt);
  } finally {
    await rt.stop().catch(() => {});
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Each lane in turn, in another order every round. The first, unmeasured turn opens stubs and compiles. */
async function rounds(
  ctx: RunContext,
  what: string,
  lanes: Lanes[],
  n: number,
  ms: number,
  pid: number,
): Promise<Map<string, Series>> {
  const random = seeded(ctx.seed);
  const series = new Map(lanes.map((l) => [l.name, { one: [], all: [] } as Series]));
  for (const lane of lanes) await closedLoop(lane, LINES, 300);
  for (let i = 0; i < n && !ctx.signal.aborted; i++) {
    ctx.progress.update(what, `round ${i + 1} of ${n}`);
    const order = lanes.map((lane) => ({ lane, at: random() })).sort((a, b) => a.at - b.at);
    for (const { lane } of order) {
      const s = series.get(lane.name)!;
      s.one.push(await closedLoop(lane, 1, ms));
      const cpu = cpuMs(pid);
      const all = await closedLoop(lane, LINES, ms);
      s.all.push({ ...all, cpu: ((cpuMs(pid) - cpu) * 1_000) / all.n });
    }
  }
  return series;
}

async function speed(ctx: RunContext, rt: LocalRuntime): Promise<Measure[]> {
  const [edge, bare] = [await rt.direct("reveille"), await rt.direct("chain")];
  ctx.progress.update("set up", "lines");
  const agent = await startAgent(edge);
  const relay = await relayLanes("relay", edge, agent.address, LINES, false);
  const lent = await relayLanes("lent", edge, agent.address, LINES, true);
  const chain = await plainLanes("chain", bare, "/client", LINES, "/agent");
  const host = await hostLanes("host", edge, HOST.address, LINES, false);
  const hostLent = await hostLanes("host lent", edge, HOST.address, LINES, true);
  const peers = await startPeers(LINES);
  const echoes = [await plainLanes("echo", bare, "/echo", LINES), ...peers.lanes];

  const main = await rounds(ctx, "0 idle", [relay, lent, chain], ROUNDS, STRETCH, rt.workerdPid);
  // A line of our own host may send 50 frames a second for long: short stretches stay within its burst.
  const own = await rounds(ctx, "own host", [host, hostLent], ROUNDS, 400, rt.workerdPid);
  const echoed = await rounds(ctx, "peers", echoes, 2, 600, rt.workerdPid);
  const open = await openRounds(ctx, [relay, chain]);

  ctx.progress.update("idle", `${IDLE} lines`);
  const idle = await openLines(edge, "/ws/input", agent.address, IDLE);
  await sleep(12_000); // Objects are put to sleep after about ten seconds.
  const busy = await rounds(ctx, `${IDLE} idle`, [relay, lent, chain], IDLE_ROUNDS, STRETCH, rt.workerdPid);
  const openIdle = await openRounds(ctx, [relay, chain]);
  const all = [relay, lent, chain, host, hostLent, ...echoes];
  ctx.progress.update("close", "");
  await Promise.all([...all.map((l) => l.close()), idle.close()]);
  await agent.close();
  await peers.close();

  const get = (from: Map<string, Series>, lane: Lanes): Series => from.get(lane.name)!;
  const peer = echoes.map((l) => `${l.name} ${n0(mid(get(echoed, l).all.map(perSecond)))}`).join(", ");
  const words = `, ${n0(IDLE)} idle`;
  return [
    ...against(get(main, relay), get(main, chain), "", ""),
    lentRatio("lent_ratio", "lent, of unlent", get(main, lent), get(main, relay)),
    lentRatio("host_lent_ratio", "own host: lent, of unlent", get(own, hostLent), get(own, host)),
    ...opened(open, relay, chain, "", ""),
    m(
      "echo_rate",
      `one-object echo/s at ${LINES}`,
      mid(get(echoed, echoes[0]!).all.map(perSecond)),
      "/s",
      null,
      ">=",
      peer,
    ),
    ...against(get(busy, relay), get(busy, chain), "idle_", words),
    lentRatio("idle_lent_ratio", `lent, of unlent${words}`, get(busy, lent), get(busy, relay)),
    ...opened(openIdle, relay, chain, "idle_", words),
  ];
}

async function openRounds(ctx: RunContext, lanes: Lanes[]): Promise<Map<string, Load[]>> {
  const out = new Map(lanes.map((l) => [l.name, [] as Load[]]));
  for (let i = 0; i < OPEN_ROUNDS && !ctx.signal.aborted; i++) {
    ctx.progress.update("open loop", `round ${i + 1} of ${OPEN_ROUNDS}`);
    for (const lane of lanes) out.get(lane.name)!.push(await openLoop(lane, OPEN_RATE, 2 * STRETCH));
  }
  return out;
}

async function onDisk(ctx: RunContext, rt: LocalRuntime): Promise<Measure[]> {
  const edge = await rt.direct("reveille");
  const agent = await startAgent(edge);
  const relay = await relayLanes("relay", edge, agent.address, LINES, false);
  const chain = await plainLanes("chain", await rt.direct("chain"), "/client", LINES, "/agent");
  const series = await rounds(ctx, "on disk", [relay, chain], DISK_ROUNDS, STRETCH, rt.workerdPid);
  await Promise.all([relay.close(), chain.close()]);
  await agent.close();
  const [ours, theirs] = [series.get("relay")!.all, series.get("chain")!.all];
  return [
    m(
      "disk_rate",
      `round trips/s at ${LINES}, on disk`,
      mid(ours.map(perSecond)),
      "/s",
      null,
      ">=",
      `chain ${n0(mid(theirs.map(perSecond)))}`,
    ),
  ];
}

async function money(ctx: RunContext, rt: LocalRuntime): Promise<Measure[]> {
  const rss = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${rt.workerdPid}/status`, "utf8"))?.[1] ?? Number.NaN);
  const edge = await rt.direct("reveille");
  // The first line loads what all of them share.
  const warm = await startAgent(edge);
  await (await openLines(edge, "/ws/input", warm.address, 1)).close();
  await warm.close();
  const before = rss();
  let held = Number.NaN;
  const costs = await measureCosts(
    rt,
    IDLE,
    () => (held = (rss() - before) / IDLE),
    (what) => ctx.progress.update("cost", what),
  );
  const chained = rss();
  const bare = await plainLanes("chain", await rt.direct("chain"), "/client", LINES * 16);
  const chain = (rss() - chained) / bare.lines;
  await bare.close();
  return [
    m(
      "memory_per_line",
      `memory per idle line, of ${n0(IDLE)}`,
      held,
      "KiB",
      null,
      "<",
      `chain ${chain.toFixed(0)} KiB`,
    ),
    m("dollars", "dollars per 1,000 session-hours", costs.dollars, "$", 0.2, "<", parts(costs)),
    m(
      "turn_rows",
      "rows written per question",
      costs.turnRows + costs.turnD1Rows,
      "rows",
      null,
      "<",
      `${costs.turnD1Rows.toFixed(2)} of them in D1; ${costs.turnRequests.toFixed(2)} requests`,
    ),
  ];
}

const parts = (c: Costs): string =>
  `held ${c.held.toFixed(3)} (${c.alarms.toFixed(0)} alarms/h), ${HOUR.turns} questions ${c.turns.toFixed(3)}, open and close ${c.ends.toFixed(3)}`;

export const runner: Runner = {
  name: "relay",
  what: "round trips through the relay beside a bare chain, idle lines, lending, dollars per session-hour; 6 min",
  run,
};
