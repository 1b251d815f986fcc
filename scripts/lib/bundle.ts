import { build } from "esbuild";
import { ROOT } from "./paths";

/**
 * Bundles a Worker the way wrangler does (same conditions, main fields and Text rules), into one ES module kept in memory.
 * `entry` is relative to the root. @throws esbuild's BuildFailure, with file and line.
 */
export async function bundleWorker(entry: string): Promise<string> {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    platform: "browser",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["browser", "module", "main"],
    external: ["cloudflare:*"],
    loader: { ".txt": "text", ".html": "text", ".sql": "text", ".md": "text" },
    define: { "process.env.NODE_ENV": '"production"', "navigator.userAgent": '"Cloudflare-Workers"' },
    keepNames: true,
    logLevel: "silent",
  });
  return result.outputFiles[0]!.text;
}
