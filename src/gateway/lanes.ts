/** Work of one key in the order it came; of different keys side by side. */
export class Lanes {
  readonly #tails = new Map<string, { last: Promise<unknown>; waiting: number }>();

  /** How much of this key waits or runs. */
  waiting(key: string): number {
    return this.#tails.get(key)?.waiting ?? 0;
  }

  /** Runs `work` after all that came before it under this key, whatever came of that. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const lane = this.#tails.get(key) ?? { last: Promise.resolve(), waiting: 0 };
    this.#tails.set(key, lane);
    lane.waiting++;
    const mine = lane.last.then(work).finally(() => {
      if (--lane.waiting === 0) this.#tails.delete(key);
    });
    lane.last = mine.catch(() => {});
    return mine;
  }
}
