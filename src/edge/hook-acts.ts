import type { z } from "zod";
import { auditIfChanged, auditStatement } from "../audit";
import {
  deleteHook,
  type Hook,
  hookPatch,
  hookSettings,
  insertHook,
  makeHookId,
  makeSecret,
  mustReadHook,
  type newHook,
  rotated,
  sealSecret,
  sloKeyPlace,
  updateHook,
} from "../hooks";
import { badRequest } from "../kernel/errors";
import { checkUrl, isPrivateHost } from "../kernel/net-guard";
import type { Runtime } from "../kernel/runtime";
import { isOwnUrl } from "../slo";
import { seal, sealKeys } from "../vault";
import { schemaError } from "../watch";
import type { EdgeEnv } from "./env";

/** What operators do with hooks. Every act is a `hook.changed` row; a secret is told once and never stored in the clear. */

const note = (runtime: Runtime, by: string, hook: string, details: Record<string, unknown>) => ({
  at: runtime.clock.now(),
  seam: "hook.changed" as const,
  source: "operator" as const,
  details: runtime.redact.json({ by, hook, ...details }),
});

const keysOf = (runtime: Runtime) => sealKeys(runtime.vars, "REVEILLE_HOOK_KEY");

/** What a schema can't check: where URLs lead, and what does not go together. @throws ReveilleError 400 with the field. */
function check(runtime: Runtime, hook: Hook): void {
  const list = runtime.config.allowPrivate;
  if (hook.recipient.kind === "webhook") checkUrl(hook.recipient.url, list, "recipient.url");
  const own = hook.slo.peer_url !== null && URL.canParse(hook.slo.peer_url) ? new URL(hook.slo.peer_url) : null;
  // Our own `/mcp` is answered without a network (src/consumer/own-mcp.ts), so none of the rules about it apply.
  if (hook.slo.peer_url !== null && !(own && isOwnUrl(own, runtime.config.publicUrl))) {
    const url = checkUrl(hook.slo.peer_url, list, "slo.peer_url");
    if (url.search !== "" || url.hash !== "")
      throw badRequest("bad_url", "The peer's URL must not carry a query or a fragment.", "slo.peer_url");
    // The agent's key is sent there: over the open network that needs TLS.
    if (url.protocol === "http:" && !isPrivateHost(url.hostname))
      throw badRequest(
        "insecure_url",
        "The peer gets the agent's key, so it must be reached over https.",
        "slo.peer_url",
      );
  }
  if (hook.auth_mode === "hmac" && hook.secrets.length === 0)
    throw badRequest("no_secret", "A hook with auth_mode hmac needs a secret of its own.", "own_secret");
  if (hook.mode === "cron_task" && hook.recipient.kind !== "builtin")
    throw badRequest(
      "bad_recipient",
      "A cron_task is run by the built-in agent: recipient.kind must be builtin.",
      "recipient.kind",
    );
  if (hook.mode !== "cron_task" && hook.quiet !== null)
    throw badRequest("bad_quiet", "Quiet hours are for cron_task hooks: a wake is never held back.", "quiet");
}

/** Makes a hook. `secret` is what its senders prove themselves with, told this once; null: the global token. */
export async function createHook(
  env: EdgeEnv,
  runtime: Runtime,
  input: z.infer<typeof newHook>,
  by: string,
): Promise<{ hook: Hook; secret: string | null }> {
  const now = runtime.clock.now();
  const { id: asked, secret: given, own_secret, slo_key, ...settings } = input;
  const id = asked ?? makeHookId(now);
  if (given !== undefined && !own_secret)
    throw badRequest("bad_secret", "A hook has a secret, or own_secret is false; not both.", "own_secret");
  const secret = own_secret ? (given ?? makeSecret()) : null;
  const hook: Hook = {
    ...settings,
    id,
    secrets: secret === null ? [] : [await sealSecret(await keysOf(runtime), id, secret, now)],
    sealed_slo_key: slo_key === undefined ? null : await sealSloKey(runtime, settings.agent_id, slo_key),
    created_at: now,
    updated_at: now,
    trigger_count: 0,
    last_triggered_at: null,
    last_status: null,
    last_error: null,
  };
  check(runtime, hook);
  const { mode, auth_mode, agent_id, recipient } = hook;
  const row = note(runtime, by, id, { change: "hook made", mode, auth_mode, agent_id, recipient: recipient.kind });
  await insertHook(env.DB, hook, auditStatement(env.DB, row));
  return { hook, secret };
}

const sealSloKey = async (runtime: Runtime, agentId: string, key: string): Promise<string> =>
  seal(await keysOf(runtime), sloKeyPlace(agentId), key);

type Loose = Record<string, unknown>;
const merged = (old: object, patch: unknown): unknown =>
  typeof patch === "object" && patch !== null && !Array.isArray(patch) ? { ...old, ...patch } : patch;

/** Changes what the body names. Of `hmac` a pattern given as null goes away. @throws ReveilleError 400, 404, 409. */
export async function changeHook(env: EdgeEnv, runtime: Runtime, id: string, body: unknown, by: string): Promise<Hook> {
  const before = await mustReadHook(env.DB, id);
  const read = hookPatch.safeParse(body);
  if (!read.success) throw schemaError(read.error, "hook", body);
  const { slo_key, ...patch } = read.data as Loose & { slo_key?: string | null };
  const { title, description, mode, template, enabled, agent_id, agent_name, recipient, auth_mode } = before;
  const { hmac, quiet, slo, limits } = before;
  const old: Loose = {
    ...{ title, description, mode, template, enabled, agent_id, agent_name, recipient, auth_mode },
    ...{ hmac, quiet, slo, limits },
  };
  const wanted: Loose = { ...old, ...patch };
  for (const [key, part] of Object.entries({ hmac, slo, limits }))
    if (key in patch) wanted[key] = merged(part, patch[key]);
  if (typeof wanted["hmac"] === "object" && wanted["hmac"] !== null)
    wanted["hmac"] = Object.fromEntries(Object.entries(wanted["hmac"]).filter(([, v]) => v !== null));
  const settings = hookSettings.safeParse(wanted);
  if (!settings.success) throw schemaError(settings.error, "hook", wanted);
  if (settings.data.agent_id !== agent_id && before.sealed_slo_key !== null && slo_key === undefined)
    throw badRequest(
      "slo_key_bound",
      "The stored slo_key belongs to the agent before; give it again, or null.",
      "slo_key",
    );
  const after: Hook = {
    ...before,
    ...settings.data,
    sealed_slo_key:
      slo_key === undefined
        ? before.sealed_slo_key
        : slo_key === null
          ? null
          : await sealSloKey(runtime, settings.data.agent_id, slo_key),
    updated_at: Math.max(runtime.clock.now(), before.updated_at + 1),
  };
  check(runtime, after);
  const fields = Object.keys(body as Loose);
  const row = note(runtime, by, id, { change: "hook changed", fields, enabled: after.enabled });
  await updateHook(env.DB, before, after, auditIfChanged(env.DB, row));
  return after;
}

/** A new secret, told this once; the one before lets in for `grace` ms more. Never more than two are live. */
export async function rotateHook(
  env: EdgeEnv,
  runtime: Runtime,
  id: string,
  { grace, secret: given }: { grace: number; secret?: string | undefined },
  by: string,
): Promise<{ hook: Hook; secret: string }> {
  const before = await mustReadHook(env.DB, id);
  const now = runtime.clock.now();
  const secret = given ?? makeSecret();
  const fresh = await sealSecret(await keysOf(runtime), id, secret, now);
  const secrets = rotated(before.secrets, fresh, now + grace);
  const hook: Hook = { ...before, secrets, updated_at: Math.max(now, before.updated_at + 1) };
  const row = note(runtime, by, id, { change: "secret rotated", live: secrets.length, grace_s: grace / 1000 });
  await updateHook(env.DB, before, hook, auditIfChanged(env.DB, row));
  return { hook, secret };
}

/** Removes a hook at once. @throws ReveilleError 404. */
export const dropHook = (env: EdgeEnv, runtime: Runtime, id: string, by: string): Promise<void> =>
  deleteHook(env.DB, id, auditIfChanged(env.DB, note(runtime, by, id, { change: "hook deleted" })));
