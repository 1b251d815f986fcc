import { auditIfChanged } from "../audit";
import { sha256Hex } from "../kernel/crypto";
import { commit } from "../kernel/d1";
import { badRequest, ReveilleError } from "../kernel/errors";
import { newId, randomToken } from "../kernel/ids";
import { checkUrl } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import {
  insertMsgAgent,
  type MsgAgent,
  nameTaken,
  ownHook,
  type Profile,
  readMsgAgent,
  rotateKey,
  setActive,
  setWake,
  wakePlace,
} from "../messaging";
import { seal, sealKeys } from "../vault";
import type { EdgeEnv } from "./env";

/** What an operator does about agents of the embedded messaging, for API and page alike. Each act is an audit row. */

/** Where an agent is woken; a secret that is left out is made. */
export interface WakeAsk {
  url: string;
  auth?: "hmac" | "bearer" | undefined;
  secret?: string | undefined;
}

export interface NewAgent {
  workspace: string;
  name: string;
  owner?: string | undefined;
  type?: string | undefined;
  tool_profile?: Profile | undefined;
  wake?: WakeAsk | null | undefined;
}

/** An agent and what is told this once: its key, the secret its wakes are signed with. */
export interface Told {
  agent: MsgAgent;
  key: string | null;
  wake_secret: string | null;
}

interface Sealed {
  row: Pick<MsgAgent, "wake_url" | "wake_auth" | "wake_secret">;
  /** The secret that was made here, or null. */
  made: string | null;
}

const makeKey = (): string => `q_${randomToken(32)}`;

async function sealWake(runtime: Runtime, id: string, ask: WakeAsk | null | undefined): Promise<Sealed> {
  if (!ask) return { row: { wake_url: null, wake_auth: "hmac", wake_secret: null }, made: null };
  if (ownHook(ask.url, runtime.config.publicUrl) === null) checkUrl(ask.url, runtime.config.allowPrivate, "wake.url");
  const made = ask.secret === undefined ? randomToken(32) : null;
  const secret = await seal(await sealKeys(runtime.vars, "REVEILLE_HOOK_KEY"), wakePlace(id), ask.secret ?? made!);
  return { row: { wake_url: ask.url, wake_auth: ask.auth ?? "hmac", wake_secret: secret }, made };
}

export async function mustReadAgent(db: D1Database, id: string): Promise<MsgAgent> {
  const agent = await readMsgAgent(db, id);
  if (agent) return agent;
  throw new ReveilleError({
    status: 404,
    code: "not_found",
    message: `No messaging agent ${id.slice(0, 80)}.`,
    hint: "List them: GET /api/v1/messaging/agents",
  });
}

/** Writes a change and its proof. False when nothing was changed. */
async function write(
  env: EdgeEnv,
  runtime: Runtime,
  by: string,
  statement: D1PreparedStatement,
  details: Record<string, unknown>,
): Promise<boolean> {
  const at = runtime.clock.now();
  const row = { at, seam: "messaging.changed" as const, source: by, details: runtime.redact.json(details) };
  const { results } = await commit(env.DB, [statement, auditIfChanged(env.DB, row)]);
  return (results[0]?.meta.changes ?? 0) > 0;
}

/** @throws ReveilleError 409 `name_taken`, 400 for a wake URL that must not be reached, 503 without REVEILLE_HOOK_KEY */
export async function createAgent(env: EdgeEnv, runtime: Runtime, ask: NewAgent, by: string): Promise<Told> {
  const now = runtime.clock.now();
  const id = newId(now);
  const key = makeKey();
  const { row, made } = await sealWake(runtime, id, ask.wake);
  const { workspace, name } = ask;
  const owner = ask.owner ?? "operator";
  const fresh = { id, workspace, name, owner, type: ask.type ?? "agent", tool_profile: ask.tool_profile ?? "standard" };
  const statement = insertMsgAgent(env.DB, { ...fresh, ...row, key_hash: await sha256Hex(key), now });
  const details = { act: "create", agent: id, workspace, name, wakes: row.wake_url !== null };
  if (!(await write(env, runtime, by, statement, details))) throw nameTaken(name);
  return { agent: await mustReadAgent(env.DB, id), key, wake_secret: made };
}

/** A new key; the one before lets in for `grace` ms more. */
export async function rotateAgent(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  grace: number,
  by: string,
): Promise<Told> {
  const agent = await mustReadAgent(env.DB, id);
  if (agent.active !== 1) throw badRequest("inactive", "An inactive agent has no key to rotate: activate it first.");
  const key = makeKey();
  const statement = rotateKey(env.DB, id, await sha256Hex(key), runtime.clock.now() + grace);
  await write(env, runtime, by, statement, { act: "rotate", agent: id, grace_ms: grace });
  return { agent: await mustReadAgent(env.DB, id), key, wake_secret: null };
}

/** Off: every key of it is refused from the next call on. @throws ReveilleError 409 when its name has been taken meanwhile */
export async function activateAgent(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  active: boolean,
  by: string,
): Promise<MsgAgent> {
  const agent = await mustReadAgent(env.DB, id);
  if ((agent.active === 1) === active) return agent;
  const act = active ? "activate" : "deactivate";
  const changed = await write(env, runtime, by, setActive(env.DB, id, active), { act, agent: id });
  if (!changed && active) throw nameTaken(agent.name);
  return mustReadAgent(env.DB, id);
}

/** Another address for wakes, or none. */
export async function wakeAgentAt(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  ask: WakeAsk | null,
  by: string,
): Promise<Told> {
  await mustReadAgent(env.DB, id);
  const { row, made } = await sealWake(runtime, id, ask);
  await write(env, runtime, by, setWake(env.DB, id, row), {
    act: "wake",
    agent: id,
    url: row.wake_url,
    auth: row.wake_auth,
  });
  return { agent: await mustReadAgent(env.DB, id), key: null, wake_secret: made };
}
