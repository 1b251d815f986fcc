import type { OpResult, Sent } from "../platform";
import type { VaultPlace, WieldAsk, WieldBy, Wielded } from "../vault";
import { CAPABILITY_UNAVAILABLE, type CapabilityPort } from "./egress";
import { readSessionKey } from "./session-key";
import type { Destination } from "./types";

/** Ops that use a credential of a chat's vault by its name (hermes-relay §6.6, §7.2). The value is never here. */

export interface VaultStub {
  wield(ask: WieldAsk): Promise<Wielded>;
  posted(): Promise<void>;
}

export interface VaultPorts {
  to: Destination;
  /** Did a credential come with an event of this chat lately? Without it no vault is asked, and none is made. */
  vaulted(platform: string, chat: string): boolean;
  vault(place: VaultPlace): VaultStub;
  /** Messages a follow-up made. */
  sent(platform: string, chat: string, ids: string[]): void;
  /** A vault that does not answer. */
  failed(error: unknown): void;
}

/** The call may have been under way. */
const SILENT: Sent = { success: false, error: "the vault did not answer", ambiguous: true };
/** Where a reply is put off and waits in the chat. */
const DEFERS = "discord";

/** What an instance can do with its chats' credentials. */
export function capabilityPort(ports: VaultPorts): CapabilityPort {
  const place = (platform: string, chat_id: string): VaultPlace => ({ ...ports.to, platform, chat_id });
  const wield = async (
    at: VaultPlace,
    by: WieldBy,
    ask: { content: string; deadline: number; metadata?: Record<string, unknown> },
  ): Promise<Wielded> => {
    const { content, deadline, metadata = {} } = ask;
    try {
      return await ports.vault(at).wield({ ...at, by, content, metadata, deadline });
    } catch (error) {
      ports.failed(error);
      return { outcome: "done", result: SILENT };
    }
  };
  const deferring = (platform: string, chats: readonly unknown[]): string[] =>
    platform === DEFERS
      ? [...new Set(chats)].filter((c): c is string => typeof c === "string" && c !== "" && ports.vaulted(platform, c))
      : [];
  return {
    followUp: async ({ platform, session_key, kind, ...ask }): Promise<OpResult> => {
      const key = readSessionKey(session_key);
      if (key?.platform !== platform || !kind.startsWith(`${platform}.`)) return CAPABILITY_UNAVAILABLE;
      for (const chat of key.chats.filter((c) => ports.vaulted(platform, c))) {
        const wielded = await wield(place(platform, chat), { session_key, kind }, ask);
        if (wielded.outcome === "miss") continue;
        const { ids = [], chat_id, nonce: _nonce, thread_id: _thread, ...result } = wielded.result;
        ports.sent(platform, chat_id ?? chat, ids);
        return result;
      }
      return CAPABILITY_UNAVAILABLE;
    },
    complete: async ({ platform, chat_id, reply_to, ...ask }): Promise<Sent | null> => {
      for (const chat of deferring(platform, [ask.metadata["thread_id"], chat_id])) {
        const wielded = await wield(place(platform, chat), { reply_to }, ask);
        if (wielded.outcome === "done") return wielded.result;
        // It was this one, and it is over: the words go to the chat.
        if (wielded.outcome === "fallback") return null;
      }
      return null;
    },
    revise: async ({ platform, chat_id, message_id, ...ask }): Promise<Sent | null> => {
      for (const chat of deferring(platform, [ask.metadata["thread_id"], chat_id])) {
        const wielded = await wield(place(platform, chat), { message_id }, ask);
        if (wielded.outcome === "done") return wielded.result;
      }
      return null;
    },
    posted: async ({ platform, chat_id, metadata }): Promise<void> => {
      for (const chat of deferring(platform, [metadata["thread_id"], chat_id]))
        await ports.vault(place(platform, chat)).posted().catch(ports.failed);
    },
  };
}
