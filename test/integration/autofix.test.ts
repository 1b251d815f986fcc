import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { advanceFix, answerFix, proposeFix, stuckFixes } from "../../src/reason";
import { fixKey } from "../../src/reason/autofix";
import { FLY_WRITE_TOKEN } from "../support/test-vars";
import {
  acts,
  api,
  attemptedRows,
  breakFly,
  control,
  dropTargets,
  fixer,
  flyWrites,
  freshFixes,
  MACHINE,
  mustFix,
  questionOf,
  setMode,
  told,
} from "./fix-kit";

/**
 * The executor against a real vendor over HTTP: gates, keys, lease, verified outcomes, crashes. D1, the objects and the
 * switchboard are the real ones; the vendor's ledger says what was sent.
 */

const ask = (incident: string, more: Record<string, unknown> = {}) => ({
  incident_id: incident,
  wake_id: null,
  action: "restart_machine",
  target_id: MACHINE,
  reason: "It exited with code 137.",
  ...more,
});

beforeEach(freshFixes);
afterEach(async () => {
  await setMode(null);
  await dropTargets();
});

/** An approved fix of a fresh incident, ready to run. */
async function approved(
  mode = "stopped",
  more: Record<string, unknown> = {},
  change: Parameters<typeof fixer>[0] = {},
) {
  const { incident, target } = await breakFly(mode, more);
  await setMode("approve");
  const { deps } = await fixer(change);
  const proposed = await proposeFix(deps, ask(incident));
  expect(proposed).toMatchObject({ ok: true, status: "waiting" });
  const said = await answerFix(deps, await questionOf(incident), "approve", "ana");
  expect(said).toMatchObject({ ok: true });
  return { incident, target, deps, key: fixKey("approve", incident, MACHINE) };
}

describe("gates by their rows", () => {
  it("each refusal is one row with its code, and nothing is sent", async () => {
    const { incident } = await breakFly();
    const refused = async (more: Record<string, unknown> = {}, change: Parameters<typeof fixer>[0] = {}) => {
      const { deps } = await fixer(change);
      const p = await proposeFix(deps, ask(incident, more));
      return p.ok ? p.status : p.code;
    };
    expect(await refused()).toBe("envelope_disabled");
    await setMode("auto");
    await api("PATCH", "/switchboard", { killed: true });
    expect(await refused()).toBe("kill_switch");
    await api("PATCH", "/switchboard", { killed: false });
    expect(await refused({}, { vars: { REVEILLE_AUTOFIX_FLY_ENABLED: "2" } })).toBe("envelope_disabled");
    expect(await refused({ caller: { name: "x", capabilities: [] } })).toBe("capability_missing");
    expect(await refused({ incident_id: "01NOSUCH" })).toBe("envelope_disabled");
    expect(await refused({ action: "machine_destroy" })).toBe("action_not_in_envelope");
    expect(await refused({ target_id: "a/../b" })).toBe("target_id_invalid");
    expect(await refused({ target_id: "e28650d1a74998" })).toBe("target_not_in_snapshot");
    expect(await refused({}, { vars: { REVEILLE_FLY_WRITE_TOKEN: "" } })).toBe("fly_api_token_unset");
    await api("POST", `/incidents/${incident}/snooze`, { minutes: 60 });
    expect(await refused()).toBe("acked_or_snoozed");
    await api("POST", `/incidents/${incident}/snooze`, { minutes: 0 });
    await api("POST", `/incidents/${incident}/ack`, {});
    expect(await refused()).toBe("acked_or_snoozed");
    const rows = await attemptedRows(incident);
    expect(rows.map((r) => r["code"])).toEqual([
      "envelope_disabled",
      "kill_switch",
      "envelope_disabled",
      "capability_missing",
      "action_not_in_envelope",
      "target_id_invalid",
      "target_not_in_snapshot",
      "fly_api_token_unset",
      "acked_or_snoozed",
      "acked_or_snoozed",
    ]);
    for (const r of rows)
      expect(r).toMatchObject({
        status: "rejected",
        reason_from_reasoning: "It exited with code 137.",
        duration_ms: 0,
      });
    expect(await flyWrites()).toEqual([]);
    expect((await env.DB.prepare("SELECT COUNT(*) AS n FROM autofix").first<{ n: number }>())?.n).toBe(0);
  });

  it("the variable alone: TRUE with blanks is on, enabled, 2 and unset are off; supabase never (acceptance 7)", async () => {
    const { incident } = await breakFly();
    // No word of the operator about this envelope: only then the variable decides.
    const silent = async (text: string | undefined, kind = "fly") => {
      const { deps } = await fixer({
        vars: { REVEILLE_AUTOFIX_FLY_ENABLED: text, REVEILLE_AUTOFIX_SUPABASE_ENABLED: text },
      });
      await env.DB.prepare("UPDATE incident SET kind = ? WHERE id = ?").bind(kind, incident).run();
      const p = await proposeFix({ ...deps, switches: { ...deps.switches, envelopes: {} } }, ask(incident));
      return p.ok ? p.status : p.code;
    };
    expect(await silent("TRUE ")).toBe("dry_run");
    for (const off of ["enabled", "2", undefined, ""]) expect(await silent(off), String(off)).toBe("envelope_disabled");
    expect(await silent("true", "supabase")).toBe("envelope_disabled");
  });

  it("a refused credential is never fixed, whatever was approved", async () => {
    const { incident, deps, key } = await approved();
    await control({ fly: { mode: "401" } });
    const target = (await mustFix(key)).target_id;
    await api("POST", `/targets/${target}/look`);
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "failed", started_at: null });
    expect((await attemptedRows(incident)).at(-1)).toMatchObject({ status: "rejected", code: "auth_failed" });
    expect(await flyWrites()).toEqual([]);
  });

  it("caps: one an incident, two a target, three a workspace in 24 h; denied ones give theirs back", async () => {
    await setMode("auto");
    const { deps } = await fixer();
    const first = await breakFly();
    expect(await proposeFix(deps, ask(first.incident))).toMatchObject({ ok: true });
    expect(await proposeFix(deps, ask(first.incident))).toMatchObject({ ok: false, code: "attempts_incident" });
    // Another target that sees the same machine: the machine's cap is two.
    const second = await breakFly();
    expect(await proposeFix(deps, ask(second.incident))).toMatchObject({ ok: true });
    const third = await breakFly();
    expect(await proposeFix(deps, ask(third.incident))).toMatchObject({ ok: false, code: "attempts_target" });
    // Other machines and targets: now the workspace's cap of three counts.
    await env.DB.prepare("UPDATE autofix SET machine = 'm-' || incident_id, target_id = 't-' || incident_id").run();
    expect(await proposeFix(deps, ask(third.incident))).toMatchObject({ ok: true });
    const fourth = await breakFly();
    await env.DB.prepare("UPDATE autofix SET machine = 'm-' || incident_id, target_id = 't-' || incident_id").run();
    expect(await proposeFix(deps, ask(fourth.incident))).toMatchObject({ ok: false, code: "attempts_workspace" });
    await env.DB.prepare("UPDATE autofix SET state = 'denied' WHERE incident_id = ?").bind(third.incident).run();
    expect(await proposeFix(deps, ask(fourth.incident))).toMatchObject({ ok: true });
    // A day later they count no more.
    await env.DB.prepare("UPDATE autofix SET created_at = created_at - 86400001 WHERE incident_id <> ?")
      .bind(first.incident)
      .run();
    const fifth = await breakFly();
    expect(await proposeFix(deps, ask(fifth.incident))).toMatchObject({ ok: true });
  });
});

describe("dry run", () => {
  it("keeps and tells the exact request, sends nothing, uses no attempt; twice is one row and one notice", async () => {
    const { incident } = await breakFly("stopped");
    await setMode("dry_run");
    await vi.waitFor(async () => expect((await told()).slack).toHaveLength(1));
    const { deps, sent } = await fixer();
    const first = await proposeFix(deps, ask(incident));
    expect(first).toMatchObject({ ok: true, status: "dry_run" });
    const key = fixKey("dry_run", incident, MACHINE);
    expect(sent).toEqual([{ kind: "autofix", key, step: "run" }]);
    await advanceFix(deps, key);
    await proposeFix(deps, ask(incident));
    await advanceFix(deps, key);
    const row = await mustFix(key);
    expect(row).toMatchObject({ mode: "dry_run", state: "planned", app: "web", machine: MACHINE });
    const request = JSON.parse(row.request) as { method: string; url: string; headers: Record<string, string> };
    expect(request.method).toBe("POST");
    expect(request.url).toMatch(/\/fly\/v1\/apps\/web\/machines\/148e21c9a45678\/start$/);
    expect(JSON.stringify(request)).not.toMatch(/authorization|fm2_/i);
    const thread = (await told()).slack.filter((m) => m.text.includes("Dry run"));
    expect(thread).toHaveLength(1);
    expect(thread[0]!.text).toContain("not sent");
    expect(thread[0]!.thread_ts).not.toBeNull();
    expect((await attemptedRows(incident)).map((r) => r["status"])).toEqual(["dry_run", "dry_run"]);
    expect(await flyWrites()).toEqual([]);
    await setMode("approve");
    expect(await proposeFix((await fixer()).deps, ask(incident))).toMatchObject({ ok: true, status: "waiting" });
  });
});

describe("a run", () => {
  it("two parallel calls are one vendor POST, under a lease that is given back (acceptance 8)", async () => {
    const { incident } = await breakFly("stopped", { act_delay: 200 });
    await setMode("auto");
    const [a, b] = await Promise.all([fixer(), fixer()]);
    const both = await Promise.all([
      proposeFix(a.deps, ask(incident)),
      proposeFix(b.deps, ask(incident, { action: "start" })),
    ]);
    expect(both.filter((p) => p.ok)).toHaveLength(1);
    expect(both.filter((p) => !p.ok)).toMatchObject([{ code: "attempts_incident" }]);
    const key = fixKey("auto", incident, MACHINE);
    await Promise.all([advanceFix(a.deps, key), advanceFix(b.deps, key), advanceFix(a.deps, key)]);
    const writes = await flyWrites();
    expect(writes.map((w) => `${w.method} ${w.path.split("/").at(-1)}`)).toEqual([
      "POST lease",
      "POST start",
      "DELETE lease",
    ]);
    for (const w of writes) expect(w.scheme).toBe("FlyV1");
    expect(writes[1]!.headers).toContain("fly-machine-lease-nonce");
    expect(await mustFix(key)).toMatchObject({ state: "done", outcome: "recovered", by: "auto", lease: "released" });
    const rows = await attemptedRows(incident);
    expect(rows.filter((r) => r["status"] === "attempted")).toHaveLength(1);
    expect(rows.find((r) => r["status"] === "attempted")).toMatchObject({
      before: { id: MACHINE, state: "stopped" },
      after: { id: MACHINE, state: "started", checks: ["passing"] },
      reason_from_reasoning: "It exited with code 137.",
    });
    const outcomes = await env.DB.prepare(
      "SELECT details FROM audit WHERE incident_id = ? AND seam = 'autofix.outcome'",
    )
      .bind(incident)
      .all<{ details: string }>();
    expect(outcomes.results.map((r) => JSON.parse(r.details)["outcome"])).toEqual(["recovered"]);
    await advanceFix(a.deps, key);
    expect(await acts()).toHaveLength(1);
  });

  it.each([
    ["failed_machine", {}, "restart", "recovered"],
    ["critical_check", {}, "restart", "recovered"],
    ["stopped", { fix: "restart_no_change" }, "start", "no_change"],
    ["stopped", { fix: "restart_worse" }, "start", "worse"],
    ["stopped", { fix: "apply_then_hang" }, "start", "recovered"],
    ["stopped", { fix: "hang" }, "start", "no_change"],
    ["stopped", { fix: "5xx" }, "start", "no_change"],
    ["stopped", { fix: "then_unreadable" }, "start", "no_change"],
  ])("%s %j: one %s, outcome %s", async (mode, more, verb, outcome) => {
    const { incident, deps, key } = await approved(mode, more);
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "done", outcome });
    expect((await acts()).map((a) => a.path.split("/").at(-1))).toEqual([verb]);
    expect((await flyWrites()).at(-1)?.method).toBe("DELETE");
    expect((await attemptedRows(incident)).map((r) => r["status"])).toEqual(["attempted"]);
    await advanceFix(deps, key);
    expect(await acts()).toHaveLength(1);
  });

  it.each([
    ["lease_conflict", 0, null],
    ["refuse", 1, "number"],
  ])("%s: nothing is changed and nothing is tried again", async (fix, posts, started) => {
    const { incident, deps, key } = await approved("stopped", { fix });
    await advanceFix(deps, key);
    await advanceFix(deps, key);
    const row = await mustFix(key);
    expect(row.state).toBe("failed");
    expect(row.started_at === null ? null : typeof row.started_at).toBe(started);
    expect(await acts()).toHaveLength(posts);
    expect((await attemptedRows(incident)).map((r) => r["status"])).toEqual(["execution_failed"]);
  });

  it("what was asked for is what leaves: a machine that changed meanwhile is left alone", async () => {
    const { deps, key } = await approved("stopped");
    await control({ fly: { mode: "failed_machine" } });
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "failed", started_at: null });
    expect((await mustFix(key)).error).toContain("failed now");
    expect(await acts()).toEqual([]);
    expect((await flyWrites()).map((w) => w.method)).toEqual(["POST", "DELETE"]);
  });

  it("a machine that serves again by itself is left alone", async () => {
    const { deps, key } = await approved("stopped");
    await control({ fly: { mode: "ok" } });
    await advanceFix(deps, key);
    expect((await mustFix(key)).error).toContain("serves again");
    expect(await acts()).toEqual([]);
  });
});

describe("switches and modes between approval and run", () => {
  it("killed in between: refused before any vendor call, told, and the attempt is given back", async () => {
    const { incident, deps, key } = await approved();
    await api("PATCH", "/switchboard", { killed: true });
    const { deps: later } = await fixer();
    await advanceFix(later, key);
    expect(await mustFix(key)).toMatchObject({ state: "failed", started_at: null });
    expect(await flyWrites()).toEqual([]);
    expect(await attemptedRows(incident)).toMatchObject([{ status: "rejected", code: "kill_switch" }]);
    await setMode("approve");
    await advanceFix(deps, key);
    expect(await acts()).toEqual([]);
    expect(await proposeFix((await fixer()).deps, ask(incident))).toMatchObject({
      ok: false,
      code: "attempts_incident",
    });
    const person = { name: "ana", capabilities: ["probe_autofix_fly_restart"] };
    expect(await proposeFix((await fixer()).deps, ask(incident, { caller: person }))).toMatchObject({
      status: "waiting",
    });
  });

  it("killed between the lease and the write: no write, the lease is given back", async () => {
    const { deps, key } = await approved();
    await advanceFix(
      {
        ...deps,
        readSwitches: async () => {
          await api("PATCH", "/switchboard", { killed: true });
          return deps.readSwitches();
        },
      },
      key,
    );
    expect((await mustFix(key)).error).toContain("killed meanwhile");
    expect((await flyWrites()).map((w) => `${w.method} ${w.path.split("/").at(-1)}`)).toEqual([
      "POST lease",
      "DELETE lease",
    ]);
  });

  it("an unreadable switchboard right before the write stops it", async () => {
    const { deps, key } = await approved();
    const { UNREADABLE } = await import("../../src/watch");
    await advanceFix({ ...deps, readSwitches: async () => ({ ...UNREADABLE, unreadable: true }) }, key);
    expect((await mustFix(key)).error).toContain("can't be read");
    expect(await acts()).toEqual([]);
  });

  it("back to dry run, or api_url changed: what was approved does not run", async () => {
    const one = await approved();
    await setMode("dry_run");
    await advanceFix((await fixer()).deps, one.key);
    expect(await attemptedRows(one.incident)).toMatchObject([{ code: "mode_changed" }]);
    await freshFixes();
    const two = await approved();
    await env.DB.prepare(
      "UPDATE target SET config = json_set(config, '$.api_url', 'http://127.0.0.1:1/elsewhere') WHERE id = ?",
    )
      .bind(two.target)
      .run();
    await advanceFix(two.deps, two.key);
    expect(await attemptedRows(two.incident)).toMatchObject([{ code: "request_changed" }]);
    await env.DB.prepare("UPDATE autofix SET state = 'approved' WHERE key = ?").bind(two.key).run();
    await env.DB.prepare(
      "UPDATE target SET config = json_set(config, '$.api_url', 'https://fly.example.com') WHERE id = ?",
    )
      .bind(two.target)
      .run();
    await advanceFix(two.deps, two.key);
    expect((await attemptedRows(two.incident)).at(-1)).toMatchObject({ code: "api_url_foreign" });
    expect(await flyWrites()).toEqual([]);
  });
});

describe("crashes", () => {
  it("after the row was taken: unknown outcome, told once, never a second POST", async () => {
    const { incident, deps, key } = await approved("stopped", { fix: "restart_no_change" });
    await vi.waitFor(async () => expect((await told()).slack.length).toBeGreaterThan(0));
    // The run dies with the answer on its way: its last act is the POST.
    await expect(advanceFix({ ...deps, db: dyingAfter(/SET state = \?2, before_state/) }, key)).rejects.toThrow(
      "the process died",
    );
    expect(await mustFix(key)).toMatchObject({ state: "running" });
    expect(await acts()).toHaveLength(1);
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "running" });
    expect(await stuckFixes(env.DB, Date.now(), 600_000)).toEqual([]);
    await env.DB.prepare("UPDATE autofix SET started_at = started_at - 600001 WHERE key = ?").bind(key).run();
    expect(await stuckFixes(env.DB, Date.now(), 600_000)).toEqual([{ key, step: "run" }]);
    await Promise.all([advanceFix(deps, key), advanceFix(deps, key)]);
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "unknown_outcome" });
    expect((await attemptedRows(incident)).map((r) => r["status"])).toEqual(["unknown_outcome"]);
    const unknown = (await told()).slack.filter((m) => m.text.includes("Outcome unknown"));
    expect(unknown).toHaveLength(1);
    expect(unknown[0]!.text).toContain(`check machine ${MACHINE} yourself`);
    expect(await proposeFix(deps, ask(incident))).toMatchObject({ ok: false, code: "attempts_incident" });
    expect(await acts()).toHaveLength(1);
  });

  it("before the vendor was asked: the same end, because nobody can tell", async () => {
    const { deps, key } = await approved();
    await env.DB.prepare("UPDATE autofix SET state = 'running', started_at = ? WHERE key = ?")
      .bind(Date.now() - 700_000, key)
      .run();
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "unknown_outcome" });
    expect(await flyWrites()).toEqual([]);
  });

  it("between the run and its verification: verified later, without a second POST", async () => {
    const { deps, key } = await approved();
    await expect(
      advanceFix(
        {
          ...deps,
          look: async () => {
            throw new Error("the process died");
          },
        },
        key,
      ),
    ).rejects.toThrow("the process died");
    expect(await mustFix(key)).toMatchObject({ state: "done", outcome: null });
    await env.DB.prepare("UPDATE autofix SET finished_at = finished_at - 61000 WHERE key = ?").bind(key).run();
    expect(await stuckFixes(env.DB, Date.now(), 600_000)).toEqual([{ key, step: "verify" }]);
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "done", outcome: "recovered" });
    expect(await acts()).toHaveLength(1);
  });

  it("an approval whose run comes too late, and a question nobody answers, end without a call", async () => {
    const { incident, deps, key } = await approved();
    await env.DB.prepare("UPDATE autofix SET expires_at = ? WHERE key = ?")
      .bind(Date.now() - 1, key)
      .run();
    expect(await stuckFixes(env.DB, Date.now(), 600_000)).toEqual([{ key, step: "run" }]);
    await advanceFix(deps, key);
    expect(await mustFix(key)).toMatchObject({ state: "expired" });
    expect(await attemptedRows(incident)).toMatchObject([{ status: "rejected", code: "expired" }]);
    expect(await flyWrites()).toEqual([]);
  });

  it("a wake that comes back asks once", async () => {
    const { incident } = await breakFly();
    await setMode("approve");
    const { deps } = await fixer();
    const one = await proposeFix(deps, ask(incident, { wake_id: "wake-1" }));
    expect(await proposeFix(deps, ask(incident, { wake_id: "wake-1" }))).toEqual(one);
    expect(await attemptedRows(incident)).toEqual([]);
    expect(await proposeFix(deps, ask(incident, { wake_id: "wake-2" }))).toMatchObject({ code: "attempts_incident" });
  });
});

/** D1 whose batch with a statement like `pattern` never happens: the process is gone by then. */
function dyingAfter(pattern: RegExp): D1Database {
  let doomed = false;
  return new Proxy(env.DB, {
    get(db, name) {
      if (name === "prepare")
        return (sql: string) => {
          if (pattern.test(sql)) doomed = true;
          return db.prepare(sql);
        };
      if (name === "batch")
        return (statements: D1PreparedStatement[]) => {
          if (doomed) throw new Error("the process died");
          return db.batch(statements);
        };
      const value: unknown = Reflect.get(db, name);
      return typeof value === "function" ? value.bind(db) : value;
    },
  });
}

describe("the token", () => {
  it("is in no row, log or message, in any form, however a careless vendor repeats it", async () => {
    const lines: unknown[] = [];
    for (const name of ["log", "warn", "error", "info"] as const)
      vi.spyOn(console, name).mockImplementation((...args: unknown[]) => void lines.push(...args));
    for (const fix of ["restart_fixes", "refuse", "lease_conflict", "5xx"] as const) {
      await freshFixes();
      const { incident, deps, key } = await approved("stopped", { fix });
      await control({ echo_auth: true });
      await advanceFix(deps, key);
      expect((await attemptedRows(incident)).length).toBe(1);
    }
    vi.restoreAllMocks();
    const forms = [FLY_WRITE_TOKEN, FLY_WRITE_TOKEN.replace("FlyV1 ", "")].flatMap((t) => [
      t,
      JSON.stringify(t).slice(1, -1),
      encodeURIComponent(t),
      btoa(t).replace(/=+$/, ""),
      [...t].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(""),
    ]);
    const tables = await env.DB.prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cf%' ESCAPE '\\' AND name NOT LIKE 'd1_%'",
    ).all<{ name: string }>();
    expect(tables.results.length).toBeGreaterThan(15);
    let text = JSON.stringify(await told()) + lines.join("\n");
    for (const { name } of tables.results)
      text += JSON.stringify((await env.DB.prepare(`SELECT * FROM ${name}`).all()).results);
    for (const form of forms) expect(text.includes(form), form.slice(0, 12)).toBe(false);
    expect(text).toContain("<REDACTED>");
  });
});
