import type { Runtime } from "../kernel/runtime";
import type { TrustDeps } from "./decide";
import { loadPolicy } from "./policy.store";
import type { TrustTierPort } from "./types";

/** What others may use of trust. Tier two is not here: the consumer alone takes `agent-tier.ts`. */
export { type ActAnswer, type ActDeps, type Actor, ADMIN_ACTIONS, type AdminAction, rightsOf, trustAct } from "./acts";
export { expireTrust, readShare } from "./counters.store";
export { decide, type TrustAsk, type TrustDeps } from "./decide";
export { matches, readEntry } from "./levels";
export {
  type ByAdmin,
  block,
  type Changed,
  demoteToContact,
  demoteToStranger,
  promoteToContact,
  promoteToWhitelist,
  readStanding,
  removeAdmin,
  revertPromotion,
  type Standing,
  setAdmin,
  unblock,
} from "./levels.store";
export { type Person, type Promotion, readPeople, readPromotions } from "./people.store";
export { parsePolicy, presetName } from "./policy";
export { defaultTrustLevel, loadPolicy, onboardInfo, type PolicyInForce, savePolicy } from "./policy.store";
export type { Policy } from "./policy.types";
export { readTrustProposal, readTrustProposals, rejectProposal, type TrustProposal } from "./proposal.store";
export { type TestAsk, type TestResult, testPolicy } from "./tester";
export * from "./types";
export { claimTrustSignature } from "./used.store";

/** What `decide` needs, from a Worker's or object's bindings. `self`: the address of the agent that is asked for. */
export async function trustDeps(
  env: { DB: D1Database; REASON?: TrustTierPort | undefined },
  runtime: Runtime,
  self?: string,
): Promise<TrustDeps> {
  const { policy } = await loadPolicy(env.DB, runtime).catch((error: unknown) => {
    runtime.log("error", "trust.policy_unread", { error: String(error) });
    return { policy: { error: "the store did not answer" } };
  });
  const { REASON } = env;
  return { db: env.DB, runtime, policy, self, ...(REASON ? { reason: (input) => REASON.judge(input) } : {}) };
}
