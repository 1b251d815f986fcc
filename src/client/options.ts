import { ClientError } from "./errors";
import { ownAgent } from "./http";
import { type Identity, identityOf, newSeed } from "./identity";
import type { OnboardAnswer, OnboardRequired, SocketClass } from "./line";
import { PATIENCE, type Patience } from "./recovery";
import { defaultStore, type Store } from "./store";

export interface ConnectOptions extends Partial<Patience> {
  /** Where Reveille is: `https://edge.example`; `wss://` is the same. */
  url: string;
  /** The agent's address. Left out: the built-in agent of that host. */
  agent?: string;
  /** Which session: an id, or null for a new one. Left out: the one remembered for this host and agent. */
  sessionId?: string | null;
  /** Who we are. Left out: a key made once and kept in the store. */
  identity?: Identity;
  /** What remembers key and session over a reload. `localStorage` where there is one, else memory. */
  store?: Store;
  /** Needed where there is no global one: Node before 22. */
  WebSocket?: SocketClass;
  fetch?: typeof fetch;
  /** Asked when the host does not know us yet; null gives up. Asked again when its answer is refused. */
  onboard?: (required: OnboardRequired) => Promise<OnboardAnswer | null>;
  /** A line on which nothing comes for this long is dead, ms; hosts say something every 30 s. 65,000. */
  silenceMs?: number;
  /** How long a host may take to answer CONNECT, ms. 30,000. */
  openTimeoutMs?: number;
}

/** Options with everything found and checked. */
export interface Settings extends Patience {
  /** `https://host` and `wss://host`, without a slash at the end. */
  http: string;
  ws: string;
  /** The address that CONNECT is for. */
  agent: string;
  /** It is the host's own: sessions are reached by their URL, and an INPUT may be said twice. */
  own: boolean;
  identity: Identity;
  store: Store;
  WebSocket: SocketClass;
  fetch: typeof fetch;
  onboard: NonNullable<ConnectOptions["onboard"]>;
  silenceMs: number;
  openTimeoutMs: number;
}

const KEY = "reveille:key";

/** @throws ClientError: what is missing or wrong, or that the host can't be reached. */
export async function settle(o: ConnectOptions): Promise<Settings> {
  const http = baseOf(o.url);
  const WebSocket = o.WebSocket ?? (globalThis as { WebSocket?: SocketClass }).WebSocket;
  if (!WebSocket)
    throw new ClientError(
      "no_websocket",
      "This runtime has no WebSocket (Node has one from 22 on): pass `WebSocket`, for example the one of the ws package.",
    );
  const wanted = o.agent?.toLowerCase();
  if (wanted !== undefined && !/^0x[0-9a-f]{64}$/.test(wanted))
    throw new ClientError("bad_option", `agent: an address is 0x and 64 hex digits, not "${o.agent}"`);
  const store = o.store ?? defaultStore();
  const get: typeof fetch = o.fetch ?? ((...args) => fetch(...args));
  const identity = o.identity ?? (await rememberedIdentity(store));
  const own = await hostAgent(http, get, store);
  const agent = wanted ?? own;
  if (agent === null)
    throw new ClientError(
      "agent_offline",
      `${http} has no agent of its own (REVEILLE_AGENT_SEED); name one by \`agent\``,
    );
  return {
    http,
    ws: http.replace(/^http/, "ws"),
    agent,
    own: agent === own,
    identity,
    store,
    WebSocket,
    fetch: get,
    onboard: o.onboard ?? (async () => null),
    silenceMs: o.silenceMs ?? 65_000,
    openTimeoutMs: o.openTimeoutMs ?? 30_000,
    reconnectAttempts: o.reconnectAttempts ?? PATIENCE.reconnectAttempts,
    enablePolling: o.enablePolling ?? PATIENCE.enablePolling,
    pollIntervalMs: o.pollIntervalMs ?? PATIENCE.pollIntervalMs,
    maxPollAttempts: o.maxPollAttempts ?? PATIENCE.maxPollAttempts,
    timeoutMs: o.timeoutMs ?? PATIENCE.timeoutMs,
  };
}

/** The host's HTTP address, from any of the forms in which relays are named. @throws ClientError `bad_option`. */
export function baseOf(url: string): string {
  const found = /^(?:http|ws)(s?):\/\/([^/?#\s]+)(?:\/ws(?:\/announce|\/input)?)?\/?$/.exec(url);
  if (!found) throw new ClientError("bad_option", `url: expected https://host or wss://host, not "${url}"`);
  return `http${found[1]}://${found[2]}`;
}

/** The host's own agent. While the host is away the address that was remembered counts: a run may be waiting there. */
async function hostAgent(http: string, get: typeof fetch, store: Store): Promise<string | null> {
  const key = `reveille:host:${http}`;
  try {
    const own = await ownAgent({ base: http, fetch: get });
    if (own !== null) remember(store, key, own);
    return own;
  } catch (error) {
    const known = store.getItem(key);
    if (known === null) throw error;
    return known;
  }
}

async function rememberedIdentity(store: Store): Promise<Identity> {
  const known = store.getItem(KEY);
  if (known !== null) return identityOf(known);
  const seed = newSeed();
  const identity = await identityOf(seed);
  // Two tabs may have begun at once: the first key that was written is the one.
  const first = store.getItem(KEY);
  if (first !== null) return identityOf(first);
  remember(store, KEY, seed);
  return identity;
}

function remember(store: Store, key: string, value: string): void {
  try {
    store.setItem(key, value);
  } catch {
    // A full or forbidden store costs what a reload would have found, nothing now.
  }
}
