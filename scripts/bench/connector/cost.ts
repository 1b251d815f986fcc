import { cpuMs } from "../../lib/processes";
import { sleep } from "../../lib/sandbox";
import type { Counted } from "../relay/counted";
import { onStage, PATH, type Stage } from "./edge";
import { type Listening, listen } from "./gateway";
import { askAll, hookLanes } from "./hooks";

/** What a delivered event costs: every billed thing is counted while the running code delivers some. */

/**
 * List prices in dollars a million (public price pages, November 2026), no free allowance taken off. A millisecond of CPU is billed
 * to the Worker, or as a millisecond of an object's 128 MB; both are charged here.
 */
const PER_MILLION = { workerRequest: 0.3, objectRequest: 0.15, rowWritten: 1, rowRead: 0.001, cpuMs: 0.02 + 0.0016 };
/** Incoming socket messages of an object are billed as a twentieth of a request. */
const MESSAGES_A_REQUEST = 20;

const STREAM = 2_000;
const IN_FLIGHT = 32;
/** Lone events, so far apart in Reveille time that each sets its own alarm, and in real time that no cached fact is left. */
const LONE = 8;
const LONE_EVERY = 5_300;
const CLOCK_RATE = 60;

export interface Cost {
  /** For each delivered event. */
  rows: number;
  alarms: number;
  requests: number;
  cpu: number;
  /** For a million of them. */
  dollars: number;
}

const read = async (stage: Stage): Promise<Counted> =>
  (await (await fetch(`${stage.edge}/counted`, { headers: { connection: "close" } })).json()) as Counted;

async function counted(stage: Stage, n: number, work: () => Promise<unknown>): Promise<Cost> {
  const before = await read(stage);
  const cpuBefore = cpuMs(stage.rt.workerdPid);
  await work();
  const cpu = (cpuMs(stage.rt.workerdPid) - cpuBefore) / n;
  const after = await read(stage);
  const of = (key: keyof Counted): number => (after[key] - before[key]) / n;
  const rows = of("rowsWritten") + of("d1Written");
  const objects = of("objectRequests") + of("alarms") + of("messages") / MESSAGES_A_REQUEST;
  return {
    rows,
    alarms: of("alarms"),
    requests: of("workerRequests") + objects,
    cpu,
    dollars:
      of("workerRequests") * PER_MILLION.workerRequest +
      objects * PER_MILLION.objectRequest +
      rows * PER_MILLION.rowWritten +
      (of("rowsRead") + of("d1Read")) * PER_MILLION.rowRead +
      cpu * PER_MILLION.cpuMs,
  };
}

const COUNTED = { edgeEntry: "scripts/bench/relay/counted.worker.ts" };

async function until(line: Listening, n: number): Promise<void> {
  for (const end = Date.now() + 60_000; line.got() < n; await sleep(5))
    if (Date.now() > end) throw new Error(`Only ${line.got()} of ${n} events were delivered within 60 s.`);
  // The last ack is on its way.
  await sleep(300);
}

/** Events that come in a stream to a gateway that listens. */
export const streamCost = (folder: string): Promise<Cost> =>
  onStage({ folder, ...COUNTED }, async (stage) => {
    const home = await stage.home("stream");
    const lanes = hookLanes("edge", stage.edge, PATH, IN_FLIGHT, home.who);
    const line = await listen(`${stage.edge}/relay`, Number.POSITIVE_INFINITY, 0, home);
    // Every chat's first event writes who speaks there.
    const warm = 4 * IN_FLIGHT;
    await askAll(lanes, warm);
    await until(line, warm);
    const cost = await counted(stage, STREAM, async () => {
      await askAll(lanes, STREAM);
      await until(line, warm + STREAM);
    });
    line.close();
    await lanes.close();
    return cost;
  });

/** Events that come alone, long after the one before. */
export const loneCost = (folder: string, signal: AbortSignal): Promise<Cost> =>
  onStage({ folder, clockRate: CLOCK_RATE, ...COUNTED }, async (stage) => {
    const home = await stage.home("lone");
    const lanes = hookLanes("edge", stage.edge, PATH, 1, home.who);
    const line = await listen(`${stage.edge}/relay`, Number.POSITIVE_INFINITY, 0, home);
    await askAll(lanes, 1);
    await until(line, 1);
    await sleep(LONE_EVERY);
    const cost = await counted(stage, LONE, async () => {
      for (let i = 0; i < LONE && !signal.aborted; i++) {
        await askAll(lanes, 1);
        await sleep(LONE_EVERY);
      }
      await until(line, 1 + LONE);
    });
    line.close();
    await lanes.close();
    return cost;
  });
