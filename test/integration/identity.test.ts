import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { sha256Hex } from "../../src/kernel/crypto";
import { identityFor } from "../../src/reason";
import { BUNDLED } from "../../src/reason/identity.text";

/** Who reasons: the workspace's own texts when both are there, else the bundled ones; every version and its hash kept apart. */

const db = env.DB;

interface View {
  agent_name: string;
  soul: string;
  system: string;
  hash: string;
  version: number;
  source: string;
  versions: { version: number; agent_name: string; created_at: string }[];
  error?: { code: string; field?: string };
}
async function api(method: string, body?: unknown): Promise<{ status: number; body: View }> {
  const res = await exports.default.fetch("http://reveille.test/api/v1/identity", {
    method,
    headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: res.status, body: (await res.json()) as View };
}
const own = (n: number) => ({ agent_name: `Ana ${n}`, soul: `Soul ${n}.`, system: `Rules ${n}.` });

beforeEach(() => db.prepare("DELETE FROM identity").run());

describe("identity", () => {
  it("is the bundled text, with its hash, until a workspace writes its own", async () => {
    const { body } = await api("GET");
    const hash = await sha256Hex(JSON.stringify([BUNDLED.agent_name, BUNDLED.soul, BUNDLED.system]));
    expect(body).toMatchObject({
      source: "bundled",
      version: BUNDLED.version,
      hash,
      agent_name: "Reveille",
      versions: [],
    });
    expect(body.system).toContain("UNTRUSTED");
  });

  it("is the newest version of the workspace; another text is another hash, the same text the same", async () => {
    const first = (await api("PUT", own(1))).body;
    expect(first).toMatchObject({ ...own(1), version: 1, source: "workspace" });
    const second = (await api("PUT", own(2))).body;
    const third = (await api("PUT", own(1))).body;
    expect([second.version, third.version]).toEqual([2, 3]);
    expect(third.hash).toBe(first.hash);
    expect(second.hash).not.toBe(first.hash);
    expect(await identityFor(db)).toMatchObject({ ...own(1), version: 3 });
    expect(third.versions.map((v) => v.version)).toEqual([3, 2, 1]);
  });

  it("of another workspace is its own", async () => {
    await api("PUT", own(1));
    expect((await identityFor(db, "other")).source).toBe("bundled");
  });

  it("goes back to the bundled text and keeps the versions", async () => {
    await api("PUT", own(1));
    const reset = (await api("DELETE")).body;
    expect(reset).toMatchObject({ source: "bundled", agent_name: "Reveille" });
    expect(reset.versions).toHaveLength(2);
    expect((await api("PUT", own(2))).body).toMatchObject({ version: 3, source: "workspace" });
  });

  it("falls back when a stored version lacks one of its texts, or the store can't be read", async () => {
    await db.prepare("INSERT INTO identity VALUES ('default', 1, 'A soul.', '  ', 'Half', 1)").run();
    expect(await identityFor(db)).toMatchObject({ source: "bundled", agent_name: "Reveille" });
    const lines: string[] = [];
    const broken = {
      prepare: () => ({ bind: () => ({ first: () => Promise.reject(new Error("D1_ERROR: gone")) }) }),
    } as unknown as D1Database;
    const identity = await identityFor(broken, "default", (_level, event) => lines.push(event));
    expect([identity.source, lines]).toEqual(["bundled", ["identity.unreadable"]]);
  });

  it("gives two writers at once two versions, and leaves hash and version, not the texts, in the audit", async () => {
    const answers = await Promise.all([1, 2, 3, 4].map((n) => api("PUT", own(n))));
    expect(answers.map((a) => a.status)).toEqual([200, 200, 200, 200]);
    expect((await api("GET")).body.versions.map((v) => v.version)).toEqual([4, 3, 2, 1]);
    const { results } = await db
      .prepare("SELECT details FROM audit WHERE details LIKE '%identity written%'")
      .all<{ details: string }>();
    expect(results.length).toBeGreaterThanOrEqual(4);
    expect(JSON.stringify(results)).not.toContain("Rules 1");
    expect(results.map((r) => JSON.parse(r.details).hash)).toContain((await api("GET")).body.hash);
  });

  it.each([
    ["no system prompt", { agent_name: "A", soul: "s" }, "system"],
    ["blank soul", { ...own(1), soul: "   " }, "soul"],
    ["too long", { ...own(1), system: "x".repeat(16_001) }, "system"],
    ["an unknown key", { ...own(1), model: "x" }, "model"],
    ["no object", "text", undefined],
  ])("refuses %s", async (_what, body, field) => {
    const answer = await api("PUT", body);
    expect([answer.status, answer.body.error?.field]).toEqual([400, field]);
    expect((await api("GET")).body.source).toBe("bundled");
  });
});
