import { MINUTE } from "../kernel/clock";
import { appVar } from "../kernel/config";
import { sha256Hex } from "../kernel/crypto";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { commandsOf, Holds, registerCommands } from "../platform";

/**
 * Discord's commands as gateways ask for them in their greeting (hermes-relay §3): the object notes what it is told, the minute
 * task registers the newest. So a handshake waits for nothing, and instances that share an application change it at most once a
 * minute, together.
 */

/** Wall ms between two tries of one application. */
const MIN_INTERVAL = MINUTE - 1_000;
const DEADLINE_MS = 20_000;
const MAX_BYTES = 200_000;

interface Deps {
  db: D1Database;
  runtime: Runtime;
}

/** Notes a manifest: the newest wins. Nothing is written when it is the one that is noted. Never throws. */
export async function noteManifest({ db, runtime }: Deps, botId: string, entries: readonly unknown[]): Promise<void> {
  try {
    if (discordApp(runtime.vars, botId) === null) return runtime.log("warn", "manifest.foreign", {});
    const manifest = JSON.stringify(commandsOf(entries));
    if (manifest.length > MAX_BYTES) return runtime.log("warn", "manifest.too_large", { bytes: manifest.length });
    await db
      .prepare(
        `INSERT INTO discord_manifest (bot_id, manifest, hash, seen_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (bot_id) DO UPDATE SET manifest = excluded.manifest, hash = excluded.hash, seen_at = excluded.seen_at
         WHERE discord_manifest.hash <> excluded.hash`,
      )
      .bind(botId, manifest, await sha256Hex(manifest), runtime.clock.now())
      .run();
  } catch (error) {
    runtime.log("warn", "manifest.not_noted", { error: describe(error) });
  }
}

/** The app whose application this is, "" for the plain variables; null: it is none of ours. */
export function discordApp(vars: Record<string, unknown>, botId: string): string | null {
  const name = "REVEILLE_DISCORD_APPLICATION_ID";
  const plain = appVar(vars, name, "");
  if (botId === "" || plain === botId) return "";
  const own = Object.keys(vars).find((k) => k.startsWith(`${name}__`) && String(vars[k]).trim() === botId);
  return own ? own.slice(name.length + 2).toLowerCase() : null;
}

/** Registers what is due. Each row is claimed first, so that two at once try it once. */
export async function registerManifests({ db, runtime }: Deps): Promise<void> {
  const wall = runtime.clock.wall();
  const { results } = await db
    .prepare(
      `UPDATE discord_manifest SET tried_at = ?1 WHERE hash <> registered_hash AND tried_at <= ?2
       RETURNING bot_id, manifest, hash`,
    )
    .bind(wall, wall - MIN_INTERVAL)
    .all<{ bot_id: string; manifest: string; hash: string }>();
  for (const { bot_id, manifest, hash } of results) {
    const why = await registerOne(runtime, bot_id, JSON.parse(manifest) as unknown[]);
    // What came meanwhile has another hash and stays due.
    await db
      .prepare(
        "UPDATE discord_manifest SET registered_hash = IIF(?1 IS NULL, ?2, registered_hash), error = ?1 WHERE bot_id = ?3",
      )
      .bind(why, hash, bot_id)
      .run();
  }
}

/** Null when the application has these commands now, else why not. */
async function registerOne(runtime: Runtime, botId: string, manifest: unknown[]): Promise<string | null> {
  const app = discordApp(runtime.vars, botId);
  const application = app === null ? "" : appVar(runtime.vars, "REVEILLE_DISCORD_APPLICATION_ID", app);
  if (app === null || !application || !appVar(runtime.vars, "REVEILLE_DISCORD_BOT_TOKEN", app))
    return "this application's id and bot token are not set";
  const deps = { runtime, app, deadline: runtime.clock.wall() + DEADLINE_MS, holds: new Holds(), broken: () => {} };
  const result = await registerCommands(deps, application, manifest);
  const error = "fail" in result ? (result.fail.error ?? "refused") : null;
  if ("fail" in result) runtime.log("warn", "manifest.not_registered", { application, error });
  else
    runtime.log("info", "manifest.registered", { application, changed: result.changed, commands: result.names.length });
  return error;
}
