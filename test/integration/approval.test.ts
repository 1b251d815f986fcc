import { createScheduledController } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readAudit } from "../../src/audit";
import worker from "../../src/edge";
import type { EdgeEnv } from "../../src/edge/env";
import { createLoginCode } from "../../src/operator";
import { advanceFix, type FixView, proposeFix } from "../../src/reason";
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
  pressSlack,
  questionOf,
  setMode,
  told,
  until,
} from "./fix-kit";

/**
 * A fix asked by the operator's API, answered in Slack, Telegram or on the page, and run by the consumer Worker over its queue:
 * one answer counts, wherever it comes from. Nothing of ours is replaced.
 */

beforeEach(freshFixes);
afterEach(async () => {
  await setMode(null);
  await dropTargets();
});

interface Block {
  type: string;
  elements?: { action_id: string; text: { text: string } }[];
}
const question = async () => (await told()).slack.find((m) => m.text.includes("Approve one action"));
const buttonsOf = (m: { blocks: unknown[] } | undefined): Record<string, string> =>
  Object.fromEntries(
    ((m?.blocks ?? []) as Block[]).flatMap((b) => b.elements ?? []).map((e) => [e.text.text, e.action_id]),
  );

const ask = (incident: string, more: Record<string, unknown> = {}) =>
  api<FixView & { error?: { code: string; message: string } }>("POST", `/incidents/${incident}/fix`, {
    action: "restart_machine",
    target_id: MACHINE,
    reason: "it stopped",
    ...more,
  });
const fixOf = async (incident: string): Promise<FixView> => {
  const { body } = await api<{ fixes: FixView[] }>("GET", `/incidents/${incident}`);
  return body.fixes[0]!;
};

/** Asked and told: the question with its buttons is in Slack. */
async function asked(
  more: Record<string, unknown> = {},
): Promise<{ incident: string; buttons: Record<string, string> }> {
  const { incident } = await breakFly("stopped", more);
  await setMode("approve");
  await vi.waitFor(async () => expect((await told()).slack).toHaveLength(1), 5_000);
  const made = await ask(incident);
  expect([made.status, made.body.state]).toEqual([202, "waiting"]);
  const m = await until("the question", question, (q) => q !== undefined);
  return { incident, buttons: buttonsOf(m) };
}

describe("asked by the API, answered in Slack, run by the consumer", () => {
  it("question in the thread, one press, one start, verified and told in the same thread", async () => {
    const { incident, buttons } = await asked();
    const m = (await question())!;
    expect(m.thread_ts).not.toBeNull();
    expect(m.text.length).toBeLessThanOrEqual(600);
    expect(Object.keys(buttons)).toEqual(["Approve start", "Deny", "Open"]);
    expect(await flyWrites()).toEqual([]);
    expect(await pressSlack(buttons["Approve start"]!)).toBe(200);
    const fix = await until(
      "the outcome",
      () => fixOf(incident),
      (f) => f.outcome !== null,
    );
    expect(fix).toMatchObject({ state: "done", outcome: "recovered", by: "ana (Slack)", verb: "start" });
    expect(fix.approval).toMatchObject({ used_by: "ana (Slack)", answer: "approve" });
    expect(await acts()).toHaveLength(1);
    const result = await until(
      "the result",
      async () => (await told()).slack.find((x) => x.text.includes("serves again")),
      (x) => x !== undefined,
    );
    expect(result?.thread_ts).toBe(m.thread_ts);
    const shown = (await question())!.edits.at(-1)!;
    expect(shown.text).toContain("Approved by ana");
    expect(JSON.stringify(shown)).not.toContain("y_");
    // The root keeps telling the state of the incident.
    expect((await told()).slack[0]!.edits.some((e) => e.text.includes("Approve one action"))).toBe(false);
    expect((await attemptedRows(incident)).map((r) => r["status"])).toEqual(["attempted"]);
    const { body } = await api<{ timeline: { sentence: string }[] }>("GET", `/incidents/${incident}`);
    const story = body.timeline.map((r) => r.sentence).join("\n");
    for (const words of ["Asked to approve a fix", "approved by ana (Slack)", "was sent", "recovered"])
      expect(story).toContain(words);
    await api("POST", `/targets/${fix.target_id}/look`);
    const recovered = await until(
      "the recovery",
      async () => (await told()).slack.find((x) => x.text.startsWith("● OK again")),
      (x) => x !== undefined,
    );
    expect(recovered?.text).toContain("Started by Reveille, approved by ana (Slack).");
    const list = await api<{ items: FixView[] }>("GET", "/autofix");
    expect(list.body.items.map((f) => f.incident_id)).toEqual([incident]);
  });

  it("Slack and the API at once: one answer, one run; the other is told who was first", async () => {
    const { incident, buttons } = await asked({ act_delay: 200 });
    const id = await questionOf(incident);
    const [slack, one, two] = await Promise.all([
      pressSlack(buttons["Approve start"]!),
      api<{ error: { code: string; message: string } }>("POST", `/approvals/${id}`, { answer: "approve", by: "bo" }),
      api<{ error: { code: string; message: string } }>("POST", `/approvals/${id}`, { answer: "approve", by: "cy" }),
    ]);
    expect(slack).toBe(200);
    const won = [one, two].filter((r) => r.status === 200).length;
    for (const r of [one, two].filter((x) => x.status !== 200)) {
      expect(r.status).toBe(409);
      expect(r.body.error.code).toBe("used");
      expect(r.body.error.message).toMatch(/^Approved by .+ at \d\d:\d\d UTC; it counts once\.$/);
    }
    expect(won).toBeLessThanOrEqual(1);
    await until(
      "the outcome",
      () => fixOf(incident),
      (f) => f.outcome !== null,
    );
    expect(await acts()).toHaveLength(1);
    const approved = await readAudit(env.DB, { seam: "autofix.approved", incident_id: incident, limit: 10 });
    expect(approved).toHaveLength(1);
  });

  it("Deny: nothing is sent, the buttons are gone, and Approve comes too late", async () => {
    const { incident, buttons } = await asked();
    expect(await pressSlack(buttons["Deny"]!)).toBe(200);
    expect(await fixOf(incident)).toMatchObject({ state: "denied", by: "ana (Slack)" });
    expect(await pressSlack(buttons["Approve start"]!)).toBe(200);
    const edit = await until(
      "the edit",
      async () => (await question())?.edits.at(-1),
      (e) => e !== undefined,
    );
    expect(edit!.text).toContain("Denied by ana");
    expect(await fixOf(incident)).toMatchObject({ state: "denied" });
    expect(await flyWrites()).toEqual([]);
    expect(await attemptedRows(incident)).toMatchObject([{ status: "rejected", code: "denied" }]);
    // Reasoning does not nag; a person may ask again, with a new question.
    const { deps } = await fixer();
    const again = { incident_id: incident, wake_id: null, action: "start", target_id: MACHINE, reason: "again" };
    expect(await proposeFix(deps, again)).toMatchObject({ ok: false, code: "attempts_incident" });
    const before = await questionOf(incident);
    expect((await ask(incident)).status).toBe(202);
    expect(await questionOf(incident)).not.toBe(before);
  });

  it("who is no operator changes nothing and is counted", async () => {
    const { incident, buttons } = await asked();
    const denied = async () => (await readAudit(env.DB, { seam: "capability.denied", limit: 100 })).length;
    const count = await denied();
    expect(await pressSlack(buttons["Approve start"]!, "U0STRANGER")).toBe(200);
    expect(await denied()).toBe(count + 1);
    expect(await fixOf(incident)).toMatchObject({ state: "waiting" });
    expect(await flyWrites()).toEqual([]);
  });

  it("after 15 minutes the button does nothing, and the sweeper ends the question", async () => {
    const { incident, buttons } = await asked();
    const key = (await fixOf(incident)).key;
    const past = Date.now() - 1;
    await env.DB.batch([
      env.DB.prepare("UPDATE approval SET expires_at = ? WHERE autofix_key = ?").bind(past, key),
      env.DB.prepare("UPDATE autofix SET expires_at = ? WHERE key = ?").bind(past, key),
    ]);
    expect(await pressSlack(buttons["Approve start"]!)).toBe(200);
    const id = await questionOf(incident);
    const late = await api<{ error: { code: string } }>("POST", `/approvals/${id}`, { answer: "approve" });
    expect([late.status, late.body.error.code]).toEqual([409, "expired"]);
    await env.DB.prepare("DELETE FROM listener_state WHERE name = 'sweeper'").run();
    const at = createScheduledController({ cron: "* * * * *", scheduledTime: new Date() });
    await worker.scheduled(at, env as unknown as EdgeEnv);
    await until(
      "the end",
      () => fixOf(incident),
      (f) => f.state === "expired",
    );
    expect(await flyWrites()).toEqual([]);
  });

  it("a Telegram press counts the same, and its answer says what happened", async () => {
    const { incident, buttons } = await asked();
    const press = (id: string, from: number, data: string): Promise<Response> =>
      exports.default.fetch("http://reveille.test/webhooks/telegram/app", {
        method: "POST",
        headers: { "x-telegram-bot-api-secret-token": "tg_Test-Secret_0001", "content-type": "application/json" },
        body: JSON.stringify({ update_id: 1, callback_query: { id, from: { id: from, username: "bo" }, data } }),
      });
    const answer = (id: string) =>
      until(
        `the answer to ${id}`,
        async () => (await told()).telegram_answers.find((x) => x.callback_query_id === id)?.text,
        (x) => x !== undefined,
      );
    expect((await press("cb-0", 666, buttons["Approve start"]!)).status).toBe(200);
    expect(await answer("cb-0")).toBe("Only operators of this Reveille may press this.");
    expect(await fixOf(incident)).toMatchObject({ state: "waiting" });
    await press("cb-1", 7001, buttons["Approve start"]!);
    expect(await answer("cb-1")).toBe("Approved. Running…");
    await press("cb-2", 7001, buttons["Deny"]!);
    expect(await answer("cb-2")).toMatch(/^Approved by bo \(Telegram\) at \d\d:\d\d UTC; it counts once\.$/);
    await until(
      "the outcome",
      () => fixOf(incident),
      (f) => f.outcome === "recovered",
    );
    expect(await acts()).toHaveLength(1);
  });

  it("a made-up or foreign button is unknown", async () => {
    const { incident, buttons } = await asked();
    expect(await pressSlack(`rv1:y_${"A".repeat(28)}`)).toBe(200);
    expect(await pressSlack(buttons["Approve start"]!.replace("y_", "x_"))).toBe(200);
    expect((await api("POST", "/approvals/nosuch", { answer: "approve" })).status).toBe(404);
    expect((await api("POST", `/approvals/${await questionOf(incident)}`, { answer: "maybe" })).status).toBe(400);
    expect(await fixOf(incident)).toMatchObject({ state: "waiting" });
  });

  it("a muted target is asked about in the inbox only", async () => {
    const { incident, target } = await breakFly("stopped");
    await setMode("approve");
    await vi.waitFor(async () => expect((await told()).slack).toHaveLength(1), 5_000);
    await api("POST", `/targets/${target}/mute`, { minutes: 60 });
    await ask(incident);
    const notices = () =>
      api<{ items: { event: string; attempts: { channel: string; state: string }[] }[] }>(
        "GET",
        `/notices?incident_id=${incident}`,
      );
    const n = await until("the question", notices, (r) => r.body.items.some((x) => x.event === "approval"));
    const attempts = n.body.items.find((x) => x.event === "approval")!.attempts;
    expect(attempts.some((a) => a.channel === "inbox" && a.state === "sent")).toBe(true);
    expect(await question()).toBeUndefined();
  });
});

describe("the operator's API", () => {
  it("tells the gate that refused, keeps its row, and knows no incident that is not there", async () => {
    const { incident } = await breakFly("stopped");
    const off = await ask(incident);
    expect([off.status, off.body.error?.code]).toEqual([409, "envelope_disabled"]);
    await setMode("approve");
    expect((await ask(incident, { target_id: "e28650d1a74998" })).body.error?.code).toBe("target_not_in_snapshot");
    expect((await ask(incident, { action: "scale_up" })).body.error?.code).toBe("action_not_in_envelope");
    expect((await ask("01NOSUCH")).status).toBe(404);
    expect((await ask(incident, { extra: 1 })).status).toBe(400);
    expect((await attemptedRows(incident)).map((r) => [r["code"], r["by"]])).toEqual([
      ["envelope_disabled", "api"],
      ["target_not_in_snapshot", "api"],
      ["action_not_in_envelope", "api"],
    ]);
  });

  it("auto runs without a question, through every gate again", async () => {
    const { incident } = await breakFly("failed_machine");
    await setMode("auto");
    expect((await ask(incident)).status).toBe(202);
    const fix = await until(
      "the outcome",
      () => fixOf(incident),
      (f) => f.outcome !== null,
    );
    expect(fix).toMatchObject({ state: "done", outcome: "recovered", by: "auto", verb: "restart", approval: null });
    expect((await acts()).map((a) => a.path.split("/").at(-1))).toEqual(["restart"]);
  });

  it("a lost queue message is made good by the sweeper", async () => {
    const { incident } = await breakFly("stopped");
    await setMode("auto");
    const { deps, sent } = await fixer();
    await proposeFix(deps, { incident_id: incident, wake_id: null, action: "start", target_id: MACHINE, reason: "x" });
    expect(sent).toHaveLength(1);
    const { key } = await fixOf(incident);
    await env.DB.prepare("UPDATE autofix SET created_at = created_at - 61000 WHERE key = ?").bind(key).run();
    await env.DB.prepare("DELETE FROM listener_state WHERE name = 'sweeper'").run();
    const at = createScheduledController({ cron: "* * * * *", scheduledTime: new Date() });
    await worker.scheduled(at, env as unknown as EdgeEnv);
    await until(
      "the outcome",
      () => fixOf(incident),
      (f) => f.outcome === "recovered",
    );
    expect(await acts()).toHaveLength(1);
  });
});

/** A signed-in browser without script. */
async function browser() {
  const { code } = await createLoginCode(env.DB, Date.now());
  const first = await exports.default.fetch(`http://reveille.test/login?code=${code}`, { redirect: "manual" });
  const cookie = first.headers
    .getSetCookie()
    .map((l) => l.split(";")[0])
    .join("; ");
  const get = async (path: string): Promise<string> =>
    (await exports.default.fetch(`http://reveille.test${path}`, { headers: { cookie } })).text();
  const press = async (path: string, action: string, pick = ""): Promise<number> => {
    const html = await get(path);
    const forms = [...html.matchAll(/<form method="post" action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/g)];
    const form = forms.find((m) => m[1] === action && m[2]!.includes(pick));
    if (!form) throw new Error(`no form on ${path} posts to ${action}`);
    const fields = [...form[2]!.matchAll(/name="([^"]*)" value="([^"]*)"/g)].map((f) => [f[1]!, f[2]!]);
    const response = await exports.default.fetch(`http://reveille.test${action}`, {
      method: "POST",
      redirect: "manual",
      headers: { cookie, "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(fields as [string, string][]),
    });
    return response.status;
  };
  return { get, press };
}

describe("the pages", () => {
  it("ask, see the exact request, approve, see the outcome; Slack's button is used by then", async () => {
    const { incident } = await breakFly("stopped");
    const page = `/incidents/${incident}`;
    const b = await browser();
    expect(await b.get(page)).not.toContain("fix-box");
    await setMode("approve");
    await vi.waitFor(async () => expect((await told()).slack).toHaveLength(1), 5_000);
    expect(await b.press(page, `${page}/fix`)).toBe(303);
    const m = await until("the question", question, (q) => q !== undefined);
    const html = await b.get(page);
    for (const words of [
      "Approve one action?",
      "Attempt 1 of 1",
      "/machines/148e21c9a45678/start",
      "waiting for an answer",
      "can&#39;t be undone",
    ])
      expect(html).toContain(words);
    expect(html).not.toMatch(/authorization|FlyV1/i);
    expect(await b.get("/inbox")).toContain(`${page}#fix-box`);
    expect(await b.press(page, `${page}/fix/approve`)).toBe(303);
    await until(
      "the outcome",
      () => fixOf(incident),
      (f) => f.outcome !== null,
    );
    const after = await b.get(page);
    expect(after).toContain("recovered");
    expect(after).toContain("Approved by operator");
    expect(await b.get("/inbox")).not.toContain("#fix-box");
    expect(after).not.toContain(`${page}/fix/approve`);
    expect(await pressSlack(buttonsOf(m)["Approve start"]!)).toBe(200);
    expect(await acts()).toHaveLength(1);
  });

  it("deny, expiry, dry run and unknown outcome are said in words", async () => {
    const { incident } = await breakFly("stopped");
    const page = `/incidents/${incident}`;
    const b = await browser();
    await setMode("dry_run");
    await b.press(page, `${page}/fix`);
    expect(await b.get(page)).toContain("Not sent: the envelope is in dry run");
    await setMode("approve");
    await b.press(page, `${page}/fix`);
    await b.press(page, `${page}/fix/deny`);
    expect(await b.get(page)).toContain("denied by operator; nothing was changed");
    const set = (state: string, more = "") =>
      env.DB.prepare(`UPDATE autofix SET state = ? ${more} WHERE mode <> 'dry_run' AND incident_id = ?`)
        .bind(state, incident)
        .run();
    await set("unknown_outcome");
    expect(await b.get(`${page}?1`)).toContain(`outcome unknown: check machine ${MACHINE} yourself`);
    await set("waiting", ", expires_at = 1");
    expect(await b.get(`${page}?2`)).toContain("expired");
    await set("running");
    expect(await b.get(`${page}?3`)).toContain("running (lease held)");
  });

  it("the switchboard changes modes: dry run at once, approve and auto on a page with the caps in words", async () => {
    const b = await browser();
    const envelope = async () =>
      (await api<{ envelopes: Record<string, unknown> }>("GET", "/switchboard")).body.envelopes["fly"];
    await setMode("dry_run");
    const confirm = await b.get("/switchboard/envelope/fly?mode=auto");
    for (const words of ["run by themselves", "1 attempt an incident", "2 a target in 24 h", "3 a workspace"])
      expect(confirm).toContain(words);
    expect(await b.press("/switchboard/envelope/fly?mode=approve", "/switchboard", "approve")).toBe(303);
    expect(await envelope()).toEqual({ enabled: true, mode: "approve" });
    expect(await b.press("/switchboard/envelope/fly?mode=auto", "/switchboard", "auto")).toBe(303);
    expect(await envelope()).toEqual({ enabled: true, mode: "auto" });
    const board = await b.get("/switchboard");
    expect(board).toContain("on, auto");
    expect(board).not.toContain('name="mode" value="auto"');
    expect(await b.press("/switchboard", "/switchboard", 'value="dry_run"')).toBe(303);
    expect(await envelope()).toEqual({ enabled: true, mode: "dry_run" });
    expect(await b.press("/switchboard/envelope/fly?mode=bogus", "/switchboard", "envelope.fly")).toBe(303);
    expect(await envelope()).toEqual({ enabled: true, mode: "dry_run" });
  });
});

describe("the edge holds no write token", () => {
  it("and asks all the same: the consumer checks it again", async () => {
    expect(Object.keys(env as unknown as object)).not.toContain("REVEILLE_FLY_WRITE_TOKEN");
    const { incident } = await breakFly("stopped");
    await setMode("approve");
    await ask(incident);
    const { key } = await fixOf(incident);
    await api("POST", `/approvals/${await questionOf(incident)}`, { answer: "deny" });
    await env.DB.prepare("UPDATE autofix SET state = 'approved', expires_at = ? WHERE key = ?")
      .bind(Date.now() + 60_000, key)
      .run();
    const { deps } = await fixer({ vars: { REVEILLE_FLY_WRITE_TOKEN: "" } });
    await advanceFix(deps, key);
    expect((await mustFix(key)).error).toContain("REVEILLE_FLY_WRITE_TOKEN is not set");
    expect(await flyWrites()).toEqual([]);
    await control({ reset: true });
  });
});
