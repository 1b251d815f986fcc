import * as z from "zod";

/** What an operator holds back right now (design §1: switchboard). */
export const switchesSchema = z.strictObject({
  /** No reasoning; plain notices still go out. */
  paused: z.boolean(),
  /** No autofix, whatever the envelopes say. */
  killed: z.boolean(),
  /** Notices go to the inbox only until this time (ms), or null. */
  muted_until: z.number().nullable(),
  /** The operator's own word per envelope; absent = the variable decides (design §11). */
  envelopes: z.record(
    z.string(),
    z.strictObject({ enabled: z.boolean().optional(), mode: z.enum(["dry_run", "approve", "auto"]).optional() }),
  ),
  /** Last change of each switch, for the page. */
  changes: z.record(z.string(), z.strictObject({ at: z.number(), by: z.string() })),
});
export type Switches = z.infer<typeof switchesSchema>;

export const OPEN: Switches = { paused: false, killed: false, muted_until: null, envelopes: {}, changes: {} };

/** What holds when the switchboard can't be read: no reasoning, no fix; notices still reach the operator. */
export const UNREADABLE: Switches = { ...OPEN, paused: true, killed: true };

/** A change an operator may ask for; unknown keys are refused. */
export const switchPatch = z.strictObject({
  paused: z.boolean().optional(),
  killed: z.boolean().optional(),
  muted_until: z.number().nullable().optional(),
  envelopes: switchesSchema.shape.envelopes.optional(),
});
export type SwitchPatch = z.infer<typeof switchPatch>;

/** Applies a patch; every switch it touches remembers when and by whom. */
export function applyPatch(before: Switches, patch: SwitchPatch, at: number, by: string): Switches {
  const after: Switches = structuredClone(before);
  const mark = (name: string): void => {
    after.changes[name] = { at, by };
  };
  if (patch.paused !== undefined && patch.paused !== before.paused) {
    after.paused = patch.paused;
    mark("paused");
  }
  if (patch.killed !== undefined && patch.killed !== before.killed) {
    after.killed = patch.killed;
    mark("killed");
  }
  if (patch.muted_until !== undefined && patch.muted_until !== before.muted_until) {
    after.muted_until = patch.muted_until;
    mark("muted_until");
  }
  for (const [name, change] of Object.entries(patch.envelopes ?? {})) {
    after.envelopes[name] = { ...after.envelopes[name], ...change };
    mark(`envelope.${name}`);
  }
  return after;
}
