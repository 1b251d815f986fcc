/**
 * Patterns that operators give for signature headers (wake-slo §1.3). They run before a sender is known, so one must not be able
 * to cost seconds: no group is repeated, nothing looks around or back, at most two parts may vary in length and three may be one
 * thing or another, and only a short header is searched.
 */

const MAX_PATTERN = 200;
/** Longer header values are not searched. */
export const MAX_SEARCHED = 400;
const MAX_REPEAT = 512;
const MAX_VARYING = 2;
const MAX_CHOICES = 3;

const REPEAT = /^(?:[*+?]|\{(\d{1,4})(,(\d{1,4})?)?\})/;

/** Why a pattern may not be used, or null. */
export function patternFault(pattern: string): string | null {
  if (pattern.length > MAX_PATTERN) return `has ${pattern.length} characters; ${MAX_PATTERN} is the most`;
  let groups = 0;
  let varying = 0;
  let choices = 0;
  let i = 0;
  let atom: "none" | "atom" | "group" = "none";
  while (i < pattern.length) {
    const rest = pattern.slice(i);
    const repeat = REPEAT.exec(rest);
    if (repeat) {
      if (atom === "group") return "repeats a group";
      if (Number(repeat[1] ?? 0) > MAX_REPEAT || Number(repeat[3] ?? 0) > MAX_REPEAT)
        return `repeats more than ${MAX_REPEAT} times`;
      const fixed = repeat[1] !== undefined && repeat[2] === undefined;
      if (repeat[0] === "?") choices++;
      else if (!fixed) varying++;
      i += repeat[0].length;
      if (pattern[i] === "?") i++;
      atom = "none";
      continue;
    }
    if (rest.startsWith("(?:")) i += 3;
    else if (rest.startsWith("(?")) return "has a group of a kind that is not allowed: only ( ) and (?: )";
    else if (rest[0] === "(") {
      groups++;
      i++;
    } else if (rest[0] === "\\") {
      if (/^\\[0-9kpPuxc]/.test(rest)) return "has an escape that is not allowed";
      i += 2;
    } else if (rest[0] === "[") {
      const end = /^\[\^?\]?(?:\\.|[^\]\\])*\]/.exec(rest);
      if (!end) return "has a class without an end";
      i += end[0].length;
    } else i++;
    if (rest[0] === "|") choices++;
    atom = rest[0] === ")" ? "group" : rest[0] === "(" || rest[0] === "|" ? "none" : "atom";
  }
  if (groups < 1) return "has no group: group 1 is what is taken";
  if (varying > MAX_VARYING) return `has ${varying} parts of varying length; ${MAX_VARYING} is the most`;
  if (choices > MAX_CHOICES) return `has ${choices} of ? and |; ${MAX_CHOICES} is the most`;
  try {
    new RegExp(pattern);
  } catch {
    return "is no regular expression";
  }
  return null;
}

/** Group 1 of the first place in `text` that the pattern matches, or null. A pattern that may not be used matches nothing. */
export function firstGroup(pattern: string, text: string): string | null {
  if (text.length > MAX_SEARCHED || patternFault(pattern) !== null) return null;
  return new RegExp(pattern).exec(text)?.[1] ?? null;
}
