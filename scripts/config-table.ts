import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readArgs } from "./lib/args";
import { exampleFile, markdownTable, withTable } from "./lib/config-docs";
import { EXIT, runMain } from "./lib/exit";
import { ROOT } from "./lib/paths";

await runMain(async () => {
  const args = readArgs({
    command: "npx tsx scripts/config-table.ts",
    what: "Prints the table of all variables.",
    options: { write: { type: "boolean", what: "write it into docs/configuration.md and .dev.vars.example" } },
  });
  if (!args.flag("write")) {
    process.stdout.write(`${markdownTable()}\n`);
    return EXIT.ok;
  }
  const document = join(ROOT, "docs/configuration.md");
  writeFileSync(document, withTable(readFileSync(document, "utf8")));
  writeFileSync(join(ROOT, ".dev.vars.example"), exampleFile());
  return EXIT.ok;
});
