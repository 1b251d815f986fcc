import { describe, expect, it } from "vitest";
import { ASSETS, SCRIPT, STYLE } from "../../src/operator/assets";
import { parseChips, sinceOf } from "../../src/operator/audit-query";
import { chartSlots, LatencyChart, niceTop } from "../../src/operator/chart";
import { Act, Section, StateLine, Time } from "../../src/operator/components";
import type { PageContext, ShellData } from "../../src/operator/context";
import { flashCookie, readFlash } from "../../src/operator/flash";
import { barLabel, linePath, Sparkline, UptimeBar } from "../../src/operator/graphs";
import { bodyOf, guess } from "../../src/operator/guess";
import { Page } from "../../src/operator/layout";
import { channelWord } from "../../src/operator/pages/inbox";
import { verdict } from "../../src/operator/pages/overview";
import { type State, stateOfCounts, stateView } from "../../src/operator/state";
import { nextHour, zonedTime, zoneOf } from "../../src/operator/zone";
import { targetInput } from "../../src/watch";

/** Proves the parts of the pages one by one: escaping, shapes, words, time. The pages as a whole are in integration/pages. */

const NOW = Date.UTC(2026, 10, 20, 14, 30, 5);
const MIN = 60_000;
const ctx: PageContext = { now: NOW, rate: 1, zone: "UTC", path: "/", csrf: "tok", formKey: "key", request: "req" };
const HOSTILE = `"><script>alert(1)</script>\u202E' onload="x`;

const gzipSize = async (text: string): Promise<number> => {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return (await new Response(stream).arrayBuffer()).byteLength;
};

describe("escaping", () => {
  const shell: ShellData = {
    looked_at: NOW - 10 * MIN,
    blind: true,
    unread: 120,
    open: 2,
    switches: {
      paused: true,
      killed: true,
      muted_until: NOW + MIN,
      unreadable: false,
      changes: { paused: { at: NOW, by: HOSTILE } },
    },
  };
  const html = String(
    <Page
      ctx={{ ...ctx, path: `/x?${HOSTILE}` }}
      shell={shell}
      title={HOSTILE}
      flash={{ text: HOSTILE, undo: { action: "/a", fields: { k: HOSTILE } } }}
    >
      <Act ctx={ctx} action={`/targets/${HOSTILE}`} label={HOSTILE} fields={{ v: HOSTILE }} title={HOSTILE} />
      <UptimeBar days={["ok"]} titles={[HOSTILE]} />
      <Sparkline values={[1]} label={HOSTILE} />
    </Page>,
  );

  it("keeps hostile names as text, in elements and in attributes", () => {
    expect(html).not.toContain("<script>alert");
    expect(html).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(html).not.toMatch(/"[^<>]*" onload="x/);
  });

  it("has no inline script, no style attribute and no event attribute: the policy would refuse them", () => {
    expect(html).not.toMatch(/\sstyle=/);
    expect(html.match(/<script/g)).toHaveLength(1);
    expect(html).toContain(`<script src="${SCRIPT.path}"`);
    expect(html.replaceAll(/&quot;.*?&quot;/g, "")).not.toMatch(/<[^>]*\son[a-z]+="/);
  });

  it("isolates right-to-left marks in the cell that holds them", () => {
    expect(STYLE.body).toContain("unicode-bidi:isolate");
  });

  it("says what is held back, over everything", () => {
    expect(html).toContain("has not looked for");
    expect(html).toContain("Wakes paused");
    expect(html).toContain("Autofix killed");
    expect(html).toContain("Notices go to the inbox only");
    expect(html).toContain("99+");
  });
});

describe("weight", () => {
  it("keeps style and script within their budgets (8 and 12 KB gzip)", async () => {
    expect(await gzipSize(STYLE.body)).toBeLessThanOrEqual(8 * 1024);
    expect(await gzipSize(SCRIPT.body)).toBeLessThanOrEqual(12 * 1024);
  });

  it("names every asset by its content", () => {
    for (const path of ASSETS.keys()) expect(path).toMatch(/^\/assets\/app-[a-z0-9]+\.(css|js|svg)$/);
    expect(new Set(ASSETS.keys()).size).toBe(3);
  });
});

describe("states", () => {
  const facts = {
    status: "healthy" as const,
    reason: "ok" as const,
    phase: "steady" as const,
    paused: false,
    muted: false,
    maintenance: false,
    rehearsal: false,
    bad: 0,
    confirm: 2,
    incident: null,
  };

  it("shows modifiers as words beside the state, never as another state", () => {
    const view = stateView({ ...facts, phase: "suspect", bad: 1, paused: true }, NOW);
    expect(view.state).toBe("ok");
    expect(view.modifiers).toEqual(["checking 1 of 2", "paused"]);
  });

  it("draws unknown as neither up nor down, with its reason in words", () => {
    const view = stateView({ ...facts, status: "unknown", reason: "not_configured" }, NOW);
    expect(view).toMatchObject({ state: "unknown", reason: "not configured", code: "not_configured" });
  });

  it("prints the end of a snooze in the reader's zone, and not at all once it is over", () => {
    const incident = { acked: true, snoozed_until: NOW + 90 * MIN, flapping: false };
    const view = stateView({ ...facts, status: "unhealthy", reason: "unreachable", incident }, NOW);
    const html = String(<StateLine ctx={{ ...ctx, zone: "Europe/Berlin" }} view={view} />);
    expect(html).toContain("no answer · acked · snoozed till 17:00");
    expect(stateView({ ...facts, incident: { ...incident, snoozed_until: NOW } }, NOW).snoozed_until).toBeNull();
  });

  it("gives a day its worst state, and no state when nobody looked", () => {
    const none = { ok: 0, degraded: 0, bad: 0, unknown: 0, maintenance: 0 };
    const cases: [Partial<typeof none>, State | null][] = [
      [{ ok: 9, bad: 1 }, "down"],
      [{ ok: 9, degraded: 1 }, "degraded"],
      [{ ok: 1, unknown: 9 }, "ok"],
      [{ unknown: 3 }, "unknown"],
      [{ maintenance: 3, unknown: 1 }, "maintenance"],
      [{}, null],
    ];
    for (const [counts, state] of cases) expect(stateOfCounts({ ...none, ...counts })).toBe(state);
  });
});

describe("bars and lines", () => {
  it("draws one path a state, however many days there are", () => {
    const days: (State | null)[] = [
      ...Array<null>(20).fill(null),
      ...Array<State>(8).fill("ok"),
      "down",
      "maintenance",
    ];
    const html = String(<UptimeBar days={days} />);
    expect(html.match(/<path/g)).toHaveLength(5);
    expect(html).toContain('aria-label="30 days: 1 Down, 1 Maintenance, 8 OK, 20 not looked"');
    expect(barLabel(days)).toContain("1 Down");
  });

  it("makes a fault the tallest bar and a day nobody looked hollow", () => {
    expect(String(<UptimeBar days={["down"]} />)).toContain('class="f-down" d="M0 0h4v28h-4z"');
    expect(String(<UptimeBar days={[null]} />)).toContain('class="f-unknown" d="M0.5 23.5h3v4h-3z"');
  });

  it("never bridges a gap", () => {
    const path = linePath(
      [1, 2, null, 4, 5],
      (i) => i,
      (v) => v,
    );
    expect(path).toBe("M0 1L1 2M3 4L4 5");
    expect(
      linePath(
        [null, 3, null],
        (i) => i,
        (v) => v,
      ),
    ).toBe("M1 3h1.5");
  });

  it("takes round numbers for the axis", () => {
    expect([3, 11, 95, 240, 1_900].map(niceTop)).toEqual([4, 20, 100, 400, 2_000]);
  });

  it("gathers raw looks into slots and marks those nobody saw", () => {
    const at = (minute: number) => ({
      num: 1,
      at: NOW + minute * MIN,
      reason: "ok" as const,
      maintenance: false,
      source: "cycle" as const,
    });
    const points = [
      { ...at(0), status: "healthy" as const, latency_ms: 100 },
      { ...at(0.2), status: "healthy" as const, latency_ms: 300 },
      { ...at(3), status: "unknown" as const, latency_ms: null },
    ];
    const slots = chartSlots({ grain: "raw", points }, NOW, NOW + 120 * MIN);
    expect(slots).toHaveLength(120);
    expect(slots[0]).toMatchObject({ n: 2, p50: 100, p95: 300, max: 300, unknown: false });
    expect(slots[3]).toMatchObject({ n: 1, p50: null, unknown: true });
    expect(slots[60]).toMatchObject({ n: 0, p50: null });
    const html = String(
      <LatencyChart
        ctx={ctx}
        data={{ series: { grain: "raw", points }, from: NOW, to: NOW + 120 * MIN, every_s: 60, incidents: [] }}
      />,
    );
    expect(html).toContain('fill="url(#hatch)"');
    expect(html).toContain("Hatched: could not see.");
  });
});

describe("words", () => {
  const t = { rows: [], matching: 3, total: 3, page: 1, pages: 1 };
  const counts = { ok: 3, degraded: 0, down: 0, unknown: 0, maintenance: 0 };

  it("answers on the first line of the overview", () => {
    expect(verdict({ ...t, counts }, null, NOW)).toBe("All 3 OK. No fault yet.");
    expect(verdict({ ...t, counts: { ...counts, down: 1, unknown: 2 } }, null, NOW)).toBe("1 down, 2 unknown");
    expect(verdict({ ...t, total: 0, counts }, null, NOW)).toBe("Reveille is awake and watches nothing yet.");
    const last = {
      target_name: "checkout",
      resolved_at: NOW - 3 * 1440 * MIN,
      first_bad_at: NOW - 3 * 1440 * MIN - 4 * MIN,
    };
    const said = verdict(
      { ...t, counts },
      { open: 0, unacked: null, dead_letters: 0, last_fault: last, told: false, connected: false },
      NOW,
    );
    expect(said.replaceAll("\u202f", " ")).toBe("All 3 OK. Last fault 3 d ago: checkout, 4 min.");
  });

  it("says where a notice went when a channel failed", () => {
    const failed = { channel: "slack", state: "failed", tries: 3, error: "channel_not_found", at: NOW };
    const sent = { channel: "telegram", state: "sent", tries: 1, error: null, at: NOW };
    expect(channelWord(failed, [failed, sent], NOW)).toBe("slack: failed after 3 tries → telegram");
    expect(channelWord({ ...failed, tries: 1 }, [{ ...failed, tries: 1 }], NOW)).toMatch(/failed after 1 try/);
    expect(channelWord({ ...sent, state: "unknown" }, [sent], NOW)).toContain("may have been delivered");
  });

  it("prints a moment relative up to seven days and exactly in its title", () => {
    const html = String(<Time ctx={{ ...ctx, zone: "Europe/Berlin" }} at={NOW - 3 * MIN} />);
    expect(html).toContain('datetime="2026-11-20T14:27:05.000Z"');
    expect(html).toContain("2026-11-20 14:27:05.000 UTC · 15:27:05 Berlin");
    expect(html).toMatch(/data-rel="ago"[^>]*>3.min ago</);
    expect(String(<Time ctx={ctx} at={NOW - 8 * 1440 * MIN} />)).not.toContain("data-rel");
    expect(String(<Time ctx={ctx} at={NOW - 1} as="in" />)).toContain(">due<");
  });

  it("shows a failed section as an error, never as an empty list", () => {
    const html = String(
      <Section ctx={ctx} part={{ ok: false, what: "incidents", code: "store_unavailable" }}>
        {() => "rows"}
      </Section>,
    );
    expect(html).toContain("Can't read incidents".replace("'", "&#39;"));
    expect(html).toContain("store_unavailable");
    expect(html).not.toContain("rows");
  });
});

describe("time", () => {
  it("finds the next 08:00 on the reader's clock, over a change of summer time", () => {
    expect(new Date(nextHour(8, "UTC", NOW)).toISOString()).toBe("2026-11-21T08:00:00.000Z");
    expect(new Date(nextHour(8, "Asia/Kolkata", NOW)).toISOString()).toBe("2026-11-21T02:30:00.000Z");
    // Berlin leaves summer time on 25 October 2026 at 01:00 UTC.
    expect(new Date(nextHour(8, "Europe/Berlin", Date.UTC(2026, 9, 24, 20))).toISOString()).toBe(
      "2026-10-25T07:00:00.000Z",
    );
    expect(nextHour(8, "UTC", Date.UTC(2026, 10, 20, 8))).toBe(Date.UTC(2026, 10, 21, 8));
  });

  it("reads a typed time on the clock of a zone", () => {
    expect(zonedTime("2026-11-20 14:00", "Europe/Berlin")).toBe(Date.UTC(2026, 10, 20, 13));
    expect(zonedTime("2026-07-01T00:30", "Europe/Berlin")).toBe(Date.UTC(2026, 5, 30, 22, 30));
    expect(zonedTime("2026-11-20T14:00:00Z", "Asia/Tokyo")).toBe(Date.UTC(2026, 10, 20, 14));
    expect(zonedTime("2026-11-20 00:30", "Pacific/Auckland")).toBe(Date.UTC(2026, 10, 19, 11, 30));
    for (const bad of ["tomorrow", "2026-02-30 10:00", "2026-11-20 24:00", ""])
      expect(zonedTime(bad, "UTC")).toBeNull();
  });

  it("takes a zone from a cookie only when the runtime knows it", () => {
    expect([zoneOf("Europe/Berlin"), zoneOf("Mars/Base"), zoneOf(undefined), zoneOf("x".repeat(80))]).toEqual([
      "Europe/Berlin",
      "UTC",
      "UTC",
      "UTC",
    ]);
  });

  it("reads `since:` as an age or a date", () => {
    expect(sinceOf("2h", NOW)).toBe(NOW - 120 * MIN);
    expect(sinceOf("2026-11-20", NOW)).toBe(Date.UTC(2026, 10, 20));
    expect(sinceOf("yesterday", NOW)).toBeNull();
    expect(parseChips("seam:incident.acked  by:ana 01KB x:y")).toEqual([
      { key: "seam", value: "incident.acked" },
      { key: "by", value: "ana" },
      { key: "id", value: "01KB" },
      { key: "id", value: "x:y" },
    ]);
  });
});

describe("guessing a target", () => {
  it("makes a body the schema takes, from one typed address", () => {
    const cases: [string, string, string][] = [
      ["https://www.example.com/health?x=1", "http", "example.com/health"],
      ["example.com", "http", "example.com"],
      ["127.0.0.1:8080", "http", "127.0.0.1:8080"],
      ["db.example.com:5432", "tcp", "db.example.com:5432"],
      ["tcp://cache.example.com:6379", "tcp", "cache.example.com:6379"],
    ];
    for (const [typed, kind, name] of cases) {
      const form = guess(typed);
      expect([form.kind, form.name]).toEqual([kind, name]);
      expect(targetInput.safeParse(bodyOf(form)).success, typed).toBe(true);
    }
    const beat = { ...guess("", "heartbeat"), name: "backup" };
    expect(targetInput.safeParse(bodyOf(beat)).success).toBe(true);
  });
});

describe("flash", () => {
  it("survives its cookie", () => {
    const flash = { text: "Acked – “checkout”", undo: { action: "/incidents/01KB/unack", fields: { a: "b" } } };
    const value = /^reveille_flash=([^;]*);/.exec(flashCookie(flash, true))?.[1];
    expect(readFlash(value)).toEqual(flash);
    expect(flashCookie(flash, true)).toContain("; Secure");
  });

  it("drops what we did not write, and an undo that would leave our pages", () => {
    const cookie = (v: unknown) => btoa(JSON.stringify(v));
    expect(readFlash("%%%")).toBeNull();
    expect(readFlash(cookie({ text: "x", undo: { action: "https://evil.example/", fields: {} } }))).toBeNull();
    expect(readFlash(cookie({ text: "x", undo: { action: "//evil.example/", fields: {} } }))).toBeNull();
  });
});
