/** The query bar of the audit page: chips of `key:value`, anything else is an id to join on. */

export const KEYS = ["seam", "incident", "session", "wake", "by", "since"] as const;
export type Key = (typeof KEYS)[number];
export interface AuditChip {
  key: Key | "id";
  value: string;
}

/** Reads "seam:incident.acked since:2h 01KB…": at most eight chips; an unknown key is taken as a plain id. */
export function parseChips(text: string): AuditChip[] {
  return text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .slice(0, 8)
    .map((word): AuditChip => {
      const m = /^([a-z]+):(.+)$/.exec(word);
      const key = KEYS.find((k) => k === m?.[1]);
      return key && m ? { key, value: m[2]!.slice(0, 200) } : { key: "id", value: word.slice(0, 200) };
    });
}

export const chipText = (c: AuditChip): string => (c.key === "id" ? c.value : `${c.key}:${c.value}`);
export const joinChips = (chips: AuditChip[]): string => chips.map(chipText).join(" ");

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `2h`, `30m`, `7d` before `now`, or a date; null when it is neither. ms. */
export function sinceOf(text: string, now: number): number | null {
  const m = /^(\d{1,5})([mhd])$/.exec(text);
  if (m) return now - Number(m[1]) * UNITS[m[2]!]!;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}
