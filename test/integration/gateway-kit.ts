import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import type { Gateway } from "../../durable-objects/gateway.do";
import { gatewayObject } from "../../durable-objects/gateway.stub";
import type { EdgeEnv } from "../../src/edge/env";
import { type Destination, gatewayName, type Offer, type StoredEvent } from "../../src/gateway";
import { makeClock } from "../../src/kernel/clock";
import { runtimeOf } from "../../src/kernel/runtime";
import type { MessageEvent, PlatformName } from "../../src/platform";
import { type Dial, DialRefused, type GatewayOptions, type Json, ScriptedGateway } from "../support/gateway-core";
import { newGateway, newTenant } from "./connector-kit";

/** What tests of the Gateway object share: the scripted gateway through the real route, and events as the ingest offers them. */

export { type Json, ScriptedGateway } from "../support/gateway-core";
export const edge = env as unknown as EdgeEnv;

let ips = 0;
export const dial: Dial = async (authorization, on) => {
  const response = await exports.default.fetch("http://reveille.test/relay", {
    headers: {
      upgrade: "websocket",
      "cf-connecting-ip": `198.51.${++ips >> 8}.${ips & 255}`,
      ...(authorization === null ? {} : { authorization }),
    },
  });
  const ws = response.webSocket;
  if (!ws) throw new DialRefused(response.status);
  ws.accept();
  ws.addEventListener("message", (e) =>
    on.message(typeof e.data === "string" ? e.data : new Uint8Array(e.data as ArrayBuffer)),
  );
  ws.addEventListener("close", (e) => on.close(e.code, e.reason));
  return {
    send: (data) => ws.send(data),
    close: (code, reason) => ws.close(code, reason),
    // workerd has no way to drop a socket without a close frame.
    cut: () => ws.close(1001, "gone"),
  };
};

export interface Made {
  id: string;
  secret: string;
  to: Destination;
}

/** A tenant with one instance and a gateway of it, provisioned for these platforms. */
export async function made(platforms = ["slack", "telegram"], tenant?: string, instance?: string): Promise<Made> {
  const { id, secret, to } = await newGateway(tenant ?? (await newTenant()), instance, {
    identities: platforms.map((platform) => ({ platform, bot_id: `B-${platform}` })),
  });
  return { id, secret, to };
}

const open: ScriptedGateway[] = [];
export function gateway(m: Made, options: Partial<GatewayOptions> = {}): ScriptedGateway {
  const g = new ScriptedGateway(
    {
      id: m.id,
      secret: m.secret,
      identities: [{ platform: "slack", botId: "B-slack" }],
      reconnect: false,
      // The pool's wrapper of an object may let a message overtake another; the runtime does not.
      together: true,
      secondMs: 20,
      ...options,
    },
    dial,
  );
  open.push(g);
  return g;
}
/** For afterEach: nothing is left open. */
export function stopAll(): void {
  for (const g of open.splice(0)) g.stop();
}

export const stub = (to: Destination) => gatewayObject(edge.GATEWAY, to);
export const objectOf = (to: Destination): DurableObjectStub<Gateway> => {
  const namespace = env.GATEWAY as unknown as DurableObjectNamespace<Gateway>;
  return namespace.get(namespace.idFromName(gatewayName(to)));
};
export const ring = (to: Destination): Promise<boolean> => runDurableObjectAlarm(objectOf(to));

/** Runs SQL in the object, as nothing outside can. */
export const inObject = <T>(to: Destination, work: (sql: SqlStorage, state: DurableObjectState) => T): Promise<T> =>
  runInDurableObject(objectOf(to), (_object, state) => work(state.storage.sql, state));

let serial = 0;
export interface EventOptions {
  platform?: PlatformName;
  chat?: string;
  user?: string;
  type?: MessageEvent["source"]["chat_type"];
  event?: Partial<MessageEvent>;
  stored?: Partial<StoredEvent>;
  held?: boolean;
}

/** An event as the pipeline offers it. */
export function offerOf(to: Destination, text: string, o: EventOptions = {}): Offer {
  const n = ++serial;
  const platform = o.platform ?? "slack";
  const message_id = `1700.${String(n).padStart(6, "0")}`;
  const chat_id = o.chat ?? "D100";
  const event: MessageEvent = {
    text,
    message_type: "text",
    message_id,
    reply_to_message_id: null,
    media_urls: [],
    media: [],
    source: {
      platform,
      chat_id,
      chat_type: o.type ?? "dm",
      chat_name: null,
      user_id: o.user ?? "U100",
      user_name: "ana",
      thread_id: null,
      chat_topic: null,
      message_id,
      is_bot: false,
      message_is_edit: false,
      ...(platform === "slack" ? { scope_id: "T100" } : {}),
    },
    ...o.event,
  };
  return {
    to,
    d1: `${platform}:app:e${n}`,
    d2: `${platform}:T100:${chat_id}:${event.message_id}:message:0`,
    held: o.held ?? false,
    stored: {
      platform,
      app: "app",
      event,
      media: [],
      album: null,
      passthrough: null,
      received_at: Date.now(),
      ...o.stored,
    },
  };
}

let traveller: Destination | null = null;
/** Moves the time of every Gateway object; alarms still ring by `ring` alone. `0` takes it back. */
export async function travel(to: Destination, ms: number): Promise<void> {
  traveller = to;
  await runInDurableObject(objectOf(to), (object) => {
    const rt = runtimeOf((object as unknown as { env: object }).env, "gateway");
    rt.clock = makeClock(1, () => Date.now() + ms);
  });
}
/** For afterEach: time is what it is. */
export const atHome = async (): Promise<void> => {
  if (traveller) await travel(traveller, 0);
  traveller = null;
};

/** Changes a setting of every Gateway object until the returned function is called. */
export async function setting(to: Destination, deliveryRows: number): Promise<() => void> {
  return runInDurableObject(objectOf(to), (object) => {
    const rt = runtimeOf((object as unknown as { env: object }).env, "gateway");
    const before = rt.config.deliveryRows;
    rt.config.deliveryRows = deliveryRows;
    return () => {
      rt.config.deliveryRows = before;
    };
  });
}

/** States of all that is kept, oldest first. */
export const states = async (to: Destination): Promise<string[]> =>
  (await stub(to).deliveries({ limit: 200 })).items.map((d) => d.state).reverse();

export const audits = async (seam: string, what: string): Promise<Json[]> => {
  const { results } = await env.DB.prepare(
    "SELECT details FROM audit WHERE seam = ? AND instr(details, ?) > 0 ORDER BY id",
  )
    .bind(seam, what)
    .all<{ details: string }>();
  return results.map((r) => JSON.parse(r.details) as Json);
};
