import { build, type Metafile } from "esbuild";
import { ROOT } from "./paths";

/** The typed client as one ES module for browsers, Node and Workers: no dependency, nothing of a platform. */
export const CLIENT_ENTRY = "src/client/index.ts";
export const CLIENT_FILE = "dist/client.js";

/** Bundles the client; with `write` into `dist/client.js`, as package.json exports it. @throws esbuild's BuildFailure. */
export async function bundleClient(write = false): Promise<{ code: string; meta: Metafile }> {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [CLIENT_ENTRY],
    outfile: CLIENT_FILE,
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    target: "es2022",
    // Neither browser nor Node: an import of something only one of them has fails the build.
    platform: "neutral",
    logLevel: "silent",
  });
  const code = result.outputFiles[0]!.text;
  if (write) {
    const { mkdir, writeFile } = await import("node:fs/promises");
    await mkdir(`${ROOT}dist`, { recursive: true });
    await writeFile(ROOT + CLIENT_FILE, code);
  }
  return { code, meta: result.metafile };
}
