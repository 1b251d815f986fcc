/** Which process may hold a variable. `edge` and `consumer` are the Workers; `start` is the local starter only. */
export type Holder = "edge" | "consumer" | "both" | "start";

/** One environment variable: the table in docs/configuration.md and `.dev.vars.example` are checked against this list. */
export interface Variable {
  name: string;
  aliases: string[];
  holder: Holder;
  secret: boolean;
  default: string;
  what: string;
  /** Another app of the same platform may have its own: the name with `__APP` behind it. */
  perApp?: boolean;
}

interface More {
  aliases?: string[];
  secret?: boolean;
  default?: string;
  perApp?: boolean;
}

/** One row of the table. */
export const v = (name: string, holder: Holder, what: string, more: More = {}): Variable => ({
  name,
  aliases: more.aliases ?? [],
  holder,
  secret: more.secret ?? false,
  default: more.default ?? "",
  what,
  ...(more.perApp ? { perApp: true } : {}),
});
