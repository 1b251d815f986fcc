import { describe, expect, test } from "vitest";
import * as f from "../../src/kernel/format";

/** The wording of operator-experience §3, value by value. Thin spaces are compared as ordinary ones. */
const p = f.plainSpaces;
const at = Date.UTC(2026, 10, 12, 14, 2, 11, 480);

describe("durations and latencies", () => {
  test.each([
    [0, "0 ms"],
    [812, "812 ms"],
    [999.6, "1.00 s"],
    [1_240, "1.24 s"],
    [9_994, "9.99 s"],
    [9_999, "10.0 s"],
    [31_000, "31.0 s"],
    [59_999, "1 min"],
    [125_000, "2 min 5 s"],
    [null, "—"],
    [Number.NaN, "—"],
  ])("latency %s reads %s", (ms, text) => expect(p(f.latency(ms))).toBe(text));

  test.each([
    [0, "0 s"],
    [400, "400 ms"],
    [30_999, "30 s"],
    [60_000, "1 min"],
    [372_000, "6 min 12 s"],
    [3_599_999, "59 min 59 s"],
    [11_400_000, "3 h 10 min"],
    [28 * 3_600_000, "1 d 4 h"],
    [9 * 86_400_000 + 5, "9 d"],
    [-5, "0 s"],
    [undefined, "—"],
  ])("duration %s reads %s", (ms, text) => expect(p(f.duration(ms))).toBe(text));

  test("a value and its unit are held together by a narrow no-break space", () =>
    expect(f.duration(372_000)).toBe("6\u202fmin 12\u202fs"));
});

describe("percent", () => {
  test.each([
    [1, 1, "100 %"],
    [99_999, 100_000, "99.99 %"],
    [999_999_999, 1_000_000_000, "99.99 %"],
    [29, 100, "29.00 %"],
    [9_971, 10_000, "99.71 %"],
    [1, 3, "33.33 %"],
    [0, 5, "0 %"],
    [0, 0, "—"],
  ])("%s of %s reads %s", (part, whole, text) => expect(p(f.percent(part, whole))).toBe(text));

  test("never rounds to 100 while anything is missing", () => {
    for (let whole = 2; whole < 2_000_000; whole = whole * 3 + 1)
      expect(p(f.percent(whole - 1, whole))).not.toContain("100");
    expect(p(f.ratio(0.999_999_9))).toBe("99.99 %");
    expect(f.ratio(null)).toBe("—");
  });
});

describe("money, bytes, counts", () => {
  test.each([
    [0.0041, "$0.0041"],
    [0.000_01, "<$0.0001"],
    [0.01, "$0.01"],
    [4.12, "$4.12"],
    [12_480.5, "$12 480.50"],
    [0, "$0"],
    [null, "not priced"],
  ])("%s dollars reads %s", (usd, text) => expect(p(f.money(usd))).toBe(text));

  test.each([
    [0, "0 B"],
    [1_023, "1023 B"],
    [1_258_291, "1.2 MiB"],
    [1_048_575, "1.0 MiB"],
    [5 * 1024 ** 3, "5.0 GiB"],
  ])("%s bytes reads %s", (n, text) => expect(p(f.bytes(n))).toBe(text));

  test("thousands are set apart", () => {
    expect(p(f.count(12_480))).toBe("12 480");
    expect(p(f.count(1_234_567))).toBe("1 234 567");
    expect(f.count(480)).toBe("480");
    expect(f.count(null)).toBe("—");
  });
});

describe("times", () => {
  test("in UTC and in a zone", () => {
    expect(f.clockTime(at)).toBe("14:02:11");
    expect(f.hourMinute(at, "Europe/Berlin")).toBe("15:02");
    expect(f.dayTime(at)).toBe("12 Nov 14:02");
    expect(f.dayTime(at, "UTC", Date.UTC(2027, 0, 1))).toBe("12 Nov 2026 14:02");
    expect(f.fullTime(at)).toBe("2026-11-12 14:02:11.480 UTC");
    expect(f.fullTime(at, "Europe/Berlin")).toBe("2026-11-12 14:02:11.480 UTC · 15:02:11 Berlin");
    expect(f.day(Date.UTC(2026, 8, 3))).toBe("3 Sep");
    expect(f.clockTime(Date.UTC(2026, 0, 1))).toBe("00:00:00");
  });

  test("a zone that does not exist reads as UTC", () => expect(f.hourMinute(at, "Mars/Base")).toBe("14:02"));

  test("a notice names the day only when it is another one", () => {
    expect(f.utcTime(at, at + 3_600_000)).toBe("14:02:11 UTC");
    expect(f.utcTime(at, at + 86_400_000)).toBe("12 Nov 14:02:11 UTC");
    expect(f.utcMinute(at, at)).toBe("14:02 UTC");
  });

  test.each([
    [0, "now"],
    [-12_000, "12 s ago"],
    [-3 * 60_000, "3 min ago"],
    [-6 * 3_600_000, "6 h ago"],
    [-6 * 86_400_000, "6 d ago"],
    [-8 * 86_400_000, "4 Nov 14:02"],
    [18 * 3_600_000, "in 18 h"],
  ])("%s ms away reads %s", (gap, text) => expect(p(f.ago(at + gap, at))).toBe(text));

  test("ids are first four and last three", () => {
    expect(f.shortId("01KBABCDEFGHJKMNPQRSTVW9QX")).toBe("01KB…9QX");
    expect(f.shortId("0x3d400000000000000000000000000000000099ab")).toBe("0x3d40…99ab");
    expect(f.shortId("fly-web")).toBe("fly-web");
  });
});
