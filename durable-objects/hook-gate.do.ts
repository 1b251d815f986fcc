import { DurableObject } from "cloudflare:workers";
import { type Slots, take } from "../src/hooks";
import { runtimeOf } from "../src/kernel/runtime";
import type { ObjectEnv } from "./env";

/** A request let in, or who stands in the way and for how long, ms. */
export type Admission = { ok: true } | { ok: false; by: "all" | "source" | "hook"; wait: number };

export type HookGateMethods = {
  [K in "admit" | "refused" | "admitToHook"]: (...args: Parameters<HookGate[K]>) => Promise<ReturnType<HookGate[K]>>;
};

/** The one object that counts all requests to wake hooks. */
export const hookGate = (namespace: DurableObjectNamespace): HookGateMethods =>
  namespace.get(namespace.idFromName("all")) as unknown as HookGateMethods;

/** Addresses that are remembered; the one seen first goes first. */
const MAX_SOURCES = 5_000;
/** What a request without a valid secret counts for beside itself. */
const PENALTY = 2;

/**
 * How many requests the wake hooks take (wake-slo §1.3, row 1): in all, of one address, of one hook. An object and no rate limit
 * binding, because the window is one for the whole world, slides, and is set by a variable; the binding counts per location, in
 * fixed periods, with a limit written into the deployment (docs/decisions/020-wake-hooks.md). Windows are in wall time. Those of
 * all requests and of hooks are stored, one row a request that is let in; those of addresses live in memory alone: whoever
 * could make them grow chooses the addresses, and without them the window of all still holds.
 */
export class HookGate extends DurableObject<ObjectEnv> {
  #sources = new Map<string, Slots>();

  #take(key: string, limit: number): Admission & { by?: "all" | "hook" } {
    const { storage } = this.ctx;
    const taken = take(storage.kv.get<Slots>(key) ?? [], this.#now(), limit);
    if (!taken.ok) return { ok: false, by: key === "all" ? "all" : "hook", wait: taken.wait };
    // Nobody waits for the disk: a count that a crash loses lets one more request in.
    void storage.put(key, taken.slots, { allowUnconfirmed: true });
    return { ok: true };
  }

  #now(): number {
    return runtimeOf(this.env, "hook-gate").clock.wall();
  }

  #count(source: string, limit: number, weight: number, force: boolean): Admission {
    const taken = take(this.#sources.get(source) ?? [], this.#now(), limit, weight, force);
    this.#sources.delete(source);
    this.#sources.set(source, taken.slots);
    if (this.#sources.size > MAX_SOURCES) this.#sources.delete(this.#sources.keys().next().value!);
    return taken.ok ? { ok: true } : { ok: false, by: "source", wait: taken.wait };
  }

  /** One request of an address. What its own limit refuses takes no room from the others. */
  admit(source: string, limits: { all: number; source: number }): Admission {
    const own = this.#count(source, limits.source, 1, false);
    return own.ok ? this.#take("all", limits.all) : own;
  }

  /** The request just let in had no valid secret. */
  refused(source: string): void {
    this.#count(source, 0, PENALTY, true);
  }

  /** One proven request of a hook that has a limit of its own. */
  admitToHook(id: string, limit: number): Admission {
    return this.#take(`hook:${id}`, limit);
  }
}
