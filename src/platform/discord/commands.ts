import type { SendDeps } from "../call";
import type { OpResult } from "../types";
import { discordCall } from "./api";

/** The application's global commands: read, compared, and written as a whole only when they differ (chat-platforms §2.5). */

export type Command = Record<string, unknown> & { name: string };

/** A person links themselves by it; no gateway may take its name. */
const OWN: Command[] = [
  {
    type: 1,
    name: "link",
    description: "Link yourself to your agent",
    options: [{ type: 3, name: "code", description: "The code you were given", required: true }],
  },
];
/** While no gateway has told what it takes. */
const FIRST: Command = {
  type: 1,
  name: "ask",
  description: "Ask your agent",
  options: [{ type: 3, name: "text", description: "What you want to know", required: true }],
};
const MAX_COMMANDS = 100;
const NAME = /^[a-z0-9_-]{1,32}$/;

/** A gateway's manifest as commands: what has no proper name is left out (hermes-relay §3). */
export function commandsOf(manifest: readonly unknown[]): Command[] {
  const seen = new Set(OWN.map((c) => c.name));
  const commands = manifest.flatMap((entry) => {
    const { name, description, options } = (entry ?? {}) as Record<string, unknown>;
    if (typeof name !== "string" || !NAME.test(name) || seen.has(name)) return [];
    seen.add(name);
    const words = typeof description === "string" && description.trim() !== "" ? description.trim() : name;
    return [
      { type: 1, name, description: words.slice(0, 100), options: Array.isArray(options) ? options.slice(0, 25) : [] },
    ];
  });
  return commands.slice(0, MAX_COMMANDS - OWN.length);
}

const KEYS = [
  "type",
  "name",
  "description",
  "required",
  "autocomplete",
  "choices",
  "value",
  "options",
  "min_value",
  "max_value",
  "min_length",
  "max_length",
  "channel_types",
];

/** What counts of a command: Discord adds fields, and leaves out what is false or empty. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  return Object.fromEntries(
    KEYS.flatMap((key) => {
      const v = fields[key];
      const nothing = v === undefined || v === null || v === false || (Array.isArray(v) && v.length === 0);
      return nothing ? [] : [[key, bare(v)]];
    }),
  );
}
const textOf = (commands: readonly Command[]): string =>
  JSON.stringify([...commands].sort((a, b) => (a.name < b.name ? -1 : 1)).map(bare));

/**
 * Makes the application's commands those of a manifest (null: our first ones) and our own. Menus on messages and people stay.
 * `changed`: whether anything had to be written.
 */
export async function registerCommands(
  d: SendDeps,
  application: string,
  manifest: readonly unknown[] | null,
): Promise<{ changed: boolean; names: string[] } | { fail: OpResult }> {
  const path = `/applications/${encodeURIComponent(application)}/commands`;
  const had = await discordCall(d, { method: "GET", path, bucket: "commands" });
  if ("fail" in had) return had;
  const have = (Array.isArray(had.ok["items"]) ? had.ok["items"] : []) as Command[];
  const menus = have.filter((c) => c["type"] !== undefined && c["type"] !== 1);
  const wanted = [...OWN, ...(manifest === null ? [FIRST] : commandsOf(manifest))];
  const names = wanted.map((c) => c.name);
  if (textOf(have) === textOf([...menus, ...wanted])) return { changed: false, names };
  const put = await discordCall(d, { method: "PUT", path, bucket: "commands", body: [...menus, ...wanted] });
  return "fail" in put ? put : { changed: true, names };
}

/** Is `/link` known to Discord? */
export async function hasLink(d: SendDeps, application: string): Promise<boolean> {
  const path = `/applications/${encodeURIComponent(application)}/commands`;
  const had = await discordCall(d, { method: "GET", path, bucket: "commands" });
  return "ok" in had && Array.isArray(had.ok["items"]) && had.ok["items"].some((c) => (c as Command).name === "link");
}
