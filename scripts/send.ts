import { requireNode } from "./lib/guard";

requireNode();
const { runMain } = await import("./lib/exit");
const { main } = await import("./lib/send");
await runMain(main);
