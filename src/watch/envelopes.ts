import { readVar, truthy, VENDORS } from "../kernel/config";

/** A fix a probe may ask for, with its bounds (`kora-watch.md` §4.1). Declared here, executed elsewhere. */
export interface Envelope {
  fix_name: string;
  in_scope: readonly string[];
  out_of_scope: readonly string[];
  /** What the caller of the executor must hold, or null when there is no fix. */
  capability: string | null;
}

const NONE: Envelope = { fix_name: "(none)", in_scope: [], out_of_scope: ["everything"], capability: null };

const TABLE: Record<(typeof VENDORS)[number], Envelope> = {
  supabase: NONE,
  fly: {
    fix_name: "restart_unhealthy_machine",
    in_scope: ["single_machine_not_started"],
    out_of_scope: [
      "deploy_rollback",
      "scale_up",
      "scale_down",
      "multi_machine_restart",
      "machine_destroy",
      "app_create",
      "config_change",
    ],
    capability: "probe_autofix_fly_restart",
  },
  vercel: NONE,
  sentry: NONE,
  doppler: NONE,
};

const isVendor = (probe: string): probe is (typeof VENDORS)[number] => (VENDORS as readonly string[]).includes(probe);

/** The declared envelope of a probe; a probe without a row has none. */
export const envelopeOf = (probe: string): Envelope => (isVendor(probe) ? TABLE[probe] : NONE);

export interface EnvelopeSwitches {
  /** "Kill autofix" on the switchboard. */
  killed: boolean;
  /** The operator's own answer per probe; absent = not set. */
  envelopes: Record<string, boolean | undefined>;
}

/**
 * Is the fix of `probe` allowed (design §11)? There is one, nothing is killed, and the operator's switch says so, or, when it
 * is not set, the variable is truthy. A variable set to any other text forces it off.
 */
export function isEnvelopeEnabled(probe: string, vars: Record<string, unknown>, switches: EnvelopeSwitches): boolean {
  if (!isVendor(probe) || TABLE[probe].capability === null || switches.killed) return false;
  const text = readVar(vars, `REVEILLE_AUTOFIX_${probe.toUpperCase()}_ENABLED`);
  if (text !== "" && !truthy(text)) return false;
  return switches.envelopes[probe] ?? truthy(text);
}
