import { type Destination, type Flip, newTag, type Poke } from "../src/gateway";

export interface Dropped {
  /** Reveille ms and wall ms. */
  at: number;
  wall: number;
  why: string;
  /** A gateway came back with a newer secret. */
  over: boolean;
}

/** The small things an object keeps beside its tables. A change is a row, so nothing is written that is so already. */
export class Kept {
  readonly #memo = new Map<string, unknown>();

  constructor(readonly kv: SyncKvStorage) {}

  #read<T>(key: string): T | null {
    if (!this.#memo.has(key)) this.#memo.set(key, this.kv.get(key) ?? null);
    return this.#memo.get(key) as T | null;
  }

  #write(key: string, value: unknown): void {
    if (value !== null) this.kv.put(key, value);
    else if (this.#read(key) !== null) this.kv.delete(key);
    this.#memo.set(key, value);
  }

  /** After storage was emptied. */
  forget(): void {
    this.#memo.clear();
  }

  /** Of this buffer's ids; a purged buffer gets another. */
  get tag(): string {
    const tag = this.#read<string>("tag") ?? newTag();
    if (this.#read("tag") === null) this.#write("tag", tag);
    return tag;
  }

  /** Whose object this is: its name is a hash to it. */
  get who(): Destination {
    return this.#read<Destination>("who") ?? { tenant: "", instance: "" };
  }
  set who({ tenant, instance }: Destination) {
    if (this.#read("who") === null) this.#write("who", { tenant, instance });
  }

  get flip(): Flip | null {
    return this.#read<Flip>("flip");
  }
  set flip(flip: Flip | null) {
    this.#write("flip", flip);
  }

  get poke(): Poke | null {
    return this.#read<Poke>("poke");
  }
  set poke(poke: Poke | null) {
    this.#write("poke", poke);
  }

  /** Since when nobody listens while something waits, Reveille ms. */
  get alone(): number | null {
    return this.#read<number>("alone");
  }
  set alone(at: number | null) {
    this.#write("alone", at);
  }

  /** Reveille ms of the last greeting or close. */
  get seen(): number | null {
    return this.#read<number>("seen");
  }
  set seen(at: number | null) {
    this.#write("seen", at);
  }

  get dropped(): Dropped | null {
    return this.#read<Dropped>("dropped");
  }
  set dropped(dropped: Dropped | null) {
    this.#write("dropped", dropped);
  }

  /** Gateways that were revoked, and when (Reveille ms). */
  get revoked(): Record<string, number> | null {
    return this.#read<Record<string, number>>("revoked");
  }
  set revoked(revoked: Record<string, number> | null) {
    this.#write("revoked", revoked);
  }

  /** Secrets of a gateway that were made at or before this, Reveille ms, are refused. */
  refusedUntil(gatewayId: string): number {
    const all = this.dropped?.at ?? Number.NEGATIVE_INFINITY;
    return Math.max(all, this.revoked?.[gatewayId] ?? all);
  }
}
