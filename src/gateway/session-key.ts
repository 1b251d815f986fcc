/**
 * Session keys as gateways compute them (hermes-relay §6.2). The switches "per user" are a gateway's own, so a key of ours is a
 * prediction: what a gateway names is looked up among all the keys it may have given that chat.
 */

/** What of a source counts for its key. */
export interface KeySource {
  platform: string;
  chat_id: string;
  chat_type: string;
  user_id?: string | null;
  user_id_alt?: string | null;
  thread_id?: string | null;
  prospective_thread_id?: string | null;
  scope_id?: string | null;
  message_id?: string | null;
  profile?: string | null;
}

export interface KeyOptions {
  group_sessions_per_user: boolean;
  thread_sessions_per_user: boolean;
  profile: string | null;
}

const DEFAULTS: KeyOptions = { group_sessions_per_user: true, thread_sessions_per_user: false, profile: null };

/** WhatsApp ids name a server or a device after the number. */
const bare = (platform: string, id: string): string => (platform === "whatsapp" ? id.replace(/[@:].*$/, "") : id);

function namespace(profile: string | null, legacy: boolean): string {
  if (profile === null || profile === "" || profile === "default") return "agent:main";
  return profile === "main" && !legacy ? "agent:main~" : `agent:${profile}`;
}

/** The key of a source. `legacy`: as builds of mid-2026 give it, without Slack's scope and the rule for prospective threads. */
export function sessionKey(source: KeySource, options: KeyOptions = DEFAULTS, legacy = false): string {
  const { platform } = source;
  const dm = source.chat_type === "dm";
  const prospective = legacy || dm ? null : source.prospective_thread_id;
  const thread = source.thread_id || prospective || "";
  const type = !source.thread_id && prospective ? "thread" : source.chat_type;
  const author = bare(platform, source.user_id_alt || source.user_id || "");
  const chat = bare(platform, source.chat_id);
  const parts = [namespace(options.profile, legacy), platform, type];
  if (platform === "slack" && !legacy && source.scope_id) parts.push(source.scope_id);
  if (chat) parts.push(chat);
  if (dm) {
    if (!chat && author) parts.push(author);
    if (thread) parts.push(thread);
  } else {
    if (thread) parts.push(thread);
    if (author && options.group_sessions_per_user && (!thread || options.thread_sessions_per_user)) parts.push(author);
  }
  return parts.join(":");
}

const GROUP_TYPES = ["group", "channel", "thread"];

/**
 * Every key a gateway may name this source by (hermes-relay §7.2): types, with and without author and Slack scope, with the
 * thread that new builds stamp on an unthreaded Slack event.
 */
export function sessionKeyAliases(source: KeySource): string[] {
  const dm = source.chat_type === "dm";
  const types = dm ? ["dm"] : [...new Set([source.chat_type, ...GROUP_TYPES])];
  const stamped = source.platform === "slack" && !source.thread_id && source.message_id ? [source.message_id] : [];
  const threads = [source.thread_id ?? null, ...stamped];
  const profile = source.profile ?? null;
  const keys = new Set<string>();
  for (const chat_type of types)
    for (const thread_id of threads)
      for (const perUser of [true, false])
        for (const legacy of [false, true])
          keys.add(
            sessionKey(
              { ...source, chat_type, thread_id },
              { group_sessions_per_user: perUser, thread_sessions_per_user: perUser, profile },
              legacy,
            ),
          );
  return [...keys];
}

/** What a gateway's key may speak of: its chat is one of `chats`; `rest` may hold thread and author. Null: no session key. */
export function readSessionKey(
  key: string,
): { platform: string; type: string; chats: string[]; rest: string[] } | null {
  const [agent, profile, platform, type, ...rest] = key.split(":");
  if (agent !== "agent" || !profile || !platform || !type || rest.length === 0 || rest.length > 4) return null;
  // A Slack key may begin with its scope, or not.
  return { platform, type, chats: platform === "slack" ? rest.slice(0, 2) : rest.slice(0, 1), rest };
}

/** Does what was spoken in `chat` make the session of this key one of ours? A key that ends with a stranger's id is not. */
export function ownsKey(
  key: { platform: string; type: string; rest: string[] },
  chat: string,
  spoken: readonly { author: string; scope: string | null }[],
): boolean {
  const at = key.rest.indexOf(chat);
  if (spoken.length === 0 || at < 0) return false;
  if (at === 1 && !spoken.some((s) => s.scope === null || s.scope === key.rest[0])) return false;
  const tail = key.rest.slice(at + 1);
  const last = tail.at(-1);
  if (key.type === "dm" || last === undefined || spoken.some((s) => s.author !== "" && s.author === last)) return true;
  if (tail.length === 2) return false;
  // One part more is the author, or a thread, which is told by its form or its place.
  if (key.platform === "slack") return !/^[UWB][A-Z0-9]+$/.test(last);
  return last === chat || key.type === "thread" || key.type === "forum";
}
