import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { bundleClient } from "../../scripts/lib/client-bundle";
import { ROOT } from "../../scripts/lib/paths";

/** The typed client as others get it: one small file of its own code, with nothing that only one platform has. */

const run = promisify(execFile);

it("is its own code alone, and small", async () => {
  const { code, meta } = await bundleClient();
  expect(Object.keys(meta.inputs).filter((file) => !file.startsWith("src/client/"))).toEqual([]);
  expect(Object.values(meta.outputs).flatMap((o) => o.imports)).toEqual([]);
  expect(code).not.toMatch(/\b(?:process|Buffer|require|__dirname)\b/);
  expect(gzipSync(code).length).toBeLessThan(16 * 1024);
});

it("needs no types but the web's", { timeout: 60_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "reveille-client-types-"));
  try {
    const compilerOptions = {
      ...{ noEmit: true, strict: true, target: "ES2023", module: "ESNext", moduleResolution: "Bundler" },
      ...{ lib: ["ES2023", "DOM"], types: [], verbatimModuleSyntax: true },
    };
    const files = [join(ROOT, "src/client/index.ts")];
    writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const { stdout } = await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", dir]).catch((e: { stdout: string }) => e);
    expect(stdout).toBe("");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

it("is what package.json exports, in plain Node", { timeout: 60_000 }, async () => {
  await bundleClient(true);
  const script = `
    import { connect, identityOf, memoryStore } from "reveille/client";
    const { address } = await identityOf("11".repeat(32));
    const error = await connect({ url: "http://127.0.0.1:9", store: memoryStore(), WebSocket: class {} }).catch((e) => e);
    console.log(JSON.stringify([address.length, error.name, error.code, error.retryable]));`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: ROOT });
  expect(JSON.parse(stdout)).toEqual([66, "ClientError", "unreachable", true]);
});
