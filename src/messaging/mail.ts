import type { Desk } from "./acts";
import { HOOK_SENDER } from "./push";
import { cleanTopic, MAX_BODY } from "./rules";
import { insertIdem, insertMessage, insertSession, readIdem } from "./store";
import { ToolFault } from "./types";

/** A hook's message for an agent's inbox (wake-slo §1.3: recipient `mail`). */
export interface Mail {
  /** The message_wake it comes from: the same wake is put in once. */
  wake_id: string;
  hook_id: string;
  to_agent_id: string;
  topic: string;
  body: string;
}

/** Hooks take more than a mailbox does. */
const CUT = "\n(cut)";

/**
 * Puts a hook's message into an agent's inbox, once. Nobody is woken for it: an agent whose wakes end at that same hook would be
 * woken by its own mail without end. What looks like a key stays in, because a real message must not be lost; the inbox says
 * that its items are untrusted. @throws ToolFault NOT_FOUND when the agent is gone or inactive
 */
export async function putMail(
  desk: Desk,
  mail: Mail,
): Promise<{ message_id: string; session_id: string; again: boolean }> {
  const sender = `${HOOK_SENDER}${mail.hook_id}`;
  const [to] = (await desk.find(mail.to_agent_id)).filter((a) => a.id === mail.to_agent_id);
  return desk.transaction(() => {
    const before = readIdem(desk.sql, sender, mail.wake_id);
    if (before) return { message_id: before.message_id!, session_id: before.session_id, again: true };
    if (!to) throw new ToolFault("NOT_FOUND", `no active agent ${mail.to_agent_id.slice(0, 80)} in this workspace`);
    const now = desk.now();
    const session = insertSession(desk.sql, { topic: topicOf(mail), creator_id: sender, metadata: null, now });
    const body =
      mail.body.length <= MAX_BODY ? mail.body : mail.body.slice(0, MAX_BODY - CUT.length).toWellFormed() + CUT;
    const message = insertMessage(desk.sql, {
      session_id: session,
      kind: "request",
      from_id: sender,
      from_name: sender,
      to_id: to.id,
      to_name: to.name,
      body,
      metadata: null,
      parent_id: null,
      idem_key: null,
      now,
      wake: null,
    });
    const { id, name } = to;
    insertIdem(desk.sql, {
      ...{ sender, key: mail.wake_id, content: "mail", asked: id, to_id: id, to_name: name },
      ...{ session_id: session, message_id: message },
    });
    return { message_id: message, session_id: session, again: false };
  });
}

function topicOf(mail: Mail): string {
  try {
    return cleanTopic(mail.topic.slice(0, 500));
  } catch {
    return `Message of hook ${mail.hook_id}`.slice(0, 500);
  }
}
