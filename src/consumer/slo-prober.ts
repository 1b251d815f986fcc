import { sloClaims } from "../../durable-objects/slo-claims.stub";
import { workspaceObject } from "../../durable-objects/workspace.stub";
import { listAgents } from "../hooks";

import { readVar } from "../kernel/config";
import { describe } from "../kernel/errors";
import { newId } from "../kernel/ids";
import { guardedFetch } from "../kernel/net-guard";
import { type Runtime, runtimeOf } from "../kernel/runtime";
import { markFailed, markOk, readListenerStates } from "../listeners";
import { agentTools, readMsgAgent, statusOf, ToolFault } from "../messaging";
import {
  callTool,
  closeHangs,
  type DirectionRow,
  directionPlace,
  endpointOf,
  finishProbe,
  judgeDirections,
  type NewRun,
  noteProbe,
  type Outcome,
  outcomeOf,
  type ProbePorts,
  RUN_NOW,
  readDirections,
  readPong,
  responderKey,
  rollupSlo,
  runProbe,
  type Said,
  slotAt,
  startRun,
  takeMutes,
  topicOf,
} from "../slo";
import type { ConsumerEnv } from "./env";

/**
 * The prober's minute: closes what died, runs each direction whose slot has come, and tells the agent that is to know about a
 * breach. It runs here because agents' keys are held here.
 */

/** Refusals that name who or what we are: the way itself was never tried. */
const OUR_FAULT = /^(UNAUTHORIZED|FORBIDDEN|NOT_FOUND|INVALID_INPUT|READ_ONLY_INSTANCE)\b|\bnot found\b|-32602/;

const refused = (text: string): Said => ({ ok: false, config: OUR_FAULT.test(text), why: text.slice(0, 200) });
const ourFault = (why: string): Said => ({ ok: false, config: true, why });

type Call = ProbePorts["call"];

/** The tools of a direction's peer, as its sender: the workspace itself, or another machine's /mcp. */
export async function peerOf(env: ConsumerEnv, runtime: Runtime, d: DirectionRow): Promise<Call> {
  if (d.peer_kind === "embedded") {
    const agent = await readMsgAgent(env.DB, d.from_agent);
    if (agent?.active !== 1) return async () => ourFault(`no active agent ${d.from_agent}`);
    const { id, name, workspace, tool_profile: profile } = agent;
    const tools = agentTools({
      me: { id, name, workspace, profile },
      workspace: workspaceObject(env.WORKSPACE, workspace),
      status: (args) => statusOf(env.DB, workspace, args),
    });
    return async (name, args) => {
      const tool = tools.find((t) => t.name === name);
      if (!tool) return ourFault(`${name} is not for this agent`);
      try {
        return { ok: true, value: await tool.call(tool.input.parse(args) as never) };
      } catch (error) {
        if (error instanceof ToolFault) return refused(`${error.code}: ${error.message}`);
        return { ok: false, config: false, why: describe(error) };
      }
    };
  }
  const { from_agent, to_agent, key_ref, sealed_key: sealed } = d;
  const agents = [from_agent, to_agent].map((id) => ({ agent_id: id, agent_name: id }));
  const place = directionPlace(d.code);
  const found = await responderKey({
    ...{ vars: runtime.vars, agent_id: from_agent, agent_name: from_agent, key_ref, sealed, place, agents },
  });
  if (found.key === null) return async () => ourFault(found.why);
  const { key } = found;
  let url: URL;
  try {
    url = endpointOf(d.peer_url || readVar(runtime.vars, "REVEILLE_SLO_PEER_URL"));
  } catch (error) {
    return async () => ourFault(describe(error));
  }
  return async (tool, args) => {
    const answer = await callTool(
      { url, key, tool, args },
      async (to, init) => (await guardedFetch(to, { ...init, follow: false }, runtime.config.allowPrivate)).response,
    );
    if (!answer.ok) {
      if (answer.why === "refused") return refused(answer.detail);
      // 401 and 403: our key, not the way.
      return /^HTTP 40[13]$/.test(answer.detail) || /private address/.test(answer.detail)
        ? ourFault(answer.detail)
        : { ok: false, config: false, why: answer.detail.slice(0, 200) };
    }
    const { value } = answer;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return { ok: false, config: false, why: "the answer is no object" };
    return { ok: true, value: value as Record<string, unknown> };
  };
}

/** Runs the probe of a run that has its row, and ends that row. */
export async function probeDirection(
  env: ConsumerEnv,
  runtime: Runtime,
  d: DirectionRow,
  { id, started_at }: NewRun,
): Promise<Outcome> {
  const { clock, log, redact } = runtime;
  const startedWall = clock.wall();
  const { code: direction, to_agent, pong } = d;
  const call = await peerOf(env, runtime, d);
  const ours = (await listAgents(env.DB)).some((a) => a.agent_id === to_agent);
  let last = "";
  const outcome = await runProbe(
    { id, direction, to_agent, pong, started_at },
    {
      call: async (tool, args) => {
        const said = await call(tool, args);
        if (!said.ok) last = `${tool}: ${said.why}`;
        return said;
      },
      sunk: () => readPong(env.DB, id, to_agent),
      claim: async (message_id) => {
        const record = ours ? await sloClaims(env.AGENT, to_agent).probeRecord(message_id) : null;
        return record && { at: started_at + (record.dequeued_at - startedWall) * clock.rate, status: record.status };
      },
      note: async (seen) => void (await noteProbe(env.DB, id, seen.session_id, seen.message_id ?? null).run()),
      now: clock.now,
      sleep: (ms) => new Promise((done) => setTimeout(done, Math.max(50, clock.span(ms)))),
    },
  );
  await env.DB.batch(finishProbe(env.DB, id, direction, outcome, clock.now()));
  const { status, level, error_class, l1_ms, l3_ms, l4_ms } = outcome;
  log(status === "ok" ? "info" : "warn", "slo.probed", {
    ...{ id, direction, status, reached: level, error_class, l1_ms, l3_ms, l4_ms },
    ...(status === "ok" ? {} : { why: redact.text(last) }),
  });
  return outcome;
}

/** One minute. Answers how many probes it ran. */
export async function probeTick(env: ConsumerEnv, runtime = runtimeOf(env, "prober")): Promise<number> {
  const { clock, log } = runtime;
  const now = clock.now();
  await closeHangs(env.DB, now);
  const directions = await readDirections(env.DB);
  if (directions.length === 0) return 0;
  const ran = await Promise.all(
    directions.map(async (d) => {
      const { slot } = slotAt(d, now);
      const due = !d.paused && (d.last_slot === null || d.last_slot === RUN_NOW || slot > d.last_slot);
      if (!due) return 0;
      const started_at = clock.now();
      const run = { id: newId(started_at), started_at, topic: topicOf(d.code, started_at) };
      if (!(await startRun(env.DB, d, slot, run))) return 0;
      try {
        await probeDirection(env, runtime, d, run);
      } catch (error) {
        // Its row stays `running`: the lease closes it as a hang.
        log("error", "slo.probe_lost", { direction: d.code, error: describe(error) });
      }
      return 1;
    }),
  );
  const n = ran.filter((r) => r === 1).length;
  if (n > 0) await tellBreaches(env, runtime, directions);
  await rollupSlo(env.DB, now);
  return n;
}

/** The cron's entry. Never throws. */
export async function probeMinute(env: ConsumerEnv): Promise<void> {
  const runtime = runtimeOf(env, "prober");
  const now = runtime.clock.now();
  try {
    const n = await probeTick(env, runtime);
    // A mark each minute would double what a quiet one writes; that probes are missing is told by their coverage.
    const failing = ((await readListenerStates(env.DB)).get("slo_prober")?.consecutive_errors ?? 0) > 0;
    if (n > 0 || failing) await markOk(env.DB, "slo_prober", now, `${n} probes`).run();
  } catch (error) {
    runtime.log("error", "slo.tick_failed", { error: describe(error) });
    await markFailed(env.DB, "slo_prober", now, runtime.redact.text(describe(error)))
      .run()
      .catch(() => {});
  }
}

/**
 * A breach as a message to one agent (wake-slo §6.4): figures only. At most one in 4 h for each reason and direction; a reason
 * that is over may speak again. The incident beside it is the operator's.
 */
export async function tellBreaches(env: ConsumerEnv, runtime: Runtime, directions: DirectionRow[]): Promise<0 | 1 | 2> {
  const { clock, log } = runtime;
  const now = clock.now();
  const judged = await judgeDirections(
    env.DB,
    directions.filter((d) => !d.paused),
    now,
  );
  const fresh = await takeMutes(env.DB, judged, now);
  const to_agent = readVar(runtime.vars, "REVEILLE_SLO_ALERT_AGENT");
  for (const { direction, reason, breach } of fresh) {
    log("warn", "slo.breach", { direction, reason, text: breach.text });
    const d = directions.find((row) => row.code === direction);
    if (to_agent === "" || !d) continue;
    const call = await peerOf(env, runtime, d);
    const told = await call("agent_send", {
      ...{ to_agent, topic: `WAKE_SLO_P2_ALERT_${now}`, kind: "status" },
      body: JSON.stringify({ reason, text: breach.text, severity: breach.severity, ...breach.details }),
      idempotency_key: `wake-slo-alert:${direction}:${reason}:${now}`,
    });
    if (!told.ok) log("warn", "slo.alert_untold", { direction, reason, why: told.why });
  }
  const total = judged.reduce((sum, j) => sum + j.n, 0);
  return outcomeOf(total, judged.flatMap((j) => Object.values(j.breaches).filter((b) => b.bad)).length, fresh.length);
}
