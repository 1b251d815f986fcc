import { startQoopia } from "../../test/support/qoopia";
import { startWakeReceiver } from "../../test/support/wake-receiver";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, type Sandbox, seeded, sleep } from "../lib/sandbox";
import { type Agent, assemble, POINTS, type Point, startGates } from "./slo.lib";
import { audit, type Kill, type Seen } from "./slo-judge.lib";
import { plan, Sender } from "./slo-send.lib";

/**
 * Wakes by an agent's mail server, three in ten of them probes, often several in one push, while the runtime is killed -9 between
 * every two steps of a wake. The oracle is outside: what was accepted, what the peer was answered, what the receivers got.
 */

const WAKES = 2_000;
const PROBES = 0.3;
/** Wakes for each kill. */
const EACH = 33;
/** Written beyond what the kills so far allow, so that there is always something to cut. */
const AHEAD = 25;
/** Reveille ms pass this much faster: what a queue lost is sent again after 3 s instead of 60. */
const RATE = 20;
/** The cron comes every so many wall ms. */
const TICK = 1_500;
/** An aim that finds no wake at its step within this long is given up, ms. */
const AIM = 3_000;
/** Kills end after this long, ms: the drill must end on any machine. */
const LIMIT = 5 * 60_000;
/** The leases of runs that died last 30 s (probes) and 60 s (messages): with no step in this long there will be none, ms. */
const QUIET = 80_000;
const TOLD = 40;

interface State {
  ctx: RunContext;
  box: Sandbox;
  agents: Agent[];
  sender: Sender;
  random: () => number;
  target: Target;
  kills: Kill[];
}

/** What is aimed at, and the kill that hit. */
interface Target {
  armed: { point: Point; after: number; reached: () => void; hit: () => void } | null;
  life: number;
}

/** True when this tick's wake was the one aimed at and the runtime is dead now. */
function reach(target: Target, point: Point): boolean {
  const { armed } = target;
  if (armed?.point !== point) return false;
  target.armed = null;
  armed.reached();
  if (armed.after < 1) armed.hit();
  else setTimeout(armed.hit, armed.after);
  return armed.after < 1;
}

/** At these the step after is the runtime's own, a few ms away. */
const SPREAD: Partial<Record<Point, number>> = { received: 25, queued: 6, replied: 6, "message delivered": 6 };

async function run(ctx: RunContext): Promise<RunResult> {
  const wakes = ctx.size("wakes", WAKES);
  const random = seeded(ctx.seed);
  const target: Target = { armed: null, life: 0 };
  const closing: (() => Promise<unknown>)[] = [];
  const began = Date.now();
  try {
    const peer = await startQoopia();
    closing.push(peer.close);
    const receiver = await startWakeReceiver();
    closing.push(receiver.close);
    const gates = await startGates(
      peer,
      receiver,
      () => target.life,
      (point) => reach(target, point),
    );
    closing.push(gates.peer.close, gates.receiver.close);
    const box = await openSandbox({
      samePort: true,
      clockRate: RATE,
      vars: {
        REVEILLE_HOOK_KEY: "7c".repeat(32),
        REVEILLE_WEBHOOK_SECRET: "drill-slo-webhook-secret-08e2",
        REVEILLE_HOOK_RATE: "100000",
        REVEILLE_HOOK_SOURCE_RATE: "100000",
      },
    });
    closing.push(box.close);
    const agents = await assemble(box, peer, receiver, gates);
    const said = plan(agents, wakes, PROBES, random);
    for (const agent of agents) await agent.tell(said.filter((s) => s.agent === agent && s.probe));
    const sender = new Sender(box.rt.url, said, random, () => ctx.signal.aborted, {
      pushed: () => void reach(target, "received"),
      accepted: () => void reach(target, "queued"),
    });
    const s: State = { ctx, box, agents, sender, random, target, kills: [] };
    const planned = Math.max(POINTS.length, Math.ceil(wakes / EACH));
    const cron = keepTicking(s);
    closing.push(cron.stop);
    const sending = Promise.all(agents.map((agent) => sender.deliver(agent)));
    await breakThings(s, wakes, planned);
    await sending;
    const left = await settle(s);
    const minutes = ((Date.now() - began) / 60_000).toFixed(1);
    const { faults, measures } = audit(sender, await look(agents), gates.receiver, s.kills, planned, left);
    ctx.progress.clear();
    for (const { goal, what } of faults.slice(0, TOLD)) ctx.term.err(`${goal}: ${what}`);
    const probes = said.filter((w) => w.probe).length;
    return {
      title: `${wakes} wakes, ${probes} probes, ${s.kills.length} kills, ${agents.length} agents, ${minutes} min`,
      measures,
      note: `Reveille time ran ${RATE} times as fast`,
      table: true,
    };
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** The cron while the runtime is up: what was lost on the way is sent again by its sweeper. */
function keepTicking({ box }: State): { stop: () => Promise<void> } {
  let over = false;
  const ticking = (async () => {
    while (!over) {
      // A tick of a runtime that is killed meanwhile may never end.
      await Promise.race([box.rt.tick().catch(() => {}), sleep(5_000)]);
      await sleep(TICK);
    }
  })();
  return {
    stop: () => {
      over = true;
      return ticking;
    },
  };
}

async function breakThings(s: State, wakes: number, planned: number): Promise<void> {
  const { ctx, sender, kills, random } = s;
  const until = Date.now() + LIMIT;
  let idle = 0;
  let points: Point[] = [];
  while (kills.length < planned && Date.now() < until && !ctx.signal.aborted) {
    sender.allowed = Math.min(wakes, Math.ceil(((kills.length + idle + 1) * wakes) / planned) + AHEAD);
    // Each step in turn, in an order of its own each time.
    if (points.length === 0) points = [...POINTS].sort(() => random() - 0.5);
    if (await killAt(s, points.pop()!)) await sleep(random() < 0.25 ? 0 : 150 + random() * 350);
    else if (sender.said.every((w) => w.accepted)) break;
    else idle++;
    ctx.progress.update("kill", `${kills.length} of ${planned}   wakes ${sender.written} of ${wakes}`);
  }
  sender.allowed = wakes;
}

/** Kills the runtime in the tick in which a wake comes to that step, or a few ms later, and starts it again. */
async function killAt({ box, target, random, kills }: State, point: Point): Promise<boolean> {
  let killed: Promise<void> | null = null;
  const hit = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => {
      target.armed = null;
      resolve(false);
    }, AIM);
    const spread = SPREAD[point] ?? 0;
    target.armed = {
      point,
      after: random() < 0.4 ? 0 : random() * spread,
      reached: () => clearTimeout(timer),
      hit: () => {
        killed = box.kill();
        kills.push({ point, life: target.life, at: Date.now() });
        resolve(true);
      },
    };
  });
  if (!hit) return false;
  await killed;
  if (random() < 0.2) await sleep(random() * 400);
  target.life++;
  await box.restart();
  return true;
}

const look = (agents: Agent[]): Promise<Seen[]> =>
  Promise.all(agents.map(async (agent) => ({ agent, ledger: await agent.ledger(), knocks: await agent.knocks() })));

/** Until nothing that was accepted is still on its way by our own rows, or nothing moves any more. Returns what is left. */
async function settle({ ctx, box }: State): Promise<string[]> {
  const rows = async (): Promise<string[]> => {
    const { results } = await box.rt.d1
      .prepare(
        `SELECT 'probe ' || message_id AS what FROM slo_inbox
         UNION ALL SELECT state || ' ' || wake_id FROM message_wake WHERE state <> 'delivered'`,
      )
      .all<{ what: string }>();
    return results.map((r) => r.what);
  };
  let left = await rows();
  for (let since = Date.now(); left.length > 0 && Date.now() < since + QUIET && !ctx.signal.aborted; ) {
    await sleep(1_000);
    const now = await rows();
    if (now.join() !== left.join()) since = Date.now();
    left = now;
    ctx.progress.update("settle", `${left.length} not ended`);
  }
  // Copies that a queue still holds have their time to do harm.
  await sleep(3_000);
  return left;
}

export const runner: Runner = {
  name: "slo",
  what: "kill -9 between all steps of 2,000 wakes: one pong a probe, no message lost or doubled",
  options: { wakes: { type: "string", value: "N", what: `wakes of drill slo (${WAKES})` } },
  run,
};
