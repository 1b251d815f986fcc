import type { Probe } from "../probe";
import type { Kind } from "../types";
import { dopplerProbe } from "./doppler.probe";
import { flyProbe } from "./fly.probe";
import { heartbeatProbe } from "./heartbeat.probe";
import { httpProbe } from "./http.probe";
import { internalProbe } from "./internal.probe";
import { sentryProbe } from "./sentry.probe";
import { supabaseProbe } from "./supabase.probe";
import { tcpProbe } from "./tcp.probe";
import { vercelProbe } from "./vercel.probe";

/** The probe of every kind. */
export const PROBES: Record<Kind, Probe> = {
  supabase: supabaseProbe,
  fly: flyProbe,
  vercel: vercelProbe,
  sentry: sentryProbe,
  doppler: dopplerProbe,
  http: httpProbe,
  tcp: tcpProbe,
  heartbeat: heartbeatProbe,
  internal: internalProbe,
};

/** Kinds whose probe keeps something between looks; the others never touch `probe_memory`. */
export const REMEMBERING: ReadonlySet<Kind> = new Set<Kind>(["supabase", "sentry", "doppler"]);
