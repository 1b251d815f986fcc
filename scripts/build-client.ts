import { requireNode } from "./lib/guard";

requireNode();
const { bundleClient, CLIENT_FILE } = await import("./lib/client-bundle");
const { EXIT, runMain } = await import("./lib/exit");
await runMain(async () => {
  const { code } = await bundleClient(true);
  process.stdout.write(`${CLIENT_FILE}  ${code.length} bytes\n`);
  return EXIT.ok;
});
