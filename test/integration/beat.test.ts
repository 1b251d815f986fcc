import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { EdgeEnv } from "../../src/edge/env";
import { beatRoutes } from "../../src/edge/routes/beat.route";
import { beatToken } from "../../src/watch/beat-url";
import { readBeat } from "../../src/watch/heartbeat.store";
import { insertTarget, readState, readTarget } from "../../src/watch/target.store";

/**
 * Proves the heartbeat URLs through the real edge: what counts as which beat, that 200 means stored, that nothing else opens,
 * and that a target that is not well is looked at at once.
 */

const db = env.DB;
const ORIGIN = "http://reveille.test";
const KEY = "test-beat-key-7be0d14c93f2a658";

async function make(id: string, kind: "heartbeat" | "http" = "heartbeat"): Promise<string> {
  const config = kind === "heartbeat" ? { period: 86_400, grace: 3_600 } : { url: "http://127.0.0.1:9/" };
  await db.batch(
    insertTarget(
      db,
      { id, name: id, kind, every_s: 60, config, credentials: {}, thresholds: {}, paused: false, source: "api" },
      Date.now() - 60_000,
    ),
  );
  return beatToken(KEY, (await readTarget(db, id))!);
}
const hit = (path: string, init?: RequestInit): Promise<Response> =>
  exports.default.fetch(new Request(`${ORIGIN}/beat/${path}`, init));
const beatOf = async (id: string) => readBeat(db, (await readTarget(db, id))!.num);

async function until<T>(what: string, read: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  for (let i = 0; ; i++) {
    const value = await read();
    if (good(value)) return value;
    if (i === 100) throw new Error(`${what} did not come; last seen: ${JSON.stringify(value)}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}
const statusOf = async (id: string) => (await readState(db, id))?.machine.status;

describe("a beat", () => {
  let token = "";
  beforeAll(async () => {
    token = await make("job");
  });

  it("is a success by GET, HEAD and POST, stored when 200 comes", async () => {
    for (const method of ["GET", "HEAD", "POST"]) {
      await db.prepare("DELETE FROM heartbeat").run();
      const response = await hit(token, { method });
      expect(response.status).toBe(200);
      expect(await response.text()).toBe(method === "HEAD" ? "" : "OK");
      expect((await beatOf("job"))?.last_kind).toBe("success");
    }
  });

  it("is a start, a failure or an exit code by its path", async () => {
    const kinds: [string, string | undefined, string | null][] = [
      ["/start", "start", null],
      ["/0", "success", null],
      ["/3", "fail", "exit code 3"],
      ["/255", "fail", "exit code 255"],
      ["/fail", "fail", null],
    ];
    for (const [path, kind, note] of kinds) {
      await db.prepare("DELETE FROM heartbeat").run();
      expect((await hit(token + path)).status).toBe(200);
      expect(await beatOf("job"), path).toMatchObject({ last_kind: kind, note });
    }
    const rows = await db
      .prepare("SELECT details FROM audit WHERE seam = 'heartbeat.failed' ORDER BY id")
      .all<{ details: string }>();
    expect(rows.results.map((r) => JSON.parse(r.details))).toEqual([
      { target: "job", exit_code: 3, note: null },
      { target: "job", exit_code: 255, note: null },
      { target: "job", exit_code: null, note: null },
    ]);
  });

  it("keeps one short, printable, redacted line of the body, and reads no more than 10 KB of it", async () => {
    const body = `disk full\n\u0000\u202Ereally token=xoxb-test-slack-bot-token-0001 mail ana@example.com ${"x".repeat(500)}`;
    await hit(`${token}/fail`, { method: "POST", body });
    const note = (await beatOf("job"))?.note ?? "";
    expect(note).toMatch(/^disk full really token=<REDACTED> mail <ADDRESS> x+…$/);
    expect(note).toHaveLength(200);
    expect((await hit(token, { method: "POST", body: `${" ".repeat(10_240)}late` })).status).toBe(200);
    expect((await beatOf("job"))?.note).toBeNull();
  });

  it("answers the same 404 to everything that is no heartbeat's URL", async () => {
    const http = await make("web", "http");
    const wrong = `${token.slice(0, -4)}AAAA`;
    const texts = new Set<string>();
    for (const path of [
      wrong,
      "nobody.AAAAAAAAAAAAAAAAAAAAAAAA",
      "x",
      http,
      `${token}/256`,
      `${token}/stop`,
      `${wrong}/fail`,
      `${token}/-1`,
    ]) {
      const response = await hit(path);
      expect(response.status, path).toBe(404);
      texts.add(await response.text());
    }
    expect(texts.size).toBe(1);
  });

  it("takes no other method", async () => {
    const response = await hit(token, { method: "DELETE" });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD, POST"]);
  });

  it("is refused with 503 while the key is unset, and with 429 beyond 60 a minute", async () => {
    const bare = { ...env, REVEILLE_BEAT_KEY: " " } as unknown as EdgeEnv;
    const response = await beatRoutes.request(`${ORIGIN}/beat/${token}`, {}, bare);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: "unconfigured" } });

    const busy = await make("busy");
    const answers = await Promise.all(Array.from({ length: 70 }, () => hit(busy).then((r) => r.status)));
    expect(answers.filter((s) => s === 429).length).toBeGreaterThan(0);
    expect(answers.filter((s) => s === 200).length).toBeGreaterThan(0);
    expect((await hit(await make("calm"))).status).toBe(200);
    for (const id of ["busy", "calm"])
      await until(
        "healthy",
        () => statusOf(id),
        (s) => s === "healthy",
      );
  });

  it("is not acknowledged when it can't be stored, and its URL is not logged", async () => {
    const first = await make("unstored");
    const said: string[] = [];
    const spies = (["log", "warn", "error"] as const).map((k) =>
      vi.spyOn(console, k).mockImplementation((...x) => void said.push(x.join(" "))),
    );
    await db.prepare("ALTER TABLE heartbeat RENAME TO heartbeat_gone").run();
    try {
      const response = await hit(first);
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ error: { code: "store_unavailable" } });
    } finally {
      await db.prepare("ALTER TABLE heartbeat_gone RENAME TO heartbeat").run();
      for (const spy of spies) spy.mockRestore();
    }
    expect(said.join("\n")).toContain("beat.unstored");
    expect(said.join("\n")).not.toContain(first.split(".")[1]);
    expect((await hit(first)).status).toBe(200);
  });

  it("makes a target that is not well be looked at at once, and one that failed too", async () => {
    const own = await make("nightly");
    expect(await statusOf("nightly")).toBe("unknown");
    await hit(own);
    await until(
      "healthy",
      () => statusOf("nightly"),
      (s) => s === "healthy",
    );
    await hit(`${own}/1`);
    const open = await until(
      "an incident",
      async () => (await readState(db, "nightly"))?.machine,
      (m) => m?.phase === "open",
    );
    expect(open?.incident).toMatchObject({ category: "job_failed" });
    await hit(own);
    await until(
      "recovery",
      async () => (await readState(db, "nightly"))?.machine.phase,
      (p) => p === "steady",
    );
  });

  it("is stored but looks at nothing while its target is paused", async () => {
    const own = await make("paused");
    await db.prepare("UPDATE target SET paused = 1 WHERE id = 'paused'").run();
    expect((await hit(`${own}/fail`)).status).toBe(200);
    await new Promise((r) => setTimeout(r, 300));
    expect((await beatOf("paused"))?.last_kind).toBe("fail");
    expect(await statusOf("paused")).toBe("unknown");
  });
});
