/** What may wait for a receiver that is slower than its sender; beyond it frames are left out, and the gap shows. */
const MAX_FRAMES = 8_192;
const MAX_SIZE = 16 * 1_048_576;

interface Waiting<T> {
  n: number;
  frame: T;
  size: number;
}

/**
 * Frames on their way to another object: in order, numbered, and as many per call as have gathered while the call before was
 * under way (design §3: one queue a line). A failed call is tried once more with the same numbers, so the receiver can tell
 * a repeat; if that fails too, the other side is lost.
 */
export class Outbox<S, T> {
  readonly #epoch = crypto.randomUUID();
  #waiting: Waiting<T>[] = [];
  #size = 0;
  #n = 0;
  #busy: Promise<void> | null = null;
  #stub: S | null = null;
  #lost = 0;
  #arrived = 0;
  onIdle: () => void = () => {};
  onLost: (error: unknown) => void = () => {};

  /** `call` sends the frames numbered from `from`; a throw means that it is not known whether they arrived. */
  constructor(
    readonly stub: () => S,
    readonly call: (stub: S, epoch: string, from: number, frames: T[]) => Promise<void>,
  ) {}

  /** `size` in characters. `must`: never left out (a result). Whatever is left out takes its number with it. */
  push(frame: T, size: number, must = false): void {
    const n = ++this.#n;
    if (!must && (this.#waiting.length >= MAX_FRAMES || this.#size + size > MAX_SIZE)) {
      this.#lost = n;
      return;
    }
    this.#waiting.push({ n, frame, size });
    this.#size += size;
    this.#busy ??= this.#run();
  }

  get busy(): boolean {
    return this.#busy !== null;
  }

  /** Frames were left out since the last call that arrived: the receiver has yet to hear of the gap, by the next number. */
  get lossy(): boolean {
    return this.#lost > this.#arrived;
  }

  /** Resolves when everything pushed so far has been handed over or given up. */
  async drained(): Promise<void> {
    while (this.#busy) await this.#busy;
  }

  /** The frames that go next: the longest run of numbers without a hole. */
  #next(): Waiting<T>[] {
    const from = this.#waiting[0]!.n;
    const hole = this.#waiting.findIndex((w, i) => w.n !== from + i);
    const next = hole < 0 ? this.#waiting : this.#waiting.slice(0, hole);
    this.#waiting = hole < 0 ? [] : this.#waiting.slice(hole);
    this.#size -= next.reduce((sum, w) => sum + w.size, 0);
    return next;
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        // Frames of one tick go together: whoever pushes next in this tick is still in time.
        await Promise.resolve();
        const next = this.#next();
        const frames = next.map((w) => w.frame);
        const from = next[0]!.n;
        try {
          this.#stub ??= this.stub();
          await this.call(this.#stub, this.#epoch, from, frames);
        } catch {
          // A stub that failed stays broken.
          this.#stub = this.stub();
          await this.call(this.#stub, this.#epoch, from, frames);
        }
        this.#arrived = from + frames.length - 1;
      }
    } catch (error) {
      this.#lost = this.#n;
      this.#waiting = [];
      this.#size = 0;
      this.#stub = null;
      this.onLost(error);
    } finally {
      this.#busy = null;
      this.onIdle();
    }
  }
}
