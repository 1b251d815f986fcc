/**
 * Every number and time that a person reads, in one place (operator-experience §3 "Numbers", "Time", "Ids").
 * Units follow a narrow no-break space so that a value never breaks over two lines; `plainSpaces` gives the form for
 * terminals, mail subjects and chat messages.
 */

export const THIN = "\u202f";
/** Shown where there is nothing yet. Zero is `0`. */
export const NOTHING = "—";

const S = 1_000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

const unit = (n: number | string, name: string): string => `${n}${THIN}${name}`;
const two = (a: number, nameA: string, b: number, nameB: string): string =>
  b === 0 ? unit(a, nameA) : `${unit(a, nameA)} ${unit(b, nameB)}`;

/** The same text with ordinary spaces. */
export const plainSpaces = (text: string): string => text.replaceAll(THIN, " ");

/** How long something took to answer: `812 ms`, `1.24 s`, `31.0 s`, then as `duration`. `null` = no answer yet. */
export function latency(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NOTHING;
  const whole = Math.max(0, Math.round(ms));
  if (whole < S) return unit(whole, "ms");
  // 9,995 ms and more would round up to "10.00"; likewise 59,950 ms to "60.0".
  if (whole < 9_995) return unit((whole / S).toFixed(2), "s");
  if (whole < 59_950) return unit((whole / S).toFixed(1), "s");
  return duration(Math.max(whole, M));
}

/** How long something lasted, truncated to its unit: `0 s`, `30 s`, `6 min 12 s`, `3 h 10 min`, `1 d 4 h`, `9 d`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NOTHING;
  const t = Math.max(0, Math.floor(ms));
  if (t > 0 && t < S) return unit(t, "ms");
  if (t < M) return unit(Math.floor(t / S), "s");
  if (t < H) return two(Math.floor(t / M), "min", Math.floor((t % M) / S), "s");
  if (t < D) return two(Math.floor(t / H), "h", Math.floor((t % H) / M), "min");
  if (t < 7 * D) return two(Math.floor(t / D), "d", Math.floor((t % D) / H), "h");
  return unit(count(Math.floor(t / D)), "d");
}

/** `12 480`. */
export function count(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NOTHING;
  return Math.trunc(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** `99.98 %` of `part` in `whole`: truncated, and `100 %` only when nothing is missing; `—` when `whole` is 0. */
export function percent(part: number, whole: number): string {
  if (!(whole > 0) || !Number.isFinite(part)) return NOTHING;
  if (part >= whole) return unit(100, "%");
  if (part <= 0) return unit(0, "%");
  // The small nudge undoes binary fractions (0.29 × 10,000 = 2,899.999…); the cap keeps it below 100.
  const hundredths = Math.min(9_999, Math.floor((part * 10_000) / whole + 1e-7));
  return unit(`${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}`, "%");
}

/** `percent` of a ratio from 0 to 1; `null` = nothing seen. */
export const ratio = (x: number | null | undefined): string =>
  x === null || x === undefined ? NOTHING : percent(x, 1);

/** US dollars: `$0.0041` below a cent, else `$4.12`; an unknown price reads "not priced", never $0. */
export function money(usd: number | null | undefined): string {
  if (usd === null || usd === undefined || !Number.isFinite(usd)) return "not priced";
  if (usd === 0) return "$0";
  const sign = usd < 0 ? "−" : "";
  const x = Math.abs(usd);
  if (x < 0.000_05) return `${sign}<$0.0001`;
  if (x < 0.009_95) return `${sign}$${x.toFixed(4)}`;
  const [whole, cents] = x.toFixed(2).split(".");
  return `${sign}$${count(Number(whole))}.${cents}`;
}

/** `812 B`, `1.2 MiB`. */
export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NOTHING;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  if (n < 1024) return unit(Math.max(0, Math.round(n)), "B");
  let value = n / 1024;
  let i = 0;
  while (value >= 1023.95 && i < units.length - 1) {
    value /= 1024;
    i++;
  }
  return unit(value.toFixed(1), units[i]!);
}

const fields = new Map<string, Intl.DateTimeFormat>();

/** The parts of a time in a zone. An unknown zone name reads as UTC: it comes from a cookie. */
function parts(at: number, zone: string): Record<string, string> {
  let format = fields.get(zone);
  if (!format) {
    const make = (timeZone: string) =>
      new Intl.DateTimeFormat("en-GB", {
        timeZone,
        year: "numeric",
        month: "short",
        day: "numeric",
        hour: "2-digit",
        minute: "2-digit",
        second: "2-digit",
        hourCycle: "h23",
      });
    try {
      format = make(zone);
    } catch {
      format = make("UTC");
    }
    if (fields.size < 64) fields.set(zone, format);
  }
  const out: Record<string, string> = {};
  for (const p of format.formatToParts(at)) out[p.type] = p.value;
  return out;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** Month names are ours: locale data disagrees over "Sep" and "Sept". */
const monthName = (p: Record<string, string>): string =>
  MONTHS.find((m) => p["month"]?.startsWith(m)) ?? p["month"] ?? "";

/** `14:02`. */
export function hourMinute(at: number, zone = "UTC"): string {
  const p = parts(at, zone);
  return `${p["hour"]}:${p["minute"]}`;
}

/** `14:02:11`. */
export function clockTime(at: number, zone = "UTC"): string {
  return `${hourMinute(at, zone)}:${parts(at, zone)["second"]}`;
}

/** `12 Nov`. */
export function day(at: number, zone = "UTC"): string {
  const p = parts(at, zone);
  return `${p["day"]} ${monthName(p)}`;
}

/** `12 Nov 14:02`, with the year when it is not that of `now`. */
export function dayTime(at: number, zone = "UTC", now = at): string {
  const p = parts(at, zone);
  const year = p["year"] === parts(now, zone)["year"] ? "" : ` ${p["year"]}`;
  return `${p["day"]} ${monthName(p)}${year} ${p["hour"]}:${p["minute"]}`;
}

/** For sentences in notices: `13:47:02 UTC`, with the day when it is not that of `now`. */
export function utcTime(at: number, now: number): string {
  const sameDay = Math.floor(at / D) === Math.floor(now / D);
  return `${sameDay ? "" : `${day(at)} `}${clockTime(at)} UTC`;
}

/** The same to the minute: `14:02 UTC`, `21 Nov 08:00 UTC`. */
export function utcMinute(at: number, now: number): string {
  const sameDay = Math.floor(at / D) === Math.floor(now / D);
  return `${sameDay ? "" : `${day(at)} `}${hourMinute(at)} UTC`;
}

/** For `<time title>`: `2026-11-12 14:02:11.480 UTC`, and ` · 15:02:11 Berlin` when a zone is given. */
export function fullTime(at: number, zone = "UTC"): string {
  const utc = `${new Date(at).toISOString().replace("T", " ").replace("Z", "")} UTC`;
  if (zone === "UTC") return utc;
  const city = zone.split("/").at(-1)!.replaceAll("_", " ");
  return `${utc} · ${clockTime(at, zone)} ${city}`;
}

/** `3 min ago`, `in 18 h`, `now`; beyond 7 days `12 Nov 14:02`. One unit only: it is read at a glance. */
export function ago(at: number | null | undefined, now: number, zone = "UTC"): string {
  if (at === null || at === undefined) return NOTHING;
  const gap = Math.abs(now - at);
  if (gap >= 7 * D) return dayTime(at, zone, now);
  if (gap < S) return "now";
  const [size, name] = gap < M ? [S, "s"] : gap < H ? [M, "min"] : gap < D ? [H, "h"] : [D, "d"];
  const text = unit(Math.floor(gap / (size as number)), name as string);
  return at <= now ? `${text} ago` : `in ${text}`;
}

/** First 4 … last 3 of an id: `01KB…9QX`; addresses keep `0x` and 4: `0x3d40…99ab`. Short ids stay whole. */
export function shortId(id: string): string {
  if (id.length <= 10) return id;
  return id.startsWith("0x") ? `${id.slice(0, 6)}…${id.slice(-4)}` : `${id.slice(0, 4)}…${id.slice(-3)}`;
}
