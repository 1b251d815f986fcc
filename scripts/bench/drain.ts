import type { Measure } from "../lib/measure";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { quantile } from "../lib/sandbox";
import { type Home, onStage, PATH, type Stage } from "./connector/edge";
import { type Drained, drain } from "./connector/gateway";
import { askAll, hookLanes } from "./connector/hooks";

/**
 * A gateway that comes back to a full buffer: how fast it is drained, one event in flight, each acked and marked as delivered before the next
 * one leaves, beside ws + SQLite that does the same on the same disk. Judged by what the gateway got: all, once, in order.
 */

const FULL = 20_000;
const FAR = 1_000;
const TRIPS = [20, 100];
const IN_FLIGHT = 32;
/** The plain server is asked before and after, because others may use the disk in between. */
const PEER = 2_000;
/** Shorter than this the far drains were not as far as they say. */
const SLACK_MS = 1;

async function run(ctx: RunContext): Promise<RunResult> {
  const measures = await onStage({}, (stage) => all(ctx, stage));
  return {
    title: "a full buffer to a gateway, one event in flight",
    note: "state on disk; greetings of a gateway are waited for 250 ms",
    measures,
  };
}

async function fill(ctx: RunContext, stage: Stage, name: string, n: number): Promise<Home> {
  ctx.progress.update("fill", `${name}, ${n} events`);
  // One in flight of each chat: whose events have an order, then.
  const home = await stage.home(name, IN_FLIGHT);
  const lanes = hookLanes(name, stage.edge, PATH, IN_FLIGHT, home.who);
  await askAll(lanes, n);
  await lanes.close();
  return home;
}

/** `near`: the drain at 0 ms beside the plain server's before and after it. `far`: by round trip, ours and theirs at once. */
async function all(ctx: RunContext, stage: Stage): Promise<Measure[]> {
  const url = `${stage.edge}/relay`;
  const full = await fill(ctx, stage, "full", FULL);
  const far = await Promise.all(
    TRIPS.map(async (rtt) => ({ rtt, home: await fill(ctx, stage, `far${rtt}`, FAR), box: `far${rtt}` })),
  );
  const peer = async (box: string, n: number, rtt: number): Promise<Drained> => {
    await stage.peer.fill(box, n);
    return drain(`${stage.peer.ws}/${box}`, n, rtt, null);
  };
  ctx.progress.update("drain", "ws + SQLite");
  const plain = [await peer("before", PEER, 0)];
  ctx.progress.update("drain", `${FULL} at 0 ms`);
  const near = await drain(url, FULL, 0, full);
  ctx.progress.update("drain", "ws + SQLite");
  plain.push(await peer("after", PEER, 0));

  ctx.progress.update("drain", `${FAR} at ${TRIPS.join(" and ")} ms`);
  for (const { box } of far) await stage.peer.fill(box, FAR);
  const distant = await Promise.all(
    far.map(async ({ rtt, home, box }) => {
      const [ours, theirs] = await Promise.all([
        drain(url, FAR, rtt, home),
        drain(`${stage.peer.ws}/${box}`, FAR, rtt, null),
      ]);
      if (ours.gap < rtt - SLACK_MS)
        throw new Error(`An event came ${ours.gap} ms after one whose ack takes ${rtt} ms.`);
      return { rtt, ours, theirs };
    }),
  );
  const ours = [near, ...distant.map((d) => d.ours)];
  const sum = (of: (d: Drained) => number): number => ours.reduce((n, d) => n + of(d), 0);
  return [
    ...figures("0", `${n0(FULL)} at 0 ms`, near, plain),
    ...distant.flatMap((d) => figures(String(d.rtt), `${n0(FAR)} at ${d.rtt} ms`, d.ours, [d.theirs])),
    m("lost", "events not delivered", FULL + FAR * TRIPS.length - sum((d) => d.n), "", 0, "="),
    m(
      "twice",
      "events delivered twice",
      sum((d) => d.twice),
      "",
      0,
      "=",
    ),
    m(
      "disorder",
      "events after a younger one of their chat",
      sum((d) => d.disorder),
      "",
      0,
      "=",
    ),
  ];
}

const n0 = (n: number): string => Math.round(n).toLocaleString("en");
const mid = (values: number[]): number => quantile(values, 0.5);

function figures(name: string, label: string, ours: Drained, theirs: Drained[]): Measure[] {
  const plain = mid(theirs.map((d) => d.perSecond));
  return [
    m(`rate_${name}`, `events/s, ${label}`, ours.perSecond, "/s", null, ">=", `ws + SQLite ${plain.toFixed(1)}`),
    m(
      `first_${name}`,
      `first event after the dial, ${label}`,
      ours.first,
      "ms",
      null,
      "<",
      `ws + SQLite ${mid(theirs.map((d) => d.first)).toFixed(0)} ms`,
    ),
  ];
}

const m = (
  name: string,
  label: string,
  value: number,
  unit: string,
  goal: number | null,
  compare: Measure["compare"],
  beside: string | null = null,
): Measure => ({ name: `drain.${name}`, label, value, unit, goal, compare, beside });

export const runner: Runner = {
  name: "drain",
  what: "20,000 waiting events to a gateway, and 1,000 at 20 and 100 ms, beside ws + SQLite; 4 min",
  run,
};
