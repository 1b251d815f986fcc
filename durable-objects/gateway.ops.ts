import { type Action, Lanes, type Outbound, readSessionKey, speaker } from "../src/gateway";
import { SECOND } from "../src/kernel/clock";
import { describe } from "../src/kernel/errors";
import type { Runtime } from "../src/kernel/runtime";
import type { OpResult } from "../src/platform";
import type { Line } from "./gateway.sockets";

/** One op as it is to be run: authorised and sent by the egress. */
export interface OpAsk {
  line: Line;
  platform: string;
  botId: string;
  action: Action;
  /** Wall ms by which it is to be answered. */
  deadline: number;
}

/** Every outbound is answered within this time (hermes-relay §2.3: a gateway gives up at 30 s). Wall ms. */
const ANSWER_MS = 25_000;
/** Ops of one socket that may wait or run. */
const MAX_OPEN = 256;
/** Typing and reactions of one chat that may wait: later ones say the same. */
const MAX_COSMETIC = 4;

/** Platforms take about one edit of a message a second; Telegram's groups fewer (chat-platforms §0). Wall ms. */
const EDIT_EVERY_MS = 1_000;
const EDIT_EVERY_GROUP_MS = 3_000;
const MAX_EDITED = 500;

const COSMETIC = new Set(["typing", "react"]);
/** These change nothing in a chat, so nothing need wait for them. */
const READING = new Set(["get_chat_info"]);

const failed = (error: string, more: Partial<OpResult> = {}): OpResult => ({ success: false, error, ...more });

/**
 * Ops of all sockets: for one chat in the order they came, for different chats side by side; typing and reactions never delay
 * a message (hermes-relay §8).
 */
export class Ops {
  readonly #lanes = new Lanes();
  readonly #open = new Map<string, Set<string>>();
  /** By message: the newest edit that waits, and when one last went. */
  readonly #edits = new Map<string, { newest: number; last: number }>();
  #serial = 0;

  constructor(
    readonly runtime: Runtime,
    readonly runOp: (ask: OpAsk) => Promise<OpResult>,
    /** The platforms on which this instance knows a chat. */
    readonly platformsOf: (chat: string, among: string[]) => string[],
    /** Wall ms within which each is answered. */
    readonly answerMs = ANSWER_MS,
  ) {}

  /** The answer to an outbound; null when the same request is under way already. Never throws. */
  async run(line: Line, frame: Outbound): Promise<OpResult | null> {
    const open = this.#open.get(line.id) ?? new Set();
    if (open.has(frame.requestId)) return null;
    if (open.size >= MAX_OPEN) return failed("rate limited: too many requests at once", { retryable: true });
    this.#open.set(line.id, open.add(frame.requestId));
    try {
      return this.#clean(await this.#answer(line, frame));
    } finally {
      open.delete(frame.requestId);
      if (open.size === 0) this.#open.delete(line.id);
    }
  }

  async #answer(line: Line, { action, platform, botId }: Outbound): Promise<OpResult> {
    const identity = speaker(line.identities, line.greeted[0] ?? null, this.#platform(line, action, platform), botId);
    if (!identity) return failed("platform not provisioned for this gateway");
    const deadline = this.runtime.clock.wall() + this.answerMs;
    const ask: OpAsk = { line, platform: identity[0], botId: identity[1], action, deadline };
    const state = { started: false, late: false };
    const superseded = this.#edit(ask);
    const work = async (): Promise<OpResult> => {
      // The newer text says it all: of edits that wait only the last goes.
      if (await superseded?.()) return { success: true, message_id: String(action["message_id"]) };
      if (state.late) return failed("timed out");
      state.started = true;
      return this.runOp(ask);
    };
    const lane = laneOf(ask);
    if (lane?.startsWith("~") && this.#lanes.waiting(lane) >= MAX_COSMETIC)
      return failed("rate limited: typing and reactions of this chat are waiting", { retryable: true });
    const result = (lane === null ? work() : this.#lanes.run(lane, work)).catch((error) => {
      this.runtime.log("error", "gateway.op_failed", { op: action.op, platform: ask.platform, error: describe(error) });
      return failed("internal error", { ambiguous: state.started });
    });
    let timer: number | null = null;
    const late = new Promise<OpResult>((resolve) => {
      timer = setTimeout(() => {
        state.late = true;
        // What waits is never sent any more; what is under way may have arrived.
        resolve(
          state.started
            ? failed("timed out", { ambiguous: true })
            : failed("timed out behind earlier messages of this chat"),
        );
      }, this.answerMs);
    });
    return Promise.race([result, late]).finally(() => clearTimeout(timer));
  }

  /** Notes an edit. What is returned waits for the message's turn and tells whether a newer text came meanwhile. */
  #edit({ platform, action, deadline }: OpAsk): (() => Promise<boolean>) | null {
    const { op, chat_id, message_id } = action;
    if (op !== "edit" || typeof message_id !== "string") return null;
    const key = JSON.stringify([platform, chat_id, message_id]);
    const mine = ++this.#serial;
    if (this.#edits.size >= MAX_EDITED && !this.#edits.has(key)) this.#edits.clear();
    const edit = this.#edits.get(key) ?? { newest: 0, last: 0 };
    edit.newest = mine;
    this.#edits.set(key, edit);
    const { clock } = this.runtime;
    const every = platform === "telegram" && String(chat_id).startsWith("-") ? EDIT_EVERY_GROUP_MS : EDIT_EVERY_MS;
    return async () => {
      if (edit.newest !== mine) return true;
      const wait = Math.min(edit.last + every, deadline - SECOND) - clock.wall();
      if (wait > 0) await scheduler.wait(wait);
      edit.last = clock.wall();
      return edit.newest !== mine;
    };
  }

  /** A question about a chat may name no platform: then the one where it is known (hermes-relay §8). */
  #platform(line: Line, action: Action, platform: string | null | undefined): string | null | undefined {
    if (platform || action.op !== "get_chat_info" || typeof action["chat_id"] !== "string") return platform;
    const among = [...new Set(line.identities.map(([p]) => p))];
    return this.platformsOf(action["chat_id"], among)[0] ?? platform;
  }

  #clean(result: OpResult): OpResult {
    return result.error === undefined ? result : { ...result, error: this.runtime.redact.text(result.error) };
  }
}

/** The lane of an op: its chat, or none. */
function laneOf({ platform, action }: OpAsk): string | null {
  if (READING.has(action.op)) return null;
  const key = typeof action["session_key"] === "string" ? readSessionKey(action["session_key"]) : null;
  // With its scope in front or not, a Slack key's last possible chat is the chat: `T1:D1` and `D1` share a lane.
  const chat =
    typeof action["chat_id"] === "string" ? action["chat_id"] : (key?.chats.find((c) => !/^[TE]/.test(c)) ?? "");
  return `${COSMETIC.has(action.op) ? "~" : ""}${platform}:${chat}`;
}
