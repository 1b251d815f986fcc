import { fileURLToPath } from "node:url";

/** The repository root, with a trailing slash. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * The two Workers: name, entry point and wrangler configuration, relative to the root; `target` names the environment that is
 * deployed. Local runs take none.
 */
export const WORKERS = [
  { name: "reveille", entry: "src/edge/index.ts", config: "wrangler.toml", target: [] },
  {
    name: "reveille-consumer",
    entry: "src/consumer/index.ts",
    config: "wrangler.consumer.toml",
    target: ["--env", "production"],
  },
] as const;

export const MIGRATIONS_DIR = "migrations";
