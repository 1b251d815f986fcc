export { approveDestination, type EgressAsk, type Heard, judgeEgress } from "./approve";
export { BOT_TURNS_A_MINUTE, botTurns, threadOf } from "./bot-turns";
export { Buffer, type Entry } from "./buffer";
export { type Candidate, countDead, readDead, readDeliveries, replayCandidates } from "./buffer.read";
export { formatBufferId, newTag, readBufferId } from "./buffer-id";
export {
  AWAKE_MS,
  expiry,
  type Flip,
  GREETING_MS,
  type Listener,
  listenerOf,
  MAX_ATTEMPTS,
  nextStep,
  RETENTION_MS,
  type Scene,
  type Sent,
  type Step,
  type Waiting,
} from "./delivery";
export { type Descriptor, descriptorOf, greet, type Identity, speaker } from "./descriptor";
export {
  CAPABILITY_UNAVAILABLE,
  type CapabilityPort,
  type EgressContext,
  EgressState,
  opsOf,
  runOp,
  tellBroken,
} from "./egress";
export {
  askOf,
  FACTS_LIFE_MS,
  type FactsAsk,
  forgetFacts,
  MISS_LIFE_MS,
  readFacts,
  readTexts,
  scopesOf,
} from "./facts.store";
export { capabilityPort, type VaultPorts, type VaultStub } from "./follow-up";
export {
  type Action,
  frameText,
  type Hello,
  type InFrame,
  NOTHING,
  type Outbound,
  type OutFrame,
  readFrame,
  receiveLines,
  writeFrame,
} from "./frames";
export {
  type BindingFact,
  type DropReason,
  type GateFacts,
  type GrantFact,
  judge,
  oneToOne,
  type Principal,
  type RelevanceFact,
} from "./gate";
export {
  allowIdentity,
  createGateway,
  type Drop,
  deprovision,
  GATEWAY_ID,
  type NewGateway,
  resealAll,
  revokeGateway,
  rotateSecret,
  type SecretState,
  secretState,
} from "./gateways";
export {
  findGateway,
  forgetGateways,
  type GatewayRecord,
  type GatewayRow,
  listGateways,
  openSecrets,
  readGateway,
  swapSecrets,
} from "./gateways.store";
export {
  ACCESS_LIFE_S,
  type Caller,
  type ClientView,
  createClient,
  identify,
  issueToken,
  listClients,
  revokeClient,
} from "./identity";
export { type Gated, gateEvent } from "./ingress";
export { Lanes } from "./lanes";
export {
  consumeLink,
  createLink,
  LINK_LIFE,
  LINK_TRIES,
  LINKED,
  type LinkCode,
  type LinkReply,
  type LinkRow,
  linkCodeOf,
  listLinks,
  NOT_LINKED,
} from "./link";
export { discordApp, noteManifest, registerManifests } from "./manifest";
export {
  cleanFilename,
  cleanMime,
  MAX_MEDIA,
  MEDIA_TTL_MS,
  ownMediaId,
  readMedia,
  rehost,
  storeMedia,
  sweepMedia,
} from "./media";
export { Memory, type Spoken } from "./memory.store";
export type * from "./object.types";
export {
  type Author,
  type BindingRow,
  bindAuthor,
  type Channel,
  type GrantRow,
  grantChannel,
  listBindings,
  listGrants,
  listScopes,
  type OwnershipQuery,
  ownershipKey,
  releaseChannel,
  routeScope,
  type ScopeRow,
  setDmDefault,
  unbindAuthor,
  unrouteScope,
} from "./ownership";
export { checkWakeUrl, type Poke, poke, pokeDue } from "./poke";
export { listPolicies, type PolicyRow, putPolicy, type RelevanceRule } from "./policy";
export { expirePrompts } from "./prompts.store";
export {
  addIdentity,
  createEnrollToken,
  ENROLL_LIFE,
  type Enrolled,
  enroll,
  instanceOfGateway,
  type ProvisionAsk,
  type Provisioned,
  provision,
  tenantOfToken,
} from "./provision";
export { moveChat, scopeRevoked } from "./scope-events";
export {
  type LiveSecret,
  liveOf,
  newSecret,
  openAll,
  RETIRE_MS,
  resealed,
  type SealedSecret,
  withSecret,
} from "./secrets";
export { type KeyOptions, type KeySource, ownsKey, readSessionKey, sessionKey, sessionKeyAliases } from "./session-key";
export {
  change,
  conflict,
  createTenant,
  INSTANCE,
  type InstancePatch,
  type InstanceRow,
  insertInstance,
  isUnique,
  listInstances,
  listTenants,
  type ManageDeps,
  mustInstance,
  NAME,
  patchInstance,
  readInstance,
  readTenant,
  type TenantRow,
  tenantOf,
  told,
} from "./tenants.store";
export { mintToken, readToken, TOKEN_TTL_S, type TokenVerdict, verifyToken } from "./token";
export * from "./types";
export { composeFrame, mediaOf, mergeAlbum, withMedia } from "./wire";
