import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, inject, test, vi } from "vitest";
import { readAudit } from "../../src/audit";
import type { EdgeEnv } from "../../src/edge/env";
import worker from "../../src/edge/index";
import { hmacSha256, toHex } from "../../src/kernel/crypto";
import { newId } from "../../src/kernel/ids";
import { createActions } from "../../src/notify";
import { readIncident } from "../../src/watch";
import { control, ledger, vars } from "./notify-kit";

/**
 * Presses of notice buttons as Slack and Telegram send them, through the Worker's own fetch handler: a real target is looked
 * at, its incident is opened by its object, and the press acts on that object. Signatures are made here with the live clock.
 */

const SECRET = String(vars()["REVEILLE_SLACK_SIGNING_SECRET"]);
const TELEGRAM = String(vars()["REVEILLE_TELEGRAM_SECRET_TOKEN"]);
const OPERATOR = String(vars()["REVEILLE_OPERATOR_TOKEN"]);

const call = (path: string, init: RequestInit): Promise<Response> =>
  exports.default.fetch(new Request(`http://reveille.test${path}`, init));

type Send = (request: Request) => Response | Promise<Response>;
const live: Send = (request) => exports.default.fetch(request);

async function slackPost(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  more: Record<string, string> = {},
  send = live,
): Promise<Response> {
  const ts = String(Math.floor(Date.now() / 1000));
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = new Uint8Array([...new TextEncoder().encode(`v0:${ts}:`), ...bytes]);
  const mac = toHex(await hmacSha256(SECRET, signed));
  return send(
    new Request(`http://reveille.test${path}`, {
      method: "POST",
      headers: { "x-slack-request-timestamp": ts, "x-slack-signature": `v0=${mac}`, ...more },
      body: bytes,
    }),
  );
}

const pressSlack = (action_id: string, user = "U0OPERATOR", send = live): Promise<Response> => {
  const payload = {
    type: "block_actions",
    user: { id: user, username: "ana" },
    response_url: "https://hooks.slack.com/actions/T/1/secret",
    trigger_id: "1.2.3",
    actions: [{ action_id, value: "x", type: "button" }],
  };
  return slackPost(
    "/webhooks/slack/app/interactions",
    `payload=${encodeURIComponent(JSON.stringify(payload))}`,
    {},
    send,
  );
};

const pressTelegram = (data: string, from = 7001, id = newId(Date.now())): Promise<Response> =>
  call("/webhooks/telegram/app", {
    method: "POST",
    headers: { "x-telegram-bot-api-secret-token": TELEGRAM, "content-type": "application/json" },
    body: JSON.stringify({
      update_id: 1,
      callback_query: { id, from: { id: from, is_bot: false, username: "ana" }, message: { chat: { id: 7001 } }, data },
    }),
  });

/** A target that is down from its first look, and its incident. */
async function openIncident(): Promise<string> {
  const id = `t-${newId(Date.now()).toLowerCase()}`;
  const headers = { authorization: `Bearer ${OPERATOR}`, "content-type": "application/json" };
  const created = await call("/api/v1/targets", {
    method: "POST",
    headers,
    body: JSON.stringify({
      id,
      name: id,
      kind: "http",
      every: "1m",
      config: { url: `${inject("vendorsUrl")}/svc/ok`, keyword: "words that never come" },
      thresholds: { confirm: 1 },
    }),
  });
  expect(created.status, await created.clone().text()).toBe(201);
  const look = await call(`/api/v1/targets/${id}/look`, { method: "POST", headers });
  expect(look.status, await look.clone().text()).toBe(200);
  const row = await env.DB.prepare("SELECT id FROM incident WHERE target_id = ?").bind(id).first<{ id: string }>();
  if (!row) throw new Error(`no incident was opened: ${await look.text()}`);
  return row.id;
}

const denied = async () => (await readAudit(env.DB, { seam: "capability.denied", limit: 100 })).length;

beforeEach(() => control({ reset: true }));

describe("slack", () => {
  test("Ack acts once; a second press changes nothing", async () => {
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    const first = await pressSlack(`rv1:${ack!.id}`);
    expect([first.status, await first.text()]).toEqual([200, ""]);
    const acked = await readIncident(env.DB, incident);
    expect(acked).toMatchObject({ state: "acked", acked_by: "ana (Slack)" });
    expect((await pressSlack(`rv1:${ack!.id}`)).status).toBe(200);
    expect(await readIncident(env.DB, incident)).toEqual(acked);
  });

  test("Snooze 1 h", async () => {
    const incident = await openIncident();
    const [, snooze] = await createActions(env.DB, incident, Date.now());
    const before = Date.now();
    expect((await pressSlack(`rv1:${snooze!.id}`)).status).toBe(200);
    const until = Date.parse((await readIncident(env.DB, incident))?.snooze_until ?? "");
    expect(until - before).toBeGreaterThanOrEqual(3_600_000);
    expect(until - before).toBeLessThan(3_610_000);
  });

  test("who is no operator gets the same answer, does nothing, and is counted", async () => {
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    const count = await denied();
    const response = await pressSlack(`rv1:${ack!.id}`, "U0STRANGER");
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(await readIncident(env.DB, incident)).toMatchObject({ state: "open" });
    expect(await denied()).toBe(count + 1);
    expect((await pressSlack(`rv1:${ack!.id}`)).status).toBe(200);
    expect(await readIncident(env.DB, incident)).toMatchObject({ state: "acked" });
  });

  test("an act that fails on our side gives the button back, and Slack is told", async () => {
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    const used = () =>
      env.DB.prepare("SELECT used_by FROM notice_action WHERE id = ?")
        .bind(ack!.id)
        .first<{ used_by: string | null }>();
    // The Worker without its objects: what a broken deploy looks like.
    const broken = { ...(env as unknown as EdgeEnv), TARGET: undefined as unknown as DurableObjectNamespace };
    const failed = await pressSlack(`rv1:${ack!.id}`, "U0OPERATOR", (request) =>
      worker.fetch(request as Request<unknown, IncomingRequestCfProperties>, broken, createExecutionContext()),
    );
    expect([failed.status, await used()]).toEqual([500, { used_by: null }]);
    expect((await pressSlack(`rv1:${ack!.id}`)).status).toBe(200);
    expect([await used(), (await readIncident(env.DB, incident))?.state]).toEqual([
      { used_by: "ana (Slack)" },
      "acked",
    ]);
  });

  test.each(["hp1:prompt:yes", "rv1-open", "rv1:", "rv1:short", "rv1:../../etc/passwd-0000"])(
    "a press of %j is not ours: 200 and nothing",
    async (action) => {
      expect((await pressSlack(action, "U0STRANGER")).status).toBe(200);
    },
  );

  test("neither trigger nor response URL reaches the log", async () => {
    const lines: unknown[] = [];
    for (const name of ["log", "warn", "error"] as const)
      vi.spyOn(console, name).mockImplementation((...args: unknown[]) => void lines.push(...args));
    await pressSlack(`rv1:${"A".repeat(20)}`, "U0STRANGER");
    vi.restoreAllMocks();
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join("\n")).not.toMatch(/hooks\.slack\.com|1\.2\.3/);
  });

  test("the address check is answered only when signed", async () => {
    const body = JSON.stringify({ type: "url_verification", challenge: "abc123" });
    const answer = await slackPost("/webhooks/slack/app/events", body);
    expect([answer.status, await answer.text()]).toEqual([200, "abc123"]);
    const forged = await call("/webhooks/slack/app/events", { method: "POST", body });
    expect([forged.status, await forged.text()]).toEqual([401, ""]);
  });

  test("bad JSON after a good signature is 400, and Slack is told not to repeat it", async () => {
    const response = await slackPost("/webhooks/slack/app/events", "{not json");
    expect([response.status, response.headers.get("x-slack-no-retry")]).toEqual([400, "1"]);
    expect((await slackPost("/webhooks/slack/app/interactions", "payload=%7B")).status).toBe(400);
  });
});

describe("telegram", () => {
  test("Ack acts, and the spinner is stopped with the outcome", async () => {
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    expect((await pressTelegram(`rv1:${ack!.id}`, 7001, "cb-1")).status).toBe(200);
    expect(await readIncident(env.DB, incident)).toMatchObject({ state: "acked", acked_by: "ana (Telegram)" });
    await pressTelegram(`rv1:${ack!.id}`, 7001, "cb-2");
    await vi.waitFor(async () => expect((await ledger()).telegram_answers).toHaveLength(2));
    const answers = (await ledger()).telegram_answers.sort((a, b) =>
      a.callback_query_id.localeCompare(b.callback_query_id),
    );
    expect(answers[0]?.text).toBe("Acked.");
    expect(answers[1]?.text).toMatch(/^Used by ana \(Telegram\) at \d\d:\d\d UTC\.$/);
  });

  test("who is no operator is told so", async () => {
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    const count = await denied();
    expect((await pressTelegram(`rv1:${ack!.id}`, 666, "cb-3")).status).toBe(200);
    await vi.waitFor(async () =>
      expect((await ledger()).telegram_answers[0]?.text).toBe("Only operators of this Reveille may press this."),
    );
    expect(await denied()).toBe(count + 1);
    expect(await readIncident(env.DB, incident)).toMatchObject({ state: "open" });
  });

  test("a press on an incident that is over says so", async () => {
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    await env.DB.prepare("UPDATE incident SET resolved_at = ? WHERE id = ?").bind(Date.now(), incident).run();
    expect((await pressTelegram(`rv1:${ack!.id}`)).status).toBe(200);
    await vi.waitFor(async () => expect((await ledger()).telegram_answers[0]?.text).toContain("was resolved at"));
  });

  test("the act counts even when the answer can't be given", async () => {
    await control({ telegram: { mode: "5xx" } });
    const incident = await openIncident();
    const [ack] = await createActions(env.DB, incident, Date.now());
    expect((await pressTelegram(`rv1:${ack!.id}`)).status).toBe(200);
    expect(await readIncident(env.DB, incident)).toMatchObject({ state: "acked" });
  });
});

describe("the door", () => {
  const paths = ["/webhooks/slack/app/events", "/webhooks/slack/app/interactions", "/webhooks/telegram/app"];
  test.each(paths)("%s: 405 for anything but POST", async (path) => {
    for (const method of ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"]) {
      const response = await call(path, { method });
      expect([method, response.status, response.headers.get("allow")]).toEqual([method, 405, "POST"]);
    }
  });

  test.each(paths)("%s: more than 1 MiB is refused before it is verified, exactly 1 MiB is not", async (path) => {
    const headers = { "x-telegram-bot-api-secret-token": TELEGRAM };
    expect((await slackPost(path, new Uint8Array(1024 * 1024 + 1).fill(32), headers)).status).toBe(413);
    expect((await slackPost(path, new Uint8Array(1024 * 1024).fill(32), headers)).status).not.toBe(413);
    const unsaid = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 17; i++) controller.enqueue(new Uint8Array(64 * 1024).fill(32));
        controller.close();
      },
    });
    const response = await call(path, { method: "POST", body: unsaid, headers: { "x-slack-signature": "v0=" } });
    expect(response.status).toBe(413);
  });
});
