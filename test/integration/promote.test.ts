import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import consumer from "../../src/consumer";
import { TASKS_CRON } from "../../src/consumer/crons";
import type { ConsumerEnv } from "../../src/consumer/env";
import { makeClock } from "../../src/kernel/clock";
import { type Runtime, runtimeOf } from "../../src/kernel/runtime";
import { LISTENERS } from "../../src/listeners";
import { createLoginCode } from "../../src/operator";
import { PROMOTE_LOOPS, promoteBodies, runLoop } from "../../src/reason";

/**
 * The promote loops over real rows: what each finds, that a cluster is one proposal for good, that a rejection is remembered
 * and an answer counts once, and that an approval adds words and nothing else.
 */

const db = env.DB;
const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 20, 5);
const loop = (name: string) => PROMOTE_LOOPS.find((l) => l.name === name)!;

function runtimeAt(at: number, vars: Record<string, string> = {}): Runtime {
  const base = runtimeOf(env, "promote-test");
  return { ...base, clock: makeClock(1, () => at), vars: { ...base.vars, ...vars } };
}
const run = (name: string, at = NOW, vars: Record<string, string> = {}): Promise<string> =>
  runLoop(loop(name), db, runtimeAt(at, vars));

async function audit(seam: string, at: number, details: Record<string, unknown>, more: { incident?: string } = {}) {
  await db
    .prepare(
      "INSERT INTO audit (emitted_at, seam, source, session_id, incident_id, details) VALUES (?, ?, 'reasoning', 's', ?, ?)",
    )
    .bind(at, seam, more.incident ?? null, JSON.stringify(details))
    .run();
}
/** `n` investigations of one fault that nothing fixed. */
async function investigations(n: number, at = NOW - DAY, more: Record<string, unknown> = {}): Promise<void> {
  for (let i = 0; i < n; i++)
    await audit(
      "probe.investigation_completed",
      at + i,
      {
        probe: "fly",
        issue_category: "service_unhealthy",
        investigation_summary_text: "Machine 148e21 ran out of memory.",
        autofix_attempted: false,
        ...more,
      },
      { incident: `INC-${i}` },
    );
}
async function ask(
  question: string,
  more: { source?: string; engine?: string; intent?: string; at?: number; text?: string } = {},
) {
  const answer = {
    text: more.text ?? "Nothing is down.",
    engine: more.engine ?? "claude-haiku-4-5",
    intent: more.intent ?? null,
  };
  const at = more.at ?? NOW - DAY;
  await db
    .prepare(
      "INSERT INTO ask (id, source, by, question, state, answer, created_at, answered_at) VALUES (?, ?, 'ana', ?, 'answered', ?, ?, ?)",
    )
    .bind(crypto.randomUUID(), more.source ?? "slack_dm", question, JSON.stringify(answer), at, at)
    .run();
}

interface Row {
  key: string;
  loop: string;
  title: string;
  body: string;
  state: string;
  seen: number;
  created_at: number;
  updated_at: number;
  decided_by: string | null;
}
const proposals = async (): Promise<Row[]> =>
  (await db.prepare("SELECT * FROM proposal ORDER BY key").all<Row>()).results;
const one = async (): Promise<Row> => {
  const all = await proposals();
  expect(all).toHaveLength(1);
  return all[0]!;
};
const seams = async (): Promise<string[]> =>
  (
    await db
      .prepare("SELECT seam FROM audit WHERE seam LIKE 'promotion.%' OR seam = 'phrasebook.updated' ORDER BY id")
      .all<{ seam: string }>()
  ).results.map((r) => r.seam);
const words = async () =>
  (
    await db
      .prepare("SELECT id, kind, body, proposal_key FROM vocabulary")
      .all<{ id: string; kind: string; body: string; proposal_key: string }>()
  ).results;

interface Answer {
  status: number;
  body: Record<string, unknown> & {
    items?: Record<string, unknown>[];
    error?: { code: string; message: string; field?: string };
  };
}
async function api(method: string, path: string): Promise<Answer> {
  const res = await exports.default.fetch(`http://reveille.test/api/v1${path}`, {
    method,
    headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a", "content-type": "application/json" },
  });
  return { status: res.status, body: (await res.json()) as Answer["body"] };
}

beforeEach(async () => {
  await db.batch(
    ["proposal", "vocabulary", "audit", "ask", "cost", "autofix", "listener_state"].map((t) =>
      db.prepare(`DELETE FROM ${t}`),
    ),
  );
});

describe("probe_fix_envelopes", () => {
  it("proposes what came three times in 14 days without a fix", async () => {
    await investigations(2);
    expect(await run("probe_fix_envelopes")).toBe("0 proposed, 0 seen again");
    await investigations(1, NOW - 13 * DAY);
    expect(await run("probe_fix_envelopes")).toBe("1 proposed, 0 seen again");
    const row = await one();
    expect(row).toMatchObject({ loop: "probe_fix_envelopes", state: "pending", seen: 1 });
    expect(JSON.parse(row.body)).toMatchObject({
      confidence: 0.5,
      vocabulary: { fix_name: "restart_unhealthy_machine" },
    });
    const { results } = await db
      .prepare("SELECT seam, session_id, source FROM audit WHERE seam LIKE 'promotion.%' ORDER BY id")
      .all();
    expect(results).toEqual(
      ["promotion.proposed", "promotion.probe_envelope_action_proposed"].map((seam) => ({
        seam,
        session_id: `promotion:probe_fix_envelopes:${row.key}`,
        source: "cron",
      })),
    );
  });

  it("leaves out what is older, was fixed, was rehearsed, or really ran a fix", async () => {
    await investigations(3, NOW - 15 * DAY);
    await investigations(3, NOW - DAY, { autofix_attempted: true });
    await investigations(3, NOW - DAY, { rehearsal: true });
    await investigations(3, NOW - DAY, { probe: null });
    expect(await run("probe_fix_envelopes")).toMatch(/^0 proposed/);
    await investigations(3);
    await db
      .prepare(
        `INSERT INTO autofix (key, incident_id, probe, action, app, machine, mode, state, request, created_at, started_at)
         VALUES ('k', 'INC-1', 'fly', 'start', 'a', 'm', 'auto', 'done', '{}', 1, 2)`,
      )
      .run();
    expect(await run("probe_fix_envelopes")).toMatch(/^0 proposed/);
  });

  it("approves a low one by itself only when a variable says so and an hour has passed; no envelope changes", async () => {
    await investigations(3, NOW - DAY, { issue_category: "single_machine_not_started" });
    await investigations(3, NOW - DAY, { issue_category: "unreachable" });
    const on = { REVEILLE_PROMOTE_PROBE_FIX_AUTO_APPROVE_LOW: "true" };
    await run("probe_fix_envelopes", NOW, on);
    await run("probe_fix_envelopes", NOW + 3_000_000, on);
    expect((await proposals()).map((p) => p.state)).toEqual(["pending", "pending"]);
    await run("probe_fix_envelopes", NOW + DAY);
    expect((await proposals()).map((p) => p.state)).toEqual(["pending", "pending"]);
    expect(await run("probe_fix_envelopes", NOW + 2 * DAY, on)).toContain("1 approved by setting");
    expect((await proposals()).map((p) => p.state).sort()).toEqual(["approved", "pending"]);
    expect(await seams()).toContain("promotion.probe_envelope_action_auto_approved");
    expect((await api("GET", "/switchboard")).body["envelopes"]).toEqual({});
  });
});

describe("the other loops", () => {
  it("phrasebook: five like questions a model answered alike within 7 days", async () => {
    for (let i = 0; i < 4; i++) await ask("is prod down?");
    await ask("is prod down", { engine: "by rules" });
    await ask("is prod down", { at: NOW - 8 * DAY });
    await ask("is prod down", { source: "email" });
    expect(await run("phrasebook")).toMatch(/^0 proposed/);
    await ask("Prod is down?", { source: "inbox" });
    expect(await run("phrasebook")).toMatch(/^1 proposed/);
    expect(JSON.parse((await one()).body).vocabulary).toMatchObject({
      tokens: ["down", "prod"],
      template: "Nothing is down.",
      category: "overall",
    });
  });

  it("snapshot_expand: five calls of a tool; approves itself only when told to", async () => {
    for (let i = 0; i < 5; i++)
      await audit("reasoning.tool_called", NOW - DAY, { tool: "get_target", route: "slack_dm" });
    for (let i = 0; i < 5; i++) await audit("reasoning.tool_called", NOW - 8 * DAY, { tool: "old", route: "slack_dm" });
    for (let i = 0; i < 9; i++)
      await audit("reasoning.tool_called", NOW - DAY, { tool: "get_budget", route: "slack_dm" });
    expect(await run("snapshot_expand")).toBe("1 proposed, 0 seen again");
    expect(await seams()).toEqual(["promotion.proposed", "promotion.snapshot_field_added"]);
    expect(await words()).toEqual([]);
    await run("snapshot_expand", NOW + DAY, { KORA_PROMOTE_SNAPSHOT_EXPAND_AUTO_APPLY: "1" });
    expect((await words()).map((w) => [w.kind, JSON.parse(w.body)])).toEqual([
      ["snapshot_field", { field: "target", tool: "get_target" }],
    ]);
    expect((await one()).decided_by).toBe("auto_apply");
  });

  it("router_tuning: 20 calls and 40 % within a sliding day, or three overrides by hand", async () => {
    const cost = (n: number, at: number, escalated: string | null, error: string | null = null) =>
      db.batch(
        Array.from({ length: n }, () =>
          db
            .prepare(
              "INSERT INTO cost VALUES (?, ?, 'slack_dm', 'anthropic', 'm', 1, 1, 0, 0, 0.01, 5, ?, ?, NULL, NULL)",
            )
            .bind(crypto.randomUUID(), at, error, escalated),
        ),
      );
    await cost(12, NOW - 3_600_000, null);
    await cost(7, NOW - 3_600_000, "uncertain");
    await cost(9, NOW - 25 * 3_600_000, "uncertain");
    await cost(9, NOW - 3_600_000, "uncertain", "sdk_5xx");
    expect(await run("router_tuning")).toMatch(/^0 proposed/);
    await cost(1, NOW - 3_600_000, "uncertain");
    for (let i = 0; i < 3; i++) await audit("opus_override.applied", NOW - 60_000, { route: "slack_dm" });
    expect(await run("router_tuning")).toMatch(/^2 proposed/);
    expect(await seams()).toContain("promotion.router_trigger_proposed");
  });

  it("tool_trimming: a route with 20 tool calls in 30 days that never used a tool others did", async () => {
    for (let i = 0; i < 20; i++)
      await audit("reasoning.tool_called", NOW - 29 * DAY, { tool: "get_target", route: "slack_dm" });
    await audit("reasoning.tool_called", NOW - DAY, { tool_name: "search_audit", route: "mcp_tool" });
    await audit("reasoning.tool_called", NOW - 31 * DAY, { tool: "ancient", route: "mcp_tool" });
    expect(await run("tool_trimming")).toMatch(/^1 proposed/);
    expect(JSON.parse((await one()).body).vocabulary).toEqual({ route: "slack_dm", drop: ["search_audit"] });
  });

  it("email_intent: five like mails no rule understood; their texts stay in their rows", async () => {
    for (const x of ["a", "b", "c", "d"])
      await ask(`please send me the nightly backup report ${x}`, { source: "email" });
    await ask("please send me the nightly backup report e", { source: "email", intent: "status" });
    expect(await run("email_intent")).toMatch(/^0 proposed/);
    await ask("please send me the nightly backup report f", { source: "email" });
    expect(await run("email_intent")).toMatch(/^1 proposed/);
    const stored = JSON.stringify([await proposals(), (await db.prepare("SELECT * FROM audit").all()).results]);
    expect(stored).toContain("nightly");
    expect(stored).not.toContain("please send");
    expect(JSON.stringify((await db.prepare("SELECT details FROM audit").all()).results)).not.toContain("nightly");
  });

  it("do nothing when their variable says anything but yes", async () => {
    await investigations(3);
    for (const l of PROMOTE_LOOPS)
      expect(await runLoop(l, db, runtimeAt(NOW, { [l.variable]: "off" }))).toBe(`off (${l.variable})`);
    expect(await run("probe_fix_envelopes", NOW, { KORA_PROMOTE_PROBE_FIX_ENABLED: "false" })).toMatch(/^off/);
    expect(await proposals()).toEqual([]);
  });

  it("are listeners of the consumer, each with a body, a day long and apart from each other", async () => {
    const rows = LISTENERS.filter((l) => l.name.startsWith("promote_"));
    expect(rows.map((l) => l.name).sort()).toEqual(Object.keys(promoteBodies(db, runtimeAt(NOW))).sort());
    for (const l of rows)
      expect(l).toMatchObject({ installed: true, home: "consumer", interval_s: 86_400, fatal: false });
    expect(new Set(rows.map((l) => l.phase_s)).size).toBe(6);
    // A day has passed since their last run: the consumer's cron runs them all, once.
    const at = Date.now() - 2 * DAY;
    await db.batch(
      rows.map((l) =>
        db.prepare("INSERT INTO listener_state (name, last_run_at, last_ok_at) VALUES (?1, ?2, ?2)").bind(l.name, at),
      ),
    );
    const controller = { scheduledTime: Date.now(), cron: TASKS_CRON, noRetry: () => {} } as ScheduledController;
    await consumer.scheduled(controller, env as unknown as ConsumerEnv);
    const { results } = await db
      .prepare("SELECT note, last_run_at FROM listener_state WHERE name LIKE 'promote_%'")
      .all<{ note: string; last_run_at: number }>();
    expect(results.map((r) => r.note)).toEqual(Array(6).fill("0 proposed, 0 seen again"));
    for (const r of results) expect(Date.now() - r.last_run_at).toBeLessThan(20_000);
  });
});

describe("a proposal", () => {
  it("is the same one every day, updated in place", async () => {
    await investigations(3);
    await run("probe_fix_envelopes");
    const first = await one();
    await investigations(2);
    expect(await run("probe_fix_envelopes", NOW + DAY)).toBe("0 proposed, 1 seen again");
    const second = await one();
    expect(second).toMatchObject({ key: first.key, seen: 2, created_at: NOW, updated_at: NOW + DAY, state: "pending" });
    expect(JSON.parse(second.body).cluster_size).toBe(5);
    expect(await seams()).toHaveLength(2);
    // The same run again, as after a crash before it was marked: nothing counts twice.
    await run("probe_fix_envelopes", NOW + DAY);
    expect((await one()).seen).toBe(2);
  });

  it("once rejected stays so for 90 days, then may come back under its key", async () => {
    await investigations(3);
    await run("probe_fix_envelopes");
    const { key } = await one();
    const at = Date.now();
    await db.prepare("UPDATE proposal SET updated_at = ?").bind(at).run();
    expect((await api("POST", `/proposals/${key}/reject`)).body).toMatchObject({
      state: "rejected",
      decided_by: "api",
    });
    await investigations(3, at + 89 * DAY - 1_000);
    expect(await run("probe_fix_envelopes", at + 89 * DAY)).toBe("0 proposed, 0 seen again, 1 decided before");
    expect((await one()).state).toBe("rejected");
    expect(await run("probe_fix_envelopes", at + 91 * DAY)).toBe("1 proposed, 0 seen again");
    expect(await one()).toMatchObject({ key, state: "pending", decided_by: null });
    expect(await words()).toEqual([]);
  });

  it("ends when its cluster was not seen for 14 days, whichever loop runs, and comes back when it is", async () => {
    await investigations(3);
    await run("probe_fix_envelopes");
    await run("router_tuning", NOW + 14 * DAY - 1);
    expect((await one()).state).toBe("pending");
    expect(await run("router_tuning", NOW + 14 * DAY + 1)).toContain("1 expired");
    expect((await one()).state).toBe("expired");
    await investigations(3, NOW + 15 * DAY);
    expect(await run("probe_fix_envelopes", NOW + 16 * DAY)).toBe("1 proposed, 0 seen again");
    expect(await one()).toMatchObject({ state: "pending", seen: 2, created_at: NOW + 16 * DAY });
  });

  it("past its time reads as expired and can't be approved, though no run has said so yet", async () => {
    await investigations(3);
    await run("probe_fix_envelopes");
    const { key } = await one();
    await db
      .prepare("UPDATE proposal SET updated_at = ?")
      .bind(Date.now() - 15 * DAY)
      .run();
    expect((await api("GET", "/proposals?state=pending")).body.items).toEqual([]);
    expect((await api("GET", "/proposals?state=expired")).body.items).toHaveLength(1);
    expect(await api("POST", `/proposals/${key}/approve`)).toMatchObject({
      status: 409,
      body: { error: { code: "expired" } },
    });
    expect([await words(), (await seams()).length]).toEqual([[], 2]);
  });

  it("approved adds its words once, and the loop leaves it alone from then on", async () => {
    for (let i = 0; i < 5; i++) await ask("is prod down?");
    await run("phrasebook");
    const { key } = await one();
    await db.prepare("UPDATE proposal SET updated_at = ?").bind(Date.now()).run();
    const done = await api("POST", `/proposals/${key}/approve`);
    expect(done).toMatchObject({ status: 200, body: { state: "approved", decided_by: "api", expires_at: null } });
    const [word, ...more] = await words();
    expect([word!.kind, word!.proposal_key, more]).toEqual(["phrase", key, []]);
    expect(JSON.parse(word!.body)).toMatchObject({ tokens: ["down", "prod"], category: "overall" });
    expect(await seams()).toEqual(["promotion.proposed", "promotion.approved", "phrasebook.updated"]);
    const sessions = await db.prepare("SELECT DISTINCT session_id FROM audit WHERE seam LIKE 'promotion.%'").all();
    expect(sessions.results).toEqual([{ session_id: `promotion:phrasebook:${key}` }]);
    expect(await run("phrasebook")).toBe("0 proposed, 0 seen again, 1 decided before");
  });

  it("answered many times at once is decided once", async () => {
    await investigations(3);
    await run("probe_fix_envelopes");
    const { key } = await one();
    await db.prepare("UPDATE proposal SET updated_at = ?").bind(Date.now()).run();
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, i) => api("POST", `/proposals/${key}/${i % 3 ? "approve" : "reject"}`)),
    );
    expect(answers.filter((a) => a.status === 200)).toHaveLength(1);
    for (const a of answers.filter((x) => x.status !== 200))
      expect(a).toMatchObject({ status: 409, body: { error: { code: "decided" } } });
    const { state } = await one();
    expect(await words()).toHaveLength(state === "approved" ? 1 : 0);
    expect((await seams()).slice(2)).toEqual([`promotion.${state}`]);
  });

  it("can't be updated by a run once a person has decided", async () => {
    await investigations(3);
    await run("probe_fix_envelopes");
    const before = await one();
    await db.prepare("UPDATE proposal SET updated_at = ?").bind(Date.now()).run();
    await Promise.all([
      api("POST", `/proposals/${before.key}/reject`),
      run("probe_fix_envelopes", Date.now() + 1),
      run("probe_fix_envelopes", Date.now() + 2),
    ]);
    expect((await one()).state).toBe("rejected");
  });
});

describe("the API", () => {
  it("lists by state with a cursor, and refuses what it does not know", async () => {
    for (const category of ["a", "b", "c"]) await investigations(3, NOW - DAY, { issue_category: category });
    await run("probe_fix_envelopes");
    await db.prepare("UPDATE proposal SET updated_at = ?").bind(Date.now()).run();
    const keys: unknown[] = [];
    let cursor: unknown = "";
    while (cursor !== null) {
      const { body }: Answer = await api("GET", `/proposals?state=pending&limit=2${cursor ? `&cursor=${cursor}` : ""}`);
      keys.push(...body.items!.map((p) => p["key"]));
      cursor = body["next_cursor"];
    }
    expect(new Set(keys).size).toBe(3);
    expect((await api("GET", "/proposals?state=open")).body.error?.field).toBe("state");
    expect((await api("POST", "/proposals/xyz/approve")).body.error?.field).toBe("key");
    expect((await api("POST", `/proposals/${"0".repeat(32)}/approve`)).status).toBe(404);
    const { body } = await api("GET", "/proposals");
    expect(body.items![0]).toMatchObject({ seen: 1, approval: expect.stringContaining("No envelope") });
  });
});

describe("the inbox page", () => {
  it("lists what waits, says what approval does, and decides by a form without script", async () => {
    await investigations(3, Date.now() - DAY, { investigation_summary_text: "<b>bold</b> & more" });
    await run("probe_fix_envelopes", Date.now());
    const { key, title } = await one();
    const { code } = await createLoginCode(db, Date.now());
    const page = (path: string, init: RequestInit = {}) =>
      exports.default.fetch(new Request(`http://reveille.test${path}`, { redirect: "manual", ...init }));
    const cookie = (await page(`/login?code=${code}`)).headers.getSetCookie()[0]!.split(";")[0]!;
    const html = await (await page("/inbox", { headers: { cookie } })).text();
    expect(html).toContain("1 proposal waits");
    expect(html).toContain(title);
    expect(html).toContain("Approving adds vocabulary; nothing is switched on.");
    expect(html).toContain("&lt;b&gt;bold");
    const action = `/inbox/proposals/${key}/reject`;
    const form = new RegExp(`<form method="post" action="${action}"[^>]*>([\\s\\S]*?)</form>`).exec(html)![1]!;
    const fields = Object.fromEntries(
      [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)].map((m) => [m[1]!, m[2]!]),
    );
    const post = (body: Record<string, string>) =>
      page(action, {
        method: "POST",
        headers: { cookie, "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams(body),
      });
    expect((await post({ ...fields, csrf: "forged" })).status).toBe(403);
    expect((await one()).state).toBe("pending");
    expect((await post(fields)).headers.get("location")).toBe("/inbox");
    expect(await one()).toMatchObject({ state: "rejected", decided_by: "operator" });
    const after = await (await page("/inbox", { headers: { cookie } })).text();
    expect(after).not.toContain(title);
    expect(after).not.toContain('id="waiting"');
  });
});
