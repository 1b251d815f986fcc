import { describe, expect, it } from "vitest";
import { beatToken, readBeatToken } from "../../src/watch/beat-url";

/** Proves that a heartbeat URL opens its own target only, and stops when the key or the target changes. */

const KEY = "unit-test-beat-key-0123456789";
const job = { id: "nightly-backup", created_at: 1_763_000_000_000 };
const load = (targets: (typeof job)[]) => {
  const asked: string[] = [];
  const find = async (id: string) => {
    asked.push(id);
    return targets.find((t) => t.id === id) ?? null;
  };
  return { asked, find };
};

describe("a beat token", () => {
  it("is the id and 144 bits, and opens its target", async () => {
    const token = await beatToken(KEY, job);
    expect(token).toMatch(/^nightly-backup\.[A-Za-z0-9_-]{24}$/);
    expect(await beatToken(KEY, job)).toBe(token);
    expect(await readBeatToken(KEY, token, load([job]).find)).toBe(job);
  });

  it("differs by target, by creation and by key", async () => {
    const tokens = await Promise.all([
      beatToken(KEY, job),
      beatToken(KEY, { ...job, created_at: job.created_at + 1 }),
      beatToken(`${KEY}x`, job),
      beatToken(KEY, { ...job, id: "nightly-backup-2" }),
    ]);
    expect(new Set(tokens.map((t) => t.split(".")[1])).size).toBe(4);
  });

  it("opens nothing else", async () => {
    const token = await beatToken(KEY, job);
    const other = { id: "other", created_at: job.created_at };
    const find = load([job, other]).find;
    expect(await readBeatToken("another-key-0123456789", token, find)).toBeNull();
    expect(await readBeatToken(KEY, token.replace("nightly-backup", "other"), find)).toBeNull();
    const last = token.at(-1) === "A" ? "B" : "A";
    expect(await readBeatToken(KEY, token.slice(0, -1) + last, find)).toBeNull();
    expect(await readBeatToken(KEY, token, load([{ ...job, created_at: 1 }]).find)).toBeNull();
    expect(await readBeatToken(KEY, token, load([]).find)).toBeNull();
  });

  it("costs no look-up when it can't be one", async () => {
    const { asked, find } = load([job]);
    for (const bad of [
      "",
      "x",
      "nightly-backup",
      "nightly-backup.",
      `nightly-backup.${"a".repeat(25)}`,
      `UP.${"a".repeat(24)}`,
      `${"a".repeat(64)}.${"a".repeat(24)}`,
      `a' or 1.${"a".repeat(24)}`,
    ])
      expect(await readBeatToken(KEY, bad, find), bad).toBeNull();
    expect(asked).toEqual([]);
  });
});
