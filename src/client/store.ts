import type { Seq } from "./cursor";

/** Where a client remembers its key and its session: what `localStorage` and `sessionStorage` are. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export function memoryStore(): Store {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}

/** `localStorage` where there is one that may be used; else memory, which a reload empties. */
export function defaultStore(): Store {
  try {
    // Reading the property throws where a page may not store.
    const found = (globalThis as { localStorage?: Store }).localStorage;
    if (found && typeof found.getItem === "function") return found;
  } catch {
    // As if there were none.
  }
  return memoryStore();
}

/** What is remembered of a session. */
export interface Kept {
  session_id: string | null;
  /** The last frame that was seen of its event log. */
  seq: Seq;
  /** The run whose end has not been seen. */
  run: { input_id: string } | null;
}

const NOTHING: Kept = { session_id: null, seq: null, run: null };

/** One remembered session; `scope` tells hosts and agents apart. What can't be stored is kept until the page goes. */
export class Memory {
  readonly #key: string;
  #now: Kept;

  constructor(
    private readonly store: Store,
    scope: string,
  ) {
    this.#key = `reveille:session:${scope}`;
    this.#now = readKept(store.getItem(this.#key));
  }

  get now(): Kept {
    return this.#now;
  }

  set(change: Partial<Kept>): void {
    this.#now = { ...this.#now, ...change };
    try {
      this.store.setItem(this.#key, JSON.stringify(this.#now));
    } catch {
      // A full or forbidden store costs the recovery over a reload, never the run under way.
    }
  }

  forget(): void {
    this.#now = NOTHING;
    this.store.removeItem(this.#key);
  }
}

/** What a store holds may be anything: another version wrote it, or a person did. */
export function readKept(text: string | null): Kept {
  try {
    const { session_id, seq, run } = JSON.parse(text ?? "null") as Record<string, unknown>;
    const input_id = (run as { input_id?: unknown } | null | undefined)?.input_id;
    if (typeof session_id !== "string" || session_id === "") return NOTHING;
    return {
      session_id,
      seq: typeof seq === "string" || Number.isSafeInteger(seq) ? (seq as Seq) : null,
      run: typeof input_id === "string" ? { input_id } : null,
    };
  } catch {
    return NOTHING;
  }
}
