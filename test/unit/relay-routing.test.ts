import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bind, freshOf, holds, leave, lineOf, type Table } from "../../src/relay";

/** The routing table alone: who may hear what. What it does not prove: that the objects use it; test/node/relay*.test.ts do. */

const PEOPLE = ["alice", "bob", "carol", null] as const;

type Step =
  | { do: "connect"; who: (typeof PEOPLE)[number]; names: number | null }
  | { do: "leave"; line: number }
  | { do: "ask"; line: number }
  | { do: "answer"; question: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("connect" as const),
      who: fc.constantFrom(...PEOPLE),
      names: fc.option(fc.nat(3), { nil: null }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), line: fc.nat(99) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("ask" as const), line: fc.nat(99) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("answer" as const), question: fc.nat(99) }) },
);

/** What an agent would answer: it knows only the routing id a question came under. */
interface Question {
  rid: string;
  line: string;
  owner: string | null;
}

describe("routing", () => {
  it("never lets a frame reach another client's socket, in 10,000 interleavings", () => {
    let delivered = 0;
    let takeovers = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 40 }), (steps) => {
        const table: Table = new Map();
        const lines: { name: string; rid: string; owner: string | null; open: boolean }[] = [];
        const questions: Question[] = [];
        for (const s of steps) {
          if (s.do === "connect") {
            const name = `line-${lines.length}`;
            const rid = s.names === null ? null : `s${s.names}`;
            const bound = bind(table, { rid, line: name, owner: s.who, fresh: `fresh-${name}` });
            const displaced = lines.find((l) => l.name === bound.displaced);
            // Only somebody who has proven to be the same may take a session from a live socket.
            if (bound.displaced !== null) {
              takeovers++;
              expect(s.who).not.toBeNull();
              expect(displaced?.owner).toBe(s.who);
              displaced!.open = false;
            }
            lines.push({ name, rid: bound.rid, owner: s.who, open: true });
          } else if (s.do === "leave") {
            const line = lines[s.line % Math.max(1, lines.length)];
            if (line?.open) leave(table, line.rid, line.name);
            if (line) line.open = false;
          } else if (s.do === "ask") {
            const line = lines[s.line % Math.max(1, lines.length)];
            if (!line) continue;
            expect(holds(table, line.rid, line.name)).toBe(line.open);
            if (line.open) questions.push({ rid: line.rid, line: line.name, owner: line.owner });
          } else {
            const q = questions[s.question % Math.max(1, questions.length)];
            const to = q && lineOf(table, q.rid);
            if (!q || to === null || to === undefined) continue;
            const hearer = lines.find((l) => l.name === to)!;
            delivered++;
            expect(hearer.open).toBe(true);
            // The same socket, or a newer one of the signer who asked.
            expect(to === q.line || (q.owner !== null && hearer.owner === q.owner)).toBe(true);
          }
        }
      }),
      { numRuns: 10_000 },
    );
    expect(delivered).toBeGreaterThan(5_000);
    expect(takeovers).toBeGreaterThan(500);
  });

  it("gives a named session to its signer only, also after that client has left", () => {
    const table: Table = new Map();
    expect(bind(table, { rid: "s", line: "1", owner: "alice", fresh: "f1" })).toEqual({
      rid: "s",
      displaced: null,
      private: false,
      held: false,
    });
    expect(bind(table, { rid: "s", line: "2", owner: "bob", fresh: "f2" })).toEqual({
      rid: "f2",
      displaced: null,
      private: true,
      held: false,
    });
    leave(table, "s", "1", true);
    expect(bind(table, { rid: "s", line: "3", owner: "bob", fresh: "f3" }).rid).toBe("f3");
    expect(bind(table, { rid: "s", line: "4", owner: null, fresh: "f4" }).rid).toBe("f4");
    // Its agent was not told of the leave, so it must be before it hears of the next line.
    expect(bind(table, { rid: "s", line: "5", owner: "alice", fresh: "f5" })).toEqual({
      rid: "s",
      displaced: null,
      private: false,
      held: true,
    });
    expect(bind(table, { rid: "s", line: "6", owner: "alice", fresh: "f6" })).toEqual({
      rid: "s",
      displaced: "5",
      private: false,
      held: false,
    });
  });
});

describe("numbered deliveries", () => {
  it("drops repeats and tells gaps, whatever is repeated or lost", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.constantFrom("once", "twice", "lost"), { minLength: 12, maxLength: 12 }),
        (sizes, fates) => {
          let heard: { epoch: string; n: number } | null = null;
          let next = 1;
          const got: number[] = [];
          for (const [i, size] of sizes.entries()) {
            const delivery = { epoch: "e", from: next, frames: Array.from({ length: size }, (_, k) => next + k) };
            next += size;
            if (fates[i] === "lost" && i > 0) continue;
            for (let n = 0; n < (fates[i] === "twice" ? 2 : 1); n++) {
              const fresh: ReturnType<typeof freshOf<number>> = freshOf(heard, delivery);
              if (fresh.gap) {
                expect(got.at(-1)).toBeLessThan(delivery.from - 1);
                return;
              }
              heard = fresh.heard;
              got.push(...fresh.frames);
            }
          }
          expect(got).toEqual(Array.from({ length: got.length }, (_, k) => k + 1));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("takes the first number as it is after a restart of either side", () => {
    expect(freshOf(null, { epoch: "a", from: 9, frames: [1] })).toMatchObject({ gap: false, frames: [1] });
    expect(freshOf({ epoch: "a", n: 9 }, { epoch: "b", from: 1, frames: [1] })).toMatchObject({
      gap: false,
      frames: [1],
    });
  });
});
