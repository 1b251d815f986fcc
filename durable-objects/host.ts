import { readVar } from "../src/kernel/config";
import type { Runtime } from "../src/kernel/runtime";
import { errorFrame, hostKey, USED, type Verified } from "../src/session";
import {
  type AdminAction,
  claimTrustSignature,
  type Decision,
  decide,
  readStanding,
  type TrustAsk,
  trustAct,
  trustDeps,
} from "../src/trust";
import type { ObjectEnv } from "./env";

/** What the built-in agent's host is: its address, and trust as asked in its name. */

/** Our own address, or null when REVEILLE_AGENT_SEED is unset or no seed. */
export const hostAddress = async (runtime: Runtime): Promise<string | null> =>
  (await hostKey(readVar(runtime.vars, "REVEILLE_AGENT_SEED")))?.address ?? null;

/** Room for one more code or payment from this IP: codes are short, so guesses are counted over all ways in together. */
export const mayShowCode = async (env: Pick<ObjectEnv, "AUTH_LIMIT">, ip: string): Promise<boolean> =>
  (await env.AUTH_LIMIT.limit({ key: `code:${ip}` })).success;

/** May this verified client? Never throws: what can't be read refuses. */
export async function hostTrust(env: ObjectEnv, runtime: Runtime, ask: TrustAsk): Promise<Decision> {
  return decide(await trustDeps(env, runtime, (await hostAddress(runtime)) ?? undefined), ask);
}

/** A client's standing as it is now, whatever it was when it was let in. The agent itself is never blocked. @throws on a store error. */
export async function hostStanding(
  env: ObjectEnv,
  runtime: Runtime,
  from: string,
): Promise<{ blocked: boolean; level: string; admin: boolean }> {
  const { level, admin } = await readStanding(env.DB, from);
  const self = from === (await hostAddress(runtime));
  return { blocked: level === "blocked" && !self, level, admin: self || (admin && level !== "blocked") };
}

/** An ADMIN_* frame of a verified signer: the frame to answer with. */
export async function hostAdmin(env: ObjectEnv, runtime: Runtime, v: Verified, action: string): Promise<object> {
  // The same signature may have come over HTTP.
  if (!(await claimTrustSignature(env.DB, v.signature_hash, v.expires_s))) return errorFrame(USED.command);
  const self = (await hostAddress(runtime)) ?? undefined;
  const { status, body } = await trustAct(
    { db: env.DB, runtime, self },
    { kind: "signed", address: v.from, signature_hash: v.signature_hash },
    {
      action: action as AdminAction,
      client_id: v.payload["client_id"] ?? v.payload["admin_id"],
      reason: v.payload["reason"],
    },
  );
  return status === 200 ? { type: "ADMIN_RESULT", action, ...body } : errorFrame(String(body["error"]));
}
