import { Holds, type Inbound, senderOf } from "../platform";
import type { IngestDeps } from "./ingest";

/** A word of the edge itself to a person, in the chat they wrote in: the answer to `/link`. Best effort. */

const WAIT_MS = 5_000;

/** Says `text` in the event's chat. Never throws: what it answers is done, whether it is heard or not. */
export async function sayInChat(deps: IngestDeps, inbound: Inbound, text: string): Promise<void> {
  const { rt } = deps;
  const { platform, app } = inbound;
  const { chat_id, thread_id } = inbound.event.source;
  const sender = senderOf(platform);
  if (!sender || sender.unset(rt.vars, app) !== null) return;
  const deadline = rt.clock.wall() + WAIT_MS;
  const how = { runtime: rt, app, deadline, holds: new Holds(), broken: () => {} };
  const to = { chat_id, thread_id, reply_to: null, metadata: thread_id ? { thread_id } : {} };
  const sent = await sender.send(how, to, text);
  if (!sent.success) rt.log("warn", "ingest.say_failed", { platform, app, error: rt.redact.text(sent.error ?? "") });
}
