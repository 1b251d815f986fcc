import { runInDurableObject } from "cloudflare:test";
import { beforeAll, expect, it } from "vitest";
import { claimRun, dueAt, newestRun, RUN_LEASE } from "../../src/session/run";
import { connect, done, hold, objectOf, policy, someone } from "./session-kit";

/** Queue messages of a run that bring nobody (a queue that lost them, an executor that died): how long until the next. */

beforeAll(() => policy("open"));

it("a run is sent again within a minute, and within seconds when somebody came and died", async () => {
  const me = await someone();
  const { line, id } = await connect(me);
  const { run, token } = await hold(id, me);
  await runInDurableObject(objectOf(id), (_o, { storage: { sql } }) => {
    const row = newestRun(sql)!;
    const waits = (sends: number): number =>
      dueAt({ ...row, status: "queued", lease_until: null, sends }, 1)! - row.sent_at;
    expect([1, 3, 9].map(waits)).toEqual([10_000, 40_000, 60_000]);
    // Eight messages were lost; the ninth brings an executor, and that one dies.
    sql.exec("UPDATE run SET sends = 9, lease_until = 1");
    expect(claimRun(sql, run, token, Date.now(), RUN_LEASE).state).toBe("mine");
    expect(waits(newestRun(sql)!.sends + 1)).toBe(10_000);
  });
  expect(await objectOf(id).finish(run, token, done("x"), 1)).toBe("ended");
  await line.next("OUTPUT");
  line.leave();
});
