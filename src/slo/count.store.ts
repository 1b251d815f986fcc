import { DAY } from "../kernel/clock";
import type { ResponderStatus } from "./types";

/** One more answer of an agent's responder, for /metrics (wake-slo §6.4). `now` is Reveille ms. */
export const countResponder = (
  db: D1Database,
  agent: string,
  status: ResponderStatus,
  now: number,
): D1PreparedStatement =>
  db
    .prepare("INSERT INTO slo_count (day, name, n) VALUES (?, ?, 1) ON CONFLICT (day, name) DO UPDATE SET n = n + 1")
    .bind(Math.floor(now / DAY), `responder:${agent}:${status}`);
