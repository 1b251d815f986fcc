import { env } from "cloudflare:workers";
import { inject } from "vitest";
import { runtimeOf } from "../../src/kernel/runtime";
import { type LookOptions, lookAt } from "../../src/watch/look";
import { parseTarget } from "../../src/watch/target.schema";
import type { Snapshot, Target } from "../../src/watch/types";

/** A target, its credentials and a look at the vendors' stand-in, as the edge does it. */

export const vendors = inject("vendorsUrl");

export const SECRETS: Record<string, string> = {
  REVEILLE_SUPABASE_ACCESS_TOKEN: "sbp_9f8e7d6c5b4a39281706f5e4d3c2b1a0",
  REVEILLE_SUPABASE_KEY: "sb_publishable_Kq3/xY+7z=WmN8pL2vR5",
  REVEILLE_FLY_API_TOKEN: 'FlyV1 fm2_lJPECAAAAAAAB/x+"q\\uoted"',
  REVEILLE_VERCEL_API_TOKEN: "vercel_t0k3n&with?odd=chars/%-9931",
  REVEILLE_SENTRY_API_TOKEN: "sntrys_eyJpYXQiOjE3_0a1b2c3d4e5f",
  REVEILLE_DOPPLER_API_TOKEN: "dp.sa.8Hh2kLmN0pQrStUvWxYz12345678",
  WATCH_SVC_KEY: "svc-key-77aa88bb99cc",
};

export const CONFIG: Record<string, Record<string, unknown>> = {
  supabase: { ref: "abcdefghijklmnopqrst", url: `${vendors}/supabase`, management_url: `${vendors}/supabase` },
  fly: { apps: ["web"], api_url: `${vendors}/fly` },
  vercel: { project_ids: ["prj_checkout"], team_id: "team_1", api_url: `${vendors}/vercel` },
  sentry: { org: "acme", base_url: `${vendors}/sentry` },
  doppler: { api_url: `${vendors}/doppler` },
  http: { url: `${vendors}/svc/ok` },
};

let nums = 1_000;
export function targetOf(
  kind: string,
  config: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
): Target {
  const input = parseTarget({ name: kind, kind, config: { ...CONFIG[kind], ...config }, ...more });
  const now = Date.now();
  return {
    num: ++nums,
    id: `${kind}-${nums}`,
    name: input.name,
    kind: input.kind,
    every_s: input.every,
    config: input.config,
    credentials: input.credentials,
    thresholds: input.thresholds,
    paused: input.paused,
    muted_until: null,
    source: "api",
    created_at: now,
    updated_at: now,
  };
}

export const runtimeWith = (vars: Record<string, unknown> = SECRETS) =>
  runtimeOf({ REVEILLE_ALLOW_PRIVATE: "127.0.0.1:*", ...vars }, "test");

export const look = (target: Target, opts: LookOptions = {}, vars?: Record<string, unknown>): Promise<Snapshot> =>
  lookAt(target, runtimeWith(vars), env.DB, opts);

export async function control(change: Record<string, unknown>): Promise<void> {
  const response = await fetch(`${vendors}/_control`, { method: "POST", body: JSON.stringify(change) });
  if (!response.ok) throw new Error(`the stand-in refused ${JSON.stringify(change)}`);
  await response.body?.cancel();
}

interface Row {
  vendor: string;
  method: string;
  path: string;
  headers: string[];
  scheme: string | null;
}
export const ledger = async (): Promise<Row[]> => (await fetch(`${vendors}/_ledger`)).json();
