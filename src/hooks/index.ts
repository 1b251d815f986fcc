export { bearerOk, HMAC_DEFAULTS, type HmacConfig, hmacOk } from "./auth";
export {
  type DeliverDeps,
  type DeliverResult,
  deliverMessage,
  type Handed,
  type Handover,
  type RecipientPorts,
} from "./deliver";
export { forgetWakes, readWake, sweepMessages, type WakeRow } from "./delivery.store";
export { hookId, hookPatch, hookSettings, MAX_BODY, newHook, secretSchema } from "./hook.schema";
export {
  countTrigger,
  deleteHook,
  type Hook,
  insertHook,
  listAgents,
  listHooks,
  mustReadHook,
  readHook,
  recordOutcome,
  updateHook,
} from "./hook.store";
export { type Slots, type Taken, take } from "./limits";
export { endProbe, storeProbes, sweepProbes } from "./probe.store";
export { isQuiet, type Quiet } from "./quiet";
export {
  gatewayOffer,
  promptOf,
  sessionFor,
  topicOf,
  webhookAnswer,
  webhookRequest,
} from "./recipients";
export {
  type HookSecret,
  live,
  makeHookId,
  makeSecret,
  openSecrets,
  rotated,
  sealSecret,
  sloKeyPlace,
} from "./secrets";
export { fillTemplate, renderPrompt } from "./template";
export type { Partition, Recipient, SloMessage, WakeItem } from "./types";
export { forgetMessages, type NewWake, type StoredWakes, storeWake } from "./wake.store";
