import { describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { pushChannels } from "./channels";
import { readAttempts } from "./notice.store";
import type { Channel, Notice } from "./types";

/**
 * Rewrites a notice where it was sent: a question that is answered shows its answer and no buttons. Best effort: the answer
 * itself is a row, and the page shows it.
 */
export async function editSent(
  deps: { db: D1Database; runtime: Runtime; channels?: readonly Channel[] },
  noticeId: string,
  shown: Notice,
): Promise<void> {
  const { db, runtime } = deps;
  const channels = deps.channels ?? pushChannels(runtime);
  const text = { title: runtime.redact.text(shown.title), body: runtime.redact.text(shown.body) };
  for (const sent of await readAttempts(db, noticeId)) {
    const channel = channels.find((c) => c.name === sent.channel);
    if (sent.state !== "sent" || sent.external_ref === null || !channel?.edit) continue;
    try {
      const result = await channel.edit(runtime, sent.external_ref, { ...shown, ...text });
      if (!result.ok)
        runtime.log("warn", "notice.edit_failed", { notice: noticeId, channel: sent.channel, error: result.error });
    } catch (error) {
      runtime.log("warn", "notice.edit_failed", { notice: noticeId, channel: sent.channel, error: describe(error) });
    }
  }
}
