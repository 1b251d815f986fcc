/** One line a Worker wrote through its log: see src/kernel/log.ts. */
export interface LogEvent {
  level: "debug" | "info" | "warn" | "error";
  scope: string;
  event: string;
  [field: string]: unknown;
}

const LEVELS = ["debug", "info", "warn", "error"];

/** Reads a console line; null when it is not one of our JSON lines. */
export function readLogEvent(line: string): LogEvent | null {
  if (!line.startsWith("{")) return null;
  try {
    const value = JSON.parse(line) as Partial<LogEvent> | null;
    const ours =
      value !== null &&
      typeof value === "object" &&
      typeof value.scope === "string" &&
      typeof value.event === "string" &&
      LEVELS.includes(String(value.level));
    return ours ? (value as LogEvent) : null;
  } catch {
    return null;
  }
}
