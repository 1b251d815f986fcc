import { auditIfChanged, auditStatement } from "../src/audit";
import {
  type Buffer,
  chatSessionName,
  type Destination,
  formatBufferId,
  gatewayName,
  poke,
  readInstance,
} from "../src/gateway";
import { MINUTE } from "../src/kernel/clock";
import { describe } from "../src/kernel/errors";
import type { Runtime } from "../src/kernel/runtime";
import type { PlatformName } from "../src/platform";
import type { Line } from "./gateway.sockets";
import { sessionObject } from "./session.stub";

/** What a Gateway object tells and asks the world around it: audit rows, its siblings, the gateway's wake URL. */

/** Dead letters told at once. */
const BATCH = 40;

/** Tells D1 of the dead letters it has not heard of: a row of the common list and an audit row each. Safe to repeat. */
export async function tellDead(
  db: D1Database,
  runtime: Runtime,
  buffer: Buffer,
  to: Destination,
  tag: string,
): Promise<void> {
  for (;;) {
    const dead = buffer.untold(BATCH);
    if (dead.length === 0) return;
    const at = runtime.clock.now();
    await db.batch(
      dead.flatMap(({ seq, why, attempts, stored }) => {
        const id = `delivery:${formatBufferId(tag, seq)}`;
        const details = { ...to, seq, platform: stored.platform, why, attempts };
        return [
          db
            .prepare(
              `INSERT INTO dead_letter (id, kind, ref, reason, payload, created_at) VALUES (?, 'delivery', ?, ?, ?, ?)
               ON CONFLICT DO NOTHING`,
            )
            .bind(id, gatewayName(to), why, JSON.stringify({ ...to, seq }), at),
          // Once: a repeat finds the letter there.
          auditIfChanged(db, {
            at,
            seam: "webhook.dead_letter",
            source: "gateway",
            details: { ...details, dead_letter: id },
          }),
        ];
      }),
    );
    buffer.told(dead.map((d) => d.seq));
  }
}

const counted = new Map<string, { at: number; n: number }>();

/** Marks letters in the common list as sent again, so that nobody counts them as open. Never throws: they were sent. */
export async function tellReplayed(
  db: D1Database,
  runtime: Runtime,
  tag: string,
  seqs: readonly number[],
  by: string,
): Promise<void> {
  const mark = db.prepare(
    "UPDATE dead_letter SET replayed_at = ?, replayed_by = ? WHERE id = ? AND replayed_at IS NULL",
  );
  try {
    for (let at = 0; at < seqs.length; at += BATCH)
      await db.batch(
        seqs
          .slice(at, at + BATCH)
          .map((seq) => mark.bind(runtime.clock.now(), by, `delivery:${formatBufferId(tag, seq)}`)),
      );
  } catch (error) {
    runtime.log("error", "gateway.mark_failed", { error: describe(error) });
  }
}

/** A frame a gateway should not send: a log line, and one audit row a minute for each gateway and kind. Never throws. */
export async function tellOdd(db: D1Database, runtime: Runtime, line: Line, what: string): Promise<void> {
  const now = runtime.clock.wall();
  const key = JSON.stringify([line.gateway_id, what]);
  const last = counted.get(key);
  if (last && now < last.at + MINUTE) {
    last.n++;
    return;
  }
  if (counted.size > 1_000) counted.clear();
  counted.set(key, { at: now, n: 0 });
  runtime.log("warn", "gateway.odd_frame", { gateway_id: line.gateway_id, what, since_last: last?.n ?? 0 });
  const { gateway_id, tenant, instance } = line;
  const details = { gateway_id, tenant, instance, what, more_before: last?.n ?? 0 };
  await auditStatement(db, { at: runtime.clock.now(), seam: "gateway.odd_frame", source: "gateway", details })
    .run()
    .catch((error) => runtime.log("error", "gateway.audit_failed", { error: describe(error) }));
}

/** The other instances of a tenant that may run a session, at most 50. */
export async function otherInstances(db: D1Database, line: Line): Promise<string[]> {
  const { results } = await db
    .prepare("SELECT DISTINCT instance FROM gateway WHERE tenant = ? AND instance <> ? AND revoked_at IS NULL LIMIT 50")
    .bind(line.tenant, line.instance)
    .all<{ instance: string }>();
  return results.map((r) => r.instance);
}

/** Pokes the instance's wake URL, if it has one. A poke that fails is logged and otherwise ignored. */
export async function pokeInstance(db: D1Database, runtime: Runtime, to: Destination): Promise<void> {
  try {
    const url = (await readInstance(db, to))?.wake_url;
    if (url) await poke(url, runtime.config.allowPrivate);
  } catch (error) {
    runtime.log("warn", "gateway.poke_failed", { ...to, error: describe(error) });
  }
}

/** Throws away the credentials of an instance's chats. @throws what an object threw: to be repeated. */
export async function purgeVaults(
  sessions: DurableObjectNamespace,
  to: Destination,
  chats: readonly { platform: string; chat: string }[],
): Promise<void> {
  for (let at = 0; at < chats.length; at += BATCH)
    await Promise.all(
      chats
        .slice(at, at + BATCH)
        .map(({ platform, chat }) =>
          sessionObject(sessions, chatSessionName(to, platform as PlatformName, chat)).purge(),
        ),
    );
}
