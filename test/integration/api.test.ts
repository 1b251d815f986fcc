import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, inject, it } from "vitest";

/** Bad input at the operator API: each refusal names the field and the reason, and nothing already stored is lost by it. */

const TOKEN = "test-operator-token-4f1c9b7e2a";
const svc = `${inject("vendorsUrl")}/svc/api`;

interface Answer {
  status: number;
  body: { error?: { code: string; message: string; field?: string; hint?: string } } & Record<string, unknown>;
}
async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const raw = typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body);
  const res = await exports.default.fetch(`http://reveille.test${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json", ...headers },
    ...(raw === undefined ? {} : { body: raw }),
  });
  return { status: res.status, body: (await res.json()) as Answer["body"] };
}
const target = (more: Record<string, unknown>) => ({
  name: "Shop",
  kind: "http",
  every: "1m",
  config: { url: svc },
  ...more,
});

// Another file may have left the stand-in broken.
beforeAll(() => fetch(`${inject("vendorsUrl")}/_control`, { method: "POST", body: '{"reset":true}' }).then(() => {}));

describe("who may ask", () => {
  it("refuses a missing, wrong or odd token with 401 and the way in, and lets the right one through", async () => {
    for (const authorization of ["", "Bearer wrong", `Basic ${btoa(`x:${TOKEN}`)}`, `Bearer ${TOKEN}x`, "Bearer"]) {
      const { status, body } = await call("GET", "/api/v1/targets", undefined, {
        authorization,
        "cf-connecting-ip": "203.0.113.7",
      });
      expect(status).toBe(401);
      expect(body.error?.hint).toContain("Authorization: Bearer");
    }
    expect((await call("GET", "/api/v1/targets")).status).toBe(200);
  });

  it("limits wrong tokens per address and still serves the right one", async () => {
    const from = { authorization: "Bearer guess", "cf-connecting-ip": "203.0.113.99" };
    const codes: number[] = [];
    for (let i = 0; i < 25; i++) codes.push((await call("GET", "/api/v1/targets", undefined, from)).status);
    expect(codes.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(codes.at(-1)).toBe(429);
    expect((await call("GET", "/api/v1/targets", undefined, { "cf-connecting-ip": "203.0.113.99" })).status).toBe(200);
  });
});

describe("bodies", () => {
  const bad: [string, unknown, number, string | undefined][] = [
    ["no JSON", "{nope", 400, undefined],
    ["an array", "[]", 400, undefined],
    ["an unknown kind", target({ kind: "ftp" }), 400, "kind"],
    ["internal kind", target({ kind: "internal", config: { rule: "x" } }), 400, "kind"],
    ["an empty name", target({ name: " " }), 400, "name"],
    ["too short an interval", target({ every: "5s" }), 400, "every"],
    ["an unreadable interval", target({ every: "often" }), 400, "every"],
    ["an unknown key", target({ colour: "red" }), 400, "colour"],
    ["an unknown config key", target({ config: { url: svc, retries: 3 } }), 400, "config.retries"],
    ["a bad URL", target({ config: { url: "checkout" } }), 400, "config.url"],
    ["another scheme", target({ config: { url: "file:///etc/passwd" } }), 400, "config.url"],
    ["a private address", target({ config: { url: "http://10.0.0.8/" } }), 400, "config.url"],
    ["an address in disguise", target({ config: { url: "http://0xa.8:81/" } }), 400, "config.url"],
    ["metadata by IPv6", target({ config: { url: "http://[::ffff:169.254.169.254]/" } }), 400, "config.url"],
    [
      "a secret in a header",
      target({ config: { url: svc, headers: { authorization: "Bearer abc" } } }),
      400,
      "config.headers.authorization",
    ],
    ["our own secret as a credential", target({ credentials: { token: "OPERATOR_TOKEN" } }), 400, "credentials.token"],
    ["a threshold out of range", target({ thresholds: { confirm: 0 } }), 400, "thresholds.confirm"],
    [
      "a tcp host that is private",
      target({ kind: "tcp", config: { host: "192.168.1.1", port: 22 } }),
      400,
      "config.host",
    ],
    ["a heartbeat without a period", target({ kind: "heartbeat", config: {} }), 400, "config.period"],
    ["a reserved id", target({ id: "reveille-cron" }), 400, "id"],
    ["a body over 64 KiB", target({ name: "x".repeat(70_000) }), 413, undefined],
  ];
  it.each(bad)("refuses %s", async (_what, body, status, field) => {
    const before = await env.DB.prepare("SELECT COUNT(*) AS n FROM target").first("n");
    const answer = await call("POST", "/api/v1/targets", body);
    expect(answer.status).toBe(status);
    expect(answer.body.error?.message.length).toBeGreaterThan(8);
    if (field) expect(answer.body.error?.field).toBe(field);
    expect(await env.DB.prepare("SELECT COUNT(*) AS n FROM target").first("n")).toBe(before);
  });

  it("never repeats a secret that was pasted where a binding name belongs", async () => {
    const answer = await call(
      "POST",
      "/api/v1/targets",
      target({ credentials: { token: "sk-live-0123456789abcdef" } }),
    );
    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.body)).not.toContain("sk-live");
  });

  it("says which line to add for a private address", async () => {
    const { body } = await call("POST", "/api/v1/targets", target({ config: { url: "http://10.0.0.8:9000/" } }));
    expect(body.error?.hint).toContain("REVEILLE_ALLOW_PRIVATE=10.0.0.8:9000");
  });
});

describe("targets", () => {
  it("creates, refuses the same id, changes what is named, keeps the rest, deletes, and forgets nothing of the history", async () => {
    const made = await call("POST", "/api/v1/targets", target({ thresholds: { confirm: 3 } }));
    expect(made).toMatchObject({
      status: 201,
      body: { id: "shop", every: 60, thresholds: { confirm: 3 }, status: "unknown" },
    });
    const again = await call("POST", "/api/v1/targets", target({}));
    expect(again).toMatchObject({ status: 409, body: { error: { field: "id" } } });

    const refused = await call("PATCH", "/api/v1/targets/shop", { every: "2m", thresholds: { confirm: 99 } });
    expect(refused).toMatchObject({ status: 400, body: { error: { field: "thresholds.confirm" } } });
    const kept = await call("GET", "/api/v1/targets/shop");
    expect(kept.body).toMatchObject({ every: 60, thresholds: { confirm: 3 } });

    const changed = await call("PATCH", "/api/v1/targets/shop", { every: "2m" });
    expect(changed.body).toMatchObject({ every: 120, thresholds: { confirm: 3 }, config: { url: svc } });
    expect((await call("POST", "/api/v1/targets/shop/look")).body).toMatchObject({
      status: "healthy",
      phase: "steady",
    });
    expect((await call("DELETE", "/api/v1/targets/shop")).body).toEqual({ deleted: "shop" });
    expect((await call("GET", "/api/v1/targets/shop")).status).toBe(404);
    const { body } = await call("GET", "/api/v1/audit?seam=config.changed");
    expect(JSON.stringify(body)).toContain("target deleted");
  });

  it("answers 404 for unknown ids everywhere, and 409 for what the state forbids", async () => {
    const paths: [string, string, unknown?][] = [
      ["GET", "/targets/none"],
      ["PATCH", "/targets/none", {}],
      ["DELETE", "/targets/none"],
      ["POST", "/targets/none/look"],
      ["POST", "/targets/none/rehearse"],
      ["POST", "/targets/none/mute", { minutes: 5 }],
      ["GET", "/targets/none/samples"],
      ["GET", "/incidents/none"],
      ["POST", "/incidents/none/ack"],
      ["POST", "/incidents/none/snooze"],
      ["POST", "/maintenance/none/end"],
      ["POST", "/dead-letters/none/replay"],
      ["GET", "/nothing-here"],
    ];
    for (const [method, path, body] of paths) {
      const answer = await call(method, `/api/v1${path}`, body);
      expect([path, answer.status]).toEqual([path, 404]);
      expect(answer.body.error?.code).toBeTruthy();
    }
    expect((await call("DELETE", "/api/v1/targets/reveille-cron")).status).toBe(409);
    expect((await call("PATCH", "/api/v1/targets/reveille-cron", { paused: true })).status).toBe(409);
    expect((await call("POST", "/api/v1/targets/reveille-cron/look")).status).toBe(409);
  });

  it("pages through lists by cursor without loss or repeat", async () => {
    for (let i = 0; i < 7; i++) await call("POST", "/api/v1/targets", target({ id: `page-${i}`, name: `page ${i}` }));
    const ids: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const { body }: Answer = await call("GET", `/api/v1/targets?limit=3${cursor ? `&cursor=${cursor}` : ""}`);
      ids.push(...(body["items"] as { id: string }[]).map((t) => t.id));
      cursor = body["next_cursor"] as string | null;
    }
    expect(ids.filter((id) => id.startsWith("page-"))).toHaveLength(7);
    expect(new Set(ids).size).toBe(ids.length);
    expect((await call("GET", "/api/v1/targets?limit=0")).body.error?.field).toBe("limit");
    expect((await call("GET", "/api/v1/audit?seam=made.up")).body.error?.field).toBe("seam");
  });
});

describe("the live switches", () => {
  it("change, persist, name who and when, and refuse what they do not know", async () => {
    const after = await call("PATCH", "/api/v1/switchboard", {
      paused: true,
      envelopes: { fly: { enabled: true, mode: "dry_run" } },
    });
    expect(after.body).toMatchObject({
      paused: true,
      envelopes: { fly: { enabled: true } },
      changes: { paused: { by: "api" } },
    });
    expect((await call("GET", "/api/v1/switchboard")).body).toMatchObject({
      paused: true,
      killed: false,
      unreadable: false,
    });
    expect((await call("PATCH", "/api/v1/switchboard", { paused: "yes" })).body.error?.field).toBe("paused");
    expect((await call("PATCH", "/api/v1/switchboard", { envelopes: { heroku: { enabled: true } } })).status).toBe(400);
    expect((await call("PATCH", "/api/v1/switchboard", { turbo: true })).status).toBe(400);
    await call("PATCH", "/api/v1/switchboard", { paused: false });
    const { body } = await call("GET", "/api/v1/audit?seam=config.changed");
    expect(JSON.stringify(body)).toContain("switchboard");
  });
});

describe("machines", () => {
  it("healthz is up, readyz is fit with no engine, and every listener of the table has a name", async () => {
    expect(await call("GET", "/healthz")).toMatchObject({ status: 200, body: { status: "up" } });
    expect(await call("GET", "/readyz")).toMatchObject({ status: 200, body: { status: "ready" } });
    const { body } = await call("GET", "/api/v1/listeners");
    const names = (body["items"] as { name: string; state: string }[]).map((l) => l.name);
    for (const name of [
      "heartbeat",
      "heartbeat_probes",
      "probe_wake",
      "alert_notifier",
      "reasoning_engine",
      "promote_phrasebook",
      "alert_wake",
      "dead_man",
    ])
      expect(names).toContain(name);
    const states = Object.fromEntries(
      (body["items"] as { name: string; state: string }[]).map((l) => [l.name, l.state]),
    );
    expect(states["mcp"]).not.toBe("not_installed");
  });

  it("readyz is 503 when the consumer says that a configured engine can't work (fatal), 200 when a channel can't (not fatal)", async () => {
    const at = Date.now();
    const put = (name: string) =>
      env.DB.prepare(
        `INSERT INTO listener_state (name, last_run_at, last_ok_at, consecutive_errors, last_error) VALUES (?1, ?2, NULL, 1, 'lacks its key')
         ON CONFLICT (name) DO UPDATE SET consecutive_errors = 1, last_error = 'lacks its key', last_run_at = ?2`,
      ).bind(name, at);
    await put("slack_client").run();
    expect(await call("GET", "/readyz")).toMatchObject({ status: 200, body: { overall: "degraded" } });
    await put("reasoning_engine").run();
    expect(await call("GET", "/readyz")).toMatchObject({
      status: 503,
      body: { fatal: [{ listener: "reasoning_engine" }] },
    });
    await env.DB.prepare("DELETE FROM listener_state").run();
  });

  it("describes itself: every route of the operator API is in the OpenAPI document", async () => {
    const { body } = await call("GET", "/api/openapi.json");
    const paths = Object.keys(body["paths"] as object);
    for (const path of [
      "/targets",
      "/targets/{id}",
      "/targets/{id}/samples",
      "/targets/{id}/look",
      "/incidents",
      "/incidents/{id}",
      "/incidents/{id}/ack",
      "/incidents/{id}/snooze",
      "/wakes",
      "/notices",
      "/audit",
      "/switchboard",
      "/listeners",
      "/dead-letters",
      "/dead-letters/{id}/replay",
      "/maintenance",
      "/login-codes",
      "/proposals",
      "/proposals/{key}/approve",
      "/proposals/{key}/reject",
      "/identity",
      "/mcp-servers",
      "/mcp-servers/{name}",
    ])
      expect(paths).toContain(path);
  });
});
