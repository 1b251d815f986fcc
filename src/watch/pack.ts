import { MINUTE } from "../kernel/clock";
import { utf8 } from "../kernel/crypto";
import { clip } from "../kernel/errors";
import type { Json, Reason, Status } from "./types";

/**
 * One pack holds every sample of one shard of one cycle as one text, because a row written is what costs (design §3):
 *
 *   1[ <details dropped> <errors dropped>] \n ;<num>:[M]<. D X ?><reason><latency>,<offset> ... [\n [[num, details, error], ...]]
 *
 * Numbers are base 36. Each sample starts with ";num:", and no other part of a pack holds a ";" (the JSON at the end escapes
 * it), so SQLite's instr() finds one target's sample without decoding the rest. M marks maintenance; what was seen then
 * follows it.
 */
export interface PackSample {
  num: number;
  status: Status;
  reason: Reason;
  maintenance: boolean;
  /** ms, or null when nothing answered. */
  latency_ms: number | null;
  /** When the look began, ms after `cycle_at`. */
  offset_ms: number;
  details?: Record<string, Json>;
  error?: string;
}

/** What a reader gets back: samples in order of `num`, and how many details and errors did not fit when it was written. */
export interface Pack {
  samples: PackSample[];
  dropped: { details: number; errors: number };
}

/** Minutes of the ring: 14 days. */
export const RING = 20_160;
export const RING_MS = RING * MINUTE;
/** The largest text of a pack, bytes (a D1 row may be 2 MB). */
export const PACK_MAX = 200_000;
/** The largest JSON of one sample's details, and of its error text, bytes. */
export const EXTRA_MAX = 1_024;

/** The row of the ring that a cycle is kept in. */
export const slotOf = (cycleAt: number): number => Math.floor(cycleAt / MINUTE) % RING;

const LETTER: Record<Status, string> = { healthy: ".", degraded: "D", unhealthy: "X", unknown: "?" };
const STATUS = new Map(Object.entries(LETTER).map(([status, letter]) => [letter, status as Status]));

/** Stored for 14 days, so a number is never reused: a new reason takes the next one (one base-36 digit: at most 36). */
const REASON_CODE: Record<Reason, number> = {
  ok: 0,
  not_configured: 1,
  unreachable: 2,
  service_unhealthy: 3,
  auth_failed: 4,
  misconfigured: 5,
  rate_limited: 6,
  schema_drift: 7,
  missed_beat: 8,
  job_failed: 9,
  no_beat_yet: 10,
  not_probed: 11,
  not_looked_yet: 12,
};
const REASON_OF = new Map(Object.entries(REASON_CODE).map(([reason, code]) => [code, reason as Reason]));

const b36 = (n: number): string => Math.max(0, Math.round(n)).toString(36);
const bytes = (text: string): number => utf8(text).length;

type Extra = [num: number, details: Record<string, Json> | null, error: string | null];

/** The text to look for in a stored pack to find the sample of `num`. */
export const needleOf = (num: number): string => `;${num.toString(36)}:`;

function encodeSample(s: PackSample): string {
  const state = `${s.maintenance ? "M" : ""}${LETTER[s.status]}${REASON_CODE[s.reason].toString(36)}`;
  return `${needleOf(s.num)}${state}${s.latency_ms === null ? "" : b36(s.latency_ms)},${b36(s.offset_ms)}`;
}

/**
 * Encodes the samples of one shard. Details over 1 KiB are left out, errors are cut at 1 KiB; when the text would still pass
 * `PACK_MAX`, the largest details go first, then the largest errors. What was left out is counted in the pack itself.
 * @throws RangeError when a target is in twice or the samples alone are too many for one pack.
 */
export function encodePack(input: PackSample[]): { text: string; dropped: Pack["dropped"] } {
  const samples = [...input].sort((a, b) => a.num - b.num);
  for (let i = 1; i < samples.length; i++)
    if (samples[i]!.num === samples[i - 1]!.num)
      throw new RangeError(`A pack holds one sample a target; number ${samples[i]!.num} is in twice.`);
  const body = samples.map(encodeSample).join("");
  const room = PACK_MAX - body.length - 32;
  if (room < 0)
    throw new RangeError(
      `${samples.length} samples take ${body.length} bytes; a pack holds ${PACK_MAX}. Use smaller shards.`,
    );

  const dropped = { details: 0, errors: 0 };
  const extras = samples.flatMap((s): Extra[] => {
    const fits = s.details !== undefined && bytes(JSON.stringify(s.details)) <= EXTRA_MAX;
    if (s.details !== undefined && !fits) dropped.details++;
    const error = s.error === undefined ? null : clipBytes(s.error);
    return fits || error !== null ? [[s.num, fits ? s.details! : null, error]] : [];
  });
  shrink(extras, 1, room, () => dropped.details++);
  shrink(extras, 2, room, () => dropped.errors++);
  const kept = extras.filter((e) => e[1] !== null || e[2] !== null);
  const head = dropped.details + dropped.errors > 0 ? `1 ${dropped.details} ${dropped.errors}` : "1";
  return { text: `${head}\n${body}${kept.length ? `\n${stringify(kept)}` : ""}`, dropped };
}

const stringify = (value: unknown): string => JSON.stringify(value).replaceAll(";", "\\u003b");

function clipBytes(text: string): string {
  if (bytes(text) <= EXTRA_MAX) return text;
  let cut = clip(text, EXTRA_MAX);
  while (bytes(cut) > EXTRA_MAX) cut = clip(cut, Math.floor(cut.length * 0.9));
  return cut;
}

/** Blanks the largest values at `index` until all extras fit into `room` bytes. */
function shrink(extras: Extra[], index: 1 | 2, room: number, count: () => void): void {
  let size = extras.length === 0 ? 0 : bytes(stringify(extras));
  if (size <= room) return;
  const weigh = (e: Extra): number => (e[index] === null ? 0 : bytes(stringify(e[index])) - "null".length);
  for (const extra of [...extras].sort((a, b) => weigh(b) - weigh(a))) {
    if (size <= room || extra[index] === null) return;
    size -= weigh(extra);
    extra[index] = null;
    count();
  }
}

const SAMPLE = /;([0-9a-z]+):(M?)([.DX?])([0-9a-z])([0-9a-z]*),([0-9a-z]+)/y;

/** Decodes a pack, or null when the text is not one (another version, a damaged row): a reader skips and counts those. */
export function decodePack(text: string): Pack | null {
  const [head = "", body = "", tail] = text.split("\n");
  const header = /^1(?: (\d+) (\d+))?$/.exec(head);
  if (!header) return null;
  const samples: PackSample[] = [];
  let at = 0;
  while (at < body.length) {
    const sample = decodeSample(body, at);
    if (!sample) return null;
    at = SAMPLE.lastIndex;
    samples.push(sample);
  }
  if (tail !== undefined && !addExtras(samples, tail)) return null;
  return { samples, dropped: { details: Number(header[1] ?? 0), errors: Number(header[2] ?? 0) } };
}

/** Reads the one sample that begins at `at`, or null. */
export function decodeSample(body: string, at = 0): PackSample | null {
  SAMPLE.lastIndex = at;
  const m = SAMPLE.exec(body);
  const status = m ? STATUS.get(m[3]!) : undefined;
  const reason = m ? REASON_OF.get(Number.parseInt(m[4]!, 36)) : undefined;
  if (!m || !status || !reason) return null;
  return {
    num: Number.parseInt(m[1]!, 36),
    status,
    reason,
    maintenance: m[2] === "M",
    latency_ms: m[5] === "" ? null : Number.parseInt(m[5]!, 36),
    offset_ms: Number.parseInt(m[6]!, 36),
  };
}

function addExtras(samples: PackSample[], tail: string): boolean {
  try {
    const byNum = new Map(samples.map((s) => [s.num, s]));
    for (const [num, details, error] of JSON.parse(tail) as Extra[]) {
      const sample = byNum.get(num);
      if (!sample) return false;
      if (details !== null) sample.details = details;
      if (error !== null) sample.error = error;
    }
    return true;
  } catch {
    return false;
  }
}
