import { startLlm } from "../../test/support/llm";
import { startPlatforms } from "../../test/support/platforms";
import { startVendors } from "../../test/support/vendors";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, SANDBOX_VARS, seeded, sleep, startService } from "../lib/sandbox";
import { NAME, type Outside, openFixes, own, type Round, rows, standing, told, undone } from "./reason.lib";
import { AIMS, FIX_AIMS, SICK, thinker, type World } from "./reason-aims.lib";
import { judgeRound, measures, type Totals } from "./reason-judge.lib";

/**
 * kill -9 of the runtime between any two stages of a wake, an investigation and a fix. The oracle is what the outside saw: the
 * model provider's ledger, Fly's, and Slack's; our rows are compared with them at the end.
 */

const KILLS = 200;
/**
 * Data folders, one after the other: a workspace may run three fixes a day. Each is left when its kills are over and opened
 * again at the end, when the leases of what was killed are over (they are wall time, up to ten minutes).
 */
const ROUNDS = 8;
/** Rounds with machines to fix: the first ones, whose runs have then been dead for longest. */
const FLY_ROUNDS = 5;
/** Reveille runs 60 times faster: a minute is a second; every threshold is as shipped. */
const RATE = 60;
/** Faults that may be unconfirmed at once: above five a minute the burst rule would speak instead. */
const AT_ONCE = 3;
const HTTP = 60;
const SLACK_TOKEN = "xoxb-drill-token-000002";

async function run(ctx: RunContext): Promise<RunResult> {
  const random = seeded(ctx.seed);
  const out: Outside = {
    service: await startService(),
    // The line of the prompt that names its own target; others are named too.
    llm: await startLlm(0, { about: /this incident: .{0,400}?; target (r\d\d-[hf]\d\d) \(/, choose: thinker(random) }),
    platforms: await startPlatforms(0, { slackToken: SLACK_TOKEN }),
    vendors: await Promise.all(SICK.map(() => startVendors())),
  };
  for (const [i, sick] of SICK.entries())
    out.vendors[i]!.control({ fly: { mode: sick.mode, only: "/apps/r", fix: sick.fix, act_delay: 60 } });
  const world: World = { out, logs: new Map() };
  const rounds: Round[] = [];
  const cut = new Map<string, number>();
  const totals: Totals = {};
  const began = Date.now();
  let kills = 0;
  try {
    for (let no = 0; no < ROUNDS && !ctx.signal.aborted; no++) {
      const round = await openRound(no, world);
      rounds.push(round);
      kills += await cutRound(ctx, round, world, random, cut, kills);
    }
    for (const round of rounds) {
      if (ctx.signal.aborted) break;
      await settle(ctx, round, world);
      await judgeRound(round, out, totals);
      await round.box.close();
    }
  } finally {
    for (const round of rounds) await round.box.close().catch(() => {});
    await Promise.all([out.service, out.llm, out.platforms, ...out.vendors].map((x) => x.close()));
  }
  ctx.progress.clear();
  const minutes = ((Date.now() - began) / 60_000).toFixed(1);
  return {
    title: `kill -9 ${kills} times between the stages of wakes, investigations and fixes, ${ROUNDS} data folders, clock ${RATE}x, ${minutes} min`,
    measures: measures(totals, cut),
  };
}

async function openRound(no: number, world: World): Promise<Round> {
  const { out, logs } = world;
  const box = await openSandbox({
    clockRate: RATE,
    vars: {
      ...SANDBOX_VARS,
      WATCH_DRILL_TOKEN: "drill-vendor-token-0001",
      REVEILLE_FLY_WRITE_TOKEN: "drill-fly-write-token-0001",
      REVEILLE_SLACK_BOT_TOKEN: SLACK_TOKEN,
      REVEILLE_SLACK_OPERATOR_ID: "U0DRILL",
      REVEILLE_SLACK_API_URL: `${out.platforms.url}/slack/api`,
      REVEILLE_DEBOUNCE_SECONDS: "0",
      REVEILLE_ANTHROPIC_API_KEY: "sk-drill-llm-key-0001",
      REVEILLE_ANTHROPIC_BASE_URL: `${out.llm.url}/v1`,
      // Money must not be what stops a call here.
      REVEILLE_CREDIT_POOL_USD: "100000",
      REVEILLE_INVESTIGATION_DAILY_USD: "100000",
    },
    onLog: (e) => {
      const name = e.event === "notice.sent" ? `notice.sent:${String(e["event_name"])}` : e.event;
      // Our own rules have incidents as well.
      if (e.event === "incident.opened" && !NAME.test(String(e["target"]))) return;
      logs.set(name, (logs.get(name) ?? 0) + 1);
    },
  });
  const round: Round = { box, no, broken: new Set(), opened: new Set(), mended: new Set(), fly: new Set(), calls: [] };
  await box.api.call("PATCH", "/api/v1/switchboard", { envelopes: { fly: { enabled: true, mode: "auto" } } });
  for (let i = 0; i < HTTP; i++) {
    const id = `${own(round).slice(0, -1)}h${String(i).padStart(2, "0")}`;
    const config = { url: `${out.service.url}/${id}` };
    await box.api.call("POST", "/api/v1/targets", { id, name: id, kind: "http", every: "1m", config });
  }
  await box.rt.tick();
  return round;
}

/** One machine is found dead from its first look. */
async function addFly(round: Round, out: Outside, i: number): Promise<void> {
  const id = `${own(round).slice(0, -1)}f${String(i).padStart(2, "0")}`;
  const api_url = `${out.vendors[i % SICK.length]!.url}/fly`;
  round.fly.add(id);
  round.broken.add(id);
  await round.box.api.call("POST", "/api/v1/targets", {
    id,
    name: id,
    kind: "fly",
    every: "1m",
    config: { apps: [id], api_url },
    credentials: { token: "WATCH_DRILL_TOKEN" },
  });
}

/** The minute of a fast clock, until told to stop. */
function cron(round: Round): () => Promise<void> {
  let on = true;
  const loop = (async () => {
    for (let n = 0; on; n++) {
      const ticking = round.box.rt.tick().catch(() => {});
      if (n % 5 === 0) await round.box.rt.consumerTick().catch(() => {});
      await Promise.all([ticking, Promise.race([sleep(1_000), until(() => !on, 1_000)])]);
    }
  })();
  return () => {
    on = false;
    return loop;
  };
}

async function until(test: () => boolean, ms: number): Promise<boolean> {
  const end = Date.now() + ms;
  while (!test()) {
    if (Date.now() >= end) return false;
    await sleep(2);
  }
  return true;
}

async function cutRound(
  ctx: RunContext,
  round: Round,
  world: World,
  random: () => number,
  cut: Map<string, number>,
  before: number,
): Promise<number> {
  const { out } = world;
  const lives = KILLS / ROUNDS;
  const from = out.llm.ledger().calls.length;
  const known = new Set<string>();
  let kills = 0;
  for (let life = 0; life < lives && !ctx.signal.aborted; life++) {
    const fly = round.no < FLY_ROUNDS && life % 8 === 1 && round.fly.size < SICK.length;
    const pool = fly ? FIX_AIMS : AIMS;
    const aim = fly
      ? pool[(round.no * SICK.length + round.fly.size) % pool.length]!
      : pool[Math.floor(random() * pool.length)]!;
    out.platforms.control({
      slack: random() < 0.06 ? { mode: "5xx", times: 1 } : { mode: "ok", delay: random() < 0.5 ? 0 : random() * 120 },
    });
    const stop = cron(round);
    if (fly) await addFly(round, out, round.fly.size);
    breakSome(round, world, random, fly ? 0 : 1);
    const seen = aim.seen(world);
    await until(() => aim.seen(world) > seen, fly ? 9_000 : 3_500);
    await sleep(random() * aim.spread);
    const stopped = stop();
    await round.box.kill();
    kills++;
    await stopped;
    await round.box.restart();
    for (const { id } of await rows<{ id: string }>(round, "SELECT target_id AS id FROM incident"))
      round.opened.add(id);
    for (const { key, stage } of await standing(round, out)) {
      if (known.has(`${key} ${stage}`)) continue;
      known.add(`${key} ${stage}`);
      cut.set(stage, (cut.get(stage) ?? 0) + 1);
    }
    const stages = [...cut].map(([stage, n]) => `${stage} ${n}`).join(", ");
    ctx.progress.update("kill -9", `${before + kills} of ${KILLS}   faults ${round.broken.size}   cut at ${stages}`);
  }
  // What is under way without a dead claimant ends now.
  const stop = cron(round);
  await sleep(4_000);
  await stop();
  await round.box.rt.stop();
  round.calls.push(...out.llm.ledger().calls.slice(from));
  return kills;
}

/** Breaks targets that are well, and mends some that were told. At most `AT_ONCE` are unconfirmed at a time. */
function breakSome(round: Round, { out }: World, random: () => number, least: number): void {
  const heard = new Set(told(out).flatMap((m) => (m.kind === "opened" ? [m.name] : [])));
  const pending = [...round.broken].filter((id) => !round.opened.has(id)).length;
  const want = Math.min(AT_ONCE - pending, least + Math.floor(random() * 3));
  const at = [...round.broken].filter((id) => !round.fly.has(id)).length;
  for (let i = at; i < Math.min(HTTP, at + want); i++) {
    const id = `${own(round).slice(0, -1)}h${String(i).padStart(2, "0")}`;
    round.broken.add(id);
    out.service.set(id, "503");
  }
  for (const id of round.broken)
    if (heard.has(id) && !round.fly.has(id) && !round.mended.has(id) && random() < 0.06) mend(round, out, id);
}

function mend(round: Round, out: Outside, id: string): void {
  round.mended.add(id);
  out.service.set(id, "ok");
}

/** No more kills: what was cut off is taken up when its lease ends; then everything mends. */
async function settle(ctx: RunContext, round: Round, { out }: World): Promise<void> {
  const from = out.llm.ledger().calls.length;
  out.platforms.control({ slack: { mode: "ok" } });
  await round.box.restart();
  const stop = cron(round);
  const untold = (): number => {
    const heard = new Set(told(out).flatMap((m) => (m.kind === "opened" ? [m.name] : [])));
    return [...round.broken].filter((id) => !heard.has(id)).length;
  };
  await wait(ctx, round, "leases", 12 * 60, async () => (await undone(round)) + (await openFixes(round)) + untold());
  for (const id of round.broken) if (!round.fly.has(id)) mend(round, out, id);
  const sick = out.vendors.map((v) => v.state.fly);
  for (const v of out.vendors) v.state.fly = { mode: "ok" };
  await wait(ctx, round, "recoveries", 90, async () => {
    const open = await rows(
      round,
      "SELECT id FROM incident WHERE target_id LIKE ? AND resolved_at IS NULL",
      own(round),
    );
    return open.length + (await undone(round));
  });
  for (const [i, v] of out.vendors.entries()) v.state.fly = sick[i]!;
  await stop();
  round.calls.push(...out.llm.ledger().calls.slice(from));
}

async function wait(
  ctx: RunContext,
  round: Round,
  what: string,
  seconds: number,
  left: () => Promise<number>,
): Promise<void> {
  for (let i = 0; i < seconds && !ctx.signal.aborted; i++) {
    const n = await left();
    if (n === 0) return;
    ctx.progress.update("settle", `round ${round.no + 1} of ${ROUNDS}   ${n} left (${what})`);
    await sleep(1_000);
  }
}

export const runner: Runner = {
  name: "reason",
  what: "kill -9 between the stages of wakes, investigations and fixes: no second call, no second write, nothing untold",
  run,
};
