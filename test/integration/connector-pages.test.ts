import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { Browser } from "./browser-kit";
import { api, OPERATOR, send } from "./connector-kit";
import { edge, gateway, type Made, made, offerOf, ring, stopAll, stub } from "./gateway-kit";

/** The connector's pages as a browser without script reads and uses them. */

const b = new Browser();
let m: Made;
const at = (d: { tenant: string; instance: string }) =>
  `/gateways/${encodeURIComponent(d.tenant)}/${encodeURIComponent(d.instance)}`;
const AUTH = { headers: { authorization: `Bearer ${OPERATOR}` } };
const HOSTILE = '<script>alert("x")</script> \u202eedisni';

async function store(to: Made["to"], text: string, held = false): Promise<{ seq: number }> {
  const offered = await stub(to).offer(offerOf(to, text, { held }));
  if (offered.outcome !== "stored") throw new Error(`not stored: ${offered.outcome}`);
  return offered;
}

beforeAll(async () => {
  m = await made();
  await b.signIn();
});
afterEach(stopAll);

describe("pages of the connector", () => {
  it("are for the signed-in", async () => {
    const stranger = new Browser();
    for (const path of ["/platforms", "/gateways", at(m.to), "/deliveries", "/dead-letters"]) {
      const page = await stranger.go(path);
      expect([page.status, page.headers.get("location")], path).toEqual([
        303,
        `/login?next=${encodeURIComponent(path)}`,
      ]);
    }
  });

  it("tell what of a platform is missing, and ask it again", async () => {
    expect((await b.go("/platforms")).status).toBe(200);
    expect(b.html).toContain("http://reveille.test/webhooks/slack/main/events");
    expect(b.html).toContain("REVEILLE_WHATSAPP_APP_SECRET");
    await b.act("/platforms/telegram/check", { app: "main" });
    expect(b.html).toContain("Telegram");
    expect(b.html).toMatch(/checked\s*<time/);
  });

  it("make a gateway: its secret is on one page only", async () => {
    await b.go("/gateways");
    const tenants = await send("/api/v1/tenants", AUTH);
    const tenant = (tenants.json["items"] as { id: string }[])[0]!.id;
    const fields = {
      ...b.form("/gateways"),
      name: "Bea <b>",
      instance: "bea-1",
      platform: "slack",
      bot_id: "B07",
      tenant,
    };
    const page = await b.post("/gateways", fields);
    expect(page.status).toBe(200);
    const secret = /GATEWAY_RELAY_SECRET=([0-9a-f]{64})/.exec(b.html)?.[1];
    expect(secret).toBeDefined();
    expect(b.html).toContain("GATEWAY_RELAY_BOT_IDS={&quot;slack&quot;:{&quot;botId&quot;:&quot;B07&quot;}}");
    // The same form again makes nothing and shows nothing.
    await b.post("/gateways", fields);
    expect(b.html).not.toContain("GATEWAY_RELAY_SECRET");
    for (const path of ["/gateways", at({ tenant, instance: "bea-1" })]) {
      await b.go(path);
      expect(b.html).toContain("Bea &lt;b&gt;");
      expect(b.html).not.toContain(secret!);
    }
    expect(b.html).toContain("never connected");
  });

  it("rotate, revoke after a question, and never another instance's", async () => {
    await b.go(at(m.to));
    await b.act(`${at(m.to)}/rotate`);
    const secret = /GATEWAY_RELAY_SECRET=([0-9a-f]{64})/.exec(b.html)?.[1];
    const g = gateway({ ...m, secret: secret! });
    await g.connect();
    expect((await stub(m.to).view()).state).toBe("on");
    await b.go(at(m.to));
    expect(b.html).toContain("takes the events");
    const other = await made();
    expect((await b.go(`${at(m.to)}/revoke?id=${other.id}`)).status).toBe(404);
    await b.go(at(m.to));
    await b.post(`${at(m.to)}/revoke`, { ...b.form(`${at(m.to)}/rotate`), id: other.id });
    const row = await edge.DB.prepare("SELECT revoked_at FROM gateway WHERE id = ?").bind(other.id).first();
    expect(row).toEqual({ revoked_at: null });
    await b.go(`${at(other.to)}/revoke?id=${other.id}`);
    await b.act(`${at(other.to)}/revoke`);
    expect(b.html).toContain("is revoked");
    expect(b.html).toContain("Revoked");
  });

  it("link, unlink, hold and release, and set who may talk", async () => {
    await b.go(at(m.to));
    await b.post(`${at(m.to)}/link`, { ...b.form(`${at(m.to)}/link`), platform: "slack" });
    expect(b.html).toMatch(/\/link [A-Z0-9-]{6,}/);
    await b.go(at(m.to));
    expect(b.html).not.toMatch(/\/link [A-Z0-9-]{6,}</);
    await b.act(`${at(m.to)}/grant`, { platform: "slack", scope_id: "T0PAGES", channel_id: "C0PAGES" });
    expect(b.html).toContain("T0PAGES is not of tenant");
    await api("POST", "/scopes", { platform: "slack", scope_id: "T0PAGES", tenant: m.to.tenant });
    await b.go(at(m.to));
    await b.act(`${at(m.to)}/grant`, { platform: "slack", scope_id: "T0PAGES", channel_id: "C0PAGES" });
    expect(b.html).toContain("C0PAGES");
    await b.act(`${at(m.to)}/release`);
    await b.go(at(m.to));
    expect(b.html).not.toContain("C0PAGES");
    await b.act(`${at(m.to)}/policy`, {
      principal: "allow-list",
      allow: "U1\nU2",
      wake_url: "http://127.0.0.1:9/wake?key=s3cret",
    });
    expect(b.html).toContain("Saved.");
    expect(b.html).not.toContain("s3cret");
    const row = await edge.DB.prepare("SELECT principal, allow FROM instance WHERE tenant = ? AND id = ?")
      .bind(m.to.tenant, m.to.instance)
      .first();
    expect(row).toEqual({ principal: "allow-list", allow: '["U1","U2"]' });
  });

  it("refuse a form without this session's token", async () => {
    const answer = await b.post(`${at(m.to)}/deprovision`, { typed: m.to.instance, csrf: "no", form_key: "x" });
    expect(answer.status).toBe(403);
    await b.go("/gateways", { headers: { "sec-fetch-site": "cross-site" } });
    expect((await b.go(at(m.to))).status).toBe(200);
  });
});

describe("deliveries", () => {
  it("follow an event to its ack, find it by text, and show hostile text as text", async () => {
    const home = await made();
    const { seq } = await store(home.to, `needle ${HOSTILE}`);
    await b.go(`/deliveries?tenant=${home.to.tenant}&instance=${home.to.instance}`);
    expect(b.html).toContain("1 event waits.");
    expect(b.html).toContain("&lt;script&gt;");
    expect(b.html).not.toContain("<script>alert");
    expect(b.html).not.toContain("\u202e");
    expect(b.html).toContain('aria-label="received, verified, stored"');
    const g = gateway(home);
    await g.connect();
    await g.until("acked", () => g.acked.length === 1);
    await expect.poll(async () => (await stub(home.to).view()).waiting).toBe(0);
    await b.go(`/deliveries?q=NEEDLE&instance=${home.to.instance}`);
    expect(b.html).toContain('aria-label="received, verified, stored, sent, acked"');
    await b.go(`/deliveries?q=nothing-like-it&instance=${home.to.instance}`);
    expect(b.html).toContain("Nothing found.");
    await b.go(`/deliveries/${home.to.tenant}/${home.to.instance}/${seq}`);
    expect(b.html).toContain("Credentials of this chat");
    expect((await b.go(`/deliveries/${home.to.tenant}/${home.to.instance}/1`)).status).toBe(404);
    // An acked one goes again only when it is said plainly.
    await b.go(`/deliveries/${home.to.tenant}/${home.to.instance}/${seq}`);
    const action = `/deliveries/${home.to.tenant}/${home.to.instance}/${seq}/replay`;
    await b.post(action, { ...b.form(action), override: "" });
    expect((await stub(home.to).deliveries({ limit: 10 })).items).toHaveLength(1);
    await b.go(`/deliveries/${home.to.tenant}/${home.to.instance}/${seq}`);
    await b.act(action);
    expect((await stub(home.to).deliveries({ limit: 10 })).items).toHaveLength(2);
  });

  it("page over several instances by time", async () => {
    const one = await made();
    const other = await made(["slack"], one.to.tenant);
    for (let i = 0; i < 3; i++) {
      await store(one.to, `one ${i}`);
      await store(other.to, `two ${i}`);
    }

    const texts: string[] = [];
    let cursor = "";
    do {
      const page = await send(
        `/api/v1/deliveries?tenant=${one.to.tenant}&limit=2${cursor && `&cursor=${cursor}`}`,
        AUTH,
      );
      texts.push(...(page.json["items"] as { text: string }[]).map((d) => d.text));
      cursor = (page.json["next_cursor"] as string | null) ?? "";
    } while (cursor !== "" && texts.length < 20);
    expect(texts).toEqual(["two 2", "one 2", "two 1", "one 1", "two 0", "one 0"]);
  });

  it("dead letters are sent again one, in a range, or all; once", async () => {
    const home = await made();
    const seqs: number[] = [];
    for (let i = 0; i < 4; i++) {
      const { seq } = await store(home.to, `dead ${i}`, true);
      await stub(home.to).settle(seq, false, "the test <b>gave it up</b>");
      seqs.push(seq);
    }
    await ring(home.to);
    const list = `/dead-letters?tenant=${home.to.tenant}&instance=${home.to.instance}`;
    await b.go(list);
    expect(b.html).toContain("4 dead letters.");
    expect(b.html).toContain("the test &lt;b&gt;gave it up&lt;/b&gt;");
    const form = b.form("/dead-letters/one");
    await b.post("/dead-letters/one", form);
    await b.go(list);
    expect(b.html).toContain("3 dead letters.");
    await b.post("/dead-letters/replay", {
      ...b.form("/dead-letters/replay"),
      from: String(seqs[0]),
      to: String(seqs[1]),
    });
    await b.go(list);
    expect(b.html).toContain("1 dead letter");
    // Those that went are skipped; the one that is left goes.
    await b.post("/dead-letters/replay", b.form("/dead-letters/replay"));
    await b.go(list);
    expect(b.html).toContain("No dead letters.");
    expect((await stub(home.to).view()).waiting).toBe(4);
    await b.go("/gateways");
    await b.post(`${at(home.to)}/deprovision`, { ...b.form("/gateways"), typed: "wrong" });
    expect((await stub(home.to).view()).waiting).toBe(4);
    await b.go(`${at(home.to)}/deprovision`);
    await b.act(`${at(home.to)}/deprovision`, { typed: home.to.instance });
    expect(b.html).toContain("is deprovisioned");
    expect((await stub(home.to).view()).waiting).toBe(0);
  });
});
