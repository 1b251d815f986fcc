/** How commands talk to a terminal (operator-experience §4): results on stdout, progress on stderr, nothing decorative. */

export type Style = "ok" | "degraded" | "down" | "unknown" | "muted" | "bold";

const CODES: Record<Style, [number, number]> = {
  ok: [32, 39],
  degraded: [33, 39],
  down: [31, 39],
  unknown: [90, 39],
  muted: [2, 22],
  bold: [1, 22],
};

const ASCII: Record<string, string> = {
  "·": "-",
  "…": "...",
  "–": "-",
  "—": "-",
  "→": "->",
  "×": "x",
  "≤": "<=",
  "≥": ">=",
  "\u2009": " ",
  "\u00a0": " ",
  "\u202f": " ",
};

export interface Stream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface TermOptions {
  stdout?: Stream;
  stderr?: Stream;
  env?: Record<string, string | undefined>;
  platform?: string;
  now?: () => number;
}

/** The one redrawn line of a running command. */
export interface Progress {
  /** Says what is going on now; `phase` names the step it belongs to. */
  update(phase: string, text?: string): void;
  /** Removes the line. */
  clear(): void;
}

export interface Term {
  readonly color: boolean;
  readonly utf8: boolean;
  readonly columns: number;
  /** The text in a style; unchanged when stdout is no colour terminal. */
  paint(style: Style, text: string): string;
  /** The text with signs this locale can show. */
  text(text: string): string;
  /** A result line on stdout. */
  out(line?: string): void;
  /** A line for people on stderr. */
  err(line: string): void;
  /** One JSON object on stdout. */
  json(value: unknown): void;
  progress(): Progress;
}

const QUIET_STEP_MS = 10_000;

function isUtf8(env: Record<string, string | undefined>, platform: string): boolean {
  if (platform === "win32") return env["WT_SESSION"] !== undefined;
  return /utf-?8/i.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "");
}

export function makeTerm(options: TermOptions = {}): Term {
  const { stdout = process.stdout, stderr = process.stderr, env = process.env, now = Date.now } = options;
  const plain = Boolean(env["NO_COLOR"]) || env["TERM"] === "dumb";
  const color = Boolean(stdout.isTTY) && !plain;
  const utf8 = isUtf8(env, options.platform ?? process.platform);
  const columns = stdout.columns ?? 80;
  const text = (value: string): string => (utf8 ? value : Array.from(value, (c) => ASCII[c] ?? c).join(""));
  const redraws = Boolean(stderr.isTTY) && env["TERM"] !== "dumb";
  let drawn = false;
  const erase = (): void => {
    if (drawn) stderr.write("\r\x1b[2K");
    drawn = false;
  };
  return {
    color,
    utf8,
    columns,
    text,
    paint: (style, value) => (color ? `\x1b[${CODES[style][0]}m${value}\x1b[${CODES[style][1]}m` : value),
    out: (line = "") => {
      erase();
      stdout.write(`${text(line)}\n`);
    },
    err: (line) => {
      erase();
      stderr.write(`${text(line)}\n`);
    },
    json: (value) => {
      erase();
      stdout.write(`${JSON.stringify(value)}\n`);
    },
    progress: () => {
      let phase = "";
      let said = Number.NEGATIVE_INFINITY;
      return {
        update: (next, detail = "") => {
          const line = text(`  ${next}${detail ? `   ${detail}` : ""}`);
          if (redraws) {
            const width = (stderr.columns ?? 80) - 1;
            stderr.write(`\r\x1b[2K${line.length > width ? line.slice(0, width) : line}`);
            drawn = true;
          } else if (next !== phase || now() - said >= QUIET_STEP_MS) {
            stderr.write(`${line}\n`);
            said = now();
          }
          phase = next;
        },
        clear: erase,
      };
    },
  };
}

/** A whole number with thousands marks, another one with at most three significant decimals. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

/** Seconds for a phase of a command: `0.3 s`, `2.1 s`. */
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Bytes as people read them: `1.2 MB` (powers of ten, as file managers show them). */
export function fileSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const unit = bytes < 1e6 ? "kB" : bytes < 1e9 ? "MB" : "GB";
  return `${(bytes / (unit === "kB" ? 1e3 : unit === "MB" ? 1e6 : 1e9)).toFixed(1)} ${unit}`;
}

/** An id as a person reads it: first 4 … last 3. */
export const shortId = (id: string): string => (id.length <= 9 ? id : `${id.slice(0, 4)}…${id.slice(-3)}`);
