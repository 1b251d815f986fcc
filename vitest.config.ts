import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";
import { pointObjectsAt, readWorkerConfig } from "./scripts/lib/worker-options";
import { FLY_WRITE_TOKEN, testVars } from "./test/support/test-vars";

const migrations = await readD1Migrations("./migrations");
const { options: edge } = await readWorkerConfig("wrangler.toml");
const { options: consumer } = await readWorkerConfig("wrangler.consumer.toml");

/** The pool calls the Worker under test by this name; the auxiliary consumer's object bindings must point at it. */
const RUNNER = "vitest-pool-workers-runner-integration";

/** Trust policies are Markdown files, imported as text as wrangler does it. */
const textModules = {
  name: "text-modules",
  enforce: "pre" as const,
  transform: (code: string, id: string) =>
    /\.md$/.test(id) ? { code: `export default ${JSON.stringify(code)};`, map: null } : null,
};

const jsx = { oxc: { jsx: { runtime: "automatic" as const, importSource: "hono/jsx" } } };
const optimizer = { ssr: { enabled: true, include: ["itty-durable"] } };

export default defineConfig({
  test: {
    globalSetup: ["./test/support/global-setup.ts"],
    // The Workers log each refusal; only a failing test needs to show it.
    silent: "passed-only",
    projects: [
      {
        ...jsx,
        // Pure code, inside workerd, no bindings: files share one runtime.
        plugins: [
          textModules,
          cloudflareTest({
            miniflare: { compatibilityDate: edge.compatibilityDate, compatibilityFlags: edge.compatibilityFlags },
          }),
        ],
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.{ts,tsx}"],
          isolate: false,
          deps: { optimizer },
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...jsx,
        // The edge as the Worker under test with real D1, objects and queues; the consumer beside it.
        plugins: [
          textModules,
          cloudflareTest(({ inject }) => {
            const vars = testVars({ platformsUrl: inject("platformsUrl"), paymentsUrl: inject("paymentsUrl") });
            return {
              main: "./src/edge/index.ts",
              remoteBindings: false,
              miniflare: {
                ...edge,
                email: consumer.email,
                bindings: { ...edge.bindings, ...vars, TEST_MIGRATIONS: migrations },
                cf: false,
                workers: [
                  {
                    ...consumer,
                    name: "reveille-consumer",
                    modules: [{ type: "ESModule", path: "index.mjs", contents: inject("consumerCode") }],
                    bindings: { ...consumer.bindings, ...vars, REVEILLE_FLY_WRITE_TOKEN: FLY_WRITE_TOKEN },
                    durableObjects: pointObjectsAt(consumer.durableObjects, RUNNER),
                  },
                ],
              },
            };
          }),
        ],
        test: {
          name: "integration",
          include: ["test/{integration,conformance}/**/*.test.{ts,tsx}"],
          setupFiles: ["./test/setup.ts"],
          globalSetup: ["./test/support/bundle-setup.ts"],
          // The stand-ins' switches are shared by all files, so files run one after the other.
          fileParallelism: false,
          testTimeout: 15_000,
          deps: { optimizer },
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "node",
          environment: "node",
          include: ["test/node/**/*.test.ts"],
          testTimeout: 30_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Headless Chromium of this machine; without one they are skipped, and CI fails (scripts/lib/test-run.ts).
        test: {
          name: "browser",
          environment: "node",
          include: ["test/browser/**/*.test.ts"],
          testTimeout: 30_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
