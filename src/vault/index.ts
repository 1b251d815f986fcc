export { type Deferred, DISCORD, type Held, KEEP, resolve, TOLD_MS, usable } from "./capability";
export { open, SealError, type SealKeys, seal, sealedWith, sealKeys } from "./seal";
export type { SealAsk, VaultPlace, VaultRow, WieldAsk, WieldBy, Wielded } from "./types";
export { type Claim, Vault } from "./vault.store";
