import type { Probe } from "../probe";
import { bad } from "./outcome";

/** Nothing outside is read: the rule that owns an internal target feeds its looks. */
export const internalProbe: Probe = async () =>
  bad("unknown", "not_configured", "Internal targets are fed by their rule.", { signal: "fed_by_rule" });
