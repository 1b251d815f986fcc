import type { Log } from "../kernel/log";
import type { Effect, Machine } from "./machine";
import type { Target } from "./types";

/** What a commit of a target tells the log: what opened, got worse or ended (`npm start` prints these lines). */
export function report(log: Log, target: Target, m: Machine, effects: Effect[]): void {
  for (const e of effects) {
    if (e.type === "open")
      log("info", "incident.opened", {
        target: target.id,
        incident: e.incident.id,
        category: e.incident.category,
        severity: e.incident.severity,
        confirmed_by: e.confirmed_by,
      });
    else if (e.type === "resolve")
      log("info", "incident.resolved", { target: target.id, incident: e.incident.id, downtime_ms: e.downtime_ms });
    else if (e.type === "raise")
      log("info", "incident.raised", { target: target.id, incident: m.incident?.id, to: e.to });
  }
}
