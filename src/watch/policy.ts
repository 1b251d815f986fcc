import type { Config } from "../kernel/config";
import type { Policy } from "./incident";
import type { Target } from "./types";

/**
 * The thresholds of a target: its own, else the shipped ones (`kora-watch.md` §3): 2 bad looks, 3 without an answer, 2 good
 * looks to recover. A heartbeat and an internal rule are facts, not looks: one is enough.
 */
export function policyOf(target: Target, config: Config): Policy {
  const fact = target.kind === "heartbeat" || target.kind === "internal";
  return {
    confirm: target.thresholds.confirm ?? (fact ? 1 : config.confirm),
    confirm_unreachable: target.thresholds.confirm_unreachable ?? (fact ? 1 : Math.max(3, config.confirm)),
    recover: target.thresholds.recover ?? (fact ? 1 : 2),
    recheck_ms: config.recheckMs,
    every_ms: target.every_s * 1000,
    self_looks: target.kind !== "internal",
  };
}
