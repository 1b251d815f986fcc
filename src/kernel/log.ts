import type { Redactor } from "./redact";

export type Level = "debug" | "info" | "warn" | "error";

/** One JSON line an event on the console, redacted. `scope` names the part, `event` the thing that happened. */
export type Log = (level: Level, event: string, fields?: Record<string, unknown>) => void;

export function makeLog(scope: string, redactor: Redactor): Log {
  return (level, event, fields = {}) => {
    const line = JSON.stringify(redactor.json({ level, scope, event, ...fields }));
    if (level === "error") console.error(line);
    else if (level === "warn") console.warn(line);
    else console.log(line);
  };
}
