import { type Buffer, pokeDue, RETENTION_MS } from "../src/gateway";
import { SECOND } from "../src/kernel/clock";
import type { Runtime } from "../src/kernel/runtime";
import type { Kept } from "./gateway.kept";
import type { Sockets } from "./gateway.sockets";

/** The one alarm of a Gateway object, for all that is due. Setting it is a row: it is set when nothing earlier is pending. */
export class Timing {
  /** Wall ms; undefined: not known since the wake. */
  #pending: number | null | undefined;

  constructor(
    readonly storage: DurableObjectStorage,
    readonly runtime: Runtime,
    readonly buffer: Buffer,
    readonly sockets: Sockets,
    readonly kept: Kept,
  ) {}

  /** The alarm rings, or was deleted. */
  rang(): void {
    this.#pending = null;
  }

  #pokeDue(): number | null {
    const waiting = this.buffer.rows.length > 0;
    const live = this.sockets.listeners().length > 0;
    if (!waiting || live) return null;
    const { poke, alone } = this.kept;
    return pokeDue(poke, { waiting, live, alone: alone ?? 0, now: this.runtime.clock.now() });
  }

  /** Is it time to wake the gateway? Noted before the call: an alarm that is repeated must not poke twice. */
  takePoke(): boolean {
    const now = this.runtime.clock.now();
    const due = this.#pokeDue();
    if (due === null || due > now) return false;
    this.kept.poke = { at: now, tries: (this.kept.poke?.tries ?? 0) + 1 };
    return true;
  }

  /** Sees to it that the object looks again at `until` (Reveille ms), or when anything else is due. */
  async arm(until: number | null): Promise<void> {
    const { clock } = this.runtime;
    const head = this.buffer.rows[0];
    const due = [until, this.#pokeDue(), head ? head.at + RETENTION_MS : null];
    if (this.buffer.untold(1).length > 0) due.push(clock.now());
    const next = Math.min(...due.filter((d) => d !== null));
    if (!Number.isFinite(next)) return;
    const at = Math.max(clock.toWall(next), Date.now());
    if (this.#pending === undefined) this.#pending = await this.storage.getAlarm();
    const pending = this.#pending;
    // One that rings early looks again; one that is long past was lost.
    if (pending !== null && pending <= at + SECOND && pending >= Date.now() - SECOND) return;
    this.#pending = at;
    await this.storage.setAlarm(at);
  }
}
