import { join } from "node:path";
import type { SourcelessWorkerOptions } from "wrangler";
import { ROOT } from "./paths";

/** A Worker as its wrangler file says, without its code: Miniflare options and cron expressions. */
export interface WorkerConfig {
  options: SourcelessWorkerOptions;
  crons: string[];
}

/**
 * Reads a wrangler file, so that bindings are written down once. wrangler would add `.dev.vars` or `.env` by itself; those
 * are left out, because each Worker gets only the variables it may hold (and tests get none of a developer's).
 */
export async function readWorkerConfig(config: string): Promise<WorkerConfig> {
  // It would tell about the `.dev.vars` it read, which is not used.
  process.env["WRANGLER_LOG"] ??= "error";
  const { unstable_readConfig, unstable_getMiniflareWorkerOptions } = await import("wrangler");
  const parsed = unstable_readConfig({ config: join(ROOT, config) });
  const { workerOptions } = unstable_getMiniflareWorkerOptions(parsed);
  return {
    options: { ...workerOptions, bindings: { ...(parsed.vars as Record<string, string>) } },
    crons: parsed.triggers.crons ?? [],
  };
}

/** What an object binding may be in Miniflare's options. */
type ObjectBindings = Record<string, string | { className: string; scriptName?: string; useSQLite?: boolean }>;

/** The object bindings of a Worker beside the edge, pointed at the edge under the name it has in this process. */
export function pointObjectsAt(bindings: unknown, scriptName: string): ObjectBindings {
  return Object.fromEntries(
    Object.entries((bindings ?? {}) as ObjectBindings).map(([name, object]) => [
      name,
      typeof object === "string" ? { className: object, scriptName } : { ...object, scriptName },
    ]),
  );
}
