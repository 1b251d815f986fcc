import { gatewayObject } from "../../durable-objects/gateway.stub";
import { sessionObject } from "../../durable-objects/session.stub";
import {
  chatSessionName,
  type DeliveryQuery,
  type DeliveryRow,
  type Destination,
  type GatewayView,
  listInstances,
} from "../gateway";
import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import type { PlatformName } from "../platform";
import type { VaultRow } from "../vault";
import type { EdgeEnv } from "./env";

/** What the instances' objects hold, read for pages and API: every event's way, and the credentials of its chat. */

/** Instances asked for one list. */
const INSTANCES = 50;

export type Delivery = DeliveryRow & Destination;

export interface DeliveryAsk extends DeliveryQuery {
  tenant?: string | undefined;
  instance?: string | undefined;
  /** Dead letters only, those already sent again among them. */
  dead?: boolean;
}

export interface Deliveries {
  /** Newest first. */
  items: Delivery[];
  /** `before` of the next page. */
  next: number | null;
  /** Instances whose object did not answer, and how many were not asked. */
  silent: string[];
  unasked: number;
}

/** Events of one instance, or of all: their numbers grow with time, so lists of several can be merged. */
export async function readAllDeliveries(env: EdgeEnv, rt: Runtime, ask: DeliveryAsk): Promise<Deliveries> {
  const { tenant, instance, dead, ...query } = ask;
  const all: Destination[] =
    tenant !== undefined && instance !== undefined
      ? [{ tenant, instance }]
      : (await listInstances(env.DB, { tenant, limit: 1_000 })).filter((i) => !instance || i.instance === instance);
  const silent: string[] = [];
  const pages = await Promise.all(
    all.slice(0, INSTANCES).map(async ({ tenant: t, instance: i }) => {
      const object = gatewayObject(env.GATEWAY, { tenant: t, instance: i });
      try {
        const page = await (dead ? object.dead(query) : object.deliveries(query));
        return { next: page.next, items: page.items.map((row) => ({ ...row, tenant: t, instance: i })) };
      } catch (error) {
        rt.log("warn", "deliveries.read_failed", { tenant: t, instance: i, error: describe(error) });
        silent.push(i);
        return { next: null, items: [] };
      }
    }),
  );
  const found = pages.flatMap((p) => p.items).sort((a, b) => b.seq - a.seq);
  const items = found.slice(0, query.limit);
  // A page that stopped its search early hides what is older than it, in the others too.
  const floor = Math.max(0, ...pages.map((p) => p.next ?? 0));
  const shown = floor > 0 ? items.filter((i) => i.seq >= floor) : items;
  const more = found.length > items.length || floor > 0;
  return {
    items: shown,
    next: more ? Math.max(floor, shown.at(-1)?.seq ?? 0) || null : null,
    silent,
    unasked: Math.max(0, all.length - INSTANCES),
  };
}

/** One event; null when it is unknown or older than what is kept. @throws what the object threw */
export async function readDelivery(env: EdgeEnv, to: Destination, seq: number): Promise<Delivery | null> {
  const { items } = await gatewayObject(env.GATEWAY, to).deliveries({ before: seq + 1, limit: 1 });
  return items[0]?.seq === seq ? { ...items[0], ...to } : null;
}

/** Kind, age and uses of what a chat's vault holds. */
export const vaultOf = (env: EdgeEnv, to: Destination, platform: string, chat: string): Promise<VaultRow[]> =>
  sessionObject(env.SESSION, chatSessionName(to, platform as PlatformName, chat)).vault();

/** How an instance is now; null when its object did not answer. */
export async function liveOf(env: EdgeEnv, rt: Runtime, to: Destination): Promise<GatewayView | null> {
  try {
    return await gatewayObject(env.GATEWAY, to).view();
  } catch (error) {
    rt.log("warn", "gateway.view_failed", { tenant: to.tenant, instance: to.instance, error: describe(error) });
    return null;
  }
}
