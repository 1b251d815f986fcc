import { cpuMs } from "../../lib/processes";
import { sleep } from "../../lib/sandbox";
import { type Counted, NOTHING } from "../relay/counted";
import { onStage, type Stage } from "./stage";

/** What a probe answered costs: every billed thing of both Workers is counted while the running code answers some. */

/**
 * List prices in dollars a million (public price pages, November 2026), no free allowance taken off. An operation of a queue is a
 * message written, read or deleted, each 64 KB of it. A millisecond of CPU is billed to the Worker, or as a millisecond of an
 * object's 128 MB; both are charged here.
 */
const PER_MILLION = {
  workerRequest: 0.3,
  objectRequest: 0.15,
  rowWritten: 1,
  rowRead: 0.001,
  queueOp: 0.4,
  cpuMs: 0.0216,
};

/** As many as a prober with its default of 15 min sends in the 5 days that claims are kept. */
const TOGETHER = 480;
const IN_FLIGHT = 8;
/** Probes so far apart that every object has been put to sleep. */
const LONE = 4;
const LONE_EVERY = 14_000;

/** For each probe; dollars for a million. */
export interface Cost {
  rows: number;
  d1Rows: number;
  reads: number;
  workerRequests: number;
  objectRequests: number;
  queueOps: number;
  cpu: number;
  dollars: number;
}

async function read(stage: Stage): Promise<Counted> {
  const from = async (url: string): Promise<Counted> =>
    (await (await fetch(url, { headers: { connection: "close" } })).json()) as Counted;
  const both = await Promise.all([
    from(`${await stage.rt.direct("reveille")}/counted`),
    from(await stage.rt.direct("reveille-consumer")),
  ]);
  const sum = { ...NOTHING };
  for (const one of both) for (const key of Object.keys(sum) as (keyof Counted)[]) sum[key] += one[key];
  return sum;
}

async function counted(stage: Stage, n: number, work: () => Promise<unknown>): Promise<Cost> {
  const before = await read(stage);
  const cpuBefore = cpuMs(stage.rt.workerdPid);
  await work();
  // What nobody waits for is still under way: the hook's count, the message's end.
  await sleep(500);
  const cpu = (cpuMs(stage.rt.workerdPid) - cpuBefore) / n;
  const after = await read(stage);
  const of = (key: keyof Counted): number => (after[key] - before[key]) / n;
  const rows = of("rowsWritten") + of("d1Written");
  const reads = of("rowsRead") + of("d1Read");
  const objectRequests = of("objectRequests") + of("alarms");
  // Every message that is written is deleted once.
  const queueOps = 2 * of("queueWrites") + of("queueReads");
  return {
    ...{ rows, d1Rows: of("d1Written"), reads, objectRequests, queueOps, cpu, workerRequests: of("workerRequests") },
    dollars:
      of("workerRequests") * PER_MILLION.workerRequest +
      objectRequests * PER_MILLION.objectRequest +
      rows * PER_MILLION.rowWritten +
      reads * PER_MILLION.rowRead +
      queueOps * PER_MILLION.queueOp +
      cpu * PER_MILLION.cpuMs,
  };
}

/** Sends `n` probes, so many at once. */
export async function many(stage: Stage, n: number, inFlight: number, signal: AbortSignal): Promise<void> {
  let left = n;
  const lane = async (): Promise<void> => {
    while (left-- > 0 && !signal.aborted) await stage.edge.probe();
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

/** Probes that come together, and lone ones after them. */
export const probeCosts = (
  folder: string,
  signal: AbortSignal,
  say: (what: string) => void,
): Promise<Record<"together" | "lone", Cost>> =>
  onStage(
    {
      folder,
      edgeEntry: "scripts/bench/relay/counted.worker.ts",
      consumerEntry: "scripts/bench/slo/counted.consumer.worker.ts",
    },
    async (stage) => {
      // The first ones make tables.
      await many(stage, 2 * IN_FLIGHT, IN_FLIGHT, signal);
      say(`${TOGETHER} probes, ${IN_FLIGHT} at once`);
      const together = await counted(stage, TOGETHER, () => many(stage, TOGETHER, IN_FLIGHT, signal));
      await sleep(LONE_EVERY);
      const lone = await counted(stage, LONE, async () => {
        for (let i = 0; i < LONE && !signal.aborted; i++) {
          say(`lone probe ${i + 1} of ${LONE}`);
          if (i > 0) await sleep(LONE_EVERY);
          await stage.edge.probe();
        }
      });
      return { together, lone };
    },
  );
