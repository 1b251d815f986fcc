import { sloKeyFor, sloKeyName } from "../kernel/config.slo";
import { describe } from "../kernel/errors";
import { open, SealError, sealKeys } from "../vault";

/**
 * The key that one agent answers its probes with (wake-slo §4). The first source that is set decides: one that is set and can't
 * be used means no key, never the next source, so that a slip never makes an agent answer under another's name.
 */

export type KeyAnswer = { key: string } | { key: null; why: string };

export interface KeyAsk {
  vars: Record<string, unknown>;
  agent_id: string;
  agent_name: string;
  /** The binding the hook names, or null. */
  key_ref: string | null;
  /** Sealed for `place`, or null. */
  sealed: string | null;
  place: string;
  /** Every agent that a hook wakes: a binding named after one must not be another's. */
  agents: readonly { agent_id: string; agent_name: string }[];
}

const SINGLE = ["REVEILLE_SLO_RESPONDER_KEY", "WAKE_SLO_RESPONDER_API_KEY", "QOOPIA_API_KEY"];

/** What a header can carry. */
const USABLE = /^[\x21-\x7e]{1,1024}$/;

/** The key, or why there is none; `why` holds no part of it. Never throws. */
export async function responderKey(ask: KeyAsk): Promise<KeyAnswer> {
  const mine = sloKeyFor(ask.agent_name);
  if (isSet(ask.vars[mine]) && sloKeyName(mine)) {
    const same = ask.agents.filter((a) => sloKeyFor(a.agent_name) === mine && a.agent_id !== ask.agent_id);
    if (same.length > 0) return { key: null, why: `${mine} could be the key of more than one agent` };
    return fromBinding(ask.vars, mine);
  }
  if (ask.key_ref !== null) return fromBinding(ask.vars, ask.key_ref);
  const single = SINGLE.find((name) => isSet(ask.vars[name]));
  const ids = new Set([...ask.agents.map((a) => a.agent_id), ask.agent_id]);
  // With several agents it is nobody's, so it is no source of theirs.
  if (single !== undefined && ids.size === 1) return fromBinding(ask.vars, single);
  if (ask.sealed === null) return { key: null, why: `no key is set: ${mine}, or slo_key of the hook` };
  try {
    return usable(
      await open(await sealKeys(ask.vars, "REVEILLE_HOOK_KEY"), ask.place, ask.sealed),
      "slo_key of the hook",
    );
  } catch (error) {
    return { key: null, why: error instanceof SealError ? error.message : describe(error) };
  }
}

/** A text of no characters is what an unset variable looks like; one of blanks was set. */
const isSet = (value: unknown): boolean => (typeof value === "string" ? value !== "" : hasGet(value));
const hasGet = (value: unknown): value is { get(): Promise<string> } =>
  typeof value === "object" && value !== null && typeof (value as { get?: unknown }).get === "function";

/** A secret, or one of the Secrets Store, which is read when it is needed. */
async function fromBinding(vars: Record<string, unknown>, name: string): Promise<KeyAnswer> {
  const value = vars[name];
  if (typeof value === "string") return usable(value, name);
  if (!hasGet(value)) return { key: null, why: `${name} is not set` };
  try {
    return usable(await value.get(), name);
  } catch {
    return { key: null, why: `${name} can't be read` };
  }
}

function usable(value: unknown, name: string): KeyAnswer {
  const key = typeof value === "string" ? value.trim() : "";
  if (key === "") return { key: null, why: `${name} is blank` };
  return USABLE.test(key) ? { key } : { key: null, why: `${name} has characters that no header can carry` };
}
