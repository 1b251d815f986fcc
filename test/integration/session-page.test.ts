import { runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import type { Session } from "../../durable-objects/session.do";
import { readAudit } from "../../src/audit";
import { Browser } from "./browser-kit";
import { type Frame, pair, until } from "./relay-kit";
import { connect, done, event, hold, host, input, objectOf, policy, signedGet, someone } from "./session-kit";

/** The operator's view of one session and what may be done to it: page and API over the same objects. */

const authorization = `Bearer ${(env as unknown as Record<string, string>)["REVEILLE_OPERATOR_TOKEN"]}`;
const api = (path: string, method = "GET"): Promise<Response> =>
  exports.default.fetch(`http://reveille.test/api/v1${path}`, { method, headers: { authorization } });
const read = async (id: string): Promise<Frame> => (await api(`/sessions/${id}`)).json();
const acts = async (id: string) =>
  (await readAudit(env.DB, { seam: "session.changed", session_id: id, limit: 10 })).map((r) => r.details);

const b = new Browser();

beforeAll(async () => {
  await policy("open");
  await b.signIn();
});

describe("a session of the built-in agent", () => {
  it("shows owner, runs by size, lines with who holds them, and the log as text", async () => {
    const me = await someone();
    const one = await connect(me);
    const two = await connect(me, { session_id: one.id });
    const { run, token } = await hold(one.id, me, "a secret question");
    const evil = `<script>alert("x")</script>`;
    await objectOf(one.id).events(run, token, [event("assistant", { content: evil })]);
    await two.line.next("assistant");
    const seen = await read(one.id);
    expect(seen).toMatchObject({
      ...{ session_id: one.id, owner: me.address, agent: await host(), built_in: true, status: "running" },
      expires_at: null,
      runs: [{ id: run, status: "running", inputs: 1, result_bytes: null }],
      log: { first: 1, last: 1, tail: [{ seq: 1, type: "assistant" }] },
    });
    const lines = seen["lines"] as Frame[];
    expect(lines.map((l) => [l["lent"], l["stale"], l["from"]])).toEqual([
      [false, false, me.address],
      [true, false, me.address],
    ]);
    expect(JSON.stringify(seen)).not.toContain("a secret question");
    await b.go(`/ui/sessions/${one.id}`);
    expect(b.html).toContain(`title="${me.address}"`);
    expect(b.html).toContain("&lt;script&gt;");
    expect(b.html).not.toContain("<script>alert");
    expect(b.html).not.toContain("a secret question");
    expect(b.html).toMatch(/Running, 2 lines\./);
    await objectOf(one.id).finish(run, token, done("ünd"), 1);
    await one.line.next("OUTPUT");
    const after = await read(one.id);
    expect(after["runs"]).toMatchObject([{ status: "done", result_bytes: 4 }]);
    expect(Date.parse(String(after["expires_at"])) - Date.now()).toBeGreaterThan(86_000_000);
    for (const { line } of [one, two]) line.leave();
  });

  it("a line that is silent for a minute is stale, and is closed by the operator alone", async () => {
    const me = await someone();
    const one = await connect(me);
    one.line.send(input("What is down?"));
    await one.line.next("OUTPUT");
    const two = await connect(me, { session_id: one.id });
    await runInDurableObject(objectOf(one.id), (_o: Session, state) => {
      const [ws] = state.getWebSockets();
      ws!.serializeAttachment({ ...(ws!.deserializeAttachment() as object), heard_at: Date.now() - 61_000 });
    });
    const stale = async () => ((await read(one.id))["lines"] as Frame[]).map((l) => l["stale"]);
    expect(await stale()).toEqual([true, false]);
    // Whatever it says makes it live again.
    one.line.send({ type: "PONG" });
    await scheduler.wait(50);
    expect(await stale()).toEqual([false, false]);
    const [, lent] = (await read(one.id))["lines"] as Frame[];
    await b.go(`/ui/sessions/${one.id}`);
    const confirm = `/ui/sessions/${one.id}/confirm?act=close&line=${lent!["id"]}`;
    expect(b.html).toContain(confirm.replace("&", "&amp;"));
    await b.go(confirm);
    expect(b.html).toContain("Close this line?");
    await b.act(`/ui/sessions/${one.id}/act`);
    expect(await two.line.close()).toMatchObject({ code: 4411 });
    expect(one.line.closed).toBeNull();
    expect(await acts(one.id)).toMatchObject([{ by: "operator", act: "close", line: lent!["id"], owner: me.address }]);
    const gone = await api(`/sessions/${one.id}/lines/${lent!["id"]}/close`, "POST");
    expect(gone.status).toBe(404);
    const [own] = (await read(one.id))["lines"] as Frame[];
    expect((await api(`/sessions/${one.id}/lines/${own!["id"]}/close`, "POST")).status).toBe(200);
    expect(await one.line.close()).toMatchObject({ code: 4411 });
  });

  it("its run is interrupted once, told to the client, and then it may be forgotten", async () => {
    const me = await someone();
    const { line, id } = await connect(me);
    const { run, token } = await hold(id, me);
    expect((await api(`/sessions/${id}/forget`, "POST")).status).toBe(409);
    await b.go(`/ui/sessions/${id}/confirm?act=cancel`);
    await b.act(`/ui/sessions/${id}/act`);
    expect(await line.next("ERROR")).toMatchObject({ error: "interrupted by the operator" });
    expect(await objectOf(id).finish(run, token, done("too late"), 1)).not.toBe("lost");
    expect(await read(id)).toMatchObject({ status: "interrupted", runs: [{ result_bytes: null }] });
    const again = await api(`/sessions/${id}/cancel`, "POST");
    expect([again.status, await again.json()]).toMatchObject([409, { error: { code: "not_running" } }]);
    line.leave();
    expect((await api(`/sessions/${id}/forget`, "POST")).status).toBe(200);
    expect((await api(`/sessions/${id}`)).status).toBe(404);
    expect((await signedGet(me, `/sessions/${id}`)).status).toBe(404);
    expect(await env.DB.prepare("SELECT 1 FROM session_index WHERE id = ?").bind(id).first()).toBeNull();
    expect((await acts(id)).map((d) => [d["act"], d["by"]])).toEqual([
      ["forget", "api"],
      ["cancel", "operator"],
    ]);
  });
});

describe("a session behind the relay", () => {
  it("shows the same, and the same acts end it: its agent's late answer counts no more", async () => {
    const p = await pair("page");
    p.client.send({ type: "INPUT", input_id: "1", prompt: "go" });
    await p.agent.type("INPUT");
    p.agent.send({ type: "assistant", session_id: p.rid, id: "e1", ts: 1, content: "<b>bold</b>" });
    await p.client.type("assistant");
    const seen = await read(p.rid);
    expect(seen).toMatchObject({
      ...{ owner: p.clientKeys.address, agent: p.agentKeys.address, built_in: false, status: "running" },
      runs: [{ status: "running" }],
      lines: [{ from: p.clientKeys.address, lent: false, stale: false }],
      log: { last: 1, tail: [{ type: "assistant" }] },
    });
    await b.go(`/ui/sessions/${p.rid}`);
    expect(b.html).toContain("&lt;b&gt;bold");
    expect(b.html).not.toContain("<b>bold");
    expect((await api(`/sessions/${p.rid}/cancel`, "POST")).status).toBe(200);
    expect(await p.client.type("ERROR")).toMatchObject({ error: "interrupted by the operator" });
    expect(await p.agent.type("INTERRUPT")).toMatchObject({ session_id: p.rid });
    p.agent.send({ type: "OUTPUT", session_id: p.rid, result: "too late" });
    await scheduler.wait(50);
    expect(await read(p.rid)).toMatchObject({ status: "interrupted", runs: [{ result_bytes: null }] });
    expect((await api(`/sessions/${p.rid}/lines/${p.rid}/close`, "POST")).status).toBe(200);
    await until(() => p.client.closed === 4411, 2_000, "4411");
    expect((await api(`/sessions/${p.rid}/forget`, "POST")).status).toBe(200);
    expect((await api(`/sessions/${p.rid}`)).status).toBe(404);
    expect(await acts(p.rid)).toHaveLength(3);
    p.agent.ws.close();
  });
});

describe("what is not there", () => {
  it("an unknown id, a name kept for other objects and nonsense are the same page", async () => {
    const shape = (html: string, id: string): string => html.replaceAll(id, "ID").replace(/value="[^"]*"/g, "");
    const pages: string[] = [];
    for (const id of ["11111111-unknown", "chat:t:i:s:C1"]) {
      const response = await b.go(`/ui/sessions/${encodeURIComponent(id)}`);
      expect(response.status).toBe(404);
      pages.push(shape(b.html, id).replaceAll(encodeURIComponent(id), "ID"));
      expect((await api(`/sessions/${encodeURIComponent(id)}`)).status).toBe(404);
      expect((await api(`/sessions/${encodeURIComponent(id)}/forget`, "POST")).status).toBe(404);
    }
    expect(pages[0]).toContain("No session");
    expect((await exports.default.fetch("http://reveille.test/api/v1/sessions")).status).toBe(401);
  });

  it("lists are pages, newest first, by status and owner; all of it is in the document", async () => {
    const me = await someone();
    const made: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { line, id } = await connect(me);
      line.send(input("What is down?"));
      await line.next("OUTPUT");
      line.leave();
      made.unshift(id);
    }
    const seen: unknown[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: { items: Frame[]; next_cursor: string | null } = await (
        await api(`/sessions?limit=1&status=done&owner=${me.address}${cursor ? `&cursor=${cursor}` : ""}`)
      ).json();
      seen.push(...page.items.map((s) => s["session_id"]));
      cursor = page.next_cursor;
    }
    expect(seen).toEqual(made);
    const doc = await (await exports.default.fetch("http://reveille.test/api/openapi.json")).json<{ paths: object }>();
    for (const path of ["", "/{id}", "/{id}/cancel", "/{id}/forget", "/{id}/lines/{line}/close"])
      expect(doc.paths).toHaveProperty([`/sessions${path}`]);
  });
});
