import { clip } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { readEntry } from "./levels";
import {
  type ByAdmin,
  block,
  type Changed,
  demoteToContact,
  demoteToStranger,
  promoteToContact,
  promoteToWhitelist,
  readStanding,
  removeAdmin,
  setAdmin,
  unblock,
} from "./levels.store";
import { resolveProposals } from "./proposal.store";

/** What admins and operators do, in the words of the protocol: the same answers over HTTP, WebSocket, page and API. */

export const ADMIN_ACTIONS = [
  "promote",
  "demote",
  "block",
  "unblock",
  "get_level",
  "add_admin",
  "remove_admin",
] as const;
export type AdminAction = (typeof ADMIN_ACTIONS)[number];

export interface ActDeps {
  db: D1Database;
  runtime: Runtime;
  /** The agent's own address: its super admin, blocked or not. */
  self?: string | undefined;
}

/** Who asks. `operator` holds the operator token or a page session and may do everything. */
export type Actor =
  | { kind: "operator"; name: string; request?: string | null }
  | { kind: "signed"; address: string; signature_hash: string; request?: string | null };

export interface ActAsk {
  action: AdminAction;
  /** Address; `remove_admin` and `add_admin` may call it admin_id. The operator may give a pattern. */
  client_id: unknown;
  reason?: unknown;
}

/** Status and body as `/admin/trust/*` answers. Refusals of a change are 200 with `error` (`connectonion.md` (b)). */
export interface ActAnswer {
  status: 200 | 400 | 403;
  body: Record<string, unknown>;
}

/** What a signer may do: its own admin mark, unless it is blocked; the agent itself always. @throws on a store error. */
export async function rightsOf(deps: ActDeps, address: string): Promise<{ admin: boolean; super: boolean }> {
  if (deps.self !== undefined && address === deps.self) return { admin: true, super: true };
  const { admin, level } = await readStanding(deps.db, address);
  return { admin: admin && level !== "blocked", super: false };
}

const refuse = (status: 400 | 403, error: string): ActAnswer => ({ status, body: { error } });
const told = (error: string, level: string): ActAnswer => ({ status: 200, body: { error, level } });

/** Carries out one act after asking for the right to it. @throws ReveilleError 409 when somebody else changes the same client. */
export async function trustAct(deps: ActDeps, actor: Actor, ask: ActAsk): Promise<ActAnswer> {
  const onAdmins = ask.action === "add_admin" || ask.action === "remove_admin";
  if (actor.kind === "signed") {
    const rights = await rightsOf(deps, actor.address);
    if (onAdmins && !rights.super) return refuse(403, "forbidden: super admin only");
    if (!rights.admin) return refuse(403, "forbidden: admin only");
  }
  const missing = onAdmins ? "admin_id required" : "client_id required";
  if (typeof ask.client_id !== "string" || ask.client_id === "") return refuse(400, missing);
  const entry = readEntry(ask.client_id);
  // A pattern reaches clients nobody has seen: only the operator writes one, and none makes admins.
  if (!entry || (entry.pattern && (actor.kind === "signed" || onAdmins)))
    return refuse(400, `${onAdmins ? "admin_id" : "client_id"} is no address: 0x and 64 hex digits`);
  const by: ByAdmin =
    actor.kind === "operator"
      ? { kind: "operator", name: actor.name, request: actor.request ?? null }
      : {
          kind: "admin",
          name: actor.address,
          signature_hash: actor.signature_hash,
          request: actor.request ?? null,
        };
  const reason = typeof ask.reason === "string" && ask.reason !== "" ? clip(ask.reason, 200) : null;
  return run(deps, ask.action, entry.id, by, reason);
}

async function run(
  deps: ActDeps,
  action: AdminAction,
  id: string,
  by: ByAdmin,
  reason: string | null,
): Promise<ActAnswer> {
  const { level, admin } = await readStanding(deps.db, id);
  const self = id === deps.self;
  switch (action) {
    case "get_level":
      return { status: 200, body: { client_id: id, level, admin: admin || self } };
    case "promote": {
      if (level === "blocked") return told("Client is blocked. Unblock first.", level);
      if (level === "whitelist") return told("Already at highest level", level);
      const to = level === "contact" ? promoteToWhitelist : promoteToContact;
      return done(deps, await to(deps, id, by, reason), "promoted", by);
    }
    case "demote": {
      if (level === "blocked") return told("Client is blocked. Unblock first.", level);
      if (level === "stranger") return told("Already at lowest level", level);
      const to = level === "whitelist" ? demoteToContact : demoteToStranger;
      return done(deps, await to(deps, id, by, reason), "demoted", by);
    }
    case "block":
      if (self) return told("The agent itself can't be blocked.", level);
      return done(deps, await block(deps, id, by, reason), "blocked", by);
    case "unblock":
      return done(deps, await unblock(deps, id, by, reason), "unblocked", by);
    case "add_admin":
      await setAdmin(deps, id, by, reason);
      return { status: 200, body: { success: true, message: `${id} is now an admin`, admin: true, level } };
    case "remove_admin":
      if (self) return told("The agent itself is always its admin.", level);
      await removeAdmin(deps, id, by, reason);
      return { status: 200, body: { success: true, message: `${id} is no longer an admin`, admin: false, level } };
    default:
      action satisfies never;
      return refuse(400, "unknown action");
  }
}

async function done(deps: ActDeps, result: Changed, word: string, by: ByAdmin): Promise<ActAnswer> {
  const { standing, changed } = result;
  const { id, level, pattern } = standing;
  // Its own marks are not what gives this level.
  if (pattern !== null && level === result.from && (word === "demoted" || word === "unblocked"))
    return told(`The pattern ${pattern} gives this level; change the pattern.`, level);
  if (changed && (word === "promoted" || word === "blocked"))
    await resolveProposals(deps.db, id, word === "promoted" ? "promote" : "block", by.name, deps.runtime.clock.now());
  const to = word === "promoted" || word === "demoted" ? ` to ${level}` : "";
  return { status: 200, body: { success: true, message: `${id} ${word}${to}`, level } };
}
