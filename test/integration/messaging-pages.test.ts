import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Browser } from "./browser-kit";
import { hit, post, signed } from "./hooks-kit";
import { call, mcp, newAgent, newWorkspace, ok, until } from "./messaging-kit";

/** The pages of agent messaging and of wake hooks, as a browser without script reads and uses them. */

const b = new Browser();
const HOSTILE = '<script>alert("x")</script> \u202eedisni';

const text = (): string =>
  b.html
    .replace(/<[^>]*>/g, " ")
    .replace(/[\s\u202f]+/g, " ")
    .replaceAll("&quot;", '"');
const keyOf = (): string => /Bearer (q_[A-Za-z0-9_-]{43})/.exec(b.html)?.[1] ?? "";
const secretOf = (): string => /SECRET=(\S+)/.exec(b.html)?.[1] ?? "";
const idOf = async (name: string): Promise<string> =>
  (await env.DB.prepare("SELECT id FROM msg_agent WHERE name = ?").bind(name).first<string>("id"))!;
const letsIn = async (key: string): Promise<boolean> =>
  (await mcp(key, { jsonrpc: "2.0", id: 1, method: "tools/list" })).status === 200;

beforeAll(async () => {
  await b.signIn();
});
beforeEach(async () => {
  await env.DB.batch(["msg_agent", "hook"].map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
});

describe("/messaging", () => {
  it("is for the signed-in, and says what to do first", async () => {
    for (const path of ["/messaging", "/messaging/hooks", "/messaging/agents/x/deactivate"]) {
      const page = await new Browser().go(path);
      const to = `/login?next=${encodeURIComponent(path)}`;
      expect([page.status, page.headers.get("location")], path).toEqual([303, to]);
    }
    await b.go("/messaging");
    expect(text()).toContain("No messaging agent yet.");
    expect(text()).toContain("Make one below");
    expect(b.html).toMatch(/<a href="\/messaging" aria-current="page">Messaging<\/a>/);
    await b.go("/messaging/hooks");
    expect(b.html.match(/aria-current="page"/g)).toHaveLength(1);
    expect((await b.go("/messaging/agents/nobody/deactivate")).status).toBe(404);
  });

  it("makes an agent whose key is shown once and works, and gives it a new one", async () => {
    await b.go("/messaging");
    const fields = { ...b.form("/messaging/agents"), name: "north", workspace: newWorkspace(), wake_url: "" };
    await b.post("/messaging/agents", fields);
    const first = keyOf();
    expect(await letsIn(first)).toBe(true);
    expect(b.html).not.toContain("Wake secret: ");
    // The same form again makes nothing and shows nothing.
    await b.post("/messaging/agents", fields);
    await b.go("/messaging");
    expect(b.html).not.toContain(first);
    expect(await env.DB.prepare("SELECT COUNT(*) AS n FROM msg_agent").first("n")).toBe(1);
    expect(text()).toContain("reads its inbox");
    await b.act(`/messaging/agents/${await idOf("north")}/rotate`);
    const second = keyOf();
    expect(second).not.toBe(first);
    expect(await Promise.all([first, second].map(letsIn))).toEqual([true, true]);
    await b.go("/messaging");
    expect(text()).toContain("old key ends");
  });

  it("takes an agent out after a question, and back in", async () => {
    const { id, key } = await newAgent(newWorkspace(), "south");
    await b.go("/messaging");
    await b.go(`/messaging/agents/${id}/deactivate`);
    expect(text()).toContain("Deactivate south?");
    expect(await letsIn(key)).toBe(true);
    await b.act(`/messaging/agents/${id}/deactivate`);
    expect(text()).toContain("south is deactivated.");
    expect(await letsIn(key)).toBe(false);
    await b.act(`/messaging/agents/${id}/activate`);
    expect(await letsIn(key)).toBe(true);
  });

  it("counts what is unread and what went on, and shows hostile names as text", async () => {
    const workspace = newWorkspace();
    const [north, south] = await Promise.all([newAgent(workspace, "north"), newAgent(workspace, `${HOSTILE}`.trim())]);
    const sent = await ok(north.key, "agent_send", { to_agent: south.id, body: "one" });
    await ok(north.key, "agent_send", { to_agent: south.id, body: "two" });
    await ok(north.key, "agent_session_close", { session_id: sent["session_id"] });
    await b.go("/messaging");
    expect(text()).toContain("2 messages wait to be read.");
    expect(text()).toMatch(new RegExp(`${workspace} 2 of 2 active 2 sessions, 1 open 2 messages 0 wakes failed`));
    expect(b.html).toContain("&lt;script&gt;");
    expect(b.html).not.toContain("<script>alert");
    expect(b.html).not.toContain("\u202e");
    await call(south.key, "agent_inbox", {});
    await b.go("/messaging");
    expect(text()).toContain("Every message was read.");
  });

  it("makes an agent that a hook made on its page wakes", async () => {
    await b.go("/messaging/hooks");
    const hook = {
      id: "page-0",
      title: "West",
      agent_id: "west",
      agent_name: "west",
      mode: "wake",
      auth_mode: "bearer",
    };
    await b.act("/messaging/hooks", { ...hook, kind: "builtin" });
    const wake = { wake_url: "/hooks/page-0", wake_auth: "bearer", wake_secret: secretOf() };
    const workspace = newWorkspace();
    await b.go("/messaging");
    await b.act("/messaging/agents", { name: "west", workspace, ...wake });
    expect(b.html).not.toContain(wake.wake_secret);
    const north = await newAgent(workspace, "north");
    await ok(north.key, "agent_send", { to_agent: "west", body: "wake up" });
    await until(
      "the hook took it",
      () => env.DB.prepare("SELECT trigger_count AS n FROM hook").first("n"),
      (n) => n === 1,
    );
    await b.go("/messaging");
    expect(text()).toContain("/hooks/page-0");
    expect(text()).toContain("Every message was read.");
    // Without a secret of its own one is made, and told on this page alone.
    await b.act("/messaging/agents", {
      name: "east",
      workspace,
      wake_url: "http://127.0.0.1:9/wake",
      wake_auth: "hmac",
    });
    const made = /Wake secret: (\S+)/.exec(text())?.[1];
    expect(made?.length).toBeGreaterThan(30);
    await b.go("/messaging");
    expect(b.html).not.toContain(made!);
  });

  it("refuses what the API refuses, in words, and forms that are not this session's", async () => {
    await b.go("/messaging");
    await b.act("/messaging/agents", { name: "x", workspace: "Not A Word" });
    expect(text()).toContain("must be lower-case letters");
    await b.act("/messaging/agents", { name: "x", workspace: "main", wake_url: "http://10.1.2.3/hook" });
    expect(b.html).toContain('class="flash bad"');
    const forged = await b.post("/messaging/agents", { name: "x", workspace: "main", csrf: "no", form_key: "k" });
    expect(forged.status).toBe(403);
    expect(await env.DB.prepare("SELECT COUNT(*) AS n FROM msg_agent").first("n")).toBe(0);
    await newAgent("main", "waker", {
      wake: { url: "https://example.com/in?token=s3cret-in-url", secret: "wake-secret-0123456789" },
    });
    await b.go("/messaging");
    expect(text()).toContain("example.com");
    expect(b.html).not.toContain("s3cret-in-url");
    expect(b.html).not.toContain("wake-secret");
  });
});

describe("/messaging/hooks", () => {
  const make = async (more: Record<string, string>): Promise<void> => {
    await b.go("/messaging/hooks");
    const fields = { title: `Hook ${HOSTILE}`, agent_id: "01B", agent_name: "south", auth_mode: "bearer" };
    await b.act("/messaging/hooks", { ...fields, mode: "wake", kind: "builtin", to: "", template: "", ...more });
  };
  const auth = (secret: string) => ({ authorization: `Bearer ${secret}` });

  it("makes a hook whose secret is shown once and lets in; then off, on, a new secret", async () => {
    const south = await newAgent("main", "south");
    await make({ id: "page-1", kind: "mail", to: `main/${south.id}` });
    const first = secretOf();
    expect(b.html).toContain("/hooks/page-1");
    expect((await post("page-1", { text: "hello" }, {}, auth(first))).status).toBe(202);
    await b.go("/messaging/hooks");
    expect(b.html).not.toContain(first);
    expect(b.html).not.toContain("<script>alert");
    expect(text()).toContain("1 of 1 hooks on.");
    expect(text()).toMatch(/1× (?:now|\d+ s ago)/);
    expect(text()).toContain(`to inbox of ${south.id.slice(0, 4)}…${south.id.slice(-3)} in main`);
    await b.act("/messaging/hooks/page-1/disable");
    expect((await post("page-1", { text: "hello" }, {}, auth(first))).status).toBe(403);
    // The flash's undo comes first on the page.
    await b.act("/messaging/hooks/page-1/enable");
    await b.act("/messaging/hooks/page-1/rotate");
    const second = secretOf();
    expect(second).not.toBe(first);
    for (const s of [first, second]) expect((await post("page-1", { text: s }, {}, auth(s))).status).toBe(202);
  });

  it("makes a signed one, and shows what failed last", async () => {
    await make({ id: "page-2", auth_mode: "hmac" });
    expect(b.html).toContain("openssl dgst -sha256 -hmac");
    expect(b.html).toContain("X-Webhook-Signature: sha256=$(");
    expect((await signed("page-2", { text: "hello" }, secretOf(), "sha256=")).status).toBe(202);
    await until(
      "counted",
      () => env.DB.prepare("SELECT trigger_count AS n FROM hook WHERE id = 'page-2'").first("n"),
      (n) => n === 1,
    );
    await env.DB.prepare("UPDATE hook SET last_status = ?1, last_error = ?1 WHERE id = 'page-2'")
      .bind("error:reply_failed")
      .run();
    await b.go("/messaging/hooks");
    expect(text()).toContain("1 hook failed last time.");
    expect(text()).toContain("error:reply_failed");
  });

  it("refuses what makes no sense, and deletes when its id is typed", async () => {
    await make({ id: "page 3" });
    expect(text()).toContain("must have letters, digits, - and _ only");
    await make({ id: "page-3", kind: "agent", to: "nobody" });
    expect(text()).toContain("must be an address");
    await make({ id: "page-3", kind: "webhook", to: "http://169.254.169.254/latest" });
    expect(b.html).toContain('class="flash bad"');
    await make({ id: "page-3" });
    const secret = secretOf();
    expect((await b.go("/messaging/hooks/none/delete")).status).toBe(404);
    for (const typed of ["page-2", "page-3"]) {
      await b.go("/messaging/hooks/page-3/delete");
      await b.act("/messaging/hooks/page-3/delete", { typed });
    }
    expect(text()).toContain("page-3 is deleted.");
    expect((await post("page-3", { text: "hello" }, {}, auth(secret))).status).toBe(404);
    // Machines are answered there as before, never with a page.
    expect((await hit("/hooks/page-3", { method: "GET" })).status).toBe(405);
  });
});
