import { createDurable, proxyDurable } from "itty-durable";
import { applyPatch, OPEN, type Switches, type SwitchPatch, switchesSchema, UNREADABLE } from "../src/watch";

/**
 * The operator's live switches: one small JSON value that must be strongly consistent (a kill switch is worth nothing
 * otherwise). It is reached by fetch only, holds no socket, alarm or secret, and changes a few times a week, which is the
 * shape itty-durable is made for (docs/decisions/003). Never hand it a client's request: every method has a URL there.
 */
export class Switchboard extends createDurable({ autoPersist: false }) {
  switches: Switches;

  constructor(state: DurableObjectState) {
    // The bindings are not passed on: the library would copy every one of them into the object's state.
    super(state, {});
    this.switches = OPEN;
  }

  read(): Switches {
    return this.switches;
  }

  /** Applies a patch and answers only after it is stored; a storage failure is the caller's error. */
  async change(patch: SwitchPatch, at: number, by: string): Promise<Switches> {
    const before = this.switches;
    this.switches = applyPatch(before, patch, at, decodeURIComponent(by));
    try {
      await this.persist();
    } catch (error) {
      this.switches = before;
      throw error;
    }
    return this.switches;
  }
}

/** Typed access, one function per method; arguments travel as JSON in a header, so they are kept ASCII. */
export function switchboard(namespace: DurableObjectNamespace): {
  /** The switches. @throws when the object can't be reached or its value is not what we wrote. */
  read(): Promise<Switches>;
  /** The switches, or `UNREADABLE` (everything that spends or changes is stopped) when they can't be read. */
  readOrStop(): Promise<Switches & { unreadable?: true }>;
  change(patch: SwitchPatch, at: number, by: string): Promise<Switches>;
} {
  const stub = () => proxyDurable(namespace, { name: "SWITCHBOARD", parse: true }).get("switchboard");
  const read = async (): Promise<Switches> => switchesSchema.parse(await stub().read());
  return {
    read,
    readOrStop: () => read().catch(() => ({ ...UNREADABLE, unreadable: true as const })),
    change: async (patch, at, by) => switchesSchema.parse(await stub().change(patch, at, encodeURIComponent(by))),
  };
}
