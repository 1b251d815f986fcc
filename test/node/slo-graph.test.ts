import { build } from "esbuild";
import { expect, it } from "vitest";
import { ROOT } from "../../scripts/lib/paths";

/** A probe is answered before any model (design §4.4): nothing of reasoning can be reached from its consumer. */

async function graph(entry: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT.replace(/\/$/, ""),
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    // What is imported counts, not what is left after unused code is dropped.
    treeShaking: false,
    format: "esm",
    platform: "browser",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*"],
    loader: { ".md": "text" },
    logLevel: "silent",
  });
  return Object.keys(metafile.inputs);
}

const model = (files: string[]): string[] =>
  files.filter((f) => /^src\/reason\/|node_modules\/(ai|@ai-sdk\/[^/]+|@modelcontextprotocol\/sdk)\//.test(f));

it("the consumer of queue slo imports no reasoning and no library of models", async () => {
  const files = await graph("src/consumer/slo.consumer.ts");
  expect(files).toContain("src/slo/responder.ts");
  expect(model(files)).toEqual([]);
  // The same look finds them where they are.
  expect(model(await graph("src/consumer/wake.consumer.ts")).length).toBeGreaterThan(3);
});
