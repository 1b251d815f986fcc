import { switchboard } from "../../durable-objects/switchboard.do";
import { targetObject } from "../../durable-objects/target.do";
import { expirePrompts, registerManifests, sweepMedia } from "../gateway";
import { forgetMessages, forgetWakes, sweepMessages, sweepProbes } from "../hooks";
import { DAY, MINUTE } from "../kernel/clock";
import { readVar } from "../kernel/config";
import { describe } from "../kernel/errors";
import { checkUrl } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { type Body, countFailures, health, LISTENERS, readListenerStates, runDue } from "../listeners";
import { expireAgents } from "../relay";
import { expireSlo, readDirections, sloFacts } from "../slo";
import { expireTrust } from "../trust";
import {
  type CycleDeps,
  expireHistory,
  lookAndPack,
  readCounts,
  readStates,
  readTargets,
  rollupDue,
  ruleSnapshot,
  runCycle,
  SHARD_TOO_OLD,
  shardMessage,
  sweepWakes,
  verdict,
} from "../watch";
import { precompute, sweepAsks } from "./asks";
import { judgeBudget, settleLeftovers } from "./budget";
import type { EdgeEnv } from "./env";
import { sweepFixes } from "./fix";
import { expireCounts, flushCounts } from "./ingest.count";
import { sendProbes } from "./probes";
import { tidyGateways } from "./tidy";

/** Messages of hooks that were delivered or died are kept as long as looks are. */
const KEEP_WAKES = 14 * DAY;

/** The bodies of the edge's periodic listeners and the minute tick that runs them. */

export function cycleDeps(env: EdgeEnv, runtime: Runtime): CycleDeps {
  return {
    db: env.DB,
    runtime,
    sendShards: async (messages) => {
      await env.PROBE_QUEUE.sendBatch(messages.map((body) => ({ body })));
    },
    observe: (id, snapshot) => targetObject(env.TARGET, id).observe(id, snapshot),
    rearm: (id) => targetObject(env.TARGET, id).rearm(id),
  };
}

/** The builtin target whose object watches the cron. */
const WATCHER = "reveille-cron";
/** Silence of the alarm after which the cron sets it again (it speaks every 2 min). */
const ALARM_SILENT = 5 * MINUTE;
/** Judged by targets of their own: the cycle by `reveille-cron`, the alarm by `reveille-dead-man`. */
const OWN_RULE = ["heartbeat", "heartbeat_probes", "dead_man"];
/** The rules are judged every 3 min; a longer pause means that all of Reveille stood still. */
const BACK_AFTER = 6 * MINUTE;

/** One Cron Trigger: the cycle and every due listener at once; none waits for another and none stops another. */
export async function tick(env: EdgeEnv, runtime: Runtime, scheduledTime: number): Promise<void> {
  const { clock, log } = runtime;
  const now = clock.now();
  // A late trigger belongs to the minute it was scheduled for; a fast clock has minutes of its own.
  const at = clock.rate === 1 ? scheduledTime : now;
  const guard = (name: string, work: Promise<unknown>): Promise<unknown> =>
    work.catch((error) => log("error", "tick.part_failed", { part: name, error: describe(error) }));
  await Promise.all([
    guard("cycle", runCycle(cycleDeps(env, runtime), at)),
    guard(
      "listeners",
      runDue(LISTENERS, bodies(env, runtime), now, {
        db: env.DB,
        runtime,
        home: "edge",
        phases: { digest: runtime.config.digestHour * 3600 },
      }),
    ),
    guard("dead_man", keepAlarm(env, now)),
    guard("outside_heartbeat", pingOutside(env, runtime)),
    guard("ingest_count", flushCounts(env.DB, runtime)),
    guard("commands", registerManifests({ db: env.DB, runtime })),
  ]);
}

function bodies(env: EdgeEnv, runtime: Runtime): Record<string, Body> {
  const now = runtime.clock.now();
  return {
    alert_notifier: () => judgeRules(env, runtime),
    rollup: () => rollupDue(env.DB, now),
    sweeper: async () => {
      const sent = await sweepWakes(env.DB, now, async (wakes) => {
        await env.WAKE_QUEUE.sendBatch(
          wakes.map((w) => ({
            body: { wake_id: w.wake_id, kind: w.kind === "message" || w.kind === "autofix" ? w.kind : "incident" },
          })),
        );
      });
      const asks = await sweepAsks(env, runtime);
      const fixes = await sweepFixes(env, runtime);
      const messages = await sweepMessages(env.DB, now, async (ids) => {
        await env.WAKE_QUEUE.sendBatch(ids.map((wake_id) => ({ body: { wake_id, kind: "message" } })));
      });
      const probes = await sweepProbes(env.DB, now, (found) => sendProbes(env, found));
      return sent + asks + fixes + messages + probes > 0
        ? `${sent} wakes, ${messages} messages, ${probes} probes, ${asks} questions, ${fixes} fixes sent again`
        : null;
    },
    snapshot: () => precompute(env, runtime),
    cost_telemetry: () => settleLeftovers(env, now),
    media: async () => {
      const gone = await sweepMedia(env.MEDIA, now);
      return gone > 0 ? `${gone} files deleted` : null;
    },
    retention: async () => {
      await expireTrust(env.DB, now, runtime.clock.wall() / 1000);
      await expireAgents(env.DB, now);
      await expireCounts(env.DB, now);
      await expirePrompts(env.DB, now);
      await tidyGateways(env, runtime);
      await forgetMessages(env.DB, now);
      await forgetWakes(env.DB, now - KEEP_WAKES);
      await expireSlo(env.DB, now);
      return expireHistory(env.DB, now);
    },
    digest: () => sendDigest(env, runtime),
  };
}

/**
 * Feeds the internal targets; an object is called only when its rule's finding differs from what is stored, or is bad: one that
 * turned bad in maintenance is stored bad, and must still open its incident afterwards. A rule that can't be told stops no other.
 */
async function judgeRules(env: EdgeEnv, runtime: Runtime): Promise<string> {
  const now = runtime.clock.now();
  const [counts, switches, states, failures] = await Promise.all([
    readCounts(env.DB, now),
    switchboard(env.SWITCHBOARD).readOrStop(),
    readListenerStates(env.DB),
    countFailures(env.DB, now - 5 * MINUTE),
  ]);
  const whole = health(LISTENERS, states, now, failures);
  // Not judged this time: all of Reveille was away (a restart, an outage), and what is late has not had its turn yet.
  const lastJudged = states.get("alert_notifier")?.last_run_at ?? now;
  const back = Math.abs(now - lastJudged) > BACK_AFTER;
  const facts = {
    ...counts,
    now,
    paused: switches.unreadable ? null : switches.paused,
    budget_share: await judgeBudget(env, runtime, states),
    slo: await sloFacts(env.DB, await readDirections(env.DB), now),
    ...(back ? { alarm_at: null } : {}),
    listeners_down: back ? [] : whole.down.filter((name) => !OWN_RULE.includes(name)),
  };
  const targets = (await readTargets(env.DB, "reveille-", 50)).filter((t) => t.kind === "internal" && t.id !== WATCHER);
  const known = await readStates(
    env.DB,
    targets.map((t) => t.id),
  );
  let told = 0;
  const failed: string[] = [];
  for (const target of targets) {
    const snapshot = ruleSnapshot(String(target.config["rule"]), facts);
    const state = known.get(target.id);
    const same = state?.phase === "steady" && state.status === snapshot.status && state.reason === snapshot.reason;
    if (same && verdict(snapshot) !== "bad") continue;
    await targetObject(env.TARGET, target.id)
      .observe(target.id, snapshot)
      .then(() => told++)
      .catch((error) => failed.push(`${target.id}: ${describe(error)}`));
  }
  if (failed.length > 0) throw new Error(failed.join("; "));
  return `${targets.length} rules, ${told} changed`;
}

/** One wake a day; its key makes a second run of the same day harmless. */
async function sendDigest(env: EdgeEnv, runtime: Runtime): Promise<string | null> {
  if (!runtime.config.digest) return "off (REVEILLE_NOTICE_MODE=immediate)";
  const now = runtime.clock.now();
  const wake_id = `digest-${new Date(now).toISOString().slice(0, 10)}`;
  const made = await env.DB.prepare(
    `INSERT INTO wake (wake_id, kind, event, severity, payload, created_at, next_at) VALUES (?, 'incident', 'digest', 'info', '{}', ?, ?)
     ON CONFLICT (wake_id) DO NOTHING`,
  )
    .bind(wake_id, now, now + MINUTE)
    .run();
  if (made.meta.changes === 0) return null;
  await env.WAKE_QUEUE.send({ wake_id, kind: "incident" });
  return wake_id;
}

/** The cron's half of the dead man: an alarm that has not spoken lately is set again. */
async function keepAlarm(env: EdgeEnv, now: number): Promise<void> {
  const row = await env.DB.prepare("SELECT last_ok_at FROM listener_state WHERE name = 'dead_man'").first<{
    last_ok_at: number | null;
  }>();
  // Words from the future are of a clock that was set back.
  const silent = !row?.last_ok_at || Math.abs(now - row.last_ok_at) > ALARM_SILENT;
  if (silent) await targetObject(env.TARGET, WATCHER).rearm(WATCHER);
}

/** Pages from outside when Reveille itself is gone: silence there is the alarm. Failures here are only logged. */
async function pingOutside(env: EdgeEnv, runtime: Runtime): Promise<void> {
  const text = readVar(env as unknown as Record<string, unknown>, "REVEILLE_HEARTBEAT_URL");
  if (!text) return;
  const url = checkUrl(text, runtime.config.allowPrivate, "REVEILLE_HEARTBEAT_URL");
  const response = await fetch(url, { signal: AbortSignal.timeout(8_000), redirect: "manual" });
  await response.body?.cancel();
  if (!response.ok) runtime.log("warn", "outside_heartbeat.refused", { status: response.status });
}

/** Queue `probe`: one shard a message. A message that waited too long is dropped and counted as a lost shard. */
export async function consumeShards(batch: MessageBatch<unknown>, env: EdgeEnv, runtime: Runtime): Promise<void> {
  for (const message of batch.messages) {
    // What is no shard throws: after its retries the dead-letter queue keeps it for a person.
    const { cycle_at, shard, nums } = shardMessage.parse(message.body);
    if (runtime.clock.now() - cycle_at > SHARD_TOO_OLD) {
      runtime.log("warn", "shard.too_old", { cycle_at, shard });
      message.ack();
      continue;
    }
    const { rows, news } = await lookAndPack(cycleDeps(env, runtime), cycle_at, shard, nums);
    runtime.log("info", "shard.done", { cycle_at, shard, n: nums.length, rows, news });
    message.ack();
  }
}
