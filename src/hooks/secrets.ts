import { newId, randomToken } from "../kernel/ids";
import { open, SealError, type SealKeys, seal } from "../vault";

/** A hook's secrets: sealed in their row, bound to the hook, at most two of them live (wake-slo §1.3). */

export interface HookSecret {
  sealed: string;
  /** Reveille ms. */
  created_at: number;
  /** From then on it opens nothing; null: until the next rotation. */
  retire_at: number | null;
}

const place = (hookId: string): string => `hook:${hookId}`;
/** The place of an agent's key at its peer, sealed in the hook's `slo` (wake-slo §4: bound to the agent). */
export const sloKeyPlace = (agentId: string): string => `slo-key:${agentId}`;

/** 32 random bytes, url-safe. */
export const makeSecret = (): string => randomToken(32);
/** An id for a hook that was given none. */
export const makeHookId = (now: number): string => newId(now).toLowerCase();

export const sealSecret = (keys: SealKeys, hookId: string, secret: string, now: number): Promise<HookSecret> =>
  seal(keys, place(hookId), secret).then((sealed) => ({ sealed, created_at: now, retire_at: null }));

/** Those that still let in. */
export const live = (secrets: readonly HookSecret[], now: number): HookSecret[] =>
  secrets.filter((s) => s.retire_at === null || s.retire_at > now);

/** The secrets after a rotation: the new one, and the one before it until the grace is over. Any third goes at once. */
export const rotated = (secrets: readonly HookSecret[], fresh: HookSecret, retireAt: number): HookSecret[] =>
  [
    fresh,
    ...live(secrets, fresh.created_at)
      .slice(0, 1)
      .map((s) => ({ ...s, retire_at: s.retire_at === null ? retireAt : Math.min(s.retire_at, retireAt) })),
  ].filter((s) => s.retire_at === null || s.retire_at > fresh.created_at);

/** The live secrets in the clear. One that does not open is left out and told to `unreadable`. */
export async function openSecrets(
  keys: SealKeys,
  hookId: string,
  secrets: readonly HookSecret[],
  now: number,
  unreadable: (error: SealError) => void,
): Promise<string[]> {
  const opened = await Promise.all(
    live(secrets, now).map((s) =>
      open(keys, place(hookId), s.sealed).catch((error) => {
        if (!(error instanceof SealError)) throw error;
        unreadable(error);
        return null;
      }),
    ),
  );
  return opened.filter((s) => s !== null);
}
