/** What an INPUT may carry beside its prompt (`connectonion.md` (c)), for agents that take text alone. */

const KINDS = ["images", "files"] as const;
const NAMED = 3;
const MAX_NAME = 80;

/** The things of one kind: clients send lists, and what is no list is not passed over either. */
function thingsOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function nameOf(thing: unknown): string | null {
  const name = thing !== null && typeof thing === "object" && "name" in thing ? thing.name : null;
  return typeof name === "string"
    ? name
        .replace(/[^\x20-\x7e\xa0-\uffff]/g, "?")
        .slice(0, MAX_NAME)
        .toWellFormed()
    : null;
}

/**
 * Why this agent does not take what an INPUT carries, naming it; null when it carries nothing. An input is refused as a whole:
 * an answer to half of it would pass for an answer to all. `payload`: what was signed, when it was.
 */
export function attachmentProblem(value: Record<string, unknown>, payload?: unknown): string | null {
  const signed = (payload ?? {}) as Record<string, unknown>;
  const kinds = KINDS.map((kind) => ({ kind, things: [...thingsOf(value[kind]), ...thingsOf(signed[kind])] })).filter(
    ({ things }) => things.length > 0,
  );
  if (kinds.length === 0) return null;
  const names = kinds.flatMap(({ things }) => things.map(nameOf)).filter((n): n is string => n !== null);
  const listed = [...new Set(names)].slice(0, NAMED).join(", ");
  const what = kinds.map(({ kind }) => kind).join(" and ");
  return `${what} are not accepted by this agent${listed === "" ? "" : ` (${listed})`}: nothing was run, send the prompt alone`;
}
