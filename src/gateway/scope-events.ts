import { auditIfChanged, auditStatement } from "../audit";
import { all } from "../kernel/d1";
import type { Runtime } from "../kernel/runtime";
import type { PlatformName } from "../platform";
import { forgetFacts } from "./facts.store";
import type { Destination } from "./types";

/** What platforms tell about chats and tenants themselves, not by a person's act (chat-platforms §1.2, §3.2). */

interface Deps {
  db: D1Database;
  runtime: Runtime;
}

/**
 * A chat got a new id (a Telegram group became a supergroup): what was given to the old one holds for the new one. Returns the
 * instances that hold the new one.
 */
export async function moveChat(deps: Deps, platform: PlatformName, from: string, to: string): Promise<Destination[]> {
  const { db, runtime } = deps;
  const told = auditIfChanged(db, {
    at: runtime.clock.now(),
    seam: "connector.changed",
    source: "gateway",
    details: { action: "chat.moved", platform, from, to },
  });
  // OR IGNORE: what the new id has already been given stays.
  const results = await db.batch([
    db
      .prepare("UPDATE OR IGNORE scope_grant SET channel_id = ? WHERE platform = ? AND channel_id = ?")
      .bind(to, platform, from),
    told,
    db
      .prepare("UPDATE OR IGNORE scope_route SET scope_id = ? WHERE platform = ? AND scope_id = ?")
      .bind(to, platform, from),
    told,
    db.prepare("UPDATE OR IGNORE prompt SET chat_id = ? WHERE platform = ? AND chat_id = ?").bind(to, platform, from),
  ]);
  if (results.some((r) => r.meta.changes > 0)) forgetFacts(db);
  return all<Destination>(
    db
      .prepare("SELECT DISTINCT tenant, instance FROM scope_grant WHERE platform = ? AND channel_id = ?")
      .bind(platform, to),
  );
}

/**
 * The platform says that our app has no access to this scope any more. Marks the app as refused, with an audit row, and returns the
 * instances whose vaults may hold credentials of it.
 */
export async function scopeRevoked(
  deps: Deps,
  platform: PlatformName,
  scope_id: string,
  app: string,
): Promise<Destination[]> {
  const { db, runtime } = deps;
  const now = runtime.clock.now();
  const detail = JSON.stringify([{ check: "token", ok: false, detail: `${platform} revoked it for ${scope_id}` }]);
  await db.batch([
    db
      .prepare("UPDATE platform_app SET state = 'refused', detail = ?, checked_at = ? WHERE platform = ? AND app = ?")
      .bind(detail, now, platform, app),
    auditStatement(db, {
      at: now,
      seam: "connector.changed",
      source: "gateway",
      details: { action: "scope.revoked", platform, scope_id, app },
    }),
  ]);
  return all<Destination>(
    db
      .prepare(
        `SELECT tenant, id AS instance FROM instance WHERE tenant = COALESCE(
           (SELECT tenant FROM scope_route WHERE platform = ? AND scope_id = ?),
           (SELECT MIN(id) FROM tenant HAVING COUNT(*) = 1))`,
      )
      .bind(platform, scope_id),
  );
}
