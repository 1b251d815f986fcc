import { requireNode } from "./lib/guard";

requireNode();
const { main } = await import("./lib/demo");
const { runMain } = await import("./lib/exit");
await runMain(main, true);
