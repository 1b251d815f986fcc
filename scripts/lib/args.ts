import { parseArgs } from "node:util";
import { EXIT, Exit } from "./exit";

/** One `--flag` or `--option VALUE` of a command. */
export interface OptionSpec {
  type: "boolean" | "string";
  /** How the value is called in the help. */
  value?: string;
  what: string;
}

export interface CommandSpec {
  /** As typed, e.g. `npm run bench --`. */
  command: string;
  what: string;
  /** Words after the command, e.g. `NAME`; the first `required` of them must be given. */
  positionals?: string[];
  required?: number;
  options?: Record<string, OptionSpec>;
  /** More lines under the help. */
  notes?: string[];
}

export interface Parsed {
  positionals: string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  /** An integer option. @throws Exit 2 when it is not one. */
  integer(name: string): number | undefined;
}

const HELP: OptionSpec = { type: "boolean", what: "show this" };

export function helpText(spec: CommandSpec): string {
  const words = (spec.positionals ?? []).map((p, i) => (i < (spec.required ?? 0) ? p : `[${p}]`));
  const options = Object.entries({ ...spec.options, help: HELP });
  const left = options.map(([name, o]) => `--${name}${o.type === "string" ? ` ${o.value ?? "VALUE"}` : ""}`);
  const width = Math.max(...left.map((l) => l.length));
  const lines = options.map(([, o], i) => `  ${left[i]!.padEnd(width)}  ${o.what}`);
  return [`${[spec.command, ...words, "[options]"].join(" ")}`, `  ${spec.what}`, ...lines, ...(spec.notes ?? [])].join(
    "\n",
  );
}

/** Parses a command line. `--help` ends with 0 and the help; anything unknown or missing with 2 and the reason. */
export function readArgs(spec: CommandSpec, argv: string[] = process.argv.slice(2)): Parsed {
  const wrong = (reason: string): Exit => new Exit(EXIT.usage, reason, "", helpText(spec));
  const options = Object.fromEntries(
    Object.entries({ ...spec.options, help: HELP }).map(([name, o]) => [name, { type: o.type }]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: argv, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw wrong(error instanceof Error ? error.message.split(". ")[0] + "." : String(error));
  }
  const { values, positionals } = parsed;
  if (values["help"]) throw new Exit(EXIT.ok, helpText(spec));
  const names = spec.positionals ?? [];
  const open = names.at(-1)?.endsWith("...") ?? false;
  if (!open && positionals.length > names.length) throw wrong(`"${positionals[names.length]}" is one word too many.`);
  if (positionals.length < (spec.required ?? 0)) throw wrong(`${names[positionals.length]} is missing.`);
  const text = (name: string): string | undefined => values[name] as string | undefined;
  return {
    positionals,
    flag: (name) => values[name] === true,
    text,
    integer: (name) => {
      const raw = text(name);
      if (raw !== undefined && !/^-?\d{1,15}$/.test(raw))
        throw wrong(`--${name} is "${raw}"; it must be a whole number.`);
      return raw === undefined ? undefined : Number(raw);
    },
  };
}
