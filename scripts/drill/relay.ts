import { audit } from "../../test/support/drill-audit";
import type { DrillClient } from "../../test/support/drill-client";
import type { Kind, Scene } from "../../test/support/drill-client.types";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, SANDBOX_VARS, type Sandbox, seeded, sleep, startService } from "../lib/sandbox";
import { assemble, type Cast, POINTS, pointOf, type Victim } from "./relay.lib";
import { type Hits, measures, prowl } from "./relay-judge.lib";

/**
 * Random kills of clients' sockets, agents' sockets and (kill -9) the runtime, while clients ask agents behind the relay and
 * the built-in one. The oracle is the outside: what clients saw, what agents answered, and what each may fetch afterwards.
 */

const RUNS = 2_000;
const KILLS = 200;
/** Runs under way beyond what the kills so far allow, so that there is always something to cut. */
const AHEAD = 24;
/** A kill that does not find its point within this long takes what there is, ms. */
const AIM = 1_500;
/** Sometimes nothing happens for this long after a client was cut off, ms. */
const REST = 4_000;
/** Kills end after this long, whatever is left of them, ms: the drill must end on any machine. */
const LIMIT = 11 * 60_000;
/** Clients audited at once. */
const WIDE = 14;
/** Faults told one by one. */
const TOLD = 40;

async function run(ctx: RunContext): Promise<RunResult> {
  const runs = ctx.size("runs", RUNS);
  const kills = ctx.size("kills", KILLS);
  const random = seeded(ctx.seed);
  const service = await startService();
  const box = await openSandbox({
    samePort: true,
    vars: {
      ...SANDBOX_VARS,
      REVEILLE_AGENT_SEED: "d7".repeat(32),
      REVEILLE_TRUST_POLICY: "open",
      // Results are their owner's alone, also for whoever knows the id.
      REVEILLE_LEGACY_POLLING: "false",
    },
  });
  let started = Date.now();
  const restarted = (): void => {
    started = Date.now();
  };
  const scene: Scene = {
    http: box.rt.url,
    random,
    faults: [],
    moment: () => {},
    answered: new Map(),
    owners: new Map(),
    waited: (since) => Date.now() - Math.max(since, started),
    troubles: new Map(),
    stopped: () => ctx.signal.aborted,
  };
  const began = Date.now();
  let told = 0;
  const tell = (): void => {
    for (; told < Math.min(TOLD, scene.faults.length); told++) {
      const { goal, what } = scene.faults[told]!;
      ctx.progress.clear();
      ctx.term.err(`${goal}: ${what}`);
    }
  };
  const telling = setInterval(tell, 1_000);
  let cast: Cast | null = null;
  try {
    cast = await assemble(box, scene, service.url);
    const hits: Hits = new Map();
    const count: Count = { started: 0, done: 0, killed: 0, over: false };
    const asking = Promise.all(cast.clients.map((c) => ask(c, scene, count, runs, kills)));
    await cut(ctx, { box, cast, scene, restarted }, count, hits, { runs, kills });
    await Promise.race([asking, said(ctx, count, runs)]);
    await asking;
    ctx.progress.update("audit", `${cast.clients.reduce((n, c) => n + c.sessions.length, 0)} sessions`);
    for (let i = 0; i < cast.clients.length; i += WIDE) await Promise.all(cast.clients.slice(i, i + WIDE).map(audit));
    const minutes = ((Date.now() - began) / 60_000).toFixed(1);
    const figures = measures(cast, scene, hits, { ...count, runs, kills });
    ctx.progress.clear();
    tell();
    return {
      title: `${count.killed} kills over ${count.done} runs of ${cast.clients.length} clients, ${minutes} min`,
      measures: figures,
      table: true,
    };
  } finally {
    clearInterval(telling);
    for (const client of cast?.clients ?? []) client.cut();
    await Promise.all((cast?.agents ?? []).map((a) => a.stop()));
    await box.close();
    await service.close();
  }
}

interface Count {
  started: number;
  done: number;
  killed: number;
  /** No more kills. */
  over: boolean;
}

/** A client asks as long as runs are left; kills and runs are spread over each other. */
async function ask(client: DrillClient, scene: Scene, n: Count, runs: number, kills: number): Promise<void> {
  while (n.started < runs && !scene.stopped()) {
    const allowed = n.killed >= kills || n.over ? runs : ((n.killed + 1) * runs) / kills + AHEAD;
    if (n.started >= allowed) {
      await sleep(20 + scene.random() * 40);
      continue;
    }
    n.started++;
    await client.ask();
    n.done++;
  }
}

async function cut(
  ctx: RunContext,
  { box, cast, scene, restarted }: { box: Sandbox; cast: Cast; scene: Scene; restarted(): void },
  n: Count,
  hits: Hits,
  of: { runs: number; kills: number },
): Promise<void> {
  const until = Date.now() + LIMIT;
  const { random } = scene;
  const strangers: Promise<void>[] = [];
  for (; n.killed < of.kills && Date.now() < until && !scene.stopped(); n.killed++) {
    for (let i = 0; i < 200 && n.started < (n.killed * of.runs) / of.kills && !scene.stopped(); i++) await sleep(20);
    const victim: Victim = random() < 0.4 ? "client" : random() < 0.5 ? "agent" : "runtime";
    const point = POINTS[Math.floor(random() * POINTS.length)]!;
    const fits = (kind: Kind): boolean =>
      // Nobody outside sees a 0.6.5 agent work, and a rule takes no time.
      point === "mid-stream" ? kind === "host" : kind !== "own" || victim !== "agent";
    const kinds = (["host", "legacy", "own"] as const).filter(fits);
    // What is kept for whoever only polls matters most behind the relay.
    const kind = victim === "client" && random() < 0.4 ? "host" : kinds[Math.floor(random() * kinds.length)]!;
    const found = await cast.moment((m) => m.point === point && m.kind === kind, AIM);
    // Right there, or a moment later: a frame takes some time on its way.
    if (random() < 0.4) await sleep(random() * 6);
    const busy = (c: DrillClient): boolean => pointOf(c.current, scene) === point;
    const client = cast.clients.find((c) => c.name === found?.client) ?? cast.clients.find(busy) ?? cast.clients[0]!;
    const near = cast.agents.find((a) => a.agent.address === client.place.address) ?? cast.agents[0]!;
    const cutOff = (c: DrillClient): boolean =>
      victim === "runtime" ||
      (victim === "client" ? c === client : c.place.kind !== "own" && c.place.address === near.agent.address);
    for (const c of cast.clients.filter(cutOff)) {
      const at = pointOf(c.current, scene) ?? "idle";
      hits.set(`${victim} ${at}`, (hits.get(`${victim} ${at}`) ?? 0) + 1);
    }
    if (victim === "client") {
      client.cut();
      // A client that polls must see the end of its run, not of the relay.
      if (random() < 0.3) await sleep(REST);
    } else if (victim === "agent") near.cut(random() < 0.7 ? 100 : random() * 1_500);
    else {
      await box.kill();
      if (random() < 0.3) await sleep(random() * 500);
      await up(box);
      restarted();
      // Mostly what was cut off gets on before the next cut; sometimes its recovery is cut, too.
      await sleep(random() < 0.25 ? random() * 400 : 800 + random() * 1_600);
    }
    hits.set(victim, (hits.get(victim) ?? 0) + 1);
    if (random() < 0.15) strangers.push(prowl(cast, scene));
    ctx.progress.update(
      "kill",
      `${n.killed + 1} of ${of.kills}   runs ${n.done} of ${of.runs}   faults ${scene.faults.length}`,
    );
  }
  n.over = true;
  await Promise.all(strangers);
}

/** A client that dials the port while nobody listens may have it itself for a moment, so a start may need a second try. */
async function up(box: Sandbox): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await box.restart();
    } catch (error) {
      if (attempt === 3) throw error;
      await sleep(300);
    }
  }
}

/** Says what is still waited for, until that is nothing. */
async function said(ctx: RunContext, n: Count, runs: number): Promise<void> {
  while (n.done < runs && !ctx.signal.aborted) {
    ctx.progress.update("settle", `runs ${n.done} of ${runs}`);
    await sleep(1_000);
  }
}

export const runner: Runner = {
  name: "relay",
  what: "kills of clients, agents and the runtime over 2,000 runs: each accepted input has one result, its owner's alone",
  options: {
    runs: { type: "string", value: "N", what: `inputs that drill relay asks (${RUNS})` },
    kills: { type: "string", value: "N", what: `kills of drill relay (${KILLS})` },
  },
  run,
};
