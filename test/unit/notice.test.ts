import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LEASE, MAX_TRIES, nextOn } from "../../src/notify/attempts";
import { encodeHeader, isAddress, mime } from "../../src/notify/channels/mime";
import { inert } from "../../src/notify/channels/slack.channel";
import type { IncidentEvent, IncidentFacts } from "../../src/notify/facts";
import {
  asText,
  BODY_MAX,
  composeBlind,
  composeDigest,
  composeIncident,
  composeSummary,
  composeTest,
  rootAfter,
  TITLE_MAX,
} from "../../src/notify/notice";
import type { Attempt } from "../../src/notify/notice.store";
import { clipWords, plain } from "../../src/notify/text";

/**
 * The words of notices (operator-experience §3), the retry rule and the text guards. Pure: nothing is sent here; see
 * test/integration/{channels,deliver}.test.ts for that.
 */

const at = Date.UTC(2026, 10, 20, 13, 47, 32);
const frame = { id: "n1", at, publicUrl: "https://reveille.example" };

const facts = (more: Partial<IncidentFacts> = {}): IncidentFacts => ({
  id: "01KBQ",
  target_id: "fly-web",
  target_name: "fly-web",
  kind: "fly",
  category: "service_unhealthy",
  severity: "critical",
  title: "fly-web: no serving machine",
  detail: "HTTP 200 from Fly; machine 148e21 is stopped. Restart and scale may not complete.",
  rehearsal: false,
  first_bad_at: at - 30_000,
  opened_at: at,
  confirmed_by: "2 of 2 looks",
  acked_at: null,
  acked_by: null,
  snooze_until: null,
  resolved_at: null,
  resolution: null,
  flapping: false,
  cost_usd: 0,
  first_snapshot: '{"status":"unhealthy","error":"HTTP 200 from Fly; machine 148e21 is stopped"}',
  last_snapshot: '{"status":"unhealthy","error":"HTTP 200 from Fly; machine 148e21 is stopped"}',
  ...more,
});
const say = (event: IncidentEvent, more: Partial<IncidentFacts> = {}) =>
  composeIncident({ ...frame, event, facts: facts(more) });

describe("notices of one incident", () => {
  test("opened: state, name, since, what we know, what happens next", () => {
    const n = say("opened");
    expect(n.title).toBe("■ Down: fly-web, no serving machine");
    expect(n.body).toBe(
      "Since 13:47:02 UTC (30 s), confirmed by 2 of 2 looks. Restart and scale may not complete. Nothing was changed.",
    );
    expect(n.quote).toBe("HTTP 200 from Fly; machine 148e21 is stopped");
    expect(n.url).toBe("https://reveille.example/incidents/01KBQ");
  });

  test("with an engine it says that it looks into it", () =>
    expect(composeIncident({ ...frame, event: "opened", facts: facts(), investigating: true }).body).toContain(
      "Reveille is looking into it. Nothing was changed.",
    ));

  test("recovered: total downtime from the first bad look, both times, no buttons", () => {
    const end = at - 30_000 + 372_000;
    const n = composeIncident({
      ...frame,
      at: end,
      event: "recovered",
      facts: facts({
        resolved_at: end,
        resolution: "recovered",
        acked_by: "ana",
        acked_at: at,
        cost_usd: 0.0041,
        last_snapshot: '{"status":"healthy"}',
      }),
      actions: [{ label: "Ack", id: "x" }],
    });
    expect(n.title).toBe("● OK again: fly-web, down 6 min 12 s");
    expect(n.body).toBe("Was: no serving machine. 13:47:02–13:53:14 UTC. Acked by ana. Cost $0.0041.");
    expect(n.actions).toEqual([]);
  });

  test("a recovery on another day names both days", () =>
    expect(
      composeIncident({
        ...frame,
        at: at + 86_400_000,
        event: "recovered",
        facts: facts({ resolved_at: at + 86_400_000 }),
      }).body,
    ).toContain("20 Nov 13:47:02 – 21 Nov 13:47:32 UTC"));

  test.each<[IncidentEvent, Partial<IncidentFacts>, string]>([
    ["raised", {}, "■ Worse, now down: fly-web, no serving machine"],
    ["flapping", {}, "■ Flapping: fly-web, no serving machine"],
    ["settled", {}, "■ No longer flapping, down: fly-web, no serving machine"],
    ["reminder", {}, "■ Still down: fly-web, no serving machine"],
    ["acked", { acked_at: at, acked_by: "ana" }, "■ Acked: fly-web, no serving machine"],
    ["acked", {}, "■ Ack taken back: fly-web, no serving machine"],
    ["snoozed", { snooze_until: at + 3_600_000 }, "■ Snoozed till 14:47 UTC: fly-web, no serving machine"],
    ["snoozed", {}, "■ Snooze ended: fly-web, no serving machine"],
    [
      "opened",
      { severity: "warning", last_snapshot: '{"status":"degraded"}' },
      "▲ Degraded: fly-web, no serving machine",
    ],
    [
      "opened",
      { category: "unreachable", last_snapshot: '{"status":"unknown"}' },
      "■ Down: fly-web, no serving machine",
    ],
    ["opened", { rehearsal: true }, "■ Rehearsal, down: fly-web, no serving machine"],
    ["recovered", { rehearsal: true, resolved_at: at }, "● Rehearsal, OK again: fly-web, down 30 s"],
    [
      "opened",
      {
        kind: "internal",
        severity: "warning",
        target_name: "Reveille: periodic tasks",
        title: "Reveille: periodic tasks: Failing: sweeper",
      },
      "▲ Alert: Reveille: periodic tasks, Failing: sweeper",
    ],
    ["opened", { kind: "internal", severity: "warning", title: "6 dead letters" }, "▲ Alert: fly-web, 6 dead letters"],
  ])("%s %j", (event, more, title) => expect(say(event, more).title).toBe(title));

  test("a rehearsal says that it does not count", () =>
    expect(say("opened", { rehearsal: true }).body).toContain("This is a rehearsal: it is left out of uptime."));

  test("a snapshot that can't be read costs the decoration, not the notice", () =>
    expect(say("opened", { last_snapshot: "{", first_snapshot: "null" }).title).toBe(
      "■ Down: fly-web, no serving machine",
    ));

  test("a name cut in the title is still said once", () =>
    expect(
      say("opened", {
        target_name: "a-very-long-name-of-a-target-that-is-cut",
        title: "a-very-long-name-of-a…: no answer",
      }).title,
    ).toBe("■ Down: a-very-long-name-of-a-target-that-is-cut, no answer"));
});

const SIGNS = /[■▲●?◆]/g;
const anyText = fc.oneof(fc.string({ maxLength: 300 }), fc.string({ unit: "binary", maxLength: 300 }));

describe("limits, for any facts", () => {
  test("title ≤ 80, body ≤ 400, well-formed, no control or direction characters, a sign first", () => {
    fc.assert(
      fc.property(
        anyText,
        anyText,
        anyText,
        anyText,
        fc.constantFrom<IncidentEvent>(
          "opened",
          "raised",
          "recovered",
          "flapping",
          "settled",
          "reminder",
          "acked",
          "snoozed",
        ),
        fc.boolean(),
        (name, title, detail, error, event, rehearsal) => {
          const snapshot = JSON.stringify({ status: "unhealthy", error });
          const n = say(event, {
            target_name: name,
            title: `${name}: ${title}`,
            detail: `${error}. ${detail}`,
            rehearsal,
            last_snapshot: snapshot,
            acked_by: title,
            acked_at: at,
          });
          const root = rootAfter(say("opened", { detail }), n);
          for (const x of [n, root]) {
            expect(x.title.length).toBeLessThanOrEqual(TITLE_MAX);
            expect(x.body.length).toBeLessThanOrEqual(BODY_MAX);
            expect(x.quote.length).toBeLessThanOrEqual(300);
            const all = x.title + x.body + x.quote;
            expect(all.isWellFormed()).toBe(true);
            expect(all).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f]/);
            expect(x.title).toMatch(/^[■▲●?◆] \S/);
            if (rehearsal) expect(x.title).toContain("Rehearsal");
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a long body ends at a word with the link to the rest", () => {
    const n = say("opened", { detail: "many words ".repeat(80), first_snapshot: "{}", last_snapshot: "{}" });
    expect(n.body).toMatch(/(words|many)… full text: https:\/\/reveille\.example\/incidents\/01KBQ$/);
  });

  test("a hostile vendor text is shown as code only", () => {
    const n = say("opened", {
      detail: "<!channel> *urgent* \u202egnp.exe. Observability only.",
      last_snapshot: JSON.stringify({ status: "unhealthy", error: "<!channel> *urgent* \u202egnp.exe" }),
    });
    expect(n.title + n.body).not.toContain("channel");
    expect(n.quote).toBe("<!channel> *urgent* gnp.exe");
  });
});

describe("notices that are not about one incident", () => {
  test("blind is not an outage", () => {
    const n = composeBlind({
      ...frame,
      target_id: "sentry-eu",
      target_name: "sentry-eu",
      since: Date.UTC(2026, 10, 20, 13, 40),
      every_ms: 60_000,
      widened_ms: 600_000,
    });
    expect(n.title).toBe("? Can't see: sentry-eu, rate limited since 13:40 UTC");
    expect(n.body).toBe("Looking every 10 min instead of 1 min. This is not an outage.");
  });

  test("a burst is one summary, worst first", () => {
    const rows = ["a", "b", "c"].map((x, i) =>
      facts({ id: x, target_name: x, title: `${x}: no answer`, severity: i === 2 ? "critical" : "warning" }),
    );
    const n = composeSummary({ ...frame, incidents: rows });
    expect(n.title).toBe("■ 3 incidents at once: c, a, b");
    expect(n.body.split("\n")).toHaveLength(4);
    expect(n.severity).toBe("critical");
    expect(n.body).toContain("Down: c, no answer (down 30 s)");
  });

  test("a summary of fifty stays within its limits and says how many more", () => {
    const rows = Array.from({ length: 50 }, (_, i) =>
      facts({ id: `i${i}`, target_name: `t${i}`, title: `t${i}: no answer` }),
    );
    const n = composeSummary({ ...frame, incidents: rows });
    expect(n.title.length).toBeLessThanOrEqual(TITLE_MAX);
    expect(n.body).toContain("and 44 more");
    expect(n.body.length).toBeLessThanOrEqual(BODY_MAX);
  });

  test("a digest counts what is still open", () => {
    const n = composeDigest({
      ...frame,
      since: at - 86_400_000,
      incidents: [facts({ severity: "warning" }), facts({ id: "x", severity: "warning", resolved_at: at })],
    });
    expect(n.title).toBe("▲ Digest: 2 incidents, 1 still open");
    expect(n.body).toContain("Since 19 Nov 13:47 UTC.");
  });

  test("each has exactly one sign", () => {
    for (const n of [
      composeTest(frame),
      composeSummary({ ...frame, incidents: [facts()] }),
      composeDigest({ ...frame, since: at, incidents: [] }),
      say("opened"),
    ])
      expect(asText(n).match(SIGNS)).toHaveLength(1);
  });
});

describe("the root after a later notice", () => {
  const first = {
    ...say("opened"),
    actions: [
      { label: "Ack", id: "a" },
      { label: "Snooze 1 h", id: "s" },
    ],
  };
  test("shows the latest state first, then how it began", () => {
    const root = rootAfter(first, say("acked", { acked_at: at, acked_by: "ana" }));
    expect(root.title).toBe("■ Acked: fly-web, no serving machine");
    expect(root.body).toContain("\nBegan as: Down: fly-web, no serving machine. Since 13:47:02");
    expect(root.actions).toEqual([{ label: "Snooze 1 h", id: "s" }]);
  });
  test("keeps unused buttons, and none after recovery", () => {
    expect(rootAfter(first, say("raised")).actions).toEqual(first.actions);
    expect(rootAfter(first, say("snoozed", { snooze_until: at + 1 })).actions).toEqual([{ label: "Ack", id: "a" }]);
    expect(rootAfter(first, say("recovered", { resolved_at: at })).actions).toEqual([]);
  });
});

describe("when to try again", () => {
  const row = (n: number, more: Partial<Attempt> = {}): Attempt => ({
    id: n,
    channel: "slack",
    n,
    state: "failed",
    started_at: at,
    finished_at: at,
    external_ref: null,
    error: "service_unavailable",
    ...more,
  });
  test("at once, then after 5 s, then after 30 s, then never", () => {
    expect(nextOn([], at, 1, true)).toEqual({ do: "try", n: 1 });
    expect(nextOn([row(1)], at, 1, true)).toEqual({ do: "wait", until: at + 5_000 });
    expect(nextOn([row(1)], at + 5_000, 1, true)).toEqual({ do: "try", n: 2 });
    expect(nextOn([row(1), row(2)], at + 29_999, 1, true)).toEqual({ do: "wait", until: at + 30_000 });
    expect(nextOn([row(1), row(2), row(3)], at + 1e9, 1, true)).toEqual({ do: "give_up" });
    expect(MAX_TRIES).toBe(3);
  });
  test("a permanent refusal ends it; a suppressed row is no try", () => {
    expect(nextOn([row(1, { error: "permanent: channel_not_found" })], at + 1e9, 1, true)).toEqual({ do: "give_up" });
    expect(nextOn([row(1, { state: "suppressed", error: "muted" })], at, 1, true)).toEqual({ do: "try", n: 2 });
  });
  test("a vendor's pause is kept in wall time; a long one gives the turn to the next channel", () => {
    const asked = (s: number) => [row(1, { error: `ratelimited (retry after ${s} s)` })];
    expect(nextOn(asked(20), at, 1, true)).toEqual({ do: "wait", until: at + 20_000 });
    expect(nextOn(asked(20), at, 60, true)).toEqual({ do: "wait", until: at + 1_200_000 });
    expect(nextOn(asked(600), at, 1, false)).toEqual({ do: "give_up" });
    expect(nextOn(asked(600), at, 1, true)).toEqual({ do: "wait", until: at + 600_000 });
    expect(nextOn(asked(99_999), at, 1, true)).toEqual({ do: "wait", until: at + 900_000 });
  });
  test("the lease outlives the longest send", () => expect(LEASE).toBeGreaterThan(10_000));
});

describe("text guards", () => {
  test("invisible and direction characters go", () =>
    expect(plain("a\u202eb\u2066c\u200b\u0007d\r\n e\u{e0041}\ufeff")).toBe("abc d e"));

  test("a cut never splits a character", () => {
    expect(clipWords("😀😀😀😀", 4)).toBe("😀…");
    expect(clipWords("one two three", 9)).toBe("one two…");
    expect(clipWords("short", 9)).toBe("short");
  });

  test("nothing that Slack acts on survives", () => {
    expect(inert("<!channel> & <@U1|x> <https://evil.example|ok>")).toBe(
      "&lt;!channel&gt; &amp; &lt;@U1|x&gt; &lt;https://evil.example|ok&gt;",
    );
    expect(inert("checkout_api_v2")).toBe("checkout_api_v2");
    for (const live of ["*bold*", "_it_", "~no~", "`code`", ":bomb:", "> quote"])
      expect(inert(live)).not.toMatch(/^(\*\w|_\w|~\w|`|:\w+:|>|&gt;)/);
  });

  test("mail headers are ASCII, folded and decode to what was meant", () => {
    const subject = "■ Down: fly-web, kein Dienst läuft und das seit geraumer Zeit, 6 min 12 s";
    const encoded = encodeHeader(subject);
    expect(encoded).toMatch(/^[\u0020-\u007e\r\n]*$/);
    for (const part of encoded.split("\r\n ")) expect(part.length).toBeLessThanOrEqual(75);
    const decoded = encoded.split("\r\n ").map((part) => {
      const bytes = Uint8Array.from(atob(part.slice(10, -2)), (c) => c.charCodeAt(0));
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
    });
    expect(decoded.join("")).toBe(subject);
    expect(encodeHeader("plain one")).toBe("plain one");
    expect(encodeHeader("a\r\nBcc: x@y.example")).not.toContain("\n");
  });

  test("a mail in a thread refers to the first one; addresses can't smuggle headers", () => {
    const raw = mime({
      from: "r@x.example",
      to: "o@y.example",
      subject: "s",
      text: "l1\nl2 ●".repeat(40),
      messageId: "b@x.example",
      inReplyTo: "a@x.example",
      date: new Date(at),
    });
    expect(raw).toContain("In-Reply-To: <a@x.example>\r\nReferences: <a@x.example>\r\n");
    expect(raw).toContain("Date: Fri, 20 Nov 2026 13:47:32 +0000\r\n");
    expect(raw.split("\r\n").every((l) => l.length <= 78)).toBe(true);
    expect(isAddress("a@b.example\r\nBcc: c@d.example")).toBe(false);
    expect(isAddress("a@b.example")).toBe(true);
  });
});
