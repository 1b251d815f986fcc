import { startPlatforms } from "../../test/support/platforms";
import type { RunContext, Runner, RunResult } from "../lib/runner";
import { openSandbox, SANDBOX_VARS, type Sandbox, type Service, seeded, sleep, startService } from "../lib/sandbox";

/**
 * kill -9 of the runtime at random points over 200 cycles with faults. The oracle is what the outside saw: the service knows
 * when each target was broken, Slack and the webhook know what they were told; our rows are compared with both at the end.
 */

const CYCLES = 200;
const TARGETS = 24;
/** Reveille runs 60 times faster: a minute is a second; every threshold is as shipped. */
const RATE = 60;
/** Faults that may be unconfirmed at once: above five a minute the burst rule would speak instead. */
const AT_ONCE = 3;
/** A target rests this many cycles after a recovery, so that the flap rule stays out of it. */
const REST = 36;
/** Cycles within which a fault must be told, kills and failing channels included. */
const PATIENCE = 60;

type Phase = "up" | "broken" | "told" | "mending";
interface Fault {
  target: string;
  broke: number;
  opened: number | null;
  mended: number | null;
  recovered: number | null;
}
interface Subject {
  id: string;
  phase: Phase;
  since: number;
  fault: Fault | null;
}

interface Told {
  target: string;
  event: "opened" | "recovered" | "other";
}

/** What was told about a target, read from the first line as a person would. */
function read(text: string): Told {
  const name = /\bt-\d\d\b/.exec(text)?.[0] ?? "?";
  const event = /^■ Down: /.test(text) ? "opened" : /^● OK again: /.test(text) ? "recovered" : "other";
  return { target: name, event };
}

async function outside(platforms: Awaited<ReturnType<typeof startPlatforms>>): Promise<Told[]> {
  const ledger = platforms.ledger();
  const hooks = ledger.webhook.map((c) => read(String((c.body as { title?: string } | null)?.title ?? "")));
  return [...ledger.slack.map((m) => read(m.text)), ...hooks];
}

const count = (told: Told[], target: string, event: Told["event"]): number =>
  told.filter((t) => t.target === target && t.event === event).length;

async function run(ctx: RunContext): Promise<RunResult> {
  const random = seeded(ctx.seed);
  const service = await startService();
  const platforms = await startPlatforms(0, {
    slackToken: "xoxb-drill-token-000001",
    webhookSecret: "drill-webhook-secret-01",
  });
  const box = await openSandbox({
    clockRate: RATE,
    vars: {
      ...SANDBOX_VARS,
      REVEILLE_SLACK_BOT_TOKEN: "xoxb-drill-token-000001",
      REVEILLE_SLACK_OPERATOR_ID: "U0DRILL",
      REVEILLE_SLACK_API_URL: `${platforms.url}/slack/api`,
      REVEILLE_WEBHOOK_URL: `${platforms.url}/hook`,
      REVEILLE_WEBHOOK_SECRET: "drill-webhook-secret-01",
      REVEILLE_DEBOUNCE_SECONDS: "0",
    },
  });
  try {
    return await drill(ctx, random, box, service, platforms);
  } finally {
    await box.close();
    await Promise.all([service.close(), platforms.close()]);
  }
}

async function drill(
  ctx: RunContext,
  random: () => number,
  box: Sandbox,
  service: Service,
  platforms: Awaited<ReturnType<typeof startPlatforms>>,
): Promise<RunResult> {
  const subjects: Subject[] = [];
  for (let i = 0; i < TARGETS; i++) {
    const id = `t-${String(i).padStart(2, "0")}`;
    await box.api.call("POST", "/api/v1/targets", {
      id,
      name: id,
      kind: "http",
      every: "1m",
      config: { url: `${service.url}/${id}` },
    });
    subjects.push({ id, phase: "up", since: -REST, fault: null });
  }
  const faults: Fault[] = [];
  let kills = 0;
  let lost = 0;
  const oneCycle = async (cycle: number, mayBreak: boolean): Promise<void> => {
    const told = await outside(platforms);
    lost += advance(subjects, faults, told, service, cycle, random, mayBreak);
    if (random() < 0.08) platforms.control({ slack: { mode: random() < 0.5 ? "5xx" : "ratelimited", times: 1 } });
    const ticking = box.rt.tick().catch(() => {});
    if (random() < 0.5) {
      await sleep(random() * 900);
      await box.kill();
      kills++;
      await ticking;
      await box.restart();
    } else await Promise.all([ticking, sleep(1_000)]);
  };
  let cycle = 0;
  for (; cycle < CYCLES && !ctx.signal.aborted; cycle++) {
    await oneCycle(cycle, true);
    const said = `killed ${kills}   faults ${faults.length}   told ${faults.filter((f) => f.opened !== null).length}   lost ${lost}`;
    ctx.progress.update("kill -9", `${cycle + 1} of ${CYCLES}   ${said}`);
  }
  // Everything that is broken mends, and what is under way may end, without kills.
  for (
    let rest = 0;
    rest < PATIENCE && subjects.some((s) => s.phase !== "up") && !ctx.signal.aborted;
    rest++, cycle++
  ) {
    const told = await outside(platforms);
    lost += advance(subjects, faults, told, service, cycle, random, false);
    await Promise.all([box.rt.tick().catch(() => {}), sleep(1_000)]);
    ctx.progress.update("settle", `${subjects.filter((s) => s.phase !== "up").length} left`);
  }
  // A wake whose consumer was killed is taken up when its lease ends (45 s of wall time).
  for (let i = 0; i < 90 && (await undoneWakes(box)) > 0 && !ctx.signal.aborted; i++) {
    await Promise.all([box.rt.tick().catch(() => {}), sleep(1_000)]);
    ctx.progress.update("settle", "wakes under way");
  }
  return judge(ctx, box, faults, await outside(platforms), platforms, { kills, lost, cycles: CYCLES });
}

/** Moves each target's story on by what the outside was told. Returns how many faults were never told in time. */
function advance(
  subjects: Subject[],
  faults: Fault[],
  told: Told[],
  service: Service,
  cycle: number,
  random: () => number,
  mayBreak: boolean,
): number {
  let lost = 0;
  const pending = (): number => subjects.filter((s) => s.phase === "broken" || s.phase === "mending").length;
  for (const s of subjects) {
    const own = faults.filter((f) => f.target === s.id).length;
    if (s.phase === "up" && mayBreak && cycle - s.since >= REST && pending() < AT_ONCE && random() < 0.3) {
      s.fault = { target: s.id, broke: cycle, opened: null, mended: null, recovered: null };
      faults.push(s.fault);
      service.set(s.id, "503");
      Object.assign(s, { phase: "broken", since: cycle });
    } else if (s.phase === "broken") {
      if (count(told, s.id, "opened") >= own) {
        s.fault!.opened = cycle;
        Object.assign(s, { phase: "told", since: cycle });
      } else if (cycle - s.since > PATIENCE) {
        lost++;
        mend(s, service, cycle);
      }
    } else if (s.phase === "told" && (cycle - s.since > 3 + random() * 6 || !mayBreak) && pending() < AT_ONCE)
      mend(s, service, cycle);
    else if (s.phase === "mending") {
      if (count(told, s.id, "recovered") >= own) {
        s.fault!.recovered = cycle;
        Object.assign(s, { phase: "up", since: cycle, fault: null });
      } else if (cycle - s.since > PATIENCE) {
        lost++;
        Object.assign(s, { phase: "up", since: cycle, fault: null });
      }
    }
  }
  return lost;
}

function mend(s: Subject, service: Service, cycle: number): void {
  s.fault!.mended = cycle;
  service.set(s.id, "ok");
  Object.assign(s, { phase: "mending", since: cycle });
}

const undoneWakes = async (box: Sandbox): Promise<number> =>
  (await box.rt.d1
    .prepare("SELECT COUNT(*) AS n FROM wake WHERE target_id LIKE 't-%' AND done_at IS NULL")
    .first<number>("n")) ?? 0;

async function judge(
  ctx: RunContext,
  box: Sandbox,
  faults: Fault[],
  told: Told[],
  platforms: Awaited<ReturnType<typeof startPlatforms>>,
  n: { kills: number; lost: number; cycles: number },
): Promise<RunResult> {
  const one = async (sql: string): Promise<number> => (await box.rt.d1.prepare(sql).first<number>("n")) ?? Number.NaN;
  const incidents = await one("SELECT COUNT(*) AS n FROM incident WHERE target_id LIKE 't-%'");
  const unresolved = await one("SELECT COUNT(*) AS n FROM incident WHERE target_id LIKE 't-%' AND resolved_at IS NULL");
  const undone = await undoneWakes(box);
  const unnoticed = await one(
    "SELECT COUNT(*) AS n FROM wake w WHERE w.target_id LIKE 't-%' AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.wake_id = w.wake_id)",
  );
  const marked = await one(
    "SELECT COUNT(*) AS n FROM notice_attempt a JOIN incident i ON i.id = a.incident_id WHERE a.state = 'unknown' AND i.target_id LIKE 't-%'",
  );
  let doubled = 0;
  for (const target of new Set(faults.map((f) => f.target)))
    for (const event of ["opened", "recovered"] as const)
      doubled += Math.max(0, count(told, target, event) - faults.filter((f) => f.target === target).length);
  const badSignatures = platforms.ledger().webhook.filter((c) => c.signature !== "ok").length;
  const goal = (name: string, label: string, value: number, unit = "") =>
    ({ name: `watch.${name}`, label, value, unit, goal: 0, compare: "=" }) as const;
  const plain = (name: string, label: string, value: number) =>
    ({ name: `watch.${name}`, label, value, unit: "", goal: null, compare: "=" }) as const;
  ctx.progress.clear();
  return {
    title: `kill -9 ${n.kills} times over ${n.cycles} cycles of ${TARGETS} targets, clock ${RATE}x`,
    measures: [
      plain("faults", "faults", faults.length),
      goal("lost", "lost", n.lost),
      goal("incidents_off", "incidents too many or few", Math.abs(incidents - faults.length)),
      goal("unresolved", "left open", unresolved),
      goal("wakes_without_notice", "wakes without notice", unnoticed),
      goal("wakes_undone", "wakes undone", undone),
      goal("unmarked_doubles", "unmarked doubles", Math.max(0, doubled - marked)),
      plain("marked_doubles", "marked doubles", Math.min(doubled, marked)),
      goal("bad_signatures", "bad webhook signatures", badSignatures),
    ],
  };
}

export const runner: Runner = {
  name: "watch",
  what: "kill -9 at random points of 200 watch cycles with faults: nothing lost, nothing told twice",
  run,
};
