import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { createLoginCode } from "../../src/operator";
import { incidentTimeline, readIncident, readTarget } from "../../src/watch";
import { BASE, Browser } from "./browser-kit";

/**
 * The operator pages through the Worker's own fetch handler, as a browser without script: sign-in, every page, every kind of
 * act with its token, once and with undo. How the pages look is not judged here.
 */

const SVC = `${inject("vendorsUrl")}/svc`;
const SECRETS = [
  "test-operator-token-4f1c9b7e2a",
  "test-session-key-91d7c3a5b0e86f24",
  "test-beat-key-7be0d14c93f2a658",
];

const b = new Browser();
let incident = "";

/** A target that is down from its first look, and its incident. */
async function breakTarget(id: string): Promise<string> {
  const config = { url: `${SVC}/ok`, keyword: "words that never come" };
  const headers = { authorization: `Bearer ${SECRETS[0]}`, "content-type": "application/json" };
  const body = JSON.stringify({ id, name: `Shop "${id}" <b>`, kind: "http", config, thresholds: { confirm: 1 } });
  const made = await exports.default.fetch(`${BASE}/api/v1/targets`, { method: "POST", headers, body });
  expect(made.status, await made.text()).toBe(201);
  const look = await exports.default.fetch(`${BASE}/api/v1/targets/${id}/look`, { method: "POST", headers });
  expect(look.status, await look.text()).toBe(200);
  const row = await env.DB.prepare("SELECT id FROM incident WHERE target_id = ?").bind(id).first<{ id: string }>();
  return row!.id;
}

beforeAll(async () => {
  incident = await breakTarget("shop");
});

describe("signing in", () => {
  it("sends a stranger to the form and back, and knows other paths from pages", async () => {
    const stranger = new Browser();
    const page = await stranger.go(`/incidents/${incident}?view=everything`);
    expect(page.status).toBe(303);
    expect(page.headers.get("location")).toBe(
      `/login?next=${encodeURIComponent(`/incidents/${incident}?view=everything`)}`,
    );
    expect((await stranger.go("/no/such/page")).status).toBe(404);
    expect((await stranger.go("/webhook", { method: "POST", body: "{}" })).status).toBe(404);
    expect((await stranger.post(`/incidents/${incident}/ack`, {})).headers.get("location")).toBe("/login");
    expect((await readIncident(env.DB, incident))?.state).toBe("open");
  });

  it("takes a code once, typed in any way, and then says that it was used", async () => {
    const { code } = await createLoginCode(env.DB, Date.now());
    expect(code).toMatch(/^[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}$/);
    const one = new Browser();
    const typed = await one.post("/login", { code: ` ${code.toLowerCase().replace("-", " ")} `, next: "/inbox" });
    expect([typed.status, typed.headers.get("location")]).toEqual([303, "/inbox"]);
    expect(typed.headers.get("set-cookie")).toMatch(
      /^reveille_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=2592000$/,
    );
    const again = await new Browser().go(`/login?code=${code}`);
    expect(again.status).toBe(401);
    expect(await again.text()).toContain("used already");
  });

  it("lets two readers of one code at once win only once", async () => {
    const { code } = await createLoginCode(env.DB, Date.now());
    const answers = await Promise.all([1, 2, 3, 4].map(() => new Browser().go(`/login?code=${code}`)));
    expect(answers.map((r) => r.status).sort()).toEqual([303, 401, 401, 401]);
  });

  it("refuses an old code, keeps only hashes, and never leaves our pages", async () => {
    const { code } = await createLoginCode(env.DB, Date.now() - 10 * 60_000 - 1);
    expect(await (await new Browser().go(`/login?code=${code}`)).text()).toContain("over ten minutes old");
    const kept = JSON.stringify((await env.DB.prepare("SELECT * FROM login_code").all()).results);
    expect(kept).not.toContain(code.replace("-", ""));
    for (const next of ["//evil.example", "https://evil.example", "/\\evil.example", "/login?code=x"]) {
      const fresh = await createLoginCode(env.DB, Date.now());
      const answer = await new Browser().go(`/login?code=${fresh.code}&next=${encodeURIComponent(next)}`);
      expect(answer.headers.get("location"), next).toBe("/");
    }
  });

  it("limits wrong codes per address", async () => {
    const from = { headers: { "cf-connecting-ip": "203.0.113.50" } };
    const codes: number[] = [];
    for (let i = 0; i < 22; i++) codes.push((await new Browser().go(`/login?code=AAAA-${2000 + i}`, from)).status);
    expect([codes[0], codes.at(-1)]).toEqual([401, 429]);
  });

  it("marks the cookie Secure over https, and ends the session on the server", async () => {
    const { code } = await createLoginCode(env.DB, Date.now());
    const url = `https://reveille.test/login?code=${code}`;
    const answer = await exports.default.fetch(new Request(url, { redirect: "manual" }));
    expect(answer.headers.get("set-cookie")).toContain("; Secure");
    const one = await new Browser().signIn();
    await one.go("/");
    const cookie = (await one.go("/")).headers;
    expect(cookie.get("cache-control")).toBe("no-store");
    const out = await one.post("/logout", one.form("/logout"));
    expect([out.status, out.headers.get("location")]).toEqual([303, "/login"]);
    expect((await one.go("/")).status).toBe(303);
  });
});

describe("pages", () => {
  it("signs in", async () => {
    await b.signIn();
  });

  it("serves every page whole, under the policy, without inline code, styles or a secret", async () => {
    const pages = [
      "/",
      "/targets/shop",
      "/targets/shop?range=30d",
      "/targets/shop/delete",
      "/incidents",
      "/incidents?state=all",
    ];
    pages.push(
      `/incidents/${incident}`,
      `/incidents/${incident}?view=everything`,
      "/inbox",
      "/maintenance",
      "/switchboard",
    );
    pages.push(
      "/switchboard/envelope/fly",
      "/listeners",
      "/audit",
      "/audit?q=seam:incident.opened%20since:1h",
      "/ui/new",
      "/ui/new?kind=heartbeat",
    );
    for (const path of pages) {
      const r = await b.go(path);
      expect(r.status, path).toBe(200);
      expect(r.headers.get("content-security-policy"), path).toContain("default-src 'self'");
      expect(r.headers.get("content-type"), path).toContain("text/html");
      expect(b.html, path).toMatch(/^<!doctype html><html lang="en"/);
      expect(b.html, path).not.toMatch(/\sstyle="/);
      expect(b.html.match(/<script/g), path).toHaveLength(1);
      expect(b.html.match(/<h1/g), path).toHaveLength(1);
      expect(b.html, path).not.toContain('<b>"');
      expect(b.html, path).not.toContain("Can't read");
      expect(b.html, path).not.toContain("Can&#39;t read");
      for (const secret of SECRETS) expect(b.html, path).not.toContain(secret);
    }
  });

  it("serves the assets the pages name, for good", async () => {
    await b.go("/");
    const names = [...b.html.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map((m) => m[1]!);
    expect(names).toHaveLength(3);
    for (const name of names) {
      const r = await b.go(name);
      expect(r.status).toBe(200);
      expect(r.headers.get("cache-control")).toContain("immutable");
    }
    expect((await b.go("/assets/app-other.css")).status).toBe(404);
  });

  it("answers an unchanged page with 304 and a changed one whole", async () => {
    const etag = (await b.go("/incidents")).headers.get("etag")!;
    expect(b.html).toContain(`data-etag="${etag.replaceAll('"', "&quot;")}"`);
    expect((await b.go("/incidents", { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await b.go("/inbox", { headers: { "if-none-match": etag } })).status).toBe(200);
    await env.DB.prepare("UPDATE cycle SET finished_at = ?")
      .bind(Date.now() - 1_000)
      .run();
    expect((await b.go("/incidents", { headers: { "if-none-match": etag } })).status).toBe(200);
  });

  it("says the verdict first, quotes hostile names, and leads to the incident", async () => {
    await b.go("/");
    expect(b.html).toMatch(/<h1>1 down<\/h1>/);
    expect(b.html).toContain("Shop &quot;shop&quot; &lt;b&gt;");
    expect(b.html).toContain(`href="/incidents/${incident}"`);
  });

  it("finds a thing by any of its ids", async () => {
    for (const [q, to] of [
      [incident, `/incidents/${incident}`],
      ["shop", "/targets/shop"],
      ["nothing", "/audit?q=nothing"],
    ] as const)
      expect((await b.go(`/find?q=${encodeURIComponent(q)}`)).headers.get("location")).toBe(to);
  });

  it("says what is not there, and offers the search", async () => {
    expect((await b.go("/incidents/01KBNOSUCH")).status).toBe(404);
    expect(b.html).toContain("No incident 01KBNOSUCH.");
    expect((await b.go("/targets/none")).status).toBe(404);
    expect((await b.go("/nowhere")).status).toBe(404);
  });

  it("tells the story of the incident in order, each line with the row behind it", async () => {
    const rows = await incidentTimeline(env.DB, incident);
    expect(rows.length).toBeGreaterThanOrEqual(4);
    expect(rows.map((r) => r.at)).toEqual(rows.map((r) => r.at).toSorted((x, y) => x - y));
    expect(rows.every((r) => r.evidence_id)).toBe(true);
    expect(new Set(rows.map((r) => r.kind))).toEqual(new Set(["look", "state", "wake", ...rows.map((r) => r.kind)]));
    await b.go(`/incidents/${incident}?view=everything`);
    for (const row of rows.filter((r) => r.kind !== "wake")) expect(b.html).toContain(`id="${row.evidence_id}"`);
    expect(await incidentTimeline(env.DB, "01KBNOSUCH")).toEqual([]);
  });

  it("renders in the zone of the cookie", async () => {
    b.set("reveille_zone", encodeURIComponent("Asia/Kolkata"));
    await b.go(`/incidents/${incident}`);
    expect(b.html).toContain('data-zone="Asia/Kolkata"');
    expect(b.html).toMatch(/UTC · \d\d:\d\d:\d\d Kolkata"/);
    b.set("reveille_zone", "UTC");
  });
});

describe("acts", () => {
  const at = () => `/incidents/${incident}`;
  const state = async () => (await readIncident(env.DB, incident))?.state;

  it("refuses a form without the token, with another session's token, or sent by another site", async () => {
    const other = await new Browser().signIn();
    await other.go(at());
    const foreign = other.form(`${at()}/ack`);
    await b.go(at());
    const own = b.form(`${at()}/ack`);
    expect(foreign["csrf"]).not.toBe(own["csrf"]);
    for (const [fields, headers] of [
      [{ form_key: own["form_key"]! }, {}],
      [{ ...own, csrf: "" }, {}],
      [{ ...own, csrf: foreign["csrf"]! }, {}],
      [own, { "sec-fetch-site": "cross-site" }],
    ] as [Record<string, string>, Record<string, string>][]) {
      const r = await b.post(`${at()}/ack`, fields, headers);
      expect(r.status).toBe(403);
      expect(await r.text()).toContain("nothing was done");
    }
    expect(await state()).toBe("open");
  });

  it("acks, says so once, offers undo, and the undo works", async () => {
    await b.go(at());
    const r = await b.act(`${at()}/ack`);
    expect([r.status, r.headers.get("location")]).toEqual([303, at()]);
    expect(await state()).toBe("acked");
    expect(b.html).toContain("Acked. Reminders stop");
    expect((await readIncident(env.DB, incident))?.acked_by).toBe("operator");
    await b.act(`${at()}/unack`);
    expect(await state()).toBe("open");
    expect(b.html).toContain("The ack was taken back");
    await b.go(at());
    expect(b.html).not.toContain("The ack was taken back");
  });

  it("acts once however often the same form is sent", async () => {
    await b.go(at());
    const form = { ...b.form(`${at()}/snooze`), for: "1h" };
    const answers = await Promise.all([1, 2, 3].map(() => b.post(`${at()}/snooze`, form)));
    expect(answers.map((r) => r.status)).toEqual([303, 303, 303]);
    const rows = await env.DB.prepare("SELECT COUNT(*) AS n FROM audit WHERE seam = 'incident.snoozed'").first("n");
    expect(rows).toBe(1);
    await b.post(`${at()}/snooze`, form);
    await b.go(at());
    expect(b.html).toContain("done already");
    await b.go(at());
    await b.act(`${at()}/snooze`);
    expect((await readIncident(env.DB, incident))?.snooze_until).toBeNull();
  });

  it("looks before it saves, and writes nothing by it", async () => {
    await b.go(`/ui/new?url=${encodeURIComponent(`${SVC}/ok`)}`);
    const count = () =>
      env.DB.prepare(
        "SELECT (SELECT COUNT(*) FROM target) + (SELECT COUNT(*) FROM watch_look) + (SELECT COUNT(*) FROM audit) AS n",
      ).first("n");
    const before = await count();
    const form = { ...b.form("/ui/new"), kind: "http", address: `${SVC}/ok`, name: "before", every: "1m", keyword: "" };
    for (let i = 0; i < 2; i++) {
      const r = await b.post("/ui/new", { ...form, do: "look" });
      expect(r.status).toBe(200);
      expect(b.html).toContain("Nothing was saved");
    }
    expect(await count()).toBe(before);
    await b.post("/ui/new", { ...form, do: "save" });
    expect(await readTarget(env.DB, "before")).toMatchObject({ kind: "http", every_s: 60 });
    await b.go("/targets/before");
    expect(b.html).toContain("before is watched now");
  });

  it("refuses a private address with the line that would allow it, and keeps what was typed", async () => {
    await b.go("/ui/new");
    const form = {
      ...b.form("/ui/new"),
      kind: "http",
      address: "http://10.0.0.8/x",
      name: "inner",
      every: "1m",
      keyword: "",
    };
    for (const button of ["look", "save"]) {
      const r = await b.post("/ui/new", { ...form, do: button });
      expect(r.status).toBe(400);
      expect(b.html).toContain("REVEILLE_ALLOW_PRIVATE=10.0.0.8:80");
      expect(b.html).toContain('value="http://10.0.0.8/x"');
    }
    expect(await readTarget(env.DB, "inner")).toBeNull();
  });

  it("pauses, mutes and rehearses a target, each with its way back", async () => {
    await b.go("/targets/before");
    await b.act("/targets/before/pause");
    expect((await readTarget(env.DB, "before"))?.paused).toBe(true);
    await b.act("/targets/before/resume");
    expect((await readTarget(env.DB, "before"))?.paused).toBe(false);
    await b.act("/targets/before/mute");
    expect((await readTarget(env.DB, "before"))?.muted_until).toBeGreaterThan(Date.now() + 3_500_000);
    await b.act("/targets/before/mute");
    expect((await readTarget(env.DB, "before"))?.muted_until).toBeNull();
    await b.act("/targets/before/rehearse");
    expect(b.html).toContain("Rehearsal started");
    expect(() => b.form("/targets/before/rehearse")).toThrow("no form");
    const audit = await env.DB.prepare(
      "SELECT COUNT(*) AS n FROM audit WHERE json_extract(details, '$.change') = 'rehearsal started'",
    ).first("n");
    expect(audit).toBe(1);
  });

  it("shows a heartbeat's own address with a snippet", async () => {
    await b.go("/ui/new?kind=heartbeat");
    await b.act("/ui/new", { kind: "heartbeat", name: "backup", period: "1d", grace: "5m", do: "save" });
    const url = /id="beat-url"[^>]*>\s*([^<\s]+)/.exec(b.html)?.[1];
    expect(url).toMatch(/^http:\/\/reveille\.test\/beat\/backup\.[\w-]{24}$/);
    expect(b.html).toContain(`curl -fsS -m 10 --retry 3 ${url}`);
    expect((await exports.default.fetch(url!, { method: "POST" })).status).toBe(200);
    await b.go("/targets/backup");
    expect(b.html).toContain("Last beat");
  });

  it("deletes only by the typed name", async () => {
    await b.go("/targets/before/delete");
    const wrong = await b.act("/targets/before/delete", { name: "befor" });
    expect(wrong.status).toBe(400);
    expect(await readTarget(env.DB, "before")).not.toBeNull();
    await b.act("/targets/before/delete", { name: "before" });
    expect(await readTarget(env.DB, "before")).toBeNull();
    expect(b.html).toContain("before was deleted");
  });

  it("holds wakes back from the switchboard and says so on every page", async () => {
    await b.go("/switchboard");
    const form = b.form("/switchboard");
    expect(form).toMatchObject({ switch: "paused", on: "1" });
    await b.act("/switchboard");
    await b.go("/incidents");
    expect(b.html).toContain("Wakes paused by operator since");
    await b.act("/switchboard", { switch: "paused", on: "0", back: "/incidents" });
    await b.go("/incidents");
    expect(b.html).not.toContain("Wakes paused");
    await b.go("/switchboard/envelope/fly");
    await b.act("/switchboard");
    expect(b.html).toContain("on, as a dry run");
    await b.act("/switchboard", { switch: "envelope.fly", on: "0" });
    const changes = await env.DB.prepare(
      "SELECT COUNT(*) AS n FROM audit WHERE json_extract(details, '$.change') = 'switchboard'",
    ).first("n");
    expect(changes).toBe(4);
  });

  it("shows when a silence would be before it keeps it, and asks again for all targets", async () => {
    await b.go("/maintenance");
    const typed = {
      targets: "*",
      kind: "cron",
      cron: "0 2 * * 0",
      length: "90m",
      zone: "Europe/Berlin",
      reason: "upgrades",
      starts: "",
    };
    const form = () => ({ ...b.form("/maintenance"), ...typed });
    const windows = () => env.DB.prepare("SELECT COUNT(*) AS n FROM maintenance WHERE ended_at IS NULL").first("n");
    await b.post("/maintenance", form());
    expect(b.html.match(/1.h 30.min/g)).toHaveLength(3);
    expect(b.html).toContain("Yes, all targets");
    await b.post("/maintenance", { ...form(), save: "1" });
    expect(await windows()).toBe(0);
    const saved = await b.post("/maintenance", { ...form(), save: "1", sure: "1" });
    expect(saved.status).toBe(303);
    expect(await windows()).toBe(1);
    await b.go("/maintenance");
    const id = await env.DB.prepare("SELECT id FROM maintenance").first<string>("id");
    await b.act(`/maintenance/${id}/end`);
    expect(await windows()).toBe(0);
    await b.act(`/maintenance/${id}/reopen`);
    expect(await windows()).toBe(1);
    await b.act(`/maintenance/${id}/end`);
    const bad = await b.post("/maintenance", { ...form(), kind: "once", starts: "soon" });
    expect(bad.status).toBe(400);
    expect(b.html).toContain("Start is &quot;soon&quot;");
  });

  it("marks notices read", async () => {
    await env.DB.prepare(
      "INSERT INTO notice (id, incident_id, event, severity, title, body, created_at) VALUES ('n1', ?, 'opened', 'critical', 'T <i>', 'B', ?)",
    )
      .bind(incident, Date.now())
      .run();
    await b.go("/inbox");
    expect(b.html).toContain("T &lt;i&gt;");
    await b.act("/inbox/read");
    expect(await env.DB.prepare("SELECT COUNT(*) AS n FROM notice WHERE read_at IS NULL").first("n")).toBe(0);
  });
});

describe("a store that fails", () => {
  it("fails one section alone, names the request, and keeps the rest of the page", async () => {
    await env.DB.prepare("ALTER TABLE maintenance RENAME TO maintenance_gone").run();
    try {
      const r = await b.go("/maintenance");
      expect(r.status).toBe(200);
      expect(b.html.replaceAll("&#39;", "'")).toContain("Can't read maintenance windows: store error");
      expect(b.html).toContain("Plan a silence");
      expect(b.html).not.toContain("no such table");
    } finally {
      await env.DB.prepare("ALTER TABLE maintenance_gone RENAME TO maintenance").run();
    }
    expect((await b.go("/maintenance")).status).toBe(200);
    expect(b.html.replaceAll("&#39;", "'")).not.toContain("Can't read");
  });

  it("gives the form back when its act failed, so that it may be sent again", async () => {
    await b.go("/maintenance");
    const typed = {
      targets: "shop",
      kind: "once",
      starts: "now",
      length: "1h",
      zone: "UTC",
      reason: "move",
      cron: "",
      save: "1",
    };
    const form = { ...b.form("/maintenance"), ...typed };
    await env.DB.prepare("ALTER TABLE maintenance RENAME TO maintenance_gone").run();
    try {
      expect((await b.post("/maintenance", form)).status).toBe(303);
      await b.go("/inbox");
      expect(b.html).toContain("store_unavailable");
    } finally {
      await env.DB.prepare("ALTER TABLE maintenance_gone RENAME TO maintenance").run();
    }
    await b.post("/maintenance", form);
    expect(await env.DB.prepare("SELECT reason FROM maintenance WHERE ended_at IS NULL").first("reason")).toBe("move");
  });
});
