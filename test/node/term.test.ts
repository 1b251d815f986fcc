import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { readArgs } from "../../scripts/lib/args";
import { findChromium } from "../../scripts/lib/chromium";
import { Exit } from "../../scripts/lib/exit";
import { nodeProblem } from "../../scripts/lib/guard";
import { judge, lineOf, type Measure, printTable, summary, toJson } from "../../scripts/lib/measure";
import { Stream } from "../../scripts/lib/stream";
import { fileSize, formatNumber, makeTerm, shortId, type TermOptions } from "../../scripts/lib/term";
import { countTests, skippedWords } from "../../scripts/lib/test-run";

function recorder(options: { tty?: boolean; env?: Record<string, string>; now?: () => number } = {}) {
  const text = { out: "", err: "" };
  const tty = options.tty ?? false;
  const setup: TermOptions = {
    stdout: { write: (t) => (text.out += t), isTTY: tty },
    stderr: { write: (t) => (text.err += t), isTTY: tty },
    env: { LANG: "C.UTF-8", TERM: "xterm", ...options.env },
    platform: "linux",
    ...(options.now ? { now: options.now } : {}),
  };
  return { text, term: makeTerm(setup) };
}

describe("terminal", () => {
  it("colours a terminal only, and not when NO_COLOR or a dumb one says no", () => {
    expect(recorder({ tty: true }).term.paint("down", "x")).toBe("\x1b[31mx\x1b[39m");
    const others: Parameters<typeof recorder>[0][] = [
      { tty: false },
      { tty: true, env: { NO_COLOR: "1" } },
      { tty: true, env: { TERM: "dumb" } },
    ];
    for (const other of others) expect(recorder(other).term.paint("down", "x")).toBe("x");
  });

  it("writes ASCII where the locale is not UTF-8, whichever variable says so", () => {
    const plain = recorder({ env: { LANG: "C" } });
    plain.term.out("a · b … ≤ 3 ms");
    expect(plain.text.out).toBe("a - b ... <= 3 ms\n");
    const overruled = recorder({ env: { LANG: "C", LC_ALL: "de_DE.utf8" } });
    overruled.term.out("a · b");
    expect(overruled.text.out).toBe("a · b\n");
  });

  it("keeps progress on stderr: redrawn on a terminal, and gone before the next line", () => {
    const { term, text } = recorder({ tty: true });
    const progress = term.progress();
    progress.update("kill -9", "1 of 200");
    progress.update("kill -9", "2 of 200");
    term.out("done");
    expect(text.out).toBe("done\n");
    expect(text.err).toBe("\r\x1b[2K  kill -9   1 of 200\r\x1b[2K  kill -9   2 of 200\r\x1b[2K");
  });

  it("keeps progress to one line a phase and every 10 s when piped", () => {
    let now = 0;
    const { term, text } = recorder({ now: () => now });
    const progress = term.progress();
    for (const at of [0, 5_000, 9_999, 10_000, 12_000]) {
      now = at;
      progress.update("load", `${at}`);
    }
    progress.update("check");
    expect(text.err.trim().split(/\n\s*/)).toEqual(["load   0", "load   10000", "check"]);
  });

  it("says numbers, sizes and ids as people read them", () => {
    expect([1204, 0.1234, 54.78, 812].map(formatNumber)).toEqual(["1,204", "0.12", "54.8", "812"]);
    expect([12, 999_949, 1_200_000].map(fileSize)).toEqual(["12 B", "999.9 kB", "1.2 MB"]);
    expect(shortId("01KBAAAAAAAAAAAAAAAAAAA9QX")).toBe("01KB…9QX");
  });
});

const wall: Measure = { name: "watch.wall", label: "wall", value: 812, unit: "ms", goal: 2000, compare: "<" };
const rows: Measure = {
  name: "watch.rows_written",
  label: "D1 rows written",
  value: 9,
  unit: "rows",
  goal: 16,
  compare: "<=",
};
const slow: Measure = {
  name: "watch.overview",
  label: "overview p95",
  value: 341,
  unit: "ms",
  goal: 300,
  compare: "<",
  beside: "120 ms",
};

describe("measures", () => {
  it("are judged against their goal", () => {
    const at = (value: number, compare: Measure["compare"]): boolean | null =>
      judge({ ...wall, value, compare, goal: 10 });
    expect([at(10, "<"), at(10, "<="), at(10, ">"), at(10, ">="), at(10, "="), at(9, "=")]).toEqual([
      false,
      true,
      false,
      true,
      true,
      false,
    ]);
    expect(at(Number.NaN, "<")).toBe(false);
    expect(judge({ ...wall, goal: null })).toBeNull();
  });

  it("make the table, the line, the summary and the JSON of the operator-experience samples", () => {
    const { term, text } = recorder();
    printTable(term, [wall, rows, slow]);
    expect(text.out.split("\n").map((l) => l.trim().split(/\s{2,}/))).toEqual([
      ["name", "value", "goal", "beside", "verdict"],
      ["wall", "812 ms", "< 2000", "-", "pass"],
      ["D1 rows written", "9", "<= 16", "-", "pass"],
      ["overview p95", "341 ms", "< 300", "120 ms", "MISS"],
      [""],
    ]);
    expect(summary([wall, rows, slow])).toEqual({ text: "2 of 3 goals met.", allMet: false });
    expect(toJson(rows, 42)).toEqual({
      name: "watch.rows_written",
      value: 9,
      unit: "rows",
      goal: 16,
      pass: true,
      beside: null,
      seed: 42,
    });
    const loss: Measure = { name: "x", label: "acked loss", value: 0, unit: "", goal: 0, compare: "=" };
    expect(lineOf(term, [loss, { ...loss, label: "lost", value: 2 }])).toBe(
      "acked loss 0 (goal 0) pass · lost 2 (goal 0) MISS",
    );
  });
});

describe("arguments", () => {
  const spec = {
    command: "npm run x --",
    what: "Does x.",
    positionals: ["NAME"],
    required: 1,
    options: {
      json: { type: "boolean" as const, what: "as JSON" },
      seed: { type: "string" as const, value: "N", what: "repeat" },
    },
  };
  const exit = (argv: string[]): { code: number; text: string } => {
    try {
      readArgs(spec, argv).integer("seed");
    } catch (error) {
      if (error instanceof Exit) return { code: error.code, text: error.message };
      throw error;
    }
    return { code: -1, text: "" };
  };

  it("are read", () => {
    const args = readArgs(spec, ["watch", "--json", "--seed", "42"]);
    expect([args.positionals, args.flag("json"), args.integer("seed")]).toEqual([["watch"], true, 42]);
  });

  it("end with 0 and the help on --help, with 2 and the reason when wrong", () => {
    expect(exit(["--help"])).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^npm run x -- NAME \[options\]\n.*Does x\.[\s\S]*--seed N +repeat/),
    });
    expect(exit(["watch", "--bogus"])).toMatchObject({ code: 2, text: expect.stringContaining("--bogus") });
    expect(exit([])).toMatchObject({ code: 2, text: expect.stringContaining("NAME is missing.") });
    expect(exit(["a", "b"])).toMatchObject({ code: 2, text: expect.stringContaining('"b" is one word too many.') });
    expect(exit(["a", "--seed", "x"])).toMatchObject({ code: 2, text: expect.stringContaining('--seed is "x"') });
  });
});

describe("Node version", () => {
  it("is refused below 20.19 with the way out", () => {
    for (const old of ["18.20.4", "20.18.9", "8.0.0"]) expect(nodeProblem(old)).toContain(`Node ${old} is too old`);
    for (const fit of ["20.19.0", "20.20.2", "22.0.0", "24.21.0"]) expect(nodeProblem(fit)).toBeNull();
  });
});

describe("the count of npm test", () => {
  const file = (status: string, ...tests: string[]) => ({
    status,
    assertionResults: tests.map((t) => ({ status: t })),
  });

  it("adds tests, files that could not be loaded, and runs that end badly without a failed test", () => {
    const good = { numPassedTests: 3, numFailedTests: 0, testResults: [file("passed", "passed")] };
    expect(countTests(good, 0)).toEqual({ passed: 3, failed: 0 });
    expect(countTests(good, 1)).toEqual({ passed: 3, failed: 1 });
    expect(countTests({ ...good, testResults: [file("failed")] }, 1)).toEqual({ passed: 3, failed: 1 });
    expect(countTests({ ...good, numFailedTests: 2, testResults: [file("failed", "failed", "failed")] }, 1)).toEqual({
      passed: 3,
      failed: 2,
    });
    expect(countTests(null, 0)).toEqual({ passed: 0, failed: 1 });
  });

  it("says what was left out and how to have it, and in CI that this fails", () => {
    expect(skippedWords(0, null, true)).toBeNull();
    expect(skippedWords(4, null, false)).toMatch(/^4 skipped: no Chromium found: apt-get install chromium/);
    expect(skippedWords(4, null, true)).toContain("In CI nothing may be skipped");
    expect(skippedWords(1, "/usr/bin/chromium", false)).toBe("1 skipped: see above");
  });

  it("takes the browser that is named, else the first on the path", () => {
    const dir = mkdtempSync(join(tmpdir(), "reveille-chromium-"));
    try {
      const file = join(dir, "chromium");
      writeFileSync(file, "");
      expect(findChromium({ PATH: dir })).not.toBe(file);
      chmodSync(file, 0o755);
      expect(findChromium({ PATH: `${tmpdir()}:${dir}` })).toBe(file);
      expect(findChromium({ PATH: dir, CHROME_PATH: "/opt/chrome" })).toBe("/opt/chrome");
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe("the stream of npm start", () => {
  const AT = Date.UTC(2026, 10, 20, 14, 3, 0);
  const info = { level: "info" as const, scope: "edge" };

  it("says one line a cycle, and an incident together with its notice", () => {
    let now = AT;
    const { term, text } = recorder();
    const stream = new Stream(term, () => now);
    stream.take({ ...info, event: "cycle.done", due: 0, ms: 4 });
    stream.take({
      ...info,
      event: "incident.opened",
      target: "fly-web",
      incident: "01KBAAAAAAAAA9QX",
      severity: "critical",
      confirmed_by: "2 of 2 looks",
    });
    expect(text.out).toBe("14:03:00  cycle 1   0 targets   4 ms\n");
    now += 500;
    stream.take({
      ...info,
      event: "notice.sent",
      incident: "01KBAAAAAAAAA9QX",
      event_name: "opened",
      channel: "slack",
    });
    stream.take({ ...info, event: "cycle.done", due: 1, ms: 12.4 });
    stream.take({
      ...info,
      event: "incident.resolved",
      target: "fly-web",
      incident: "01KBAAAAAAAAA9QX",
      downtime_ms: 372_000,
    });
    expect(text.out.split("\n").slice(1, 4)).toEqual([
      "14:03:00  X fly-web   down, confirmed 2 of 2   incident 01KB…9QX   notice sent in 0.5 s",
      "14:03:00  cycle 2   1 target   12 ms",
      "14:03:00  . fly-web   ok again, down 6 min 12 s   incident 01KB…9QX",
    ]);
  });

  it("does not hold an incident back whose notice does not come", () => {
    vi.useFakeTimers();
    try {
      const { term, text } = recorder();
      const stream = new Stream(term, () => AT);
      stream.take({
        ...info,
        event: "incident.opened",
        target: "a",
        incident: "01A",
        severity: "warning",
        confirmed_by: "2 of 2 looks",
      });
      vi.advanceTimersByTime(2_000);
      expect(text.out).toBe("14:03:00  D a   degraded, confirmed 2 of 2   incident 01A\n");
      stream.take({
        ...info,
        event: "incident.opened",
        target: "b",
        incident: "01B",
        severity: "critical",
        confirmed_by: "",
      });
      stream.flush();
      expect(text.out.split("\n")[1]).toBe("14:03:00  X b   down   incident 01B");
    } finally {
      vi.useRealTimers();
    }
  });

  it("shows trouble on stderr and nothing of the rest", () => {
    const { term, text } = recorder();
    const stream = new Stream(term, () => AT);
    stream.take({ ...info, event: "wake.claimed" });
    stream.take({ level: "error", scope: "consumer", event: "notice.failed", channel: "slack", n: 2 });
    expect(text).toEqual({ out: "", err: "14:03:00  error consumer notice.failed   channel=slack n=2\n" });
  });
});
