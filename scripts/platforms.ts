import { requireNode } from "./lib/guard";

requireNode();
const { runMain } = await import("./lib/exit");
const { main } = await import("./lib/platforms");
await runMain(main);
