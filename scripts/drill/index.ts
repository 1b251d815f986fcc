import { fileURLToPath } from "node:url";
import { runMain } from "../lib/exit";
import { dispatch } from "../lib/runner";

await runMain(() => dispatch("drill", fileURLToPath(new URL(".", import.meta.url))), true);
