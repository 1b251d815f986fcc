import { fileURLToPath } from "node:url";
import { runMain } from "../lib/exit";
import { dispatch } from "../lib/runner";

await runMain(() => dispatch("bench", fileURLToPath(new URL(".", import.meta.url))), true);
