import type { Inbound, MediaRef, MessageEvent, Passthrough, PlatformName } from "../platform";

/** What the parts of the connector hand each other (design §4.1, hermes-relay §4). */

/** Where an event goes: named in the object's own name, so a caller can't reach another's. */
export interface Destination {
  tenant: string;
  instance: string;
}

/** Name of the Gateway object of an instance. Ids hold no ":" but at the head of `gw:`; escaping keeps names apart. */
export const gatewayName = (d: Destination): string =>
  `${encodeURIComponent(d.tenant)}/${encodeURIComponent(d.instance)}`;

/** Name of the Session object that is the vault of a chat (design §3). */
export const chatSessionName = (d: Destination, platform: PlatformName, chatId: string): string =>
  ["chat", d.tenant, d.instance, platform, chatId].map(encodeURIComponent).join(":");

/** What a Gateway object stores of an event: everything but capabilities, which are sealed elsewhere. */
export interface StoredEvent {
  platform: PlatformName;
  app: string;
  event: MessageEvent;
  media: MediaRef[];
  album: string | null;
  passthrough: Passthrough | null;
  /** Wall ms: when the edge verified it. The provider's clock is judged once. */
  received_at: number;
}

export type DeliveryState = "received" | "queued" | "delivered" | "dead";

/**
 * `offer` of a Gateway object: store write-ahead. `held` = a capability has yet to be sealed, so it is `received`, not to be
 * sent; `settle` turns it `queued`.
 */
export interface Offer {
  to: Destination;
  d1: string;
  d2: string | null;
  stored: StoredEvent;
  held: boolean;
}
/** `duplicate` of an event that is `received` says so: its capability may never have been sealed, so the caller goes on. */
export type Offered =
  | { outcome: "stored" | "duplicate"; seq: number; state: DeliveryState }
  | { outcome: "refused"; why: string };

/** The gateway as an upgrade or an HTTP call proved it; from the stored record alone. */
export interface GatewayIdentity {
  gateway_id: string;
  tenant: string;
  instance: string;
  identities: [string, string][];
}

export type { Inbound };
