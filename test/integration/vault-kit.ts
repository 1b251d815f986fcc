import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { inject } from "vitest";
import type { Session } from "../../durable-objects/session.do";
import { sessionObject } from "../../durable-objects/session.stub";
import { chatSessionName, type Destination, sessionKeyAliases } from "../../src/gateway";
import { makeClock } from "../../src/kernel/clock";
import { runtimeOf } from "../../src/kernel/runtime";
import type { MessageEvent, PlatformName } from "../../src/platform";
import type { Ledger } from "../support/platforms.types";
import { edge, offerOf, stub } from "./gateway-kit";

/** What tests of the vault share: a credential brought in as the pipeline does it, and the chat's object. */

const DISCORD_EPOCH = 1_420_070_400_000;
let serial = 0;
export const interactionId = (at = Date.now()): string =>
  String((BigInt(at - DISCORD_EPOCH) << 22n) + BigInt(++serial % 4_000));
export const chatId = (): string => `88${String(++serial).padStart(16, "0")}`;

export interface Brought {
  platform: PlatformName;
  chat: string;
  kind: string;
  value: string;
  event: string;
  aliases: string[];
  interaction: string;
}

export interface Bring {
  platform?: PlatformName;
  chat?: string;
  value?: string;
  user?: string;
  type?: MessageEvent["source"]["chat_type"];
  uses?: number | null;
  life?: number;
  meta?: Record<string, string>;
  interaction?: string;
}

export const vaultOf = (to: Destination, platform: PlatformName, chat: string) =>
  sessionObject(edge.SESSION, chatSessionName(to, platform, chat));

/** An event with a credential: offered, sealed, settled. */
export async function bring(to: Destination, b: Bring = {}): Promise<Brought> {
  const platform = b.platform ?? "slack";
  const chat = b.chat ?? (platform === "slack" ? `D0VAULT${String(++serial).padStart(4, "0")}` : chatId());
  const discord = platform === "discord";
  const interaction = b.interaction ?? interactionId();
  const kind = discord ? "discord.interaction_token" : "slack.response_url";
  const unique = crypto.randomUUID();
  const value = b.value ?? (discord ? `aW50-${unique}` : `https://hooks.slack.com/commands/T1/${unique}/xyz`);
  const offer = offerOf(to, "/ask", {
    platform,
    chat,
    user: b.user ?? "U100",
    type: b.type ?? "dm",
    held: true,
    event: discord ? { message_id: interaction } : {},
  });
  const offered = await stub(to).offer(offer);
  if (offered.outcome === "refused") throw new Error(offered.why);
  const aliases = sessionKeyAliases(offer.stored.event.source);
  const meta = discord
    ? {
        application_id: "770000000000000001",
        interaction_id: interaction,
        ephemeral: "false",
        deferred: "reply",
        ...b.meta,
      }
    : {};
  await vaultOf(to, platform, chat).seal({
    ...to,
    platform,
    chat_id: chat,
    app: "app",
    kind,
    value,
    expires_at: Date.now() + (b.life ?? 14 * 60_000),
    uses: b.uses === undefined ? (discord ? null : 5) : b.uses,
    meta,
    aliases,
    event: offer.d1,
  });
  await stub(to).settle(offered.seq, true);
  return { platform, chat, kind, value, event: offer.d1, aliases, interaction };
}

export const objectOfVault = (to: Destination, b: Brought): DurableObjectStub<Session> => {
  const namespace = env.SESSION as unknown as DurableObjectNamespace<Session>;
  return namespace.get(namespace.idFromName(chatSessionName(to, b.platform, b.chat)));
};
export const ringVault = (to: Destination, b: Brought): Promise<boolean> => runDurableObjectAlarm(objectOfVault(to, b));
export const inVault = <T>(to: Destination, b: Brought, work: (sql: SqlStorage) => T): Promise<T> =>
  runInDurableObject(objectOfVault(to, b), (_o, state) => work(state.storage.sql));

/** Moves the time of every Session object; 0 takes it back. */
export const travelVault = (to: Destination, b: Brought, ms: number): Promise<void> =>
  runInDurableObject(objectOfVault(to, b), (object) => {
    const rt = runtimeOf((object as unknown as { env: object }).env, "session");
    rt.clock = makeClock(1, () => Date.now() + ms);
  });

/** Calls of platforms since the last reset, but Telegram's and our own. */
export async function told(): Promise<Pick<Ledger, "acts" | "posted" | "slack" | "calls">> {
  return (await fetch(`${inject("platformsUrl")}/_ledger`)).json();
}
export const control = async (change: Record<string, unknown>): Promise<void> => {
  await (await fetch(`${inject("platformsUrl")}/_control`, { method: "POST", body: JSON.stringify(change) })).text();
};
