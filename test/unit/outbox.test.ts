import { expect, it } from "vitest";
import { Outbox } from "../../durable-objects/outbox";

/** The queue between two lines, alone. */

interface Call {
  stub: number;
  from: number;
  frames: number[];
}

function outbox(fail: (call: Call) => boolean = () => false) {
  const calls: Call[] = [];
  let stubs = 0;
  const gates: (() => void)[] = [];
  let slow = false;
  const out = new Outbox<number, number>(
    () => ++stubs,
    async (stub, _epoch, from, frames) => {
      const call = { stub, from, frames };
      calls.push(call);
      if (slow) await new Promise<void>((resolve) => gates.push(resolve));
      if (fail(call)) throw new Error("stub failed");
    },
  );
  return {
    out,
    calls,
    gates,
    slow: (on: boolean): void => {
      slow = on;
    },
  };
}

it("sends what gathers in one tick as one call, in order, over one stub", async () => {
  const { out, calls } = outbox();
  for (let i = 1; i <= 5; i++) out.push(i, 1);
  await out.drained();
  out.push(6, 1);
  await out.drained();
  expect(calls).toEqual([
    { stub: 1, from: 1, frames: [1, 2, 3, 4, 5] },
    { stub: 1, from: 6, frames: [6] },
  ]);
});

it("repeats a failed call with the same numbers over a new stub", async () => {
  let failed = false;
  const { out, calls } = outbox(() => {
    const first = !failed;
    failed = true;
    return first;
  });
  out.push(1, 1);
  await out.drained();
  out.push(2, 1);
  await out.drained();
  expect(calls).toEqual([
    { stub: 1, from: 1, frames: [1] },
    { stub: 2, from: 1, frames: [1] },
    { stub: 2, from: 2, frames: [2] },
  ]);
});

it("gives up after the second failure, and says so once", async () => {
  const { out, calls } = outbox(() => true);
  const lost: unknown[] = [];
  out.onLost = (error) => lost.push(error);
  out.push(1, 1);
  out.push(2, 1);
  await out.drained();
  expect(calls).toHaveLength(2);
  expect(lost).toHaveLength(1);
});

it("leaves out what a slow receiver can't take, keeps results, and the numbers show the gap", async () => {
  const { out, calls, gates, slow } = outbox();
  slow(true);
  out.push(0, 1);
  await Promise.resolve();
  await Promise.resolve();
  for (let i = 1; i <= 9_000; i++) out.push(i, 1);
  out.push(9_001, 1, true);
  slow(false);
  gates[0]!();
  await out.drained();
  expect(calls.map((c) => [c.from, c.frames.length, c.frames.at(-1)])).toEqual([
    [1, 1, 0],
    [2, 8_192, 8_192],
    [9_002, 1, 9_001],
  ]);
});
