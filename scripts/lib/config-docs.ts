import { type Holder, VARIABLES, type Variable } from "../../src/kernel/config";

/** Both documents of the configuration are made from the one table of src/kernel/config.ts; a test compares them. */

const HOLDERS: Record<Holder, string> = {
  edge: "edge",
  consumer: "consumer",
  both: "both",
  start: "`npm start`",
};

const cell = (text: string): string => text.replaceAll("|", "\\|");
const code = (text: string): string => `\`${text}\``;

/** One line a variable, in Markdown, aligned as the formatter wants it. */
export function markdownTable(variables: Variable[] = VARIABLES): string {
  const head = ["variable", "aliases", "held by", "default", "what"];
  const rows = variables.map((x) => {
    const fallback = x.default === "" ? "" : code(x.default);
    const what = x.secret ? `${x.what} _(secret)_` : x.what;
    return [code(x.name), x.aliases.map(code).join(", "), HOLDERS[x.holder], fallback, what].map(cell);
  });
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]!.length)));
  const line = (cells: string[]): string => `| ${cells.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head), line(widths.map((w) => "-".repeat(w))), ...rows.map(line)].join("\n");
}

const BEGIN = "<!-- variables: made by `npx tsx scripts/config-table.ts --write` -->";
const END = "<!-- /variables -->";

/** The document with its table replaced. @throws when its marks are missing. */
export function withTable(document: string, table: string = markdownTable()): string {
  const from = document.indexOf(BEGIN);
  const to = document.indexOf(END);
  if (from < 0 || to < from) throw new Error(`docs/configuration.md must hold "${BEGIN}" and "${END}".`);
  return `${document.slice(0, from)}${BEGIN}\n\n${table}\n\n${document.slice(to)}`;
}

/** The text of `.dev.vars.example`: every variable, commented out, with its default. */
export function exampleFile(variables: Variable[] = VARIABLES): string {
  const blocks = variables.map((x) => {
    const notes = [
      x.holder === "start" ? "read by npm start" : x.holder === "both" ? "both Workers" : x.holder,
      ...(x.secret ? ["secret"] : []),
      ...(x.aliases.length > 0 ? [`also ${x.aliases.join(", ")}`] : []),
    ];
    return `# ${x.what} (${notes.join("; ")})\n# ${x.name}=${x.default}`;
  });
  return [
    "# Every variable Reveille reads. `npm start` makes .dev.vars with the secrets it needs;",
    "# copy further lines from here, without the #. An empty value counts as unset; docs/configuration.md explains.",
    "",
    "# Credentials of your own targets: any name that starts with WATCH_ (edge; secret)",
    "# WATCH_CHECKOUT_TOKEN=",
    "# Bearer tokens of MCP servers: any name that starts with WATCH_MCP_ (consumer; secret)",
    "# WATCH_MCP_EXAMPLE=",
    "# Codes and prices that your own trust policy names: any name that starts with TRUST_ (edge; secret)",
    "# TRUST_PARTNER_CODE=",
    "# Another app of a chat platform: the platform's variable with __APP behind it, as in the webhook's URL",
    "# REVEILLE_SLACK_BOT_TOKEN__SECOND=",
    "# Keys of the agents that answer wake probes: WAKE_SLO_KEY__ and the agent's name (consumer; secret)",
    "# WAKE_SLO_KEY__SOUTH=",
    "",
    blocks.join("\n\n"),
    "",
  ].join("\n");
}
