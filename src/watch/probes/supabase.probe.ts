import * as z from "zod";
import type { Outcome, Probe, ProbeContext } from "../probe";
import { type SupabaseConfig, supabaseConfig } from "../target.config";
import type { Json } from "../types";
import { bad, fault, healthy } from "./outcome";
import { configOf, credentials } from "./setup";
import { ask, call, type Got, read, refusal } from "./vendor";

/** Two legs (`kora-watch.md` §1.1): the management API's view of each service, and the project's own data plane. */

const SERVICES = ["auth", "db", "pooler", "realtime", "rest", "storage"];
const COMING_UP_MS = 10 * 60_000;
const PAUSED = 540;

const health = z
  .array(
    z.object({
      name: z.string().min(1).max(64),
      status: z.enum(["ACTIVE_HEALTHY", "COMING_UP", "UNHEALTHY"]),
    }),
  )
  .refine((list) => ["db", "rest"].every((n) => list.some((s) => s.name === n)));
type Health = z.output<typeof health>;

const authHealth = z.object({ version: z.string(), name: z.string(), description: z.string() });
const memory = z.object({ coming_up: z.record(z.string(), z.number()) }).catch({ coming_up: {} });

type DataLeg = { ok: true; ms: number } | { ok: false; outcome: Outcome; paused: boolean };

const management = (ctx: ProbeContext, config: SupabaseConfig, token: string): Promise<Got<{ body: Health }>> =>
  ask(
    ctx,
    "the Supabase API",
    {
      url: `${config.management_url}/v1/projects/${config.ref}/health?services=${SERVICES.join(",")}&timeout_ms=5000`,
      headers: { authorization: `Bearer ${token}`, accept: "application/json" },
    },
    health,
  );

/** Publishable and secret keys are not JWTs: they go in `apikey` only, never as Bearer. */
async function dataPlane(ctx: ProbeContext, config: SupabaseConfig, key: string): Promise<DataLeg> {
  const who = "the Supabase project";
  const got = await call(ctx, who, {
    url: `${config.url}/auth/v1/health`,
    headers: { apikey: key, accept: "application/json" },
    final: (status) => status === PAUSED,
  });
  if (!got.ok) return { ok: false, outcome: got.outcome, paused: false };
  const reply = got.value;
  if (reply.status !== 200) return { ok: false, outcome: refusal(ctx, who, reply), paused: reply.status === PAUSED };
  const body = read(who, reply, authHealth);
  return body.ok ? { ok: true, ms: reply.latency_ms } : { ok: false, outcome: body.outcome, paused: false };
}

/** A leg that fails because nothing works there, not because of our key, our path, our rate or a new form. */
const down = (o: Outcome): boolean => o.reason === "service_unhealthy" || o.reason === "unreachable";

/** Since when each service has been coming up; only those that still are. */
function comingUp(ctx: ProbeContext, list: Health): Record<string, number> {
  const before = memory.parse(ctx.memory).coming_up;
  const now: Record<string, number> = {};
  for (const s of list) if (s.status === "COMING_UP") now[s.name] = before[s.name] ?? ctx.at;
  ctx.remember({ coming_up: now });
  return now;
}

function judge(ctx: ProbeContext, list: Health, data: DataLeg): Outcome {
  const details: Record<string, Json> = {
    services: Object.fromEntries(list.slice(0, 16).map((s) => [s.name, s.status])),
    data_plane_ms: data.ok ? data.ms : null,
    paused: false,
  };
  const latency_ms = data.ok ? data.ms : data.outcome.latency_ms;
  const sick = list.filter((s) => s.status === "UNHEALTHY").map((s) => s.name);
  const rising = comingUp(ctx, list);
  const core = sick.find((n) => n === "db" || n === "rest");
  if (core)
    return fault("unhealthy", `${core}_unhealthy`, `Supabase reports ${sick.join(", ")} unhealthy.`, {
      latency_ms,
      details,
    });
  if (!data.ok && !down(data.outcome)) return { ...data.outcome, details: { ...details, ...data.outcome.details } };
  if (!data.ok)
    return fault(
      "degraded",
      "data_plane",
      `Supabase reports its services fine, but the project does not answer. ${data.outcome.error}`,
      {
        details,
      },
    );
  if (sick.length)
    return fault("degraded", "service_unhealthy", `Supabase reports ${sick.join(", ")} unhealthy.`, {
      latency_ms,
      details,
    });
  const slow = Object.keys(rising).filter((n) => ctx.at - rising[n]! > COMING_UP_MS);
  if (slow.length)
    return fault("degraded", "coming_up", `${slow.join(", ")} coming up for more than 10 minutes.`, {
      latency_ms,
      details,
    });
  return healthy(latency_ms, details);
}

export const supabaseProbe: Probe = async (ctx) => {
  const config = configOf(ctx, supabaseConfig);
  if (!config.ok) return config.outcome;
  const keys = credentials(ctx);
  if (!keys.ok) return keys.outcome;
  const [control, data] = await Promise.all([
    management(ctx, config.value, keys.value["token"]!),
    dataPlane(ctx, config.value, keys.value["key"]!),
  ]);
  if (!data.ok && data.paused)
    return fault("unhealthy", "paused", "The Supabase project is paused.", {
      latency_ms: data.outcome.latency_ms,
      details: { paused: true, http_status: PAUSED },
    });
  if (control.ok) return judge(ctx, control.value.body, data);
  const failed = control.outcome;
  const details: Record<string, Json> = { ...failed.details, data_plane_ms: data.ok ? data.ms : null };
  if (data.ok && down(failed))
    return fault("degraded", "control_plane", `The project answers, but its management API does not. ${failed.error}`, {
      latency_ms: data.ms,
      details,
    });
  if (data.ok) return { ...failed, details };
  if (down(failed) && down(data.outcome)) {
    const text = `Neither the project nor the Supabase API works. ${data.outcome.error}`;
    // Two silences are no answer at all; a single 5xx among them is one.
    return failed.reason === "unreachable" && data.outcome.reason === "unreachable"
      ? bad("unknown", "unreachable", text, { signal: data.outcome.signal ?? "network" })
      : fault("unhealthy", "both_legs", text, { latency_ms: data.outcome.latency_ms ?? failed.latency_ms, details });
  }
  // Our own key or path is wrong on one leg: that is what an operator can mend, unless only the other one is an outage.
  return down(failed) || failed.status === "unknown" ? data.outcome : { ...failed, details };
};
