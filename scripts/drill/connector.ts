import { type Platforms, startPlatforms } from "../../test/support/platforms";
import type { Behaviour } from "../../test/support/platforms.types";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, SANDBOX_VARS, type Sandbox, seeded, sleep } from "../lib/sandbox";
import { assemble, type Cast, type CutAt, type House } from "./connector.lib";
import { audit } from "./connector-judge.lib";
import { SECRETS, Sender } from "./connector-send.lib";

/**
 * Webhooks of Slack and Telegram, some forged, some repeated, to gateways that die, hang half-open and answer through platforms
 * that fail, while the runtime is killed -9. The oracle is outside: what was acked, what was handled, what was posted.
 */

const EVENTS = 5_000;
/** Events for each fault. */
const EACH = 22;
/** Sent beyond what the faults so far allow, so that there is always something to cut. */
const AHEAD = 60;
/** Reveille ms pass this much faster: an ack is waited for 6 s instead of 120. */
const RATE = 20;
const ACK_MS = 120_000 / RATE;
/** A cut that finds no event within this long is given up, ms. */
const AIM = 3_000;
/** Faults end after this long, ms: the drill must end on any machine. */
const LIMIT = 9 * 60_000;
/** Nothing more is handled for this long: then it never will be, ms. */
const QUIET = 25_000;
/** Replies are answered within 25 s, thrice, ms. */
const TALK = 90_000;
const TOLD = 40;
const IDLE = "cuts that found no event";

const SLACK_TOKEN = "xoxb-drill-connector-bot-token";
const TELEGRAM_TOKEN = "7000042:drill-connector-bot-token-abcdefghij";

interface State {
  ctx: RunContext;
  box: Sandbox;
  cast: Cast;
  sender: Sender;
  platforms: Platforms;
  random: () => number;
  done: Record<string, number>;
  /** Runs beside what follows; waited for at the end. */
  beside: Promise<void>[];
}

async function run(ctx: RunContext): Promise<RunResult> {
  const events = ctx.size("events", EVENTS);
  const random = seeded(ctx.seed);
  const platforms = await startPlatforms(0, { slackToken: SLACK_TOKEN, telegramToken: TELEGRAM_TOKEN });
  const box = await openSandbox({
    samePort: true,
    clockRate: RATE,
    vars: {
      ...SANDBOX_VARS,
      REVEILLE_VAULT_KEY: "5a".repeat(32),
      REVEILLE_GATEWAY_KEY: "6b".repeat(32),
      REVEILLE_SLACK_SIGNING_SECRET: SECRETS.slack,
      REVEILLE_SLACK_BOT_TOKEN: SLACK_TOKEN,
      REVEILLE_SLACK_API_URL: `${platforms.url}/slack/api`,
      REVEILLE_TELEGRAM_SECRET_TOKEN: SECRETS.telegram,
      REVEILLE_TELEGRAM_BOT_TOKEN: TELEGRAM_TOKEN,
      REVEILLE_TELEGRAM_API_URL: `${platforms.url}/telegram`,
    },
  });
  const began = Date.now();
  let cast: Cast | null = null;
  try {
    cast = await assemble(box, random);
    const sender = new Sender(box.rt.url, random, () => ctx.signal.aborted);
    const s: State = { ctx, box, cast, sender, platforms, random, done: {}, beside: [] };
    const pace = { faults: 0, of: Math.ceil(events / EACH), over: false };
    const sending = Promise.all(cast.chats.map((chat) => send(s, chat, events, pace)));
    await breakThings(s, events, pace);
    await sending;
    await Promise.all(s.beside);
    await settle(s);
    const minutes = ((Date.now() - began) / 60_000).toFixed(1);
    const { faults, measures } = audit(cast, sender, platforms.ledger(), s.done, {
      done: pace.faults,
      planned: pace.of,
    });
    ctx.progress.clear();
    for (const { goal, what } of faults.slice(0, TOLD)) ctx.term.err(`${goal}: ${what}`);
    return {
      title: `${sender.posts.length} webhooks, ${pace.faults} faults, ${cast.houses.length} gateways, ${minutes} min`,
      measures,
      table: true,
    };
  } finally {
    await Promise.all((cast?.houses ?? []).map((h) => h.stop()));
    await box.close();
    await platforms.close();
  }
}

interface Pace {
  faults: number;
  of: number;
  /** No more faults: what is left is sent at once. */
  over: boolean;
}

/** One chat's events, one after the other: the next is sent when the last is acked, so that their order is known. */
async function send(s: State, chat: Cast["chats"][number], events: number, pace: Pace): Promise<void> {
  while (s.sender.posts.length < events && !s.ctx.signal.aborted) {
    const allowed = pace.over ? events : ((pace.faults + 1) * events) / pace.of + AHEAD;
    if (s.sender.posts.length < allowed) await s.sender.post(chat);
    await sleep(s.random() * 10);
  }
}

async function breakThings(s: State, events: number, pace: Pace): Promise<void> {
  const { ctx, sender, random, done } = s;
  const until = Date.now() + LIMIT;
  for (; pace.faults < pace.of && Date.now() < until && !ctx.signal.aborted; pace.faults++) {
    for (let i = 0; i < 200 && sender.posts.length < (pace.faults * events) / pace.of; i++) await sleep(20);
    const roll = random();
    const what = await (roll < 0.1 ? killRuntime(s) : roll < 0.5 ? cutGateway(s) : roll < 0.65 ? halfOpen(s) : fail(s));
    done[what] = (done[what] ?? 0) + 1;
    ctx.progress.update("break", `${pace.faults + 1} of ${pace.of}   webhooks ${sender.posts.length} of ${events}`);
  }
  pace.over = true;
}

async function killRuntime({ box, random }: State): Promise<string> {
  await box.kill();
  if (random() < 0.3) await sleep(random() * 500);
  await box.restart();
  // Mostly what was cut off gets on before the next fault.
  if (random() < 0.75) await sleep(500 + random() * 1_000);
  return "runtime: kill -9";
}

/** Resolves in the tick in which the house comes to that point; false when it does not in time. */
function aim(house: House, at: CutAt, act: () => void): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      house.armed = null;
      resolve(false);
    }, AIM);
    house.armed = {
      at,
      hit: () => {
        clearTimeout(timer);
        act();
        resolve(true);
      },
    };
  });
}

const anyOf = <T>(random: () => number, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

/** A house that is on its line and in no other fault. */
function idleHouse({ cast, random }: State): House {
  const free = cast.houses.filter((h) => h.gateway.open && h.away < Date.now());
  return anyOf(random, free.length > 0 ? free : cast.houses);
}

async function cutGateway(s: State): Promise<string> {
  const house = idleHouse(s);
  const at = anyOf<CutAt>(s.random, ["before handling", "before ack", "before ack", "after ack"]);
  const hit = await aim(house, at, () => house.kill(50 + s.random() * 400));
  return hit ? `gateway killed ${at}` : IDLE;
}

/** Its line is paused with an ack on it. It dials anew, or waits until Reveille gives that line up. */
async function halfOpen(s: State): Promise<string> {
  const { random } = s;
  const house = idleHouse(s);
  const dials = random() < 0.7;
  const patience = dials ? 50 + random() * 400 : ACK_MS + 1_500;
  const after = dials ? random() * 2_500 : 0;
  const resumes = random() < 0.6;
  let rest = Promise.resolve();
  const hit = await aim(house, anyOf<CutAt>(random, ["before ack", "before handling"]), () => {
    house.away = Date.now() + patience + 500;
    const held = house.proxy.pause();
    rest = (async () => {
      await sleep(patience);
      if (dials) house.redial();
      await sleep(after);
      if (resumes) held.resume();
      else held.cut();
    })();
  });
  s.beside.push(rest);
  return !hit ? IDLE : dials ? "line half-open: dialled anew" : "line half-open: given up";
}

/** The platform fails the next replies. */
async function fail({ platforms, random }: State): Promise<string> {
  const [platform, method] = anyOf(random, [
    ["slack", "chat.postMessage"],
    ["telegram", "sendMessage"],
  ] as const);
  const times = 1 + Math.floor(random() * 3);
  const mode = anyOf<Behaviour["mode"]>(random, [
    "ratelimited",
    "ratelimited",
    "apply_then_hang",
    "apply_then_5xx",
    "hang",
    "5xx",
  ]);
  platforms.control({ [platform]: { mode, method, times, retry_after: 1 } });
  return `platform: ${mode}`;
}

/** Until all that was acked is handled and every reply has ended, or nothing moves any more. */
async function settle({ ctx, cast, sender, platforms }: State): Promise<void> {
  platforms.control({ slack: { mode: "ok" }, telegram: { mode: "ok" } });
  const missing = (): number => {
    const seen = new Set(cast.houses.flatMap((h) => h.handled.map((e) => e.token)));
    return sender.posts.filter((p) => p.acked && !seen.has(p.token)).length;
  };
  let left = missing();
  for (let since = Date.now(); left > 0 && Date.now() < since + QUIET && !ctx.signal.aborted; ) {
    await sleep(500);
    const now = missing();
    if (now !== left) since = Date.now();
    left = now;
    ctx.progress.update("settle", `${left} events not handled`);
  }
  // What a line that is given up late would still repeat must have had its time.
  await sleep(ACK_MS / 2);
  for (const end = Date.now() + TALK; cast.talking.size > 0 && Date.now() < end && !ctx.signal.aborted; ) {
    ctx.progress.update("settle", `${cast.talking.size} replies not ended`);
    await sleep(500);
  }
}

export const runner: Runner = {
  name: "connector",
  what: "kills of gateways and runtime under 5,000 webhooks: no acked one lost, none out of order, no forged one taken",
  options: { events: { type: "string", value: "N", what: `webhooks of drill connector (${EVENTS})` } },
  run,
};
