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
