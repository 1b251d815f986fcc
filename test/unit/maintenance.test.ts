import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  activeAt,
  type MaintenanceWindow,
  needsConfirm,
  nextOccurrences,
  occurrenceAt,
  parseDuration,
  windowInput,
} from "../../src/watch/maintenance";

/** Proves planned silence: one-off and cron windows, zones and their clock changes, early ends, and what the schema refuses. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const utc = (text: string) => Date.parse(`${text}Z`);

const made = (more: Partial<MaintenanceWindow>): MaintenanceWindow => ({
  id: "w",
  targets: ["a"],
  starts_at: null,
  ends_at: null,
  cron: null,
  duration_s: null,
  zone: "UTC",
  reason: "work",
  created_by: "ana",
  created_at: 0,
  ended_at: null,
  ...more,
});
const once = made({ starts_at: utc("2026-11-20T13:00"), ends_at: utc("2026-11-20T14:00") });

describe("a one-off window", () => {
  it("is active from its start up to, not at, its end", () => {
    const on = (t: string) => activeAt([once], "a", utc(t)) !== null;
    expect([
      on("2026-11-20T12:59:59.999"),
      on("2026-11-20T13:00"),
      on("2026-11-20T13:59:59.999"),
      on("2026-11-20T14:00"),
    ]).toEqual([false, true, true, false]);
  });

  it("silences its targets only, or all", () => {
    const at = utc("2026-11-20T13:30");
    expect(activeAt([once], "b", at)).toBeNull();
    const all = made({ ...once, id: "all", targets: ["*"] });
    expect(activeAt([once, all], "b", at)?.id).toBe("all");
    expect(activeAt([once, all], "a", at)?.id).toBe("w");
  });

  it("is over when it was ended early", () => {
    const ended = made({ ...once, ended_at: utc("2026-11-20T13:10") });
    expect(activeAt([ended], "a", utc("2026-11-20T13:09"))).not.toBeNull();
    expect(activeAt([ended], "a", utc("2026-11-20T13:10"))).toBeNull();
    expect(nextOccurrences(ended, utc("2026-11-20T12:00"), 3)).toEqual([
      { starts_at: once.starts_at, ends_at: utc("2026-11-20T13:10") },
    ]);
    expect(nextOccurrences(ended, utc("2026-11-20T13:10"), 3)).toEqual([]);
    expect(nextOccurrences(made({ ...once, ended_at: once.starts_at! - 1 }), 0, 3)).toEqual([]);
  });
});

describe("a cron window", () => {
  const nightly = made({ cron: "0 2 * * *", duration_s: 5_400, zone: "Europe/Berlin" });

  it("follows its zone over both clock changes", () => {
    expect(
      nextOccurrences(nightly, utc("2026-10-24T12:00"), 2).map((o) => new Date(o.starts_at).toISOString()),
    ).toEqual(["2026-10-25T00:00:00.000Z", "2026-10-26T01:00:00.000Z"]);
    // 02:00 does not exist on 29 March; the window still comes once that night.
    const spring = nextOccurrences(nightly, utc("2026-03-28T12:00"), 2);
    expect(spring.map((o) => new Date(o.starts_at).toISOString().slice(0, 10))).toEqual(["2026-03-29", "2026-03-30"]);
  });

  it("never starts in the past while clocks go back, and comes once in the repeated hour", () => {
    // Berlin, 25 October: 02:00-03:00 happens twice, at 00:00Z and at 01:00Z.
    const window = made({ cron: "*/30 * * * *", duration_s: 60, zone: "Europe/Berlin" });
    const starts = nextOccurrences(window, utc("2026-10-24T23:45"), 4).map((o) =>
      new Date(o.starts_at).toISOString().slice(11, 16),
    );
    expect(starts).toEqual(["00:00", "00:30", "02:00", "02:30"]);
    for (let m = 0; m < 60; m += 5) {
      const at = utc("2026-10-25T01:01") + m * MINUTE;
      expect(nextOccurrences(window, at, 1)[0]!.starts_at, new Date(at).toISOString()).toBe(utc("2026-10-25T02:00"));
      expect(activeAt([{ ...window }], "a", at)).toBeNull();
    }
  });

  it("has ascending starts, none over before it is asked for, near every clock change", () => {
    const changes = [
      "2026-10-25T01:00",
      "2026-03-29T01:00",
      "2026-11-01T06:00",
      "2026-03-08T07:00",
      "2026-04-04T15:00",
    ].map(utc);
    fc.assert(
      fc.property(
        fc.constantFrom("*/30 * * * *", "15 * * * *", "30 2 * * *", "30 1 * * *", "0 0,2 * * *"),
        fc.constantFrom("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
        fc.constantFrom(...changes),
        fc.integer({ min: -4 * HOUR, max: 4 * HOUR }),
        fc.integer({ min: 60, max: 9_000 }),
        (cron, zone, change, off, duration_s) => {
          const from = change + off;
          const list = nextOccurrences(made({ cron, duration_s, zone }), from, 6);
          expect(list).toHaveLength(6);
          list.forEach((o, i) => {
            expect(o.ends_at).toBeGreaterThan(from);
            if (i > 0) expect(o.starts_at).toBeGreaterThan(list[i - 1]!.starts_at);
          });
        },
      ),
      { numRuns: 400 },
    );
  });

  it("names the running occurrence first", () => {
    const at = utc("2026-11-20T01:30");
    expect(nextOccurrences(nightly, at, 3)[0]).toEqual({
      starts_at: utc("2026-11-20T01:00"),
      ends_at: utc("2026-11-20T02:30"),
    });
    expect(occurrenceAt(nightly, at)?.ends_at).toBe(utc("2026-11-20T02:30"));
    expect(occurrenceAt(nightly, utc("2026-11-20T02:30"))).toBeNull();
  });

  it("stops for good when ended", () => {
    const ended = { ...nightly, ended_at: utc("2026-11-21T01:30") };
    expect(nextOccurrences(ended, utc("2026-11-20T12:00"), 9)).toEqual([
      { starts_at: utc("2026-11-21T01:00"), ends_at: utc("2026-11-21T01:30") },
    ]);
    expect(activeAt([ended], "a", utc("2026-11-21T01:29"))).not.toBeNull();
    expect(activeAt([ended], "a", utc("2026-11-21T01:30"))).toBeNull();
    expect(activeAt([ended], "a", utc("2026-11-22T01:30"))).toBeNull();
  });

  it("is active exactly inside its occurrences, whatever was asked before", () => {
    const crons = fc.constantFrom("0 2 * * *", "*/30 * * * *", "15 3 * * 1", "0 0 1 * *", "59 23 * * 5");
    fc.assert(
      fc.property(
        crons,
        fc.integer({ min: 60, max: 100_000 }),
        fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"),
        // Half of the questions fall near the clock change in Berlin, five days after the base.
        fc.array(
          fc.oneof(fc.nat({ max: 10 * DAY }), fc.integer({ min: 5 * DAY - 3 * HOUR, max: 5 * DAY + 4 * HOUR })),
          { minLength: 1, maxLength: 12 },
        ),
        (cron, duration_s, zone, asks) => {
          const base = utc("2026-10-20T00:00");
          const window = made({ cron, duration_s, zone });
          for (const ask of asks) {
            const at = base + ask;
            // A fresh window has nothing remembered; the occurrences come from croner alone.
            const running = nextOccurrences({ ...window }, at, 1).some((o) => o.starts_at <= at && at < o.ends_at);
            expect(activeAt([window], "a", at) !== null).toBe(running);
          }
        },
      ),
    );
  });
});

describe("the schema", () => {
  const good = {
    targets: ["fly-web"],
    starts_at: "2026-11-20T13:00:00Z",
    ends_at: "2026-11-20T15:00:00+01:00",
    reason: " move ",
  };
  const cron = { targets: ["*"], cron: "0 2 * * 0", duration: "90m", zone: "Europe/Berlin", reason: "backup" };
  const problem = (body: unknown) => {
    const out = windowInput.safeParse(body);
    return out.success ? null : `${out.error.issues[0]!.path.join(".")}: ${out.error.issues[0]!.message}`;
  };

  it("takes both kinds", () => {
    expect(windowInput.parse(good)).toEqual({
      targets: ["fly-web"],
      starts_at: utc("2026-11-20T13:00"),
      ends_at: utc("2026-11-20T14:00"),
      cron: null,
      duration_s: null,
      zone: "UTC",
      reason: "move",
    });
    expect(windowInput.parse(cron)).toMatchObject({
      targets: ["*"],
      cron: "0 2 * * 0",
      duration_s: 5_400,
      starts_at: null,
    });
  });

  it("names the field of everything it refuses", () => {
    expect(problem({ ...good, ends_at: undefined })).toMatch(/^ends_at: Give ends_at/);
    expect(problem({ ...good, starts_at: undefined, ends_at: undefined })).toMatch(/^starts_at: /);
    expect(problem({ ...good, ends_at: good.starts_at })).toMatch(/^ends_at: .*after/);
    expect(problem({ ...good, ends_at: "2026-12-21T13:00:00Z" })).toMatch(/^ends_at: .*30 days/);
    expect(problem({ ...good, duration: "1h" })).toMatch(/^duration: /);
    expect(problem({ ...good, starts_at: "tomorrow" })).toMatch(/^starts_at: Write a time like/);
    expect(problem({ ...good, cron: "0 2 * * 0" })).toMatch(/^cron: .*not both/);
    expect(problem({ ...good, targets: [] })).toMatch(/^targets/);
    expect(problem({ ...good, targets: ["Bad Id"] })).toMatch(/^targets/);
    expect(problem({ ...good, targets: ["*", "a"] })).toMatch(/^targets/);
    expect(problem({ ...good, reason: "  " })).toMatch(/^reason: Say why/);
    expect(problem({ ...good, extra: 1 })).toMatch(/extra/);
    expect(problem({ ...cron, cron: "0 2 * * * *" })).toMatch(/^cron: .*five fields/);
    expect(problem({ ...cron, cron: "0 25 * * 0" })).toMatch(/^cron: .*five fields/);
    expect(problem({ ...cron, cron: "0 0 30 2 *" })).toMatch(/^cron: .*never comes/);
    expect(problem({ ...cron, zone: "Mars/Base" })).toMatch(/^zone: .*Europe\/Berlin/);
    expect(problem({ ...cron, duration: undefined })).toMatch(/^duration: Give duration/);
    expect(problem({ ...cron, duration: "5s" })).toMatch(/^duration: .*from 60 s/);
    expect(problem({ ...cron, duration: "a while" })).toMatch(/^duration: /);
  });

  it("reads lengths", () => {
    expect([60, "60", "90m", "2h", "1 d", "1.5h", 0.5, ""].map(parseDuration)).toEqual([
      60,
      60,
      5_400,
      7_200,
      86_400,
      null,
      null,
      null,
    ]);
  });

  it("asks again for more than a day, or for everything", () => {
    expect(needsConfirm(windowInput.parse(good))).toBe(false);
    expect(needsConfirm(windowInput.parse(cron))).toBe(true);
    expect(needsConfirm(windowInput.parse({ ...good, ends_at: "2026-11-21T13:00:01Z" }))).toBe(true);
    expect(needsConfirm(windowInput.parse({ ...cron, targets: ["a"], duration: "25h" }))).toBe(true);
  });
});
