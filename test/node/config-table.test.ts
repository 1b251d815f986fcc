import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { exampleFile, markdownTable, withTable } from "../../scripts/lib/config-docs";
import { ROOT } from "../../scripts/lib/paths";
import { splitVars } from "../../scripts/lib/vars";
import { VARIABLES } from "../../src/kernel/config";

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const again = "Run: npx tsx scripts/config-table.ts --write";

it("docs/configuration.md has exactly the variables of the code", () => {
  const document = read("docs/configuration.md");
  expect(document, again).toBe(withTable(document));
  for (const { name, aliases } of VARIABLES) for (const n of [name, ...aliases]) expect(document).toContain(`\`${n}\``);
});

it(".dev.vars.example has exactly the variables of the code, all commented out", () => {
  const example = read(".dev.vars.example");
  expect(example, again).toBe(exampleFile());
  expect(example.split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual([]);
});

it("every name stands for one variable", () => {
  const names = VARIABLES.flatMap((x) => [x.name, ...x.aliases]);
  expect(names.filter((n, i) => names.indexOf(n) !== i)).toEqual([]);
});

it("a pipe in a description does not break the table", () => {
  const table = markdownTable([{ name: "A", aliases: [], holder: "edge", secret: false, default: "", what: "x | y" }]);
  expect(table.split("\n").at(-1)).toBe("| `A`      |         | edge    |         | x \\| y |");
});

it("each Worker gets only what it may hold", () => {
  const all = Object.fromEntries(VARIABLES.flatMap((x) => [x.name, ...x.aliases]).map((n) => [n, "v"]));
  const { edge, consumer, unknown } = splitVars({ ...all, WATCH_TOKEN: "v", WATCH_MCP_X: "v", NOBODY_KNOWS: "v" });
  expect(unknown).toEqual(["NOBODY_KNOWS"]);
  expect(edge).toHaveProperty("WATCH_TOKEN");
  for (const x of VARIABLES)
    for (const name of [x.name, ...x.aliases]) {
      expect(name in edge, `${name} in the edge`).toBe(x.holder === "edge" || x.holder === "both");
      expect(name in consumer, `${name} in the consumer`).toBe(x.holder === "consumer" || x.holder === "both");
    }
  expect(consumer).not.toHaveProperty("WATCH_TOKEN");
  expect([edge, consumer].map((held) => "WATCH_MCP_X" in held)).toEqual([false, true]);
});
