import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { probeTick } from "../../src/consumer/slo-prober";
import { HOUR, MINUTE } from "../../src/kernel/clock";
import { runtimeOf } from "../../src/kernel/runtime";
import { Browser } from "./browser-kit";
import { api } from "./messaging-kit";

/** The wake SLO's page as a browser without script reads and uses it. */

const rt = runtimeOf(env, "test");
const b = new Browser();
const HOSTILE = '<script>alert("x")</script>\u202eedisni';

async function put(code: string, more: Record<string, unknown> = {}): Promise<void> {
  const peer = { peer_kind: "qoopia", peer_url: inject("agentPeerUrl"), pong: "inbox", key: "q_peer-ok" };
  const made = await api("PUT", `/slo/directions/${code}`, { from_agent: "01A", to_agent: "01B", ...peer, ...more });
  expect(made, JSON.stringify(made.body)).toMatchObject({ status: 200 });
}

/** A finished row as the prober writes it. */
const row = (at: number, failed: string | null, more: { code?: string; session?: string; ms?: number } = {}) =>
  env.DB.prepare(
    `INSERT INTO wake_slo_probes (id, direction, started_at_ms, topic, peer_kind, status, error_class, session_id, l1_ms, l3_ms, l4_ms, l2_known, level)
     VALUES (?1, ?2, ?3, ?4, 'qoopia', ?5, ?6, ?7, ?8, ?9, ?9, 0, ?10)`,
  ).bind(
    ...[crypto.randomUUID(), more.code ?? "C2L", at, crypto.randomUUID(), failed ? "failed" : "ok", failed],
    ...[more.session ?? null, more.ms ?? 120, failed ? null : (more.ms ?? 240), failed ? 1 : 4],
  );

/** The text of a page, as it is read. */
const text = (): string =>
  b.html
    .replace(/<[^>]*>/g, " ")
    .replace(/[\s\u202f]+/g, " ")
    .replaceAll("&#39;", "'");

beforeAll(async () => {
  await b.signIn();
});
beforeEach(async () => {
  await env.DB.batch(["wake_slo_probes", "slo_direction"].map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
});

describe("/slo", () => {
  it("is for the signed-in, and teaches how to begin", async () => {
    const stranger = await new Browser().go("/slo");
    expect([stranger.status, stranger.headers.get("location")]).toEqual([303, "/login?next=%2Fslo"]);
    expect((await b.go("/slo")).status).toBe(200);
    expect(text()).toContain("No agent is probed yet.");
    expect(b.html).toContain("/api/v1/slo/directions/C2L");
    expect(b.html).toMatch(/<a href="\/slo" aria-current="page">SLO<\/a>/);
  });

  it("shows the levels of a probe that ran, and claims nothing of one probe", async () => {
    await put("C2L");
    await b.go("/slo");
    expect(text()).toContain("No probe yet");
    expect(await probeTick(env, rt)).toBe(1);
    await b.go("/slo");
    expect(text()).toContain("No verdict on C2L.");
    expect(text()).toContain("Too few to judge: 1 of 30");
    expect(text()).toMatch(/L4 of L4, .* L1 \d+ ms · L3 /);
    expect(text()).toContain("L2 not told by the peer");
    expect(b.html).toContain('aria-label="level 4 of 4"');
  });

  it("judges each direction on its own: rate, budget, burn, coverage, failures by class", async () => {
    await put("C2L");
    await put("L2C", { from_agent: "01B", to_agent: "01A" });
    const now = Date.now();
    await env.DB.prepare("UPDATE slo_direction SET updated_at = ?")
      .bind(now - 10 * HOUR)
      .run();
    const good = Array.from({ length: 40 }, (_, i) => [
      row(now - (i + 1) * 15 * MINUTE, null),
      row(now - (i + 1) * 15 * MINUTE, null, { code: "L2C" }),
    ]);
    const session = `s-${HOSTILE}`;
    const bad = [1, 2, 3].map((i) => row(now - i * MINUTE, "reply_timeout", { session }));
    await env.DB.batch([...good.flat(), ...bad]);
    await b.go("/slo");
    expect(text()).toContain("C2L misses its objective.");
    // 3 of 43 failed: 2.15 were allowed.
    expect(text()).toContain("93.02 % of 43 probes, goal 95 %");
    expect(text()).toContain("overspent by 40 % of 24 h, overspent by 598 % of 28 d");
    expect(text()).toMatch(/L2C Kept/);
    expect(text()).toContain("100 % of 40 probes, goal 95 %");
    expect(text()).toContain("100 % of the planned probes ran");
    expect(text()).toMatch(/3× delivered, not answered within 30 s reply_timeout , last 1 min ago/);
    expect(text()).toMatch(/L4 seen and closed 240 ms never 15\.0 s missed/);
    expect(b.html).toContain('href="/targets/reveille-slo-rate-c2l"');
    expect((await b.go("/targets/reveille-slo-rate-c2l")).status).toBe(200);
    await b.go("/slo");
    expect(b.html).not.toContain("<script>alert");
    expect(b.html).not.toContain("\u202e");
    // Few of the planned ones ran: no verdict, whatever those say.
    await env.DB.prepare("DELETE FROM wake_slo_probes WHERE started_at_ms < ?")
      .bind(now - 30 * MINUTE)
      .run();
    await b.go("/slo");
    expect(text()).toContain("Can't tell: too few probes ran");
  });

  it("runs, pauses with an undo, and resumes; never for a form that is not its own", async () => {
    await put("C2L");
    await probeTick(env, rt);
    await b.go("/slo");
    expect((await b.post("/slo/C2L/pause", { csrf: "no", form_key: "x" })).status).toBe(403);
    await b.go("/slo");
    await b.act("/slo/C2L/run");
    expect(text()).toContain("C2L runs within a minute.");
    expect(await probeTick(env, rt)).toBe(1);
    await b.act("/slo/C2L/pause");
    expect(text()).toContain("C2L is paused: neither probed nor judged.");
    expect(text()).toContain("C2L paused.");
    expect(text()).toContain("not judged while paused");
    const paused = () => env.DB.prepare("SELECT paused FROM slo_direction").first("paused");
    expect(await paused()).toBe(1);
    expect(b.html).not.toContain('action="/slo/C2L/run"');
    // The first form of that name is the flash's undo.
    await b.act("/slo/C2L/resume");
    expect(await paused()).toBe(0);
    await b.post("/slo/L2C/pause", b.form("/slo/C2L/pause"));
    await b.go("/slo");
    expect(text()).toContain("No slo/direction L2C.");
    const seams = await env.DB.prepare(
      "SELECT source, details FROM audit WHERE seam = 'slo.changed' ORDER BY id DESC LIMIT 3",
    ).all<{ source: string; details: string }>();
    expect(seams.results.map((r) => [r.source, JSON.parse(r.details).act])).toEqual([
      ["operator", "resume"],
      ["operator", "pause"],
      ["operator", "run"],
    ]);
  });
});
