import type { PlatformName } from "../platform";
import { forgetFacts, readTexts } from "./facts.store";
import { type ManageDeps, told } from "./tenants.store";
import type { Destination } from "./types";

/** What a gateway wants to hear of people who are not its owners (hermes-relay §5.3). */

export interface RelevanceRule {
  require_address: boolean;
  free_response_scopes: string[];
  allow_other_bots: boolean;
}

/**
 * Replaces the whole rule of an instance on a platform. A gateway sends it at each boot: the same again writes
 * nothing.
 */
export async function putPolicy(
  deps: ManageDeps,
  d: Destination,
  platform: PlatformName,
  rule: RelevanceRule,
): Promise<void> {
  const { db, runtime } = deps;
  const values = [
    Number(rule.require_address),
    JSON.stringify(rule.free_response_scopes),
    Number(rule.allow_other_bots),
  ];
  await db.batch([
    db
      .prepare(
        `INSERT INTO relevance (tenant, platform, instance, require_address, free_response_scopes, allow_other_bots, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET require_address = excluded.require_address, updated_at = excluded.updated_at,
           free_response_scopes = excluded.free_response_scopes, allow_other_bots = excluded.allow_other_bots
         WHERE require_address <> excluded.require_address OR allow_other_bots <> excluded.allow_other_bots
            OR free_response_scopes <> excluded.free_response_scopes`,
      )
      .bind(d.tenant, platform, d.instance, ...values, runtime.clock.now()),
    told(deps, "connector.changed", { action: "policy.changed", ...d, platform, ...rule }),
  ]);
  forgetFacts(db);
}

export interface PolicyRow extends RelevanceRule {
  platform: PlatformName;
}

/** The rules of an instance, by platform. */
export async function listPolicies(db: D1Database, d: Destination): Promise<PolicyRow[]> {
  const { results } = await db
    .prepare("SELECT * FROM relevance WHERE tenant = ? AND instance = ? ORDER BY platform")
    .bind(d.tenant, d.instance)
    .all<{ platform: PlatformName; require_address: number; free_response_scopes: string; allow_other_bots: number }>();
  return results.map((r) => ({
    platform: r.platform,
    require_address: r.require_address === 1,
    free_response_scopes: readTexts(r.free_response_scopes),
    allow_other_bots: r.allow_other_bots === 1,
  }));
}
