import {
  type DeliveryQuery,
  type DeliveryRow,
  type Destination,
  type GatewayView,
  gatewayName,
  type Offer,
  type Offered,
  type ReplayAsk,
  type Replayed,
} from "../src/gateway";

/** What callers may ask of a Gateway object: one instance's sockets and its delivery buffer (hermes-relay §4). */
export interface GatewayMethods {
  /** Stores an event write-ahead; resolves when it is durable. A repeat of a stored event is told, never stored again. */
  offer(offer: Offer): Promise<Offered>;
  /** A held event's capability is sealed (`ok`), or it never will be: `why` goes to the dead-letter list. */
  settle(seq: number, ok: boolean, why?: string): Promise<void>;
  /**
   * Closes sockets with 4401 and purges buffer, memory and the vaults of its chats, or, with `gateway_id`, closes and refuses that gateway alone: secrets
   * made before now are refused from here on.
   */
  drop(ask: { reason: string; gateway_id?: string }): Promise<void>;
  /** Cancels a turn of this instance (hermes-relay §8.3). False: no such session here. */
  interruptFor(sessionKey: string): Promise<boolean>;
  ownsSession(sessionKey: string): Promise<boolean>;
  view(): Promise<GatewayView>;
  /** Newest first. */
  deliveries(query: DeliveryQuery): Promise<{ items: DeliveryRow[]; next: number | null }>;
  dead(query: { before?: number; limit: number }): Promise<{ items: DeliveryRow[]; next: number | null }>;
  replay(ask: ReplayAsk): Promise<Replayed>;
  /** Has an event of this chat been stored for this instance? */
  knowsChat(platform: string, chatId: string): Promise<boolean>;
  /** Its author deleted a message: its event is taken back while it waits. */
  withdraw(platform: string, chatId: string, messageId: string): Promise<"withdrawn" | "sent" | "unknown">;
  /** A chat has a new id: who spoke in the old one has spoken in the new one. */
  moved(platform: string, from: string, to: string): Promise<void>;
  /** Ids of this instance's chats in a scope, at most 1,000. */
  chatsOf(platform: string, scopeId: string): Promise<string[]>;
  /** Drops the tables of days that are over: for instances that nothing else wakes. */
  tidy(): Promise<void>;
  /** Chats whose vault may hold a credential, the newest first. */
  vaulted(): Promise<{ platform: string; chat: string }[]>;
  /** Did this instance send this message within the last day? */
  isOwn(platform: string, chatId: string, messageId: string): Promise<boolean>;
}

/** The object of one instance. `hint`: where its first caller is; it counts only when the object is made. */
export const gatewayObject = (
  namespace: DurableObjectNamespace,
  destination: Destination,
  hint?: DurableObjectLocationHint,
): GatewayMethods & Pick<Fetcher, "fetch"> =>
  namespace.get(
    namespace.idFromName(gatewayName(destination)),
    hint ? { locationHint: hint } : {},
  ) as unknown as GatewayMethods & Pick<Fetcher, "fetch">;
