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
  const { unstable_readConfig, unstable_getMiniflareWorkerOptions } = await import("wrangler");
  const parsed = unstable_readConfig({ config: join(ROOT, config) });
  const { workerOptions } = quietly(() => unstable_getMiniflareWorkerOptions(parsed));
  return {
    options: { ...workerOptions, bindings: { ...(parsed.vars as Record<string, string>) } },
    crons: parsed.triggers.crons ?? [],
  };
}

/** wrangler would tell about the `.dev.vars` it reads, which is not used; its log level is read from here each time. */
function quietly<T>(work: () => T): T {
  const before = process.env["WRANGLER_LOG"];
  process.env["WRANGLER_LOG"] = "error";
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env["WRANGLER_LOG"];
    else process.env["WRANGLER_LOG"] = before;
  }
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
