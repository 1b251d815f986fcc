import { type Buffer, type ReplayAsk, type Replayed, replayCandidates } from "../src/gateway";
import type { Offers } from "./gateway.offers";

/**
 * Sends again what an operator names: each goes to the end of the queue as an event of its own, under the keys it had. What was
 * delivered, or replayed before, needs `override_dedupe`.
 */
export async function replay(buffer: Buffer, offers: Offers, ask: ReplayAsk, now: () => number): Promise<Replayed> {
  const done: Replayed = { replayed: [], skipped: [] };
  for (const c of replayCandidates(buffer, ask)) {
    if ("why" in c) {
      done.skipped.push(c);
      continue;
    }
    const entry = buffer.entry({ d1: c.d1, d2: c.d2, stored: c.stored, held: false }, now());
    if (!entry) {
      done.skipped.push({ seq: c.seq, why: "too large to be stored" });
      continue;
    }
    // Marked in the same turn as it is judged, so that two presses at once can't send it twice.
    if (c.dead) buffer.replayed(c.seq, entry.seq);
    try {
      await offers.add(entry);
      done.replayed.push({ seq: c.seq, as: entry.seq });
    } catch (error) {
      if (c.dead) buffer.replayed(c.seq, null);
      throw error;
    }
  }
  return done;
}
