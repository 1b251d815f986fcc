import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { readAudit } from "../../src/audit";
import { forgetMessages, readHook, renderPrompt, storeWake } from "../../src/hooks";
import { DAY } from "../../src/kernel/clock";
import { utf8 } from "../../src/kernel/crypto";
import {
  api,
  BASE,
  edge,
  fresh,
  hit,
  makeHook,
  message,
  PING,
  post,
  probe,
  rowsOf,
  SECRET,
  signed,
  storedIds,
  TOPIC,
  wake,
} from "./hooks-kit";

/**
 * Wake hooks through the real route, store and window (wake-slo §1.2, §1.3, §2.1). Queues are tapped, so that what was accepted is
 * seen before anything is delivered; nothing else is replaced.
 */

type Loose = Record<string, unknown>;
const JSON_TYPE = { "content-type": "application/json" };
const BEARER = { ...JSON_TYPE, authorization: `Bearer ${SECRET}` };

describe("the table of answers", () => {
  it("health", async () => {
    const res = await exports.default.fetch(`${BASE}/hooks/health`);
    expect([res.status, await res.json()]).toEqual([200, { status: "ok" }]);
    expect((await hit("/hooks/health", { method: "POST" })).status).toBe(405);
  });

  it("429 at the global limit, counting those without a secret, before anything else", async () => {
    const how = { window: fresh("w"), vars: { REVEILLE_HOOK_RATE: "3", REVEILLE_HOOK_SOURCE_RATE: "100" } };
    const id = await makeHook();
    expect((await post("nobody", {}, how)).status).toBe(404);
    expect((await post(id, {}, how, { authorization: "Bearer wrong" })).status).toBe(401);
    expect((await post(id, {}, how)).status).toBe(202);
    const no = await hit(`/hooks/${id}`, { method: "POST", body: "x" }, how);
    expect([no.status, no.json]).toEqual([429, { error: "rate_limited" }]);
    expect(Number(no.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it("429 for one address, which takes no room from the others; a wrong secret counts three times", async () => {
    const how = { window: fresh("w"), vars: { REVEILLE_HOOK_RATE: "10", REVEILLE_HOOK_SOURCE_RATE: "6" } };
    const id = await makeHook();
    const from = (ip: string, secret = SECRET) =>
      post(id, {}, how, { "cf-connecting-ip": ip, authorization: `Bearer ${secret}` });
    expect((await from("10.0.0.1", "wrong-secret")).status).toBe(401);
    expect((await from("10.0.0.1", "wrong-secret")).status).toBe(401);
    for (let i = 0; i < 12; i++) expect((await from("10.0.0.1")).status).toBe(429);
    for (let i = 0; i < 6; i++) expect((await from("10.0.0.2")).status).toBe(202);
    expect((await from("10.0.0.2")).status).toBe(429);
    expect((await from("10.0.0.3")).status).toBe(202);
    expect((await from("10.0.0.3")).status).toBe(202);
    expect((await from("10.0.0.4")).status).toBe(429);
  });

  it("429 for one hook, counted for proven requests only", async () => {
    const how = { window: fresh("w") };
    const id = await makeHook({ limits: { per_minute: 1 } });
    for (let i = 0; i < 3; i++) expect((await post(id, {}, how, { authorization: "Bearer wrong" })).status).toBe(401);
    expect((await post(id, {}, how)).status).toBe(202);
    expect((await post(id, {}, how)).status).toBe(429);
    expect((await post(await makeHook(), {}, how)).status).toBe(202);
  });

  it.each([["text/plain"], ["application/json5"], ["application/jsonp; charset=utf-8"], [""], ["text/json"]])(
    "415 for %j",
    async (type) => {
      const id = await makeHook();
      const no = await hit(`/hooks/${id}`, {
        method: "POST",
        headers: { authorization: `Bearer ${SECRET}`, "content-type": type },
        body: "{}",
      });
      expect([no.status, no.json]).toEqual([415, { error: "content_type_must_be_json" }]);
    },
  );
  it("takes parameters and any case of the media type", async () => {
    const yes = await post(await makeHook(), {}, {}, { "content-type": "Application/JSON; charset=utf-8" });
    expect(yes.status).toBe(202);
  });

  it("413 in JSON, at the limit of all and of the hook", async () => {
    const id = await makeHook();
    const body = (n: number): string => `{"a":"${"x".repeat(n - 8)}"}`;
    expect((await post(id, body(262_144))).status).toBe(202);
    const no = await post(id, body(262_145));
    expect([no.status, no.json]).toEqual([413, { error: "body_too_large" }]);
    const small = await makeHook({ limits: { max_body_bytes: 20 } });
    expect([(await post(small, body(20))).status, (await post(small, body(21))).status]).toEqual([202, 413]);
    expect((await post("nobody", body(262_145))).status).toBe(413);
  });

  it.each([["{"], [""], ["{}x"], ['{"a":NaN}'], ["\u0000"]])("400 invalid_json for %j", async (body) => {
    const no = await post(await makeHook(), body);
    expect([no.status, no.json]).toEqual([400, { error: "invalid_json" }]);
  });
  it("400 for bytes that are no UTF-8", async () => {
    const body = new Uint8Array([...utf8('{"a":"'), 0xff, ...utf8('"}')]);
    const no = await hit(`/hooks/${await makeHook()}`, { method: "POST", headers: BEARER, body });
    expect([no.status, no.json]).toEqual([400, { error: "invalid_json" }]);
  });
  it.each([["[]"], ["null"], ["5"], ['"{}"'], ["true"], [JSON.stringify([{ event_type: "agentcomm_wake" }])]])(
    "400 body_must_be_object for %s",
    async (body) => {
      const no = await post(await makeHook(), body);
      expect([no.status, no.json]).toEqual([400, { error: "body_must_be_object" }]);
    },
  );

  it("404 for no hook, before the secret; also for odd paths, and never a redirect", async () => {
    for (const path of [
      "/hooks/nobody",
      "/hooks/nobody/",
      "/hooks/a%20b",
      "/hooks/a/b",
      `/hooks/${"x".repeat(3_000)}`,
    ]) {
      const no = await hit(path, { method: "POST", headers: JSON_TYPE, body: "{}" });
      expect([path.slice(0, 20), no.status, no.json]).toEqual([path.slice(0, 20), 404, { error: "hook_not_found" }]);
    }
    const id = await makeHook();
    expect((await post(`${id}/`, {})).status).toBe(202);
    expect((await post(`${id}?x=1`, {})).status).toBe(202);
  });

  it("401 for a wrong secret, 403 only with the right one", async () => {
    const id = await makeHook();
    expect((await api("PATCH", `/hooks/${id}`, { enabled: false })).status).toBe(200);
    const [no, off] = [await post(id, {}, {}, { authorization: "Bearer wrong" }), await post(id, {})];
    expect([no.status, no.json]).toEqual([401, { error: "unauthorized" }]);
    expect([off.status, off.json]).toEqual([403, { error: "hook_disabled" }]);
    expect(await rowsOf(id)).toEqual([]);
  });

  it.each([
    ["nothing", {}],
    ["another scheme's case", { authorization: `bearer ${SECRET}` }],
    ["a bearer outside ASCII", { authorization: "Bearer gehe\u00efm\u00fc" }],
    ["the global token on a hook with its own", { authorization: "Bearer test-hook-token-2c9f41d7e8a05b63" }],
    ["the operator's token", { authorization: "Bearer test-operator-token-4f1c9b7e2a" }],
  ])("401 for %s", async (_, headers: Record<string, string>) => {
    const id = await makeHook();
    const no = await hit(`/hooks/${id}`, { method: "POST", headers: { ...JSON_TYPE, ...headers }, body: "{}" });
    expect([no.status, no.json]).toEqual([401, { error: "unauthorized" }]);
  });

  it("202 with the hook's id, well under 5 s", async () => {
    const id = await makeHook();
    const yes = await post(id, wake(message("m1"), probe("p1")));
    expect([yes.status, yes.json]).toEqual([202, { accepted: true, hook_id: id }]);
    expect(yes.ms).toBeLessThan(1_000);
  });

  it("405 for other methods", async () => {
    const id = await makeHook();
    for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const no = await hit(`/hooks/${id}`, { method, headers: BEARER });
      expect([no.status, no.headers.get("allow")]).toEqual([405, "POST"]);
    }
  });
});

describe("secrets", () => {
  it("the global token lets in where a hook has none, and nobody when it is unset", async () => {
    const id = await makeHook({ secret: undefined, own_secret: false });
    const headers = { authorization: "Bearer test-hook-token-2c9f41d7e8a05b63" };
    expect((await post(id, {}, {}, headers)).status).toBe(202);
    expect((await post(id, {}, { vars: { REVEILLE_HOOK_TOKEN: "" } }, headers)).status).toBe(401);
    expect((await post(id, {}, { vars: { REVEILLE_HOOK_TOKEN: "" } }, { authorization: "Bearer " })).status).toBe(401);
  });

  it("hmac over the exact bytes, as the senders of the wakes sign", async () => {
    const id = await makeHook({ auth_mode: "hmac" });
    expect((await signed(id, '{ "a" : "ü" }')).status).toBe(202);
    expect((await signed(id, {}, "another-secret-0001")).status).toBe(401);
    expect((await post(id, {})).status).toBe(401);
  });

  it("two live ones after a rotation, one when the grace is over, and at once with none", async () => {
    const id = await makeHook();
    const rotated = await api("POST", `/hooks/${id}/rotate`);
    const second = { authorization: `Bearer ${rotated.json["secret"]}` };
    expect((rotated.json["secrets"] as Loose[]).map((s) => s["retire_at"] === null)).toEqual([true, false]);
    expect([(await post(id, {})).status, (await post(id, {}, {}, second)).status]).toEqual([202, 202]);
    const third = {
      authorization: `Bearer ${(await api("POST", `/hooks/${id}/rotate`, { grace_s: 0 })).json["secret"]}`,
    };
    expect([
      (await post(id, {})).status,
      (await post(id, {}, {}, second)).status,
      (await post(id, {}, {}, third)).status,
    ]).toEqual([401, 401, 202]);
    const own = await api("POST", `/hooks/${id}/rotate`, { secret: "brought-by-operator-1" });
    expect(own.json["secret"]).toBe("brought-by-operator-1");
    expect(own.json["secrets"]).toHaveLength(2);
  });

  it("lie in the row sealed, are told once, and open under the key before", async () => {
    const made = await api("POST", "/hooks", {
      title: "t",
      agent_id: "a",
      agent_name: "a",
      slo_key: "q_key-of-an-agent-001",
    });
    const { id, secret } = made.json as { id: string; secret: string };
    expect(secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const row = JSON.stringify(await edge.DB.prepare("SELECT * FROM hook WHERE id = ?").bind(id).first());
    const shown = JSON.stringify([(await api("GET", `/hooks/${id}`)).json, (await api("GET", "/hooks")).json]);
    const audit = JSON.stringify(await readAudit(edge.DB, { seam: "hook.changed", limit: 100 }));
    for (const text of [row, shown, audit]) {
      expect(text).toContain(id);
      for (const hidden of [secret, "q_key-of-an-agent-001"]) expect(text).not.toContain(hidden);
    }
    expect(shown).not.toContain("sealed");
    expect((await api("GET", `/hooks/${id}`)).json["has_slo_key"]).toBe(true);
    const headers = { authorization: `Bearer ${secret}` };
    const [fresh, old] = ["11".repeat(32), "4b8e2d6f".repeat(8)];
    const rotatedKey = { vars: { REVEILLE_HOOK_KEY: fresh, REVEILLE_HOOK_KEY_OLD: old } };
    expect((await post(id, {}, rotatedKey, headers)).status).toBe(202);
    for (const key of [fresh, "", "no key"]) {
      const no = await post(id, {}, { vars: { REVEILLE_HOOK_KEY: key } }, headers);
      expect([no.status, no.json]).toEqual([503, { error: "unconfigured" }]);
    }
  });

  it("copied to another hook's row opens nothing", async () => {
    const [a, b] = [await makeHook(), await makeHook({ secret: "secret-of-hook-b-01" })];
    await edge.DB.prepare("UPDATE hook SET secrets = (SELECT secrets FROM hook WHERE id = ?) WHERE id = ?")
      .bind(a, b)
      .run();
    expect((await post(b, {})).status).toBe(503);
  });
});

describe("what was accepted is durable", () => {
  it("with the Worker's own bindings, queues included", async () => {
    const id = await makeHook();
    const body = JSON.stringify(wake(message("m1"), probe("p1")));
    const res = await exports.default.fetch(`${BASE}/hooks/${id}`, { method: "POST", headers: BEARER, body });
    expect([res.status, await res.json()]).toEqual([202, { accepted: true, hook_id: id }]);
    expect(await storedIds(id)).toEqual(["m1"]);
  });

  it("a real message is a row and a queue message, as it was received", async () => {
    const id = await makeHook();
    const text = JSON.stringify(wake(message("m1")), null, 1).replace('"text of m1"', '"big 12345678901234567890"');
    const { sent } = await post(id, text);
    const rows = await rowsOf(id);
    expect(rows).toMatchObject([{ wake_id: `hook:${id}:m1`, payload: text, state: "new", via: "hook" }]);
    expect(sent).toEqual({ slo: [], wake: [{ wake_id: `hook:${id}:m1`, kind: "message" }] });
    expect(await readHook(edge.DB, id)).toMatchObject({ trigger_count: 1, last_error: null });
  });

  it("a probe goes to its own queue with its own ids, and no wake is made", async () => {
    const id = await makeHook();
    const { sent } = await post(id, wake(probe("p1"), probe("p2")));
    expect(sent.wake).toEqual([]);
    expect(sent.slo).toMatchObject([
      { hook_id: id, agent_id: "01B", message_id: "p1", session_id: "s-p1", topic: TOPIC, body: PING },
      { message_id: "p2", session_id: "s-p2" },
    ]);
    expect(await rowsOf(id)).toEqual([]);
    expect((await readHook(edge.DB, id))!.trigger_count).toBe(1);
  });

  it("a mixed batch: probes to the one, the rest to the other, nothing lost", async () => {
    const id = await makeHook();
    const { sent } = await post(id, wake(message("a"), probe("p"), message("b"), probe("q")));
    expect(sent.slo.map((m) => m.message_id)).toEqual(["p", "q"]);
    expect(sent.wake).toHaveLength(1);
    expect(await storedIds(id)).toEqual(["a", "b"]);
    const [row] = await rowsOf(id);
    expect(row!.payload).not.toContain("WAKE_SLO_PING");
    expect(JSON.parse(row!.payload)).toMatchObject({ message_id: "b", message_count: 2 });
  });

  it("many probes fit their queue's batches", async () => {
    const id = await makeHook();
    const { sent, status } = await post(id, wake(...Array.from({ length: 130 }, (_, i) => probe(`p${i}`))));
    expect([status, sent.slo.length]).toEqual([202, 130]);
    for (const m of sent.slo) expect(JSON.stringify(m).length).toBeLessThan(128_000);
  });

  it.each([[["slo"] as const], [["wake"] as const], [["slo", "wake"] as const], [["db"] as const]])(
    "503 when a send fails (%j); the repeat brings everything through, once",
    async (broken) => {
      const id = await makeHook();
      const body = wake(message("a"), probe("p"), message("b"));
      const no = await post(id, body, { broken: [...broken] });
      expect([no.status, no.json]).toEqual([503, { error: "not_stored" }]);
      const yes = await post(id, body);
      expect([yes.status, yes.json["accepted"]]).toEqual([202, true]);
      expect(yes.sent.slo.map((m) => m.message_id)).toEqual(["p"]);
      expect(yes.sent.wake).toEqual([{ wake_id: `hook:${id}:b`, kind: "message" }]);
      expect(await storedIds(id)).toEqual(["a", "b"]);
    },
  );

  it("a queue that hangs is 503 before the sender gives up", async () => {
    const id = await makeHook();
    const stuck = { ...edge, WAKE_QUEUE: { sendBatch: () => new Promise(() => {}) } };
    const { receiveHook } = await import("../../src/edge/hooks");
    const { runtimeOf } = await import("../../src/kernel/runtime");
    const request = new Request(`${BASE}/hooks/${id}`, { method: "POST", headers: BEARER, body: "{}" });
    const ask = { id, request, source: "x", later: () => {}, deadline: 200 };
    const start = performance.now();
    const no = await receiveHook(stuck as unknown as typeof edge, runtimeOf(edge, "edge"), ask);
    expect([no.status, performance.now() - start < 1_000]).toEqual([503, true]);
  });

  it("a repeated push that has grown brings only what is new, and sends again what nobody has taken up", async () => {
    const id = await makeHook();
    await post(id, wake(message("a"), message("b")));
    const grown = await post(id, wake(message("a"), message("b"), message("c")));
    expect(grown.sent.wake.map((w) => w.wake_id)).toEqual([`hook:${id}:b`, `hook:${id}:c`]);
    expect(await storedIds(id)).toEqual(["a", "b", "c"]);
    await edge.DB.prepare("UPDATE message_wake SET state = 'delivered' WHERE hook_id = ?").bind(id).run();
    // Each message also has a push of its own, with the same batch and itself on top.
    const again = await post(id, { ...wake(message("a"), message("b"), message("c")), ...message("a") });
    expect([again.status, again.sent.wake]).toEqual([202, []]);
    expect(await storedIds(id)).toEqual(["a", "b", "c"]);
    expect((await readHook(edge.DB, id))!.trigger_count).toBe(2);
  });

  it("five equal pushes at once, and five that overlap, store each message once", async () => {
    const id = await makeHook();
    const answers = await Promise.all(
      [0, 1, 2, 3, 4].map((i) =>
        post(id, wake(message("a"), ...Array.from({ length: i }, (_, k) => message(`k${k}`)))),
      ),
    );
    expect(answers.map((a) => a.status)).toEqual([202, 202, 202, 202, 202]);
    expect((await storedIds(id)).sort()).toEqual(["a", "k0", "k1", "k2", "k3"]);
    const same = await makeHook();
    await Promise.all([1, 2, 3, 4, 5].map(() => post(same, wake(message("z")))));
    expect(await storedIds(same)).toEqual(["z"]);
  });

  it("a payload without message ids is stored each time: nothing tells a repeat from a new one", async () => {
    const id = await makeHook();
    await post(id, { build: "failed" });
    await post(id, { build: "failed" });
    expect((await rowsOf(id)).map((r) => r.payload)).toEqual(['{"build":"failed"}', '{"build":"failed"}']);
  });

  it("odd ids, an id twice, and ids forgotten since", async () => {
    const id = await makeHook();
    const odd = message("x y/ü".repeat(20));
    await post(id, wake(odd));
    await post(id, wake(odd));
    const rows = await rowsOf(id);
    expect(rows).toHaveLength(1);
    expect(rows[0]!.wake_id).toMatch(/^[a-z0-9:-]{1,100}$/);
    const twice = wake(message("t"), message("t", { body: "other" }));
    expect((await post(id, twice)).status).toBe(202);
    expect(await storedIds(id)).toHaveLength(3);
    await forgetMessages(edge.DB, Date.now() + 3 * DAY);
    expect((await post(id, twice)).status).toBe(202);
    expect(await storedIds(id)).toHaveLength(5);
  });

  it("the same store takes what falls through, once", async () => {
    const id = await makeHook();
    const payload = wake(probe("p"));
    const wakeOf = { hook_id: id, payload, via: "fall_through" as const, now: Date.now() };
    const first = await storeWake(edge.DB, wakeOf);
    expect(first).toEqual({ wake_ids: [`hook:${id}:p`], made: true });
    expect(await storeWake(edge.DB, wakeOf)).toEqual({ wake_ids: [`hook:${id}:p`], made: false });
    expect(await rowsOf(id)).toMatchObject([{ via: "fall_through" }]);
    expect((await readHook(edge.DB, id))!.trigger_count).toBe(0);
  });

  it("deep and hostile payloads are stored or refused, never lost or thrown", async () => {
    const id = await makeHook();
    const deep = `{"event_type":"agentcomm_wake","a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`;
    const proto = '{"__proto__":{"event_type":"agentcomm_wake"},"constructor":5}';
    for (const body of [deep, proto]) {
      const { status } = await post(id, body);
      if (status === 202) expect((await rowsOf(id)).some((r) => r.payload === body)).toBe(true);
      else expect([400, 503]).toContain(status);
    }
  });
});

describe("pongs of our own probes", () => {
  it("are recorded and wake nobody; others' go the normal way", async () => {
    const agent = fresh("agent");
    const id = await makeHook({ agent_id: agent });
    const now = Date.now();
    const direction = "L2C";
    await edge.DB.batch([
      edge.DB.prepare(
        `INSERT INTO slo_direction (code, from_agent, to_agent, peer_kind, peer_url, updated_at) VALUES (?, ?, '01A', 'qoopia', 'x', 0)
         ON CONFLICT (code) DO UPDATE SET from_agent = excluded.from_agent, to_agent = excluded.to_agent`,
      ).bind(direction, agent),
      edge.DB.prepare(
        `INSERT INTO wake_slo_probes (id, direction, started_at_ms, topic, session_id, status, peer_kind)
         VALUES ('pr1', ?, ?, 'WAKE_SLO_PROBE_L2C_42', 's-own', 'running', 'qoopia')`,
      ).bind(direction, now),
    ]);
    const pong = (mid: string, more: Loose = {}): Loose =>
      message(mid, {
        topic: "WAKE_SLO_PROBE_L2C_42",
        body: "WAKE_SLO_PONG 2026-09-21T14:13:20.000Z",
        kind: "reply",
        session_id: "s-own",
        ...more,
      });
    const foreign = pong("q2", { topic: "WAKE_SLO_PROBE_L2C_43", session_id: "s-else" });
    const liar = pong("q3", { from_agent_id: "01Z" });
    const body = { ...wake(pong("q1"), foreign, liar), to_agent_id: agent };
    const { status, sent } = await post(id, body);
    expect([status, sent.slo, sent.wake.length]).toEqual([202, [], 1]);
    expect(await storedIds(id)).toEqual(["q2", "q3"]);
    const seen = await edge.DB.prepare("SELECT message_id, probe_id, body FROM slo_pong").all();
    expect(seen.results).toEqual([
      { message_id: "q1", probe_id: "pr1", body: "WAKE_SLO_PONG 2026-09-21T14:13:20.000Z" },
    ]);
    const alone = await post(id, { ...wake(pong("q1")), to_agent_id: agent });
    expect([alone.status, alone.sent]).toEqual([202, { slo: [], wake: [] }]);
  });
});

describe("modes", () => {
  it("a cron_task in its quiet hours is skipped and says so, and runs outside of them", async () => {
    const hour = new Date().getUTCHours();
    const all = { start: hour, end: (hour + 2) % 24, zone: "UTC" };
    const id = await makeHook({ mode: "cron_task", template: "Do {{what}}", quiet: all });
    const { status, sent } = await post(id, { what: "this" });
    expect([status, sent.wake]).toEqual([202, []]);
    expect(await readHook(edge.DB, id)).toMatchObject({
      trigger_count: 1,
      last_status: "skipped:quiet_hours",
      last_error: "skipped:quiet_hours",
    });
    expect(JSON.stringify(await readAudit(edge.DB, { seam: "hook.skipped", limit: 5 }))).toContain(id);
    await api("PATCH", `/hooks/${id}`, { quiet: { start: (hour + 3) % 24, end: (hour + 4) % 24 } });
    expect((await post(id, { what: "this" })).sent.wake).toHaveLength(1);
    const hook = (await readHook(edge.DB, id))!;
    expect(renderPrompt(hook.template, { what: "this" })).toContain("Do this");
  });

  it("a probe's text on a cron_task is a task like any other", async () => {
    const id = await makeHook({ mode: "cron_task" });
    const { sent } = await post(id, wake(probe("p")));
    expect([sent.slo, sent.wake.length]).toEqual([[], 1]);
  });
});

describe("/api/v1/hooks", () => {
  it("makes, lists, reads, changes and deletes, with an audit row each", async () => {
    const id = await makeHook({
      id: "crud-1",
      hmac: { header: "X-Sig", sig_regex: "v1=([0-9a-f]+)" },
      auth_mode: "hmac",
    });
    expect((await api("GET", `/hooks/${id}`)).json).toMatchObject({
      url: `${BASE}/hooks/crud-1`,
      hmac: {
        header: "X-Sig",
        algorithm: "sha256",
        encoding: "hex",
        sig_prefix: "sha256=",
        sig_regex: "v1=([0-9a-f]+)",
      },
      recipient: { kind: "builtin" },
      slo: { ack_mode: "auto", enabled: true, extended_reply: true, key_ref: null, peer_url: null },
      limits: { per_minute: null, max_body_bytes: 262144 },
      quiet: null,
    });
    const changed = await api("PATCH", `/hooks/${id}`, {
      title: "Other",
      hmac: { sig_regex: null, encoding: "base64" },
      slo: { ack_mode: "off", peer_url: "http://127.0.0.1:9" },
      recipient: { kind: "webhook", url: "http://127.0.0.1:9/x" },
    });
    expect(changed.json).toMatchObject({ title: "Other", slo: { ack_mode: "off", enabled: true } });
    expect(changed.json["hmac"]).toEqual({
      header: "X-Sig",
      algorithm: "sha256",
      encoding: "base64",
      sig_prefix: "sha256=",
    });
    const page = await api<{ items: Loose[]; next_cursor: string | null }>("GET", "/hooks?limit=1");
    expect(page.json.items).toHaveLength(1);
    expect(page.json.next_cursor).toBe(page.json.items[0]!["id"]);
    expect((await api("DELETE", `/hooks/${id}`)).json).toEqual({ deleted: id });
    expect([(await api("GET", `/hooks/${id}`)).status, (await api("DELETE", `/hooks/${id}`)).status]).toEqual([
      404, 404,
    ]);
    const rows = (await readAudit(edge.DB, { seam: "hook.changed", limit: 200 })).filter(
      (r) => r.details["hook"] === id,
    );
    expect(rows.map((r) => r.details["change"])).toEqual(["hook deleted", "hook changed", "hook made"]);
    expect(rows.every((r) => r.details["by"] === "api")).toBe(true);
  });

  it.each([
    ["no agent", { agent_id: undefined }, "agent_id"],
    ["the reserved id", { id: "health" }, "id"],
    ["an id with a slash", { id: "a/b" }, "id"],
    ["an unknown field", { colour: 1 }, "colour"],
    ["a short secret", { secret: "short" }, "secret"],
    ["a dangerous pattern", { hmac: { sig_regex: "(a+)+" } }, "hmac.sig_regex"],
    ["a header that is none", { hmac: { header: "X Y" } }, "hmac.header"],
    ["a private recipient", { recipient: { kind: "webhook", url: "http://10.0.0.1/x" } }, "recipient.url"],
    ["a key in the clear over the net", { slo: { peer_url: "http://example.com" } }, "slo.peer_url"],
    ["another secret's name as key", { slo: { key_ref: "REVEILLE_ANTHROPIC_API_KEY" } }, "slo.key_ref"],
    ["hmac without a secret", { secret: undefined, own_secret: false, auth_mode: "hmac" }, "own_secret"],
    ["quiet hours of a wake", { quiet: { start: 1, end: 2 } }, "quiet"],
    ["an unknown zone", { mode: "cron_task", quiet: { start: 1, end: 2, zone: "Mars/Base" } }, "quiet.zone"],
    [
      "a task for somebody else",
      { mode: "cron_task", recipient: { kind: "agent", address: `0x${"a".repeat(64)}` } },
      "recipient.kind",
    ],
  ])("refuses %s and names the field", async (_, more: Loose, field) => {
    const body = { id: fresh("bad"), title: "t", agent_id: "a", agent_name: "a", secret: SECRET, ...more };
    const no = await api<{ error: Loose }>("POST", "/hooks", body);
    expect([no.status, no.json.error["field"]]).toEqual([400, field]);
  });

  it("refuses a taken id, a patch that makes no sense, a stranger", async () => {
    const id = await makeHook({ slo_key: "q_key-of-an-agent-001" });
    const again = await api("POST", "/hooks", { id, title: "t", agent_id: "a", agent_name: "a" });
    expect(again.status).toBe(409);
    for (const [body, field] of [
      [{ auth_mode: "none" }, "auth_mode"],
      [{ secrets: [] }, "secrets"],
      [{ id: "other" }, "id"],
      [{ hmac: 5 }, "hmac"],
      [{ agent_id: "other" }, "slo_key"],
      [{ quiet: { start: 1, end: 2 } }, "quiet"],
    ] as const) {
      const no = await api<{ error: Loose }>("PATCH", `/hooks/${id}`, body);
      expect([no.status, no.json.error["field"]]).toEqual([400, field]);
    }
    expect((await api("PATCH", `/hooks/${id}`, { agent_id: "other", slo_key: null })).json["has_slo_key"]).toBe(false);
    expect((await exports.default.fetch(`${BASE}/api/v1/hooks`)).status).toBe(401);
  });

  it("of two rotations at once, one is told to repeat: no secret is told that does not work", async () => {
    const id = await makeHook();
    const both = await Promise.all([api("POST", `/hooks/${id}/rotate`), api("POST", `/hooks/${id}/rotate`)]);
    for (const r of both)
      if (r.status === 200)
        expect((await post(id, {}, {}, { authorization: `Bearer ${r.json["secret"]}` })).status).toBe(202);
      else expect(r.status).toBe(409);
    expect(both.some((r) => r.status === 200)).toBe(true);
  });

  it("is in the OpenAPI document", async () => {
    const doc = (await (await exports.default.fetch(`${BASE}/api/openapi.json`)).json()) as { paths: Loose };
    for (const path of ["/hooks", "/hooks/{id}", "/hooks/{id}/rotate"]) expect(doc.paths).toHaveProperty([path]);
  });
});
