import {
  type Content,
  cleanBody,
  cleanMetadata,
  cleanReason,
  cleanTopic,
  contentKey,
  isoSeconds,
  MAX_TOPIC,
  pickRecipient,
  replyTarget,
  sameRequest,
} from "./rules";
import {
  closeSession,
  insertIdem,
  insertMessage,
  insertSession,
  isParticipant,
  itemView,
  newestOther,
  readIdem,
  readInbox,
  readMessage,
  readSession,
  sentView,
  stampAck,
  stampDelivered,
} from "./store";
import type { AckArgs, CloseArgs, CreateArgs, InboxArgs, ReplyArgs, SendArgs } from "./tools.schema";
import { type Caller, type IdemRow, type Recipient, type SessionRow, ToolFault } from "./types";

/**
 * What the agent tools do inside a workspace (wake-slo §7). Whatever is awaited (a hash, the directory) is awaited before the
 * one transaction that judges and writes, which judges everything again.
 */

export interface Desk {
  sql: SqlStorage;
  transaction<T>(work: () => T): T;
  /** Reveille ms, and wall ms. */
  now(): number;
  wall(): number;
  /** Active agents of this workspace whose id or name is this text, in any case. */
  find(asked: string): Promise<Recipient[]>;
}

type Value = Record<string, unknown>;

const NO_SESSION = "agent session not found";

function mySession(desk: Desk, id: string, me: string): SessionRow {
  const session = readSession(desk.sql, id);
  if (!session || !isParticipant(desk.sql, session, me)) throw new ToolFault("NOT_FOUND", NO_SESSION);
  return session;
}

function openSession(desk: Desk, id: string, me: string): SessionRow {
  const session = mySession(desk, id, me);
  if (session.closed_ms !== null) throw new ToolFault("CONFLICT", "agent session is closed");
  return session;
}

function parentIn(desk: Desk, id: string | undefined, session: string | null): string | null {
  if (id === undefined) return null;
  const parent = readMessage(desk.sql, id);
  if (!parent || parent.session_id !== session)
    throw new ToolFault("NOT_FOUND", "the message that is answered is not in this session");
  return parent.from_id;
}

/** What was stored under this key, when the same was asked with it before. @throws ToolFault CONFLICT */
function seen(desk: Desk, me: string, key: string | undefined, content: string, asked: string | null): IdemRow | null {
  const found = key === undefined ? null : readIdem(desk.sql, me, key);
  if (found) sameRequest(found, content, asked);
  return found;
}

const sent = (desk: Desk, id: string, again: boolean): Value => ({
  ...sentView(readMessage(desk.sql, id)!),
  ...(again ? { deduplicated: true } : {}),
});

interface Letter {
  me: Caller;
  to: Recipient;
  session: string;
  kind: string;
  body: string;
  metadata: string | null;
  parent: string | undefined;
  key: string | undefined;
  content: string;
  asked: string | null;
}

function put(desk: Desk, letter: Letter): string {
  const { me, to, key } = letter;
  const id = insertMessage(desk.sql, {
    session_id: letter.session,
    kind: letter.kind,
    from_id: me.id,
    from_name: me.name,
    to_id: to.id,
    to_name: to.name,
    body: letter.body,
    metadata: letter.metadata,
    parent_id: letter.parent ?? null,
    idem_key: key ?? null,
    now: desk.now(),
    wake: to.wakes ? desk.wall() : "ignored",
  });
  if (key !== undefined)
    insertIdem(desk.sql, {
      sender: me.id,
      key,
      content: letter.content,
      asked: letter.asked,
      to_id: to.id,
      to_name: to.name,
      session_id: letter.session,
      message_id: id,
    });
  return id;
}

export async function send(desk: Desk, me: Caller, args: SendArgs): Promise<Value> {
  const body = cleanBody(args.body);
  const metadata = cleanMetadata(args.metadata);
  const topic = args.topic === undefined ? null : cleanTopic(args.topic);
  const kind = args.kind ?? "request";
  const session = args.session_id ?? null;
  const parent = args.parent_message_id;
  const what: Content = {
    ...{ tool: "agent_send", session, topic, kind, body, metadata },
    ...{ parent: parent ?? null, close: false },
  };
  const content = await contentKey(what);
  const key = args.idempotency_key;
  const before = seen(desk, me.id, key, content, args.to_agent);
  if (before) return sent(desk, before.message_id!, true);
  const to = pickRecipient(args.to_agent, await desk.find(args.to_agent));
  return desk.transaction(() => {
    const raced = seen(desk, me.id, key, content, args.to_agent);
    if (raced) return sent(desk, raced.message_id!, true);
    if (session !== null) openSession(desk, session, me.id);
    parentIn(desk, parent, session);
    const into =
      session ??
      insertSession(desk.sql, {
        topic: topic ?? `Message to ${to.name}`.slice(0, MAX_TOPIC),
        creator_id: me.id,
        metadata: null,
        now: desk.now(),
      });
    const letter = { me, to, session: into, kind, body, metadata, parent, key, content, asked: args.to_agent };
    return sent(desk, put(desk, letter), false);
  });
}

export async function reply(desk: Desk, me: Caller, args: ReplyArgs): Promise<Value> {
  const body = cleanBody(args.body);
  const metadata = cleanMetadata(args.metadata);
  const { session_id: id, reply_to_message_id: parent, idempotency_key: key, close = false } = args;
  const asked = args.to_agent ?? null;
  const content = await contentKey({
    ...{ tool: "agent_reply", session: id, topic: null, kind: "reply", body, metadata },
    ...{ parent: parent ?? null, close },
  });
  const before = seen(desk, me.id, key, content, asked);
  if (before) return sent(desk, before.message_id!, true);
  openSession(desk, id, me.id);
  const named = asked === null ? null : pickRecipient(asked, await desk.find(asked));
  const target = (): string =>
    replyTarget({
      me: me.id,
      asked: named?.id ?? null,
      newest_other: newestOther(desk.sql, id, me.id),
      creator: openSession(desk, id, me.id).creator_id,
      parent_sender: parentIn(desk, parent, id),
    });
  // Another message may arrive while the directory is read, and change whom a reply goes to.
  for (let n = 0; n < 3; n++) {
    const to_id = target();
    const to = to_id === named?.id ? named : pickRecipient(to_id, await desk.find(to_id));
    const done = desk.transaction(() => {
      const raced = seen(desk, me.id, key, content, asked);
      if (raced) return sent(desk, raced.message_id!, true);
      if (target() !== to_id) return null;
      const letter = { me, to, session: id, kind: "reply", body, metadata, parent, key, content, asked };
      const message = put(desk, letter);
      if (close) closeSession(desk.sql, id, null, desk.now());
      return { ...sent(desk, message, false), ...(close ? { session_status: "closed" } : {}) };
    });
    if (done) return done;
  }
  throw new ToolFault("BUSY", "the session changed while the reply was written; try again");
}

export async function create(desk: Desk, me: Caller, args: CreateArgs): Promise<Value> {
  const topic = cleanTopic(args.topic);
  const metadata = cleanMetadata(args.metadata);
  if ((args.to_agent === undefined) !== (args.message === undefined))
    throw new ToolFault("INVALID_INPUT", "to_agent and message belong together: give both or none");
  const body = args.message === undefined ? null : cleanBody(args.message);
  const asked = args.to_agent ?? null;
  const key = args.idempotency_key;
  const content = await contentKey({
    ...{ tool: "agent_session_create", session: null, topic, kind: null, body, metadata },
    ...{ parent: null, close: false },
  });
  const view = (row: { session_id: string; message_id: string | null }, again: boolean): Value => {
    const session = readSession(desk.sql, row.session_id)!;
    return {
      id: session.id,
      topic: session.topic,
      status: session.closed_ms === null ? "open" : "closed",
      initial_message: row.message_id === null ? null : sent(desk, row.message_id, false),
      ...(again ? { deduplicated: true } : {}),
    };
  };
  const before = seen(desk, me.id, key, content, asked);
  if (before) return view(before, true);
  const to = asked === null ? null : pickRecipient(asked, await desk.find(asked));
  return desk.transaction(() => {
    const raced = seen(desk, me.id, key, content, asked);
    if (raced) return view(raced, true);
    const session = insertSession(desk.sql, { topic, creator_id: me.id, metadata, now: desk.now() });
    if (to && body !== null) {
      const letter = { me, to, session, kind: "request", body, metadata: null, parent: undefined, key, content, asked };
      return view({ session_id: session, message_id: put(desk, letter) }, false);
    }
    const none = { to_id: null, to_name: null, message_id: null };
    if (key !== undefined) insertIdem(desk.sql, { sender: me.id, key, content, asked, session_id: session, ...none });
    return view({ session_id: session, message_id: null }, false);
  });
}

export function close(desk: Desk, me: Caller, args: CloseArgs): Value {
  const reason = cleanReason(args.reason);
  return desk.transaction(() => {
    const session = mySession(desk, args.session_id, me.id);
    const now = desk.now();
    const changed = closeSession(desk.sql, session.id, reason, now);
    return {
      session_id: session.id,
      status: "closed",
      closed_at: isoSeconds(session.closed_ms ?? now),
      ...(changed ? {} : { noop: true }),
    };
  });
}

/** Characters of one inbox answer: clients take about 1 MiB, and what does not fit stays new for the next call. */
const MAX_READ = 300_000;

/** What it returns counts as delivered from then on. */
export function inbox(desk: Desk, me: Caller, args: InboxArgs): Value {
  const limit = args.limit ?? 20;
  return desk.transaction(() => {
    let left = MAX_READ;
    const rows = readInbox(desk.sql, me.id, args.status, limit).filter((m, i) => {
      left -= m.body.length + (m.metadata?.length ?? 0);
      return i === 0 || left >= 0;
    });
    const fresh = rows.filter((m) => m.delivered_ms === null).map((m) => m.id);
    if (fresh.length > 0) stampDelivered(desk.sql, fresh, desk.now());
    return { items: rows.map(itemView), limit, untrusted_content: true };
  });
}

/** Kept for senders of the ack era; a repeat returns what the first one stored. */
export function ack(desk: Desk, me: Caller, args: AckArgs): Value {
  const status = cleanReason(args.status) ?? "acked";
  return desk.transaction(() => {
    const message = readMessage(desk.sql, args.message_id);
    const session = message && readSession(desk.sql, message.session_id);
    if (!session || !isParticipant(desk.sql, session, me.id))
      throw new ToolFault("NOT_FOUND", "agent message not found");
    if (message.to_id !== me.id) throw new ToolFault("FORBIDDEN", "only the recipient of a message may acknowledge it");
    if (message.acked_ms === null) {
      stampAck(desk.sql, message.id, status, desk.now());
      stampDelivered(desk.sql, [message.id], desk.now());
    }
    const row = readMessage(desk.sql, message.id)!;
    return {
      message_id: row.id,
      session_id: row.session_id,
      acked_at: isoSeconds(row.acked_ms!),
      ack_status: row.ack_status,
      delivered_at: isoSeconds(row.delivered_ms!),
    };
  });
}
