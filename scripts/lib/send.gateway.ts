import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Json, type ScriptedGateway, scriptedGateway } from "../../test/support/gateway";
import { type Api, ApiError } from "./api";
import { sleep } from "./sandbox";

/** Whose a sample is: tenant, instance and the person's link; and the scripted gateway that answers it. */

export const SAMPLE_INSTANCE = "sample";
const CACHE = "sample-gateway.json";

export interface Home {
  tenant: string;
  instance: string;
}

interface Gateway {
  id: string;
  instance: string;
  revoked_at: string | null;
  identities: { platform: string; bot_id: string }[];
  live: { state: string; sockets: number } | null;
}
interface Page<T> {
  items: T[];
}

/** A POST whose "it is there already" is as good. */
async function ensure(api: Api, path: string, body: Json): Promise<void> {
  try {
    await api.call("POST", path, body);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error;
  }
}

/** The tenant and instance of samples, made when they are not there, and the author linked to them. */
export async function makeHome(
  api: Api,
  ask: { platform: string; author: string | null; scope: string; tenant?: string | undefined; instance: string },
): Promise<Home> {
  const { items } = await api.call<Page<{ id: string }>>("GET", "/api/v1/tenants");
  const tenant = ask.tenant ?? items.find((t) => t.id === "default")?.id ?? items[0]?.id;
  const { platform, instance } = ask;
  if (instance === SAMPLE_INSTANCE)
    await ensure(api, "/api/v1/instances", { ...(tenant ? { tenant } : {}), id: instance, name: "Samples" });
  const found = await api.call<{ tenant: string }>(
    "GET",
    `/api/v1/instances/${encodeURIComponent(instance)}${tenant ? `?tenant=${encodeURIComponent(tenant)}` : ""}`,
  );
  const to = { tenant: found.tenant, instance };
  if (items.length > 1 && ask.scope)
    await ensure(api, "/api/v1/scopes", { platform, scope_id: ask.scope, tenant: to.tenant });
  if (ask.author) {
    const key = { platform, user_id: ask.author, ...to };
    await ensure(api, "/api/v1/bindings", key);
    await api.call("POST", "/api/v1/bindings/dm-default", key);
  }
  return to;
}

export const gatewaysOf = async (api: Api, to: Home): Promise<Gateway[]> =>
  (
    await api.call<Page<Gateway>>(
      "GET",
      `/api/v1/gateways?tenant=${encodeURIComponent(to.tenant)}&instance=${encodeURIComponent(to.instance)}&limit=200`,
    )
  ).items.filter((g) => g.revoked_at === null);

export interface Answering {
  gateway: ScriptedGateway;
  id: string;
  /** What it said, once, to the first event. */
  reply: string;
  result: Promise<Json>;
}

/** `dataDir`: where its secret is kept from one run to the next; null: nowhere. Dials with the secret of before when it still opens the door, else with a new one. */
export async function startGateway(
  api: Api,
  url: string,
  dataDir: string | null,
  to: Home,
  bot: { platform: string; bot_id: string },
): Promise<Answering> {
  const cache = dataDir === null ? null : join(dataDir, CACHE);
  const kept =
    cache !== null && existsSync(cache)
      ? (JSON.parse(readFileSync(cache, "utf8")) as { id: string; secret: string })
      : null;
  const known = (await gatewaysOf(api, to)).find((g) => g.id === kept?.id) ?? (await gatewaysOf(api, to))[0];
  let secret = known && known.id === kept?.id ? kept.secret : null;
  let id = known?.id ?? "";
  const take = (made: { gateway: Gateway; secret: string }): void => {
    secret = made.secret;
    id = made.gateway.id;
    if (cache !== null) writeFileSync(cache, JSON.stringify({ id, secret }), { mode: 0o600 });
  };
  if (!known) take(await api.call("POST", "/api/v1/gateways", { ...to, name: "Scripted gateway", identities: [bot] }));
  else if (secret === null) take(await api.call("POST", `/api/v1/gateways/${encodeURIComponent(id)}/rotate`, {}));
  if (known && !known.identities.some((i) => i.platform === bot.platform && i.bot_id === bot.bot_id))
    await ensure(api, `/api/v1/gateways/${encodeURIComponent(id)}/identities`, bot);
  try {
    return await dial(url, id, secret!, bot);
  } catch (error) {
    if (!known) throw error;
    take(await api.call("POST", `/api/v1/gateways/${encodeURIComponent(id)}/rotate`, {}));
    return dial(url, id, secret!, bot);
  }
}

/** The chat and the words of what a gateway was handed. */
function readFrame(frame: Json): { platform: string; chat: string; text: string; message: unknown } {
  if (frame["type"] !== "passthrough_forward") {
    const event = frame["event"] as Json;
    const source = event["source"] as Json;
    return {
      platform: String(source["platform"]),
      chat: String(source["chat_id"]),
      text: String(event["text"]),
      message: event["message_id"],
    };
  }
  const forward = frame["forward"] as Json;
  const body = JSON.parse(Buffer.from(String(forward["bodyB64"]), "base64").toString("utf8")) as Json;
  const [option] = ((body["data"] as Json | undefined)?.["options"] ?? []) as Json[];
  // Without a reply_to the deferred reply itself becomes the answer.
  return {
    platform: String(forward["platform"]),
    chat: String(body["channel_id"]),
    text: String(option?.["value"] ?? "a command"),
    message: null,
  };
}

async function dial(
  url: string,
  id: string,
  secret: string,
  bot: { platform: string; bot_id: string },
): Promise<Answering> {
  const mark = Math.random().toString(36).slice(2, 8);
  const reply = `Sample gateway ${mark} heard you`;
  let answer: (result: Json) => void = () => {};
  const result = new Promise<Json>((resolve) => {
    answer = resolve;
  });
  let replied = false;
  const gateway = scriptedGateway(url, {
    id,
    secret,
    identities: [{ platform: bot.platform, botId: bot.bot_id }],
    reconnect: false,
    handle: (frame, self) => {
      if (replied) return;
      replied = true;
      const { platform, chat, message } = readFrame(frame);
      const action = { op: "send", chat_id: chat, content: reply, reply_to: null, metadata: {} };
      // Its agent answers after the ack, as in the field.
      void sleep(1)
        .then(() =>
          self.outbound(
            { ...action, reply_to: platform === "slack" ? null : message },
            { platform, botId: bot.bot_id },
          ),
        )
        .then(answer);
    },
  });
  await gateway.connect();
  return { gateway, id, reply, result };
}
