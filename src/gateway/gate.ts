import type { Inbound, SessionSource } from "../platform";
import type { Destination } from "./types";

/**
 * Who gets an event (hermes-relay §9). Pure: the facts are read before. Each filter only narrows; what is not known
 * drops the event. The order is the spec's: tenant by the event's own scope, author first, principal, relevance.
 */

export type Principal = "owner-only" | "allow-list" | "any";

export interface BindingFact extends Destination {
  dm_default: boolean;
  created_at: number;
}

export interface GrantFact extends Destination {
  principal: Principal;
  allow: string[];
}

export interface RelevanceFact extends Destination {
  require_address: boolean;
  free_response_scopes: string[];
  allow_other_bots: boolean;
}

/** What D1 knows about one author in one chat. */
export interface GateFacts {
  /** Whose the event's scope is; null: nobody's. */
  scope_tenant: string | null;
  /** The only tenant there is, which owns what nobody was given. */
  only_tenant: string | null;
  /** Of the author on this platform, any tenant. */
  bindings: BindingFact[];
  /** Who holds this channel: the chat itself before its parent. */
  grants: GrantFact[];
  relevance: RelevanceFact[];
  /** Who asked, when the event answers a prompt that we remember. */
  prompt: Destination | null;
}

/** Why an event goes nowhere: counted by it, never told to the platform. */
export type DropReason =
  | "own"
  | "no_author"
  | "unknown_tenant"
  | "unlinked"
  | "principal"
  | "other_bot"
  | "not_addressed"
  | "foreign_prompt";

export type Verdict = { to: Destination } | { drop: DropReason };

type Reach = { to: Destination; owner: boolean } | { drop: DropReason };

/** Is nobody else in this chat? Slack calls a group of people a DM too; only there it must be known to be none. */
export const oneToOne = (source: SessionSource): boolean =>
  source.chat_type === "dm" &&
  (source.platform === "slack" ? source.one_to_one_verified === true : source.one_to_one_verified !== false);

/** Where an event goes, or why nowhere. */
export function judge(facts: GateFacts, inbound: Inbound): Verdict {
  const { source } = inbound.event;
  if (inbound.own) return { drop: "own" };
  if (!source.user_id) return { drop: "no_author" };
  const reach = reachOf(facts, inbound, source.user_id);
  if ("drop" in reach) return reach;
  // A press answers one instance's question; another's, even of the same author, would not know it.
  if (facts.prompt && !same(facts.prompt, reach.to)) return { drop: "foreign_prompt" };
  const irrelevant = irrelevance(facts, inbound, reach);
  return irrelevant ? { drop: irrelevant } : { to: reach.to };
}

/** Tenant, then the author's own instance, then the channel's holder. */
function reachOf(facts: GateFacts, inbound: Inbound, author: string): Reach {
  const { source } = inbound.event;
  const tenant = facts.scope_tenant ?? facts.only_tenant;
  const dm = oneToOne(source);
  // A DM without any scope (Telegram, Discord) has only its author to say whose it is.
  const anyTenant = tenant === null && dm && !source.scope_id;
  if (tenant === null && !anyTenant) return { drop: "unknown_tenant" };
  const mine = facts.bindings.filter((b) => anyTenant || b.tenant === tenant);
  const own = ownInstance(facts, mine, dm);
  // A linked author reaches nobody else's instance, whoever holds the channel.
  if (own) return { to: { tenant: own.tenant, instance: own.instance }, owner: true };
  if (tenant === null) return { drop: "unknown_tenant" };
  const grant = facts.grants.find((g) => g.tenant === tenant);
  if (!grant) return { drop: "unlinked" };
  if (!admits(grant, author)) return { drop: "principal" };
  return { to: { tenant: grant.tenant, instance: grant.instance }, owner: false };
}

/**
 * One of the author's instances: the one that asked, in a channel the one that holds it, the DM default, the newest.
 */
function ownInstance(facts: GateFacts, mine: BindingFact[], dm: boolean): BindingFact | undefined {
  const asked = facts.prompt && mine.find((b) => same(b, facts.prompt!));
  const holders = dm ? [] : facts.grants.flatMap((g) => mine.filter((b) => same(g, b)));
  return asked ?? holders[0] ?? [...mine].sort(byPreference)[0];
}

const byPreference = (a: BindingFact, b: BindingFact): number =>
  Number(b.dm_default) - Number(a.dm_default) || b.created_at - a.created_at || (nameOf(a) < nameOf(b) ? -1 : 1);
const nameOf = (d: Destination): string => JSON.stringify([d.tenant, d.instance]);

const admits = (grant: GrantFact, author: string): boolean =>
  grant.principal === "any" || (grant.principal === "allow-list" && grant.allow.includes(author));

/** Relevance (§5.3): another bot needs leave, whoever linked it; people who own the instance bypass the rest. */
function irrelevance(
  facts: GateFacts,
  inbound: Inbound,
  { to, owner }: { to: Destination; owner: boolean },
): DropReason | null {
  const { source } = inbound.event;
  const rule = facts.relevance.find((r) => same(r, to));
  if (source.is_bot && !rule?.allow_other_bots) return "other_bot";
  if (owner || !rule?.require_address || inbound.addressed || oneToOne(source)) return null;
  const free = [source.chat_id, source.parent_chat_id].some(
    (id) => id !== undefined && rule.free_response_scopes.includes(id),
  );
  return free ? null : "not_addressed";
}

const same = (a: Destination, b: Destination): boolean => a.tenant === b.tenant && a.instance === b.instance;
