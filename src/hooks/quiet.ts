/** Quiet hours of a `cron_task` hook (wake-slo §1.3): whole hours of a day in a zone, the start in, the end out. */
export interface Quiet {
  /** 0-23. */
  start: number;
  end: number;
  /** IANA name. */
  zone: string;
}

/** True in the quiet hours; a span over midnight wraps, and equal ends are no quiet at all. `at` is Reveille ms. */
export function isQuiet(quiet: Quiet | null, at: number): boolean {
  if (!quiet || quiet.start === quiet.end) return false;
  const text = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", hourCycle: "h23", timeZone: quiet.zone }).format(at);
  const hour = Number(text);
  return quiet.start < quiet.end ? hour >= quiet.start && hour < quiet.end : hour >= quiet.start || hour < quiet.end;
}

/** True for a zone that this runtime knows. */
export function knownZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
