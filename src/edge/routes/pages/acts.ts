import { auditStatement } from "../../../audit";
import { checkHost, checkUrl } from "../../../kernel/net-guard";
import type { Runtime } from "../../../kernel/runtime";
import { hostsOf, lookAt, parseTarget, type Snapshot, urlsOf } from "../../../watch";
import type { EdgeEnv } from "../../env";

/** The two acts that only pages have. Everything else a page does is in edge/acts.ts. */

/**
 * Looks once at a target that is not saved ("Look now" before "Watch it"): nothing is written. Only kinds without a
 * credential come here, so nothing but the look itself leaves. @throws ReveilleError 400 with the field.
 */
export async function previewLook(env: EdgeEnv, runtime: Runtime, body: unknown): Promise<Snapshot> {
  const { every, ...input } = parseTarget(body);
  const list = runtime.config.allowPrivate;
  for (const { field, url } of urlsOf({ every, ...input })) checkUrl(url, list, field);
  for (const { field, host, port } of hostsOf({ every, ...input })) checkHost(host, port, list, field);
  const at = runtime.clock.now();
  const target = { ...input, id: "preview", num: 0, every_s: every, source: "api" as const };
  return lookAt({ ...target, muted_until: null, created_at: at, updated_at: at }, runtime, env.DB);
}

/** The `config.changed` row of an act on a maintenance window. */
export const noteMaintenance = (
  env: EdgeEnv,
  runtime: Runtime,
  by: string,
  change: string,
  id: string,
): Promise<unknown> =>
  auditStatement(env.DB, {
    at: runtime.clock.now(),
    seam: "config.changed",
    source: "operator",
    details: runtime.redact.json({ by, change, maintenance: id }),
  }).run();
