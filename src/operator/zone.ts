import { hourMinute } from "../kernel/format";

/** The reader's time zone: UTC by default, another by cookie (operator-experience §3). Formatting is in kernel/format. */

const MINUTE = 60_000;
const DAY = 86_400_000;

/** The zone a cookie asks for, or UTC when it names none this runtime knows. */
export function zoneOf(cookie: string | undefined): string {
  if (!cookie || cookie.length > 64) return "UTC";
  try {
    new Intl.DateTimeFormat("en", { timeZone: cookie });
    return cookie;
  } catch {
    return "UTC";
  }
}

/** The last part of a zone's name, for people: "Europe/Berlin" is "Berlin". */
export const zoneName = (zone: string): string => (zone.split("/").pop() ?? zone).replaceAll("_", " ");

const minutesOf = (at: number, zone: string): number => {
  const [h, m] = hourMinute(at, zone).split(":");
  return Number(h) * 60 + Number(m);
};

/** The next moment it is `hour`:00 in a zone, ms; always in the future. */
export function nextHour(hour: number, zone: string, now: number): number {
  // Zones are off UTC by whole minutes, so whole minutes are enough.
  const start = Math.ceil((now + 1) / MINUTE) * MINUTE;
  const guess = start + ((hour * 60 - minutesOf(start, zone) + 1440) % 1440) * MINUTE;
  // A change of summer time in between moves the guess by an hour; look at what the clock on the wall says there.
  const off = hour * 60 - minutesOf(guess, zone);
  const fixed = Math.abs(off) <= 120 ? guess + off * MINUTE : guess;
  return fixed > now ? fixed : fixed + DAY;
}

/** "2026-11-20 14:00" (or with T, or ISO with an offset) read as a time on the clock of `zone`; null when it is no time. ms. */
export function zonedTime(text: string, zone: string): number | null {
  const m = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)$/.exec(text.trim());
  if (!m) {
    const at = /(Z|[+-]\d\d:?\d\d)$/.test(text.trim()) ? Date.parse(text.trim()) : Number.NaN;
    return Number.isNaN(at) ? null : at;
  }
  const [y, mo, d, h, mi] = m.slice(1).map(Number) as [number, number, number, number, number];
  const wall = Date.UTC(y, mo - 1, d, h, mi);
  if (new Date(wall).getUTCDate() !== d || h > 23 || mi > 59) return null;
  // The offset at the guess may differ from the one at the answer by a change of summer time; twice settles it.
  let at = wall;
  for (let i = 0; i < 2; i++) at = wall - offsetOf(at, zone);
  return at;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** How far a zone's clock is ahead of UTC at a moment, ms (whole minutes). Its date counts: zones differ by up to 26 h. */
function offsetOf(at: number, zone: string): number {
  let clock = clocks.get(zone);
  if (!clock) {
    const two = "2-digit" as const;
    clock = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: two,
      day: two,
      hour: two,
      minute: two,
    });
    if (clocks.size < 64) clocks.set(zone, clock);
  }
  const p = Object.fromEntries(clock.formatToParts(at).map((x) => [x.type, Number(x.value)]));
  const wall = Date.UTC(p["year"]!, p["month"]! - 1, p["day"]!, p["hour"]!, p["minute"]!);
  return wall - Math.floor(at / MINUTE) * MINUTE;
}
