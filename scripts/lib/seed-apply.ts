import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Api, ApiError } from "./api";
import type { SeedEntry } from "./seed";

export interface SeedOutcome {
  created: number;
  changed: number;
  unchanged: number;
  failed: { entry: SeedEntry; message: string }[];
}

/** The API client must send this, so that the rows say where they came from. */
export const SEED_HEADERS = { "x-reveille-source": "seed" };

const digest = (entry: SeedEntry): string => createHash("sha256").update(JSON.stringify(entry.target)).digest("hex");

/**
 * Applies seed entries through the operator API. What was applied last is remembered beside the data: an entry that did not
 * change since is left alone, so a target that an operator paused or tuned stays that way over restarts; an entry that
 * changed replaces the whole target; a target that is gone is made again. Targets that left the file stay.
 */
export async function applySeed(api: Api, entries: SeedEntry[], dataDir: string): Promise<SeedOutcome> {
  const file = join(dataDir, "seed.json");
  const applied = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, string>) : {};
  const outcome: SeedOutcome = { created: 0, changed: 0, unchanged: 0, failed: [] };
  for (const entry of entries) {
    try {
      const found = await find(api, entry.id);
      if (found && applied[entry.id] === digest(entry)) {
        outcome.unchanged++;
        continue;
      }
      if (found) await api.call("PATCH", `/api/v1/targets/${entry.id}`, replacing(found, entry));
      else await api.call("POST", "/api/v1/targets", entry.target);
      applied[entry.id] = digest(entry);
      if (found) outcome.changed++;
      else outcome.created++;
    } catch (error) {
      outcome.failed.push({ entry, message: error instanceof Error ? error.message : String(error) });
    }
  }
  writeFileSync(file, `${JSON.stringify(applied, null, 1)}\n`);
  return outcome;
}

interface Stored {
  kind: string;
  config: Record<string, unknown>;
  credentials: Record<string, string>;
  thresholds: Record<string, unknown>;
}

async function find(api: Api, id: string): Promise<Stored | null> {
  try {
    return await api.call<Stored>("GET", `/api/v1/targets/${id}`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/**
 * The entry as a PATCH that leaves nothing of the old target: keys it no longer has are null, which removes them.
 * @throws when the kind differs, which a PATCH can't change.
 */
function replacing(found: Stored, entry: SeedEntry): unknown {
  const { id, kind, ...target } = entry.target;
  if (kind !== found.kind)
    throw new Error(
      `${id} is stored as ${found.kind}; a kind can't be changed. Delete that target first, or give this one another id.`,
    );
  const over = (old: object | undefined, now: object): object => ({
    ...Object.fromEntries(Object.keys(old ?? {}).map((key) => [key, null])),
    ...now,
  });
  return {
    ...target,
    config: over(found.config, target.config),
    credentials: over(found.credentials, target.credentials),
    thresholds: over(found.thresholds, target.thresholds),
  };
}
