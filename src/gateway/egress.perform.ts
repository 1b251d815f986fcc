import { clip } from "../kernel/errors";
import { failure, type SendDeps, type Sender, type Sent, type Where } from "../platform";
import type { EgressContext } from "./egress";
import { type ActionOf, type OpName, promptOptions } from "./egress.actions";
import { outgoingFile } from "./egress.media";
import { forgetPrompt, placePrompt, rememberPrompt } from "./prompts.store";

/** The ops themselves, once it is known that they may be done: what is remembered around a sender's call (hermes-relay §8). */

/** One op under way. */
export interface Job {
  ctx: EgressContext;
  sender: Sender;
  deps: SendDeps;
  op: OpName;
  chat: string;
}

const where = (job: Job, metadata: Record<string, unknown>, reply_to: string | null = null): Where => ({
  chat_id: job.chat,
  thread_id: null,
  reply_to,
  metadata,
});

function remember(job: Job, sent: Sent): Sent {
  const { ctx, sender, chat } = job;
  const ids = sent.ids ?? [];
  if (ids.length > 0) ctx.rememberSent(sender.name, sent.chat_id ?? chat, ids, sent.nonce ?? null);
  return sent;
}

/** Of what was posted with the bot token. */
async function posted(job: Job, metadata: Record<string, unknown>, sent: Sent): Promise<Sent> {
  remember(job, sent);
  if (sent.success) await job.ctx.capability?.posted({ platform: job.sender.name, chat_id: job.chat, metadata });
  return sent;
}

/** Runs an op whose chat was approved. */
export async function perform(job: Job, action: ActionOf<OpName>): Promise<Sent> {
  const run = PERFORM[job.op as keyof typeof PERFORM] as (job: Job, action: ActionOf<OpName>) => Promise<Sent>;
  return run(job, action);
}

const PERFORM = {
  send: async (job: Job, a: ActionOf<"send">): Promise<Sent> => {
    const { chat_id, reply_to, content } = a;
    const { ctx, sender } = job;
    const ended = await ctx.capability?.complete({
      platform: sender.name,
      chat_id,
      reply_to,
      content,
      metadata: a.metadata,
      deadline: ctx.deadline,
    });
    return ended
      ? remember(job, ended)
      : posted(job, a.metadata, await sender.send(job.deps, where(job, a.metadata, reply_to), content));
  },
  edit: async (job: Job, a: ActionOf<"edit">): Promise<Sent> => {
    const { ctx, sender } = job;
    const { chat_id, message_id, content } = a;
    const answered = {
      platform: sender.name,
      chat_id,
      message_id,
      content,
      metadata: a.metadata,
      deadline: ctx.deadline,
    };
    const revised = await ctx.capability?.revise(answered);
    if (revised) return revised;
    const thread = sender.parentOf ? a.metadata["thread_id"] : undefined;
    const home = typeof thread === "string" && thread !== "" ? thread : job.chat;
    const parts = ctx.partsOf(sender.name, home, message_id) ?? [message_id];
    // Named by a later part, what stands before it stays: the buttons of a long prompt are on its last.
    const before = parts.slice(0, parts.indexOf(message_id));
    const ids = parts.slice(before.length);
    const sent = await sender.edit!(job.deps, where(job, a.metadata), ids, content);
    const same = sent.ids?.length === ids.length && sent.ids.every((id, n) => id === ids[n]);
    if (!same && sent.ids) remember(job, { ...sent, ids: [...before, ...sent.ids], chat_id: home });
    return sent.success ? { ...sent, message_id } : sent;
  },
  typing: (job: Job, a: ActionOf<"typing">): Promise<Sent> =>
    job.sender.typing!(job.deps, where(job, a.metadata), a.content ?? undefined),
  react: (job: Job, a: ActionOf<"react">): Promise<Sent> =>
    job.sender.react!(job.deps, where(job, a.metadata), a.message_id, a.emoji, a.remove === true),
  get_chat_info: async (job: Job): Promise<Sent> => job.sender.info!(job.deps, job.chat),
  send_media: (job: Job, a: ActionOf<"send_media">): Promise<Sent> =>
    job.ctx.state.files.run("files", async () => {
      const { ctx } = job;
      const { runtime, bucket, deadline } = ctx;
      const origins = [ctx.origin, new URL(runtime.config.publicUrl).origin];
      const got = await outgoingFile({ runtime, bucket, origins, deadline }, a);
      if ("success" in got) return got;
      return posted(
        job,
        a.metadata,
        await job.sender.media!(job.deps, where(job, a.metadata, a.reply_to), got.file, a.content),
      );
    }),
  prompt: async (job: Job, a: ActionOf<"prompt">): Promise<Sent> => {
    const { ctx, sender } = job;
    const options = promptOptions(a);
    if (options === null) return failure("these ids can't be put on buttons", "bad_prompt");
    const thread = sender.parentOf ? a.metadata["thread_id"] : undefined;
    const chat_id = typeof thread === "string" && thread !== "" ? thread : job.chat;
    const at = { platform: sender.name, chat_id, prompt_id: a.prompt_id };
    const labels = Object.fromEntries(a.options.map((o) => [o.id, clip(o.label, 200)]));
    if (!(await rememberPrompt(ctx.db, ctx.who, at, labels, ctx.runtime.clock.now())))
      return failure("this prompt id is in use", "bad_prompt");
    const sent = await sender.prompt!(job.deps, where(job, a.metadata, a.reply_to), a.content, options);
    if (!sent.success && !sent.ambiguous) await forgetPrompt(ctx.db, at);
    else if (sent.success) await placePrompt(ctx.db, at, sent.chat_id ?? chat_id, sent.message_id ?? null);
    return posted(job, a.metadata, sent);
  },
};
