import {
  BOT_TURNS_A_MINUTE,
  type Buffer,
  botTurns,
  type DeliveryState,
  type Entry,
  type Memory,
  type Offer,
  type Offered,
  type StoredEvent,
  threadOf,
} from "../src/gateway";

interface Pending {
  entry: Entry;
  done: (outcome: Offered) => void;
  failed: (error: unknown) => void;
  stored: Promise<Offered>;
}

/** What an object's storage offers for a commit. */
export interface Commit {
  transactionSync<T>(work: () => T): T;
  sync(): Promise<void>;
}

/**
 * Events on their way into the buffer. Those that come while a commit is under way share the next one; a repeat of an event
 * that is not committed yet waits for the same commit; a failed commit takes its keys back (design §3).
 */
export class Offers {
  #queue: Pending[] = [];
  readonly #pending = new Map<string, Pending>();
  #busy = false;
  #closed = false;

  constructor(
    readonly buffer: () => Buffer,
    readonly memory: () => Memory,
    readonly storage: Commit,
    readonly now: () => number,
  ) {}

  /** Resolves when the event is durable. @throws what the commit threw; nothing was stored then. */
  async offer(offer: Offer): Promise<Offered> {
    const buffer = this.buffer();
    const known = buffer.find(offer.d1, offer.d2);
    if (known !== null) {
      buffer.enrich(known, offer.stored);
      return { outcome: "duplicate", seq: known, state: buffer.stateOf(known) ?? "delivered" };
    }
    const twin = this.#pending.get(offer.d1) ?? (offer.d2 === null ? undefined : this.#pending.get(offer.d2));
    if (twin) {
      const stored = await twin.stored;
      if (stored.outcome !== "stored") return stored;
      buffer.enrich(stored.seq, offer.stored);
      return { ...stored, outcome: "duplicate" };
    }
    const unwanted = this.#unwanted(offer.stored);
    if (unwanted) return { outcome: "refused", why: unwanted };
    const entry = buffer.entry(offer, this.now());
    if (!entry) return { outcome: "refused", why: "too large to be stored" };
    return this.add(entry);
  }

  /** The end of the bot-loop guard (chat-platforms §0): an echo that no flag told of, and two bots that answer each other. */
  #unwanted(stored: StoredEvent): string | null {
    const { source, message_id } = stored.event;
    if (message_id !== null && this.memory().isOwn(stored.platform, source.chat_id, message_id, this.now()))
      return "own echo";
    if (!source.is_bot) return null;
    const thread = threadOf(stored);
    const coming = new Set([...this.#pending.values()].filter((p) => threadOf(p.entry.stored) === thread)).size;
    const turns = coming + botTurns(this.buffer(), stored, this.now());
    return turns >= BOT_TURNS_A_MINUTE ? "too many turns of bots" : null;
  }

  /** The storage is emptied: what is under way fails, and its platform sends it again. */
  close(): void {
    this.#closed = true;
  }

  /** Stores an entry whose keys were judged before (a replay). */
  add(entry: Entry): Promise<Offered> {
    let done!: Pending["done"];
    let failed!: Pending["failed"];
    const stored = new Promise<Offered>((resolve, reject) => {
      done = resolve;
      failed = reject;
    });
    const pending: Pending = { entry, done, failed, stored };
    this.#pending.set(entry.d1, pending);
    if (entry.d2 !== null) this.#pending.set(entry.d2, pending);
    this.#queue.push(pending);
    if (!this.#busy) void this.#run();
    return stored;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    // Whoever comes in this tick is still in time, and whoever comes during a commit shares the next.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0));
    this.#busy = false;
  }

  async #commit(batch: Pending[]): Promise<void> {
    try {
      await this.#write(batch.map((p) => p.entry));
    } catch (error) {
      // One entry that can't be stored must not take its neighbours with it.
      if (batch.length > 1) for (const p of batch) await this.#commit([p]);
      else this.#settle(batch[0]!, () => batch[0]!.failed(error));
      return;
    }
    for (const p of batch) {
      const state: DeliveryState = p.entry.held ? "received" : "queued";
      this.#settle(p, () => p.done({ outcome: "stored", seq: p.entry.seq, state }));
    }
  }

  async #write(entries: Entry[]): Promise<void> {
    const buffer = this.buffer();
    const memory = this.memory();
    const spoken = entries.map((e) => spokenOf(e));
    this.storage.transactionSync(() => {
      buffer.insert(entries);
      for (const s of spoken) memory.note(s, this.now());
      // Before its credential is sealed: whoever purges must know where to look.
      for (const { held, stored } of entries)
        if (held) memory.vault(stored.platform, stored.event.source.chat_id, this.now());
    });
    // The answer leaves after the disk has it, not only after the statement has run.
    await this.storage.sync();
    if (this.#closed) throw new Error("The instance was dropped while its event was stored.");
    buffer.keep(entries);
    for (const s of spoken) memory.noted(s);
  }

  #settle(p: Pending, tell: () => void): void {
    for (const key of [p.entry.d1, p.entry.d2])
      if (key !== null && this.#pending.get(key) === p) this.#pending.delete(key);
    tell();
  }
}

function spokenOf({ stored }: Entry) {
  const { source } = stored.event;
  return {
    platform: stored.platform,
    chat: source.chat_id,
    author: source.user_id ?? "",
    type: source.chat_type,
    name: source.chat_name,
    scope: source.scope_id ?? null,
  };
}
