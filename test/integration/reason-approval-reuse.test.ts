import { afterEach, beforeEach, expect, it } from "vitest";
import { answerFix, type FixCaller, operatorCaller, proposeFix } from "../../src/reason";
import { acts, breakFly, dropTargets, fixer, freshFixes, MACHINE, mustFix, questionOf, setMode } from "./fix-kit";

/**
 * An answer is spent once, on the question it was given to. When the same fix is asked for again, the buttons of the earlier
 * question, which are still in the chat, decide nothing.
 */

beforeEach(freshFixes);
afterEach(async () => {
  await setMode(null);
  await dropTargets();
});

/** Asked, denied, asked again: two questions of one fix. */
async function askedTwice() {
  const { incident } = await breakFly();
  await setMode("approve");
  const { deps, sent } = await fixer();
  const caller: FixCaller = operatorCaller("api");
  const ask = () =>
    proposeFix(deps, {
      incident_id: incident,
      wake_id: null,
      action: "restart_machine",
      target_id: MACHINE,
      reason: "it stopped",
      caller,
    });
  const first = await ask();
  if (!first.ok) throw new Error(first.message);
  const old = await questionOf(incident);
  expect(await answerFix(deps, old, "deny", "ana")).toMatchObject({ ok: true, answer: "deny" });
  // Questions of one millisecond could not be told apart by their time.
  await new Promise((r) => setTimeout(r, 5));
  const second = await ask();
  if (!second.ok) throw new Error(second.message);
  expect(second.key).toBe(first.key);
  const now = await questionOf(incident);
  expect(now).not.toBe(old);
  return { deps, sent, key: first.key, old, now };
}

it.each(["approve", "deny"] as const)("a spent question's %s button does not answer the one that waits", async (a) => {
  const { deps, key, old, now } = await askedTwice();
  expect(await answerFix(deps, old, a, "mallory")).toMatchObject({ ok: false, why: "used", answer: "deny", by: "ana" });
  expect(await mustFix(key)).toMatchObject({ state: "waiting", by: "api" });
  expect(await acts()).toEqual([]);
  expect(await answerFix(deps, now, "approve", "ana")).toMatchObject({ ok: true, answer: "approve" });
  expect(await mustFix(key)).toMatchObject({ state: "approved", by: "ana" });
});

it("of two presses of one question at once, one counts and the other changes nothing", async () => {
  const { deps, key, now } = await askedTwice();
  const both = await Promise.all([answerFix(deps, now, "deny", "ana"), answerFix(deps, now, "approve", "ben")]);
  expect(both.filter((x) => x.ok)).toHaveLength(1);
  const won = both[0]!.ok ? { state: "denied", by: "ana" } : { state: "approved", by: "ben" };
  expect(await mustFix(key)).toMatchObject(won);
});
