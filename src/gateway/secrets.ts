import { toHex } from "../kernel/crypto";
import { open, type SealKeys, seal, sealedWith } from "../vault";

/** The secrets of a gateway at rest: a list, newest first, each sealed for its gateway (hermes-relay §1.2, §1.3). */

/** Reveille ms that a replaced secret still opens the door. */
export const RETIRE_MS = 24 * 3_600_000;

export interface SealedSecret {
  sealed: string;
  created_at: number;
  /** Reveille ms; null: the current one. */
  retire_at: number | null;
}
export interface LiveSecret {
  secret: string;
  created_at: number;
  retire_at: number | null;
}

/** 64 hex characters, used as text: never decoded, and no white space to lose (hermes-relay §11). */
export const newSecret = (): string => toHex(crypto.getRandomValues(new Uint8Array(32)));

const place = (tenant: string, gatewayId: string): string => JSON.stringify(["gateway", tenant, gatewayId]);

const isLive = (s: { retire_at: number | null }, now: number): boolean => s.retire_at === null || s.retire_at > now;

export const liveOf = <T extends { retire_at: number | null }>(list: T[], now: number): T[] =>
  list.filter((s) => isLive(s, now));

/** The list with one more secret in front: the ones before it retire in 24 h, those already retired go. */
export async function withSecret(
  keys: SealKeys,
  owner: { tenant: string; id: string },
  list: SealedSecret[],
  secret: string,
  now: number,
): Promise<SealedSecret[]> {
  const sealed = await seal(keys, place(owner.tenant, owner.id), secret);
  const before = liveOf(list, now).map((s) => ({ ...s, retire_at: s.retire_at ?? now + RETIRE_MS }));
  return [{ sealed, created_at: now, retire_at: null }, ...before];
}

/** @throws SealError when a live secret can't be opened with the keys that are configured. */
export const openAll = (
  keys: SealKeys,
  owner: { tenant: string; id: string },
  list: SealedSecret[],
  now: number,
): Promise<LiveSecret[]> =>
  Promise.all(
    liveOf(list, now).map(async ({ sealed, created_at, retire_at }) => ({
      secret: await open(keys, place(owner.tenant, owner.id), sealed),
      created_at,
      retire_at,
    })),
  );

/** The same secrets under the current key; null when they are already. */
export async function resealed(
  keys: SealKeys,
  owner: { tenant: string; id: string },
  list: SealedSecret[],
  now: number,
): Promise<SealedSecret[] | null> {
  const live = liveOf(list, now);
  if (live.every((s) => sealedWith(keys, s.sealed) === "current")) return null;
  const opened = await openAll(keys, owner, live, now);
  return Promise.all(
    opened.map(async ({ secret, created_at, retire_at }) => ({
      sealed: await seal(keys, place(owner.tenant, owner.id), secret),
      created_at,
      retire_at,
    })),
  );
}
