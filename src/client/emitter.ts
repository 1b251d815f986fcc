import type { SessionEvents } from "./events";

export type Listener<K extends keyof SessionEvents> = (event: SessionEvents[K]) => void;

/** Who listens to a session. */
export class Emitter {
  readonly #listeners = new Map<string, Set<Listener<never>>>();

  on<K extends keyof SessionEvents>(type: K, listener: Listener<K>): () => void {
    const all = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, all.add(listener as Listener<never>));
    return () => void all.delete(listener as Listener<never>);
  }

  emit<K extends keyof SessionEvents>(type: K, event: SessionEvents[K]): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])])
      try {
        (listener as Listener<K>)(event);
      } catch (error) {
        // A listener's fault is its own, and must not be lost.
        queueMicrotask(() => {
          throw error;
        });
      }
  }
}
