import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { bundleWorker } from "../../scripts/lib/bundle";
import { ROOT } from "../../scripts/lib/paths";

/** What the layout promises (design §6): imports point one way, and the stand-ins know nothing of the code they judge. */

const root = ROOT.replace(/\/$/, "");

function filesUnder(dir: string): string[] {
  return readdirSync(join(root, dir), { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && /\.tsx?$/.test(e.name))
    .map((e) => relative(root, join(e.parentPath, e.name)));
}

/** Relative imports of a file, resolved to paths without an extension; type imports count as well. */
function importsOf(file: string, source = readFileSync(join(root, file), "utf8")): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const specifiers = [
    ...code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\bexport\s+\*\s+from\s*)["'](\.[^"']*)["']/g),
  ].map((m) => m[1]!);
  return [...new Set(specifiers)].map((s) => relative(root, resolve(root, dirname(file), s)));
}

type Layer = { rank: number; domain: string | null };

/** kernel 0, domains 1, objects 2, edge and consumer 3; null: outside the rule. */
function layerOf(path: string): Layer | null {
  const [first, second] = path.split("/");
  if (first === "durable-objects") return { rank: 2, domain: null };
  if (first !== "src" || !second) return null;
  if (second === "kernel") return { rank: 0, domain: null };
  if (second === "edge" || second === "consumer") return { rank: 3, domain: second };
  return { rank: 1, domain: second };
}

// Tier two of trust is taken alone: the index beside it offers what changes levels (trust-structure.test.ts).
const CONSUMER_ONLY = ["src/reason/engine", "src/reason/mcp", "src/trust/agent-tier", "src/trust/types"];

/** What is wrong with an import, or null. */
function wrongImport(from: string, to: string): string | null {
  const a = layerOf(from);
  const b = layerOf(to);
  if (!a || !b)
    return b === null && a !== null ? `${from} imports ${to}, which is outside src and durable-objects` : null;
  // The objects' binding types are the contract of the queues and stubs; they are types alone.
  if (to === "durable-objects/env") return null;
  if (b.rank > a.rank) return `${from} imports ${to}: imports point from edge to kernel, not back`;
  if (a.rank === 3 && b.rank === 3 && a.domain !== b.domain)
    return `${from} imports ${to}: the two Workers share no code of their own`;
  // Files of reasoning that lead to libraries the edge must not carry stay out of its index; the consumer alone takes them.
  if (a.domain === "consumer" && CONSUMER_ONLY.includes(to)) return null;
  const inside = b.domain !== null && b.rank === 1 && a.domain !== b.domain;
  if (inside && to !== `src/${b.domain}` && to !== `src/${b.domain}/index`)
    return `${from} imports ${to}: another domain is reached through src/${b.domain}/index`;
  return null;
}

describe("imports", () => {
  const sources = [...filesUnder("src"), ...filesUnder("durable-objects")];

  it("are read from the code", () => {
    const text = `import { a } from "../kernel/a";\nimport type { B } from './b';\nexport * from "./c";\nconst d = await import("./d");\n// from "./no"\nimport z from "zod";\nimport "./e";`;
    expect(importsOf("src/watch/x.ts", text)).toEqual([
      "src/kernel/a",
      "src/watch/b",
      "src/watch/c",
      "src/watch/d",
      "src/watch/e",
    ]);
  });

  it("are judged by folder", () => {
    expect(wrongImport("src/kernel/a.ts", "src/watch/b")).not.toBeNull();
    expect(wrongImport("src/watch/a.ts", "src/edge/b")).not.toBeNull();
    expect(wrongImport("src/watch/a.ts", "durable-objects/target.do")).not.toBeNull();
    expect(wrongImport("src/watch/a.ts", "src/notify/deliver")).not.toBeNull();
    expect(wrongImport("src/edge/a.ts", "src/notify/deliver")).not.toBeNull();
    expect(wrongImport("src/edge/a.ts", "src/consumer/b")).not.toBeNull();
    expect(wrongImport("src/edge/a.ts", "test/support/vendors")).not.toBeNull();
    expect(wrongImport("src/edge/a.ts", "src/reason/engine")).not.toBeNull();
    expect(wrongImport("src/consumer/a.ts", "src/reason/spend")).not.toBeNull();
    expect(wrongImport("src/consumer/a.ts", "src/reason/engine")).toBeNull();
    expect(wrongImport("src/watch/a.ts", "src/notify")).toBeNull();
    expect(wrongImport("src/watch/a.ts", "src/watch/probes/b")).toBeNull();
    expect(wrongImport("src/edge/a.ts", "durable-objects/target.do")).toBeNull();
  });

  it("point one way, and into a domain only through its index", () => {
    expect(sources.length).toBeGreaterThan(20);
    expect(
      sources.flatMap((file) => importsOf(file).map((to) => wrongImport(file, to))).filter((w) => w !== null),
    ).toEqual([]);
  });
});

describe("the edge", () => {
  it("carries no LLM library, and the consumer does", async () => {
    const packages = async (entry: string): Promise<Set<string>> => {
      const { metafile } = await build({
        absWorkingDir: root,
        entryPoints: [entry],
        bundle: true,
        write: false,
        metafile: true,
        // What is imported counts, not what is left after unused code is dropped: that depends on every package's promises.
        treeShaking: false,
        format: "esm",
        platform: "browser",
        conditions: ["workerd", "worker", "browser"],
        external: ["cloudflare:*"],
        loader: { ".md": "text" },
        logLevel: "silent",
      });
      const names = Object.keys(metafile.inputs).map((f) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(f)?.[1]);
      return new Set(names.filter((n) => n !== undefined));
    };
    const llm = (names: Set<string>): string[] =>
      [...names].filter((n) => n === "ai" || n.startsWith("@ai-sdk/") || n === "postal-mime").sort();
    expect(llm(await packages("src/edge/index.ts"))).toEqual([]);
    expect(llm(await packages("src/consumer/index.ts"))).toContain("ai");
  });

  // One import of zod that a bundler can't take apart, as `import { z }` is, brings all of it.
  it("is bundled without zod's sixty languages", async () => {
    // Words of the Dutch catalogue: ASCII, because a bundle escapes the rest.
    const word = "Ongeldige invoer";
    expect(readFileSync(join(root, "node_modules/zod/v4/locales/nl.js"), "utf8")).toContain(word);
    expect(await bundleWorker("src/edge/index.ts")).not.toContain(word);
  });
});

describe("test/support", () => {
  it("imports nothing from src, not even through another file", () => {
    const seen = new Set<string>();
    const follow = (file: string, trail: string[]): string[] => {
      if (seen.has(file)) return [];
      seen.add(file);
      return importsOf(file).flatMap((to) => {
        if (/^(src|durable-objects)(\/|$)/.test(to)) return [[...trail, file, to].join(" -> ")];
        const next = [`${to}.ts`, `${to}/index.ts`, `${to}.tsx`].find((f) => existing.has(f));
        return next ? follow(next, [...trail, file]) : [];
      });
    };
    const existing = new Set([...filesUnder("scripts"), ...filesUnder("test")]);
    expect(filesUnder("test/support").flatMap((file) => follow(file, []))).toEqual([]);
    expect(seen.size).toBeGreaterThan(3);
  });
});
