import { hostAddress } from "../../durable-objects/host";
import { badRequest, notFound, ReveilleError } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import {
  type AdminAction,
  loadPolicy,
  readEntry,
  readStanding,
  readTrustProposal,
  rejectProposal,
  revertPromotion,
  type TestAsk,
  type TestResult,
  testPolicy,
  trustAct,
} from "../trust";
import type { EdgeEnv } from "./env";

/** What an operator does about trust, for API and page alike. The operator stands above admins; blocked clients stay blocked. */

export interface LevelView {
  client_id: string;
  level: string;
  admin?: boolean;
  message: string;
}

const selfOf = async (runtime: Runtime): Promise<string | undefined> => (await hostAddress(runtime)) ?? undefined;

/** @throws ReveilleError 400 for what is no address, 409 `refused` in the protocol's words. */
export async function operatorAct(
  env: EdgeEnv,
  runtime: Runtime,
  action: AdminAction,
  client_id: string,
  by: string,
  reason?: string,
): Promise<LevelView> {
  const deps = { db: env.DB, runtime, self: await selfOf(runtime) };
  const { status, body } = await trustAct(deps, { kind: "operator", name: by }, { action, client_id, reason });
  if (status !== 200) throw badRequest("bad_client", `${String(body["error"])}.`, "client_id");
  if (body["error"] !== undefined)
    throw new ReveilleError({ status: 409, code: "refused", message: String(body["error"]) });
  return {
    client_id: readEntry(client_id)?.id ?? client_id,
    level: String(body["level"]),
    ...(typeof body["admin"] === "boolean" ? { admin: body["admin"] } : {}),
    message: String(body["message"] ?? ""),
  };
}

/** Does what a proposal suggests. @throws ReveilleError 404, 409 `stale` when the client has another level by now. */
export async function confirmProposal(env: EdgeEnv, runtime: Runtime, id: string, by: string): Promise<LevelView> {
  const p = await readTrustProposal(env.DB, id, runtime.clock.now());
  if (!p) throw notFound("proposal", id);
  const { level } = await readStanding(env.DB, p.client_id);
  if (level !== p.level)
    throw new ReveilleError({
      status: 409,
      code: "stale",
      message: `This was suggested for a ${p.level}; ${p.client_id} is ${level} now.`,
      hint: "Reject it, or change the level yourself.",
    });
  return operatorAct(env, runtime, p.action, p.client_id, by, `proposal ${id}: ${p.reason}`);
}

/** @throws ReveilleError 404 when it is answered or expired. */
export async function dropProposal(env: EdgeEnv, runtime: Runtime, id: string, by: string): Promise<void> {
  if (!(await rejectProposal(env.DB, id, by, runtime.clock.now()))) throw notFound("proposal", id);
}

/** @throws ReveilleError 404 for a row that is no promotion, 409 when the client was changed since. */
export async function revert(env: EdgeEnv, runtime: Runtime, auditId: number, by: string): Promise<LevelView> {
  const done = await revertPromotion({ db: env.DB, runtime }, auditId, { kind: "operator", name: by });
  const { id, level } = done.standing;
  return { client_id: id, level, message: `${id} is a ${level} again` };
}

/** Tries a policy on a client without changing anything. @throws ReveilleError 400 for what is no address or no policy. */
export async function tryPolicy(env: EdgeEnv, runtime: Runtime, ask: TestAsk): Promise<TestResult> {
  const entry = readEntry(ask.client_id);
  if (!entry || entry.pattern) throw badRequest("bad_client", "An address is 0x and 64 hex digits.", "client_id");
  const { policy } = await loadPolicy(env.DB, runtime);
  const deps = { db: env.DB, runtime, policy, self: await selfOf(runtime) };
  return testPolicy(deps, { ...ask, client_id: entry.id });
}
