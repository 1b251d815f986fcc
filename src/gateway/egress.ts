import { auditIfChanged, auditStatement } from "../audit";
import { MINUTE } from "../kernel/clock";
import { clip, describe } from "../kernel/errors";
import type { Runtime } from "../kernel/runtime";
import { failure, Holds, type OpResult, opsOfSender, type SendDeps, type Sent, senderOf } from "../platform";
import type { Identity } from "./descriptor";
import { type ActionOf, isOp, readAction } from "./egress.actions";
import { appOf } from "./egress.app";
import { approvalFacts, approve } from "./egress.approve";
import { type Job, perform } from "./egress.perform";
import type { Action } from "./frames";
import { Lanes } from "./lanes";
import type { Spoken } from "./memory.store";
import type { Destination } from "./types";

/**
 * One outbound op, from a gateway's frame to the platform's answer (hermes-relay §8): identity, then the op's form, then whether this
 * instance may write there, then the platform's sender. Never throws for what a platform does.
 */

/** What holders of a chat's capabilities can do; it is the vault that decides, and no value comes out of it (§7.2). */
export interface CapabilityPort {
  followUp(ask: {
    platform: string;
    session_key: string;
    kind: string;
    content: string;
    metadata: Record<string, unknown>;
    deadline: number;
  }): Promise<OpResult>;
  /** Completes a deferred interaction that this message answers (§6.6); null: there is none, so it is posted. */
  complete(ask: {
    platform: string;
    chat_id: string;
    reply_to: string | null;
    content: string;
    metadata: Record<string, unknown>;
    deadline: number;
  }): Promise<Sent | null>;
  /** Changes a message that was such an answer; null: it was none. */
  revise(ask: {
    platform: string;
    chat_id: string;
    message_id: string;
    content: string;
    metadata: Record<string, unknown>;
    deadline: number;
  }): Promise<Sent | null>;
  /** An answer was posted with the bot token: a deferred reply that waits there is to end without a word. Never throws. */
  posted(ask: { platform: string; chat_id: string; metadata: Record<string, unknown> }): Promise<void>;
}

/** Every miss looks the same (§7.2). */
export const CAPABILITY_UNAVAILABLE: OpResult = { success: false, error: "capability unavailable" };

/** What one object keeps between ops; all of it may be lost. */
export class EgressState {
  /** May be shared: a platform's limit is of a bot, not of an instance. */
  constructor(readonly holds = new Holds()) {}
  /** Approved chats and apps of bots, until wall ms. */
  readonly known = new Map<string, { value: string | null; until: number }>();
  /** Refusals told, and failures of credentials: wall ms. */
  readonly told = new Map<string, number>();
  /** Files are in memory while they go out: one at a time. */
  readonly files = new Lanes();
}

export interface EgressContext {
  db: D1Database;
  runtime: Runtime;
  bucket: R2Bucket;
  who: Destination & { gateway_id: string; identities: readonly Identity[] };
  /** As the gateway dialled us. */
  origin: string;
  /** Wall ms by which the op is to be answered. */
  deadline: number;
  state: EgressState;
  /** Who spoke in a chat, of events stored for this instance. */
  spoken(platform: string, chat: string): Spoken[];
  partsOf(platform: string, chat: string, messageId: string): string[] | null;
  /** Every message the op made. */
  rememberSent(platform: string, chat: string, ids: string[], nonce: string | null): void;
  capability: CapabilityPort | null;
}

const APPROVED_MS = 5_000;
const TELL_EVERY_MS = MINUTE;
const MAX_KEPT = 2_000;
/** Refusals that become audit rows in a minute: a gateway that tries every chat there is must not fill the table. */
const MAX_DECLINED = 30;
const UNSUPPORTED: OpResult = { success: false, error: "unsupported op" };

/** Ops of a platform for its descriptor; empty of one that is none of ours. */
export function opsOf(platform: string): string[] {
  const sender = senderOf(platform);
  return sender ? opsOfSender(sender) : [];
}

/** Runs one op. `botId` "": any bot of that platform that the record allows. */
export async function runOp(
  ctx: EgressContext,
  frame: { platform: string; botId: string; action: Action },
): Promise<OpResult> {
  const { platform, botId, action } = frame;
  const allowed = ctx.who.identities.some(([p, b]) => p === platform && (b === botId || b === "" || botId === ""));
  const sender = senderOf(platform);
  if (!allowed || !sender) return { success: false, error: "platform not provisioned for this gateway" };
  const { op } = action;
  if (!isOp(op) || !opsOfSender(sender).includes(op)) return UNSUPPORTED;
  const read = readAction(op, action);
  if ("wrong" in read) return failure(`malformed action: ${read.wrong}`, "malformed");
  if (op === "follow_up") {
    if (!ctx.capability) return CAPABILITY_UNAVAILABLE;
    return ctx.capability.followUp({ platform, ...(read.action as ActionOf<"follow_up">), deadline: ctx.deadline });
  }
  const chat = (read.action as ActionOf<"get_chat_info">).chat_id;
  const app = await appOf(ctx, platform, botId);
  const job: Job = { ctx, sender, deps: depsOf(ctx, platform, app ?? ""), op, chat };
  if (!(await mayWrite(job, read.action.metadata))) return decline(ctx, platform, op, chat);
  if (app === null) return failure(`${platform}: no bot with the id ${clip(botId, 80)} is set up here`, "unknown_bot");
  const unset = sender.unset(ctx.runtime.vars, app);
  if (unset !== null) return failure(`${platform} is not configured: ${unset} is not set`, "unconfigured");
  return strip(await perform(job, read.action));
}

const depsOf = (ctx: EgressContext, platform: string, app: string): SendDeps => ({
  runtime: ctx.runtime,
  app,
  deadline: ctx.deadline,
  holds: ctx.state.holds,
  broken: (why) => void tellBroken(ctx, platform, app, why),
});

/** Of what a sender answers, what a gateway reads. */
function strip({ ids: _ids, chat_id: _chat, nonce: _nonce, thread_id: _thread, ...result }: Sent): OpResult {
  return result;
}

// May it?

/** The chat, and on platforms where a thread is a chat of its own, the thread it is really sent to. */
async function mayWrite(job: Job, metadata: Record<string, unknown>): Promise<boolean> {
  const { ctx, sender, deps, chat } = job;
  const thread = metadata["thread_id"];
  if (!sender.parentOf || typeof thread !== "string" || thread === "" || thread === chat) return approved(job, chat);
  if (await approved(job, thread)) return true;
  if (!(await approved(job, chat)) || sender.unset(ctx.runtime.vars, deps.app) !== null) return false;
  if ((await sender.parentOf(deps, thread)) !== chat) return false;
  keep(ctx, approvalKey(sender.name, thread, deps.app), "yes", APPROVED_MS);
  return true;
}

const approvalKey = (platform: string, chat: string, app: string): string =>
  JSON.stringify(["chat", platform, chat, app]);

async function approved({ ctx, sender, deps }: Job, chat: string): Promise<boolean> {
  const key = approvalKey(sender.name, chat, deps.app);
  if (kept(ctx, key)) return true;
  const facts = await approvalFacts(ctx.db, ctx.who, sender.name, chat, deps.app, ctx.spoken(sender.name, chat));
  const yes = approve(facts, ctx.who.tenant, chat, deps.app);
  // A refusal is looked up again: who was just linked may write at once.
  if (yes) keep(ctx, key, "yes", APPROVED_MS);
  return yes;
}

function kept(ctx: EgressContext, key: string): { value: string | null } | null {
  const found = ctx.state.known.get(key);
  return found && found.until > ctx.runtime.clock.wall() ? found : null;
}

function keep(ctx: EgressContext, key: string, value: string | null, ms: number): void {
  if (ctx.state.known.size >= MAX_KEPT) ctx.state.known.clear();
  ctx.state.known.set(key, { value, until: ctx.runtime.clock.wall() + ms });
}

/** The first of its kind in a minute is told; the rest are the same news. */
function news(ctx: EgressContext, key: string): boolean {
  const now = ctx.runtime.clock.wall();
  if ((ctx.state.told.get(key) ?? Number.NEGATIVE_INFINITY) > now - TELL_EVERY_MS) return false;
  if (ctx.state.told.size >= MAX_KEPT) ctx.state.told.clear();
  ctx.state.told.set(key, now);
  return true;
}

/** One text for "another tenant's" and "nobody's": it is no way to find out which chats exist (§8.0). */
async function decline(ctx: EgressContext, platform: string, op: string, chat: string): Promise<OpResult> {
  const { tenant, instance, gateway_id } = ctx.who;
  ctx.runtime.log("warn", "egress.declined", { platform, op, tenant, instance });
  const since = ctx.runtime.clock.wall() - TELL_EVERY_MS;
  const lately = [...ctx.state.told].filter(([key, at]) => key.startsWith('["declined"') && at > since).length;
  if (lately < MAX_DECLINED && news(ctx, JSON.stringify(["declined", platform, chat]))) {
    const details = { platform, op, chat_id: clip(chat, 100), tenant, instance, gateway_id };
    await auditStatement(ctx.db, { at: ctx.runtime.clock.now(), seam: "egress.declined", source: "gateway", details })
      .run()
      .catch((error) => ctx.runtime.log("error", "egress.audit_failed", { error: describe(error) }));
  }
  return {
    success: false,
    code: "egress_declined",
    error: `${platform} egress declined: target is not an approved destination for this connection`,
  };
}

/** The platform refuses our credential: operators see it on the platform's row, once. Never throws. */
export async function tellBroken(
  ctx: Pick<EgressContext, "db" | "runtime" | "state">,
  platform: string,
  app: string,
  why: string,
): Promise<void> {
  const { db, runtime, state } = ctx;
  const words = runtime.redact.text(clip(why, 300));
  runtime.log("error", "platform.refused", { platform, app, why: words });
  const at = runtime.clock.now();
  const key = JSON.stringify(["broken", platform, app, words]);
  if ((state.told.get(key) ?? Number.NEGATIVE_INFINITY) > runtime.clock.wall() - TELL_EVERY_MS) return;
  state.told.set(key, runtime.clock.wall());
  const detail = JSON.stringify([{ check: "credential", ok: false, detail: words }]);
  await db
    .batch([
      db
        .prepare(
          `INSERT INTO platform_app (platform, app, state, detail, checked_at) VALUES (?, ?, 'refused', ?, ?)
           ON CONFLICT (platform, app) DO UPDATE SET state = 'refused', detail = excluded.detail, checked_at = excluded.checked_at
           WHERE state <> 'refused' OR detail <> excluded.detail`,
        )
        .bind(platform, app, detail, at),
      auditIfChanged(db, { at, seam: "platform.refused", source: "gateway", details: { platform, app, why: words } }),
    ])
    .catch((error) => runtime.log("error", "egress.audit_failed", { error: describe(error) }));
}
