import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { type RelayRun, RelayRuns } from "../../src/relay";
import { appendTexts, clearLog, LOG_SCHEMA, logEnds, readCursor } from "../../src/session";

/** What an event and a run cost in rows, and what was saved there must not lose: numbers, and the lag of the index row. */

const inObject = <T>(name: string, work: (state: DurableObjectState) => T): Promise<T> =>
  runInDurableObject(env.CLIENT_LINE.get(env.CLIENT_LINE.idFromName(`rows-${name}`)), (_o, state) => work(state));

const texts = (...ids: string[]) => ids.map((id) => ({ id, text: JSON.stringify({ type: "assistant", id }) }));

describe("the event log", () => {
  it("writes one row an event", async () => {
    const written = await inObject("one-row", ({ storage: { sql } }) => {
      sql.exec(LOG_SCHEMA);
      const cursors: { rowsWritten: number }[] = [];
      const exec: SqlStorage["exec"] = (query, ...values) => {
        const cursor = sql.exec(query, ...values);
        cursors.push(cursor);
        return cursor as never;
      };
      appendTexts({ exec } as SqlStorage, "r", texts("a", "b", "c"));
      return cursors.reduce((n, c) => n + c.rowsWritten, 0);
    });
    expect(written).toBe(3);
  });

  it("gives no number twice after it was emptied, and tells an old cursor of the gap", async () => {
    const seen = await inObject("emptied", ({ storage: { sql } }) => {
      sql.exec(LOG_SCHEMA);
      appendTexts(sql, "r1", texts("a", "b", "c"));
      clearLog(sql);
      const empty = logEnds(sql);
      const again = appendTexts(sql, "r2", texts("d", "e")).map((f) => f.seq);
      const cursors = [2, 3, 4].map((at) => readCursor(sql, at));
      clearLog(sql);
      clearLog(sql);
      return { empty, again, cursors, third: appendTexts(sql, "r3", texts("f")).map((f) => f.seq) };
    });
    expect(seen.empty).toEqual({ first: 0, last: 3 });
    expect(seen.again).toEqual([4, 5]);
    expect(seen.cursors.map((c) => c.gap)).toEqual([true, false, false]);
    expect(seen.third).toEqual([6]);
  });
});

describe("a run's record", () => {
  const start = { session_id: "s", agent: "a", agent_line: "l", owner: "o", input_id: null, prompt: null, asked: null };
  const end = { status: "done" as const, result: "x", error: null };

  it("says that its index row lags until exactly this state was written, also to an instance after a wake", async () => {
    const seen = await inObject("lag", ({ storage: { kv } }) => {
      const runs = new RelayRuns(kv, 60_000);
      const woken = (): RelayRuns => new RelayRuns(kv, 60_000);
      const said: (RelayRun["status"] | null)[] = [];
      const note = (): unknown => said.push(woken().unindexed()?.status ?? null);
      runs.begin(start, false, 1_000);
      note();
      const running = runs.unindexed()!;
      runs.indexed(running);
      note();
      runs.finish({ agent: "a", session_id: "s", end }, 2_000);
      note();
      runs.indexed(running);
      note();
      runs.indexed(runs.unindexed()!);
      note();
      return { said, stored: woken().stored(), keys: [...kv.list()].map(([key]) => key) };
    });
    expect(seen.said).toEqual(["running", null, "done", "done", null]);
    expect(seen.stored).toMatchObject({ status: "done", result: "x" });
    expect(seen.stored).not.toHaveProperty("unindexed");
    expect(seen.keys.filter((k) => k !== "name")).toEqual(["run"]);
  });
});
