import { env, exports } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLoginCode } from "../../src/operator";
import { block, promoteToContact, promoteToWhitelist, readStanding, removeAdmin, setAdmin } from "../../src/trust";
import { proposeStatement } from "../../src/trust/verdict.store";
import { formA } from "../unit/session-kit";
import {
  api,
  audited,
  BASE,
  body,
  hostSigner,
  newAdmin,
  newSigner,
  OPERATOR,
  payments,
  post,
  runtime,
  self,
  send,
  setPolicy,
  stamp,
} from "./trust-kit";

/** The trust routes and their aliases through the Worker's own fetch handler, then the operator's API and page. */

const store = { db: env.DB, runtime };
const CODE = "grey-otter-7781";
const level = async (id: string): Promise<string> => (await readStanding(env.DB, id)).level;
const auth = (status: number, error: string) => ({ status, json: { error } });

beforeAll(() =>
  setPolicy(
    `---\nallow: [admin, whitelisted, contact]\nonboard: {invite_code: [${CODE}], payment: 5}\ndefault: deny\n---\n`,
  ),
);

describe("/trust/verify", () => {
  it("lets a stranger in by code", async () => {
    const s = await newSigner();
    expect(await post("/trust/verify/invite", s, { invite_code: "guess" })).toEqual(auth(403, "Invalid invite code"));
    const yes = await post("/trust/verify/invite", s, { invite_code: CODE });
    expect(yes).toMatchObject({ status: 200, json: { success: true, level: "contact" } });
    expect(await level(s.address)).toBe("contact");
  });

  it("lets a stranger in by a payment the verifier knows", async () => {
    const s = await newSigner();
    await payments({ transfers: [] });
    expect(await post("/trust/verify/payment", s, { payment: 1_000 })).toEqual(auth(403, "Insufficient payment"));
    await payments({ transfers: [{ client_id: s.address, amount: 5, reference: "http-1", paid_at: Date.now() }] });
    expect(await post("/trust/verify/payment", s, { payment: 5 })).toMatchObject({
      status: 200,
      json: { level: "contact" },
    });
  });

  it("refuses a blocked client before its code is looked at", async () => {
    const s = await newSigner();
    await block(store, s.address, OPERATOR);
    for (const [path, proof] of [
      ["invite", { invite_code: CODE }],
      ["payment", { payment: 5 }],
    ] as const)
      expect(await post(`/trust/verify/${path}`, s, proof)).toEqual(auth(403, "forbidden: blocked"));
  });

  it("says when the policy disables it", async () => {
    await setPolicy("strict");
    const s = await newSigner();
    expect(await post("/trust/verify/invite", s, { invite_code: CODE })).toEqual(
      auth(409, "invite onboarding is disabled"),
    );
    expect(await post("/trust/verify/payment", s, { payment: 5 })).toEqual(auth(409, "payment onboarding is disabled"));
    await setPolicy(`---\nallow: [contact]\nonboard: {invite_code: [${CODE}], payment: 5}\n---\n`);
    expect(await post("/trust/verify/invite", s, {})).toEqual(auth(400, "invite_code required"));
  });

  it("stops guessing from one address", async () => {
    const s = await newSigner();
    const guess = async (i: number) => {
      const raw = await body(s, { invite_code: `g${i}`, timestamp: stamp(), to: await self() });
      return send("/trust/verify/invite", {
        method: "POST",
        body: raw,
        headers: { "cf-connecting-ip": "203.0.113.9" },
      });
    };
    const statuses: number[] = [];
    for (let i = 0; i < 25; i++) statuses.push((await guess(i)).status);
    expect(statuses.slice(0, 15).every((x) => x === 403)).toBe(true);
    expect(statuses.at(-1)).toBe(429);
  });
});

describe("a signed request", () => {
  it("works once, on whichever route it is shown first", async () => {
    const [admin, c] = [await newAdmin(), await newSigner()];
    const raw = await body(admin, { client_id: c.address, timestamp: stamp(), to: await self() });
    expect(await send("/trust/promote", { method: "POST", body: raw })).toMatchObject({
      status: 200,
      json: { success: true, level: "contact" },
    });
    for (const path of ["/trust/promote", "/trust/demote", "/admin/trust/promote"])
      expect(await send(path, { method: "POST", body: raw })).toEqual(
        auth(401, "unauthorized: signature already used"),
      );
    expect(await level(c.address)).toBe("contact");
  });

  it("twenty at the same moment are one", async () => {
    const [admin, c] = [await newAdmin(), await newSigner()];
    const raw = await body(admin, { client_id: c.address, timestamp: stamp(), to: await self() });
    const all = await Promise.all(
      Array.from({ length: 20 }, () => send("/trust/promote", { method: "POST", body: raw })),
    );
    expect(all.filter((r) => r.status === 200)).toHaveLength(1);
    expect(await level(c.address)).toBe("contact");
  });

  it("is refused unsigned, tampered, stale, for another host, or bound to another request", async () => {
    const [admin, c] = [await newAdmin(), await newSigner()];
    const to = await self();
    const payload = () => ({ client_id: c.address, timestamp: stamp(), to });
    const go = (raw: string, path = "/trust/promote") => send(path, { method: "POST", body: raw });
    expect(await go(JSON.stringify({ client_id: c.address }))).toEqual(
      auth(401, "unauthorized: signed request required"),
    );
    const good = await body(admin, payload());
    expect(await go(good.replace(c.address, admin.address))).toEqual(auth(401, "unauthorized: invalid signature"));
    expect(await go(await body(admin, { ...payload(), timestamp: stamp() - 700 }))).toEqual(
      auth(401, "unauthorized: signature expired"),
    );
    expect(await go(await body(admin, { ...payload(), to: c.address }))).toEqual(
      auth(401, "unauthorized: wrong recipient"),
    );
    const { to: _to, ...bare } = payload();
    expect((await go(await body(admin, bare))).status).toBe(401);
    const bound = { ...payload(), method: "POST", path: "/trust/demote" };
    expect(await go(await body(admin, bound))).toEqual(auth(401, "unauthorized: signed for another request"));
    expect(await go("{")).toEqual(auth(400, "Invalid JSON"));
    expect(await go("\ufeff{}")).toMatchObject({ status: 400 });
    expect((await go(`{"payload":{"a":1,"a":2},"from":"x","signature":"y"}`)).status).toBe(400);
    expect((await go("x".repeat(70_000))).status).toBe(413);
    expect(await level(c.address)).toBe("stranger");
  });

  it("on an alias may have the 0.6.5 shape, without a recipient", async () => {
    const [admin, c] = [await newAdmin(), await newSigner()];
    const go = async (path: string, payload: Record<string, string | number>) =>
      send(path, { method: "POST", body: await body(admin, { timestamp: stamp(), ...payload }) });
    expect(await go("/admin/trust/promote", { client_id: c.address })).toMatchObject({
      status: 200,
      json: { level: "contact" },
    });
    const path = "/admin/trust/block";
    expect(await go(path, { client_id: c.address, method: "POST", path })).toMatchObject({
      status: 200,
      json: { level: "blocked" },
    });
    expect(await go("/admin/trust/unblock", { client_id: c.address })).toMatchObject({
      status: 200,
      json: { level: "contact" },
    });
  });
});

describe("admins", () => {
  it("promote and demote one step, and hear when there is no further one", async () => {
    const [admin, c] = [await newAdmin(), await newSigner()];
    const act = (what: string) => post(`/trust/${what}`, admin, { client_id: c.address });
    const levels: unknown[] = [];
    for (const what of ["promote", "promote", "promote", "demote", "demote", "demote"])
      levels.push((await act(what)).json);
    expect(levels).toMatchObject([
      { success: true, level: "contact" },
      { success: true, level: "whitelist" },
      { error: "Already at highest level", level: "whitelist" },
      { success: true, level: "contact" },
      { success: true, level: "stranger" },
      { error: "Already at lowest level", level: "stranger" },
    ]);
    await act("block");
    expect(await act("promote")).toEqual({
      status: 200,
      json: { error: "Client is blocked. Unblock first.", level: "blocked" },
    });
    const rows = await audited(c.address);
    expect(rows).toHaveLength(5);
    for (const row of rows) {
      expect(row).toMatchObject({ actor: admin.address, via: "admin" });
      expect(row["signature_hash"]).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it("are not strangers, contacts, whitelisted or blocked admins; and only the host makes admins", async () => {
    const [c, friend, blocked] = [await newSigner(), await newSigner(), await newAdmin()];
    await promoteToWhitelist(store, friend.address, OPERATOR);
    await block(store, blocked.address, OPERATOR);
    for (const who of [c, friend, blocked])
      for (const what of ["promote", "demote", "block", "unblock"])
        expect(await post(`/trust/${what}`, who, { client_id: c.address })).toEqual(auth(403, "forbidden: admin only"));
    const admin = await newAdmin();
    for (const path of ["/trust/admin/set", "/trust/admin/remove", "/superadmin/add", "/superadmin/remove"])
      expect(await post(path, admin, { client_id: c.address, admin_id: c.address })).toEqual(
        auth(403, "forbidden: super admin only"),
      );
    expect((await readStanding(env.DB, c.address)).admin).toBe(false);
  });

  it("are made and unmade by the host's own key, which nobody can block", async () => {
    const [host, c] = [await hostSigner(), await newSigner()];
    expect(await post("/trust/admin/set", host, { client_id: c.address })).toMatchObject({
      status: 200,
      json: { success: true },
    });
    expect(await post("/trust/block", c, { client_id: host.address })).toMatchObject({
      json: { error: "The agent itself can't be blocked." },
    });
    expect(await post("/superadmin/remove", host, { admin_id: c.address })).toMatchObject({
      status: 200,
      json: { success: true },
    });
    expect(await post("/trust/block", c, { client_id: host.address })).toEqual(auth(403, "forbidden: admin only"));
    expect(await post("/trust/admin/set", host, {})).toEqual(auth(400, "admin_id required"));
    expect(await post("/trust/promote", host, {})).toEqual(auth(400, "client_id required"));
    expect((await post("/trust/promote", host, { client_id: "0xdead*" })).status).toBe(400);
    expect((await audited(c.address)).map((r) => [r["action"], r["actor"]])).toEqual([
      ["set_admin", host.address],
      ["remove_admin", host.address],
    ]);
  });

  it("read a level by signed headers; the alias takes those of 0.6.5 too", async () => {
    const [admin, c] = [await newAdmin(), await newSigner()];
    await promoteToContact(store, c.address, OPERATOR);
    const path = `/trust/level/${c.address}`;
    const headers = async (p: string) => {
      const timestamp = Math.floor(Date.now() / 1000);
      return {
        "x-co-from": admin.address,
        "x-co-timestamp": String(timestamp),
        "x-co-signature": await admin.sign(formA({ method: "GET", path: p, timestamp })),
      };
    };
    expect(await send(path, { headers: await headers(path) })).toEqual({
      status: 200,
      json: { client_id: c.address, level: "contact", admin: false },
    });
    expect((await send(path, { headers: await headers("/trust/level/other") })).status).toBe(401);
    expect((await send(path)).status).toBe(401);
    const at = Math.floor(Date.now() / 1000);
    const old = {
      "x-from": admin.address,
      "x-timestamp": String(at),
      "x-signature": await admin.sign(`{"timestamp":${at}.0}`),
    };
    expect(await send(`/admin${path}`, { headers: old })).toMatchObject({ status: 200, json: { level: "contact" } });
    expect((await send(path, { headers: old })).status).toBe(401);
  });
});

it("CORS, OPTIONS and unknown paths are the protocol's", async () => {
  for (const path of ["/trust/promote", "/admin/trust/level/x", "/superadmin/add"]) {
    const response = await exports.default.fetch(new Request(BASE + path, { method: "OPTIONS" }));
    expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
  }
  for (const path of ["/trust/nothing", "/trust/promote", "/superadmin/nothing", "/admin/trust/nothing"])
    expect(await send(path)).toEqual({ status: 404, json: { error: "not found" } });
});

describe("the operator", () => {
  it("lists, changes and reverts over the API; every act is a row", async () => {
    const c = (await newSigner()).address;
    expect((await api("POST", `/clients/${c}/promote`, { reason: "a friend" })).json).toMatchObject({
      level: "contact",
    });
    expect((await api("POST", `/clients/${c}/promote`)).json).toMatchObject({ level: "whitelist" });
    expect((await api("POST", `/clients/${c}/promote`)).json).toMatchObject({
      error: { code: "refused", message: "Already at highest level" },
    });
    const [first, second] = await audited(c);
    expect(first).toMatchObject({ actor: "api", via: "operator", reason: "a friend" });
    // Only the last promotion stands as it was.
    expect((await api("POST", `/revert/${first!["id"]}`)).json).toMatchObject({ error: { code: "changed_since" } });
    expect((await api("POST", `/revert/${second!["id"]}`)).json).toMatchObject({ level: "contact" });
    expect((await api("POST", `/revert/${second!["id"]}`)).status).toBe(409);
    expect(await level(c)).toBe("contact");
    expect((await api("GET", "/clients?level=contact")).json["items"]).toEqual(
      expect.arrayContaining([expect.objectContaining({ client_id: c, level: "contact", via: "operator" })]),
    );
    expect((await api("PUT", `/admins/${c}`)).json).toMatchObject({ admin: true });
    expect((await api("GET", `/clients/${c}`)).json).toMatchObject({ level: "contact", admin: true });
    expect((await api("DELETE", `/admins/${c}`)).json).toMatchObject({ admin: false });
    expect((await api("POST", "/clients/nobody/promote")).status).toBe(400);
    expect((await api("PUT", "/admins/0xdead*")).status).toBe(400);
  });

  it("a pattern reaches clients nobody has seen, and a demotion of one says so", async () => {
    const c = (await newSigner()).address;
    const pattern = `${c.slice(0, 12)}*`;
    expect((await api("POST", `/clients/${encodeURIComponent(pattern)}/block`)).json).toMatchObject({
      level: "blocked",
    });
    expect(await level(c)).toBe("blocked");
    expect((await api("POST", `/clients/${c}/unblock`)).json).toMatchObject({
      error: { message: expect.stringContaining(pattern) },
    });
    await api("POST", `/clients/${encodeURIComponent(pattern)}/unblock`);
    expect(await level(c)).toBe("stranger");
  });

  it("confirms a proposal for what it was made for, and not after the client changed", async () => {
    const [a, b] = [(await newSigner()).address, (await newSigner()).address];
    for (const client_id of [a, b])
      await proposeStatement(
        env.DB,
        { client_id, action: "promote", level: "stranger", reason: "comes daily", by: "llm" },
        Date.now(),
      ).run();
    const open = async () => (await api("GET", "")).json["proposals"] as { id: string; client_id: string }[];
    const of = async (client: string) => (await open()).find((p) => p.client_id === client)?.id;
    expect((await api("POST", `/proposals/${await of(a)}/confirm`)).json).toMatchObject({ level: "contact" });
    expect(await of(a)).toBeUndefined();
    await promoteToContact(store, b, OPERATOR);
    expect((await api("POST", `/proposals/${await of(b)}/confirm`)).json).toMatchObject({ error: { code: "stale" } });
    expect(await level(b)).toBe("contact");
    const id = await of(b);
    expect((await api("POST", `/proposals/${id}/reject`)).status).toBe(200);
    expect((await api("POST", `/proposals/${id}/reject`)).status).toBe(404);
  });

  it("an admin's signed promotion answers the proposal", async () => {
    const [admin, c] = [await newAdmin(), (await newSigner()).address];
    await proposeStatement(
      env.DB,
      { client_id: c, action: "promote", level: "stranger", reason: "r", by: "llm" },
      Date.now(),
    ).run();
    await post("/trust/promote", admin, { client_id: c });
    const row = await env.DB.prepare("SELECT state, decided_by FROM trust_proposal WHERE client_id = ?")
      .bind(c)
      .first();
    expect(row).toEqual({ state: "confirmed", decided_by: admin.address });
  });

  it("tries a policy without changing anything, and a bad one is not put in force", async () => {
    const c = (await newSigner()).address;
    const before = (await api("GET", "/policy")).json["hash"];
    expect((await api("POST", "/test", { client_id: c, invite_code: CODE })).json).toMatchObject({
      outcome: "allow",
      rule: "onboard: invite",
      changes: "becomes a contact",
    });
    expect((await api("POST", "/test", { client_id: c, level: "blocked", invite_code: CODE })).json).toMatchObject({
      outcome: "deny",
      rule: "blocked",
    });
    expect((await api("POST", "/test", { client_id: c, policy: "careful" })).json).toMatchObject({ outcome: "ask" });
    expect(await level(c)).toBe("stranger");
    for (const policy of ["strikt", "---\nallow: [x]\n---\n", "---\nfast_rules: []\ndefault: deny\n---\n"])
      expect((await api("PUT", "/policy", { policy })).json).toMatchObject({ error: { code: "bad_policy" } });
    expect((await api("GET", "/policy")).json["hash"]).toBe(before);
  });

  it("two changes at once are both proven, in one order", async () => {
    const c = (await newSigner()).address;
    await Promise.all([
      setAdmin(store, c, OPERATOR),
      promoteToContact(store, c, OPERATOR),
      block(store, c, OPERATOR),
      removeAdmin(store, c, OPERATOR),
    ]);
    const rows = await audited(c);
    expect(rows.map((r) => r["version"])).toEqual(rows.map((_, i) => i + 1));
    const { version } = await readStanding(env.DB, c);
    expect(version).toBe(rows.length);
  });
});

describe("/ui/trust", () => {
  let cookie = "";
  const go = async (path: string, init: RequestInit = {}) => {
    const response = await exports.default.fetch(
      new Request(BASE + path, { redirect: "manual", ...init, headers: { ...init.headers, cookie } }),
    );
    return { status: response.status, html: await response.text() };
  };
  const hidden = (html: string, action: string): Record<string, string> => {
    const form = new RegExp(`<form method="post" action="${action}"[^>]*>([\\s\\S]*?)</form>`).exec(html)![1]!;
    return Object.fromEntries(
      [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)].map((m) => [m[1]!, m[2]!]),
    );
  };
  const form = (action: string, fields: Record<string, string>) =>
    go(action, { method: "POST", body: new URLSearchParams(fields) });

  beforeEach(async () => {
    const { code } = await createLoginCode(env.DB, Date.now());
    const response = await exports.default.fetch(`${BASE}/login?code=${code}`, { redirect: "manual" });
    cookie = response.headers
      .getSetCookie()
      .map((c) => c.split(";")[0])
      .join("; ");
  });

  it("shows who waits, the policy and its tester; acts once with its token, and not without", async () => {
    const c = (await newSigner()).address;
    const page = await go("/ui/trust");
    expect(page.status).toBe(200);
    for (const text of ["by rules", "Policy in force", "Try the policy", "grey-otter"])
      expect(page.html).toContain(text);
    const guard = hidden(page.html, "/ui/trust/act");
    expect((await form("/ui/trust/act", { action: "promote", client: c })).status).toBe(403);
    expect(await level(c)).toBe("stranger");
    expect((await form("/ui/trust/act", { ...guard, action: "promote", client: c })).status).toBe(303);
    await form("/ui/trust/act", { ...guard, action: "promote", client: c });
    expect(await level(c)).toBe("contact");
    expect((await audited(c))[0]).toMatchObject({ actor: "operator" });
    const after = await go("/ui/trust?level=contact");
    expect(after.html).toContain(c);
    const tried = await form("/ui/trust/test", { ...guard, client: c, code: "", level: "", payment: "" });
    expect(tried.html).toContain("Allowed");
    expect(tried.html).toContain("allow: contact");
    const draft = await form("/ui/trust/policy", { ...guard, policy: "---\nalow: []\n---" });
    expect([draft.status, draft.html.includes("is no key of a policy")]).toEqual([400, true]);
    expect((await go(`/ui/trust/admin?client=${c}&on=1`)).html).toContain("Make this client an admin?");
  });

  it("is for the signed-in", async () => {
    cookie = "";
    expect((await go("/ui/trust")).status).toBe(303);
  });
});
