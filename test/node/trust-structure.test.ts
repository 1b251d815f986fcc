import { build } from "esbuild";
import { expect, it } from "vitest";
import { ROOT } from "../../scripts/lib/paths";

/** Tier two can suggest and nothing else: no file that changes a level, a policy or an admin is in its reach. */

async function inputs(entry: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
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
  return Object.keys(metafile.inputs).filter((f) => f.startsWith("src/trust/"));
}

it("the module of tier two reaches no other file of trust but its words", async () => {
  expect((await inputs("src/trust/agent-tier.ts")).sort()).toEqual(["src/trust/agent-tier.ts", "src/trust/types.ts"]);
});

it("nor does the whole Worker it runs in", async () => {
  const reached = await inputs("src/consumer/index.ts");
  expect(reached).toContain("src/trust/agent-tier.ts");
  for (const file of ["levels.store", "acts", "decide", "policy.store", "verdict.store", "index"])
    expect(reached).not.toContain(`src/trust/${file}.ts`);
});

it("the edge does not carry tier two", async () => {
  const reached = await inputs("src/edge/index.ts");
  expect(reached).toContain("src/trust/levels.store.ts");
  expect(reached).not.toContain("src/trust/agent-tier.ts");
});
