import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { api, BASE, fresh, newGateway, newTenant, OPERATOR, send } from "./connector-kit";

/** The operator's API of the connector: makes, lists page by page, changes, refuses, and proves each change. */

type List = { items: Record<string, unknown>[]; next_cursor: string | null };

describe("the first tenant", () => {
  it("is made on first use, once, also by two who come at once", async () => {
    expect((await api<List>("GET", "/tenants")).json.items).toEqual([]);
    const both = await Promise.all([1, 2].map(() => api("POST", "/clients", { name: "boot" })));
    expect(both.map((b) => b.status)).toEqual([201, 201]);
    expect((await api<List>("GET", "/tenants")).json.items.map((t) => t["id"])).toEqual(["default"]);
    const made = await api<{ gateway: { tenant: string; instance: string; id: string } }>("POST", "/gateways");
    expect(made.status).toBe(201);
    const { gateway } = made.json;
    expect(gateway).toMatchObject({ tenant: "default", instance: `gw:${gateway.id}` });
  });

  it("is meant until there is a second; then it must be named", async () => {
    await newTenant();
    expect(await api("POST", "/gateways", {})).toMatchObject({
      status: 400,
      json: { error: { code: "tenant_needed" } },
    });
    expect((await api("POST", "/gateways", { tenant: "default" })).status).toBe(201);
    expect((await api("POST", "/gateways", { tenant: "nobody" })).status).toBe(404);
    expect((await api("POST", "/tenants", { id: "default" })).status).toBe(409);
    expect((await api("POST", "/gateways", { tenent: "default" })).status).toBe(400);
    for (const id of ["", "a b", "../x", "gw:x"]) expect((await api("POST", "/tenants", { id })).status).toBe(400);
  });
});

describe("lists", () => {
  let tenant: string;
  beforeAll(async () => {
    tenant = await newTenant();
  });
  const walk = async (path: string): Promise<Record<string, unknown>[]> => {
    const all: Record<string, unknown>[] = [];
    for (let cursor = ""; ; ) {
      const { status, json } = await api<List>(
        "GET",
        `${path}limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      expect(status).toBe(200);
      all.push(...json.items);
      if (json.next_cursor === null) return all;
      cursor = json.next_cursor;
    }
  };

  it("turn their pages: gateways, instances, bindings, grants, scopes, clients", async () => {
    const g = await Promise.all([1, 2, 3, 4, 5].map(() => newGateway(tenant)));
    const ids = g.map((x) => x.id).sort();
    expect((await walk(`/gateways?tenant=${tenant}&`)).map((x) => x["id"])).toEqual(ids);
    expect((await walk(`/instances?tenant=${tenant}&`)).map((x) => x["id"]).sort()).toEqual(
      g.map((x) => x.to.instance).sort(),
    );
    const team = fresh("T");
    for (const x of g) {
      await api("POST", "/scopes", { platform: "slack", scope_id: `${team}-${x.id}`, tenant });
      await api("POST", "/grants", { ...x.to, platform: "slack", scope_id: `${team}-${x.id}`, channel_id: "C:1/ä" });
      await api("POST", "/bindings", { ...x.to, platform: "slack", user_id: `U-${x.id}`, scope_id: team });
      await api("POST", "/clients", { tenant, name: x.id });
    }
    for (const path of ["scopes", "grants", "bindings", "clients"])
      expect(await walk(`/${path}?tenant=${tenant}&`), path).toHaveLength(5);
    expect(await walk(`/bindings?tenant=${tenant}&instance=${g[0]!.to.instance}&`)).toMatchObject([
      {
        platform: "slack",
        user_id: `U-${g[0]!.id}`,
        dm_default: false,
        created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      },
    ]);
    expect((await api("GET", "/bindings?cursor=nonsense")).status).toBe(400);
  });

  it("show how a gateway is", async () => {
    const g = await newGateway(tenant);
    expect((await api("GET", `/gateways/${g.id}`)).json).toMatchObject({
      id: g.id,
      secrets: { live: 1, retiring_at: null, sealed_with: "current" },
      live: { state: "dead", sockets: 0, waiting: 0 },
    });
    await api("POST", `/gateways/${g.id}/rotate`);
    expect((await api("GET", `/gateways/${g.id}`)).json).toMatchObject({
      secrets: { live: 2, retiring_at: expect.stringMatching(/Z$/) },
    });
    expect((await api("POST", "/gateways/reseal")).json).toEqual({ changed: 0 });
    expect((await api("GET", "/gateways/nobody")).status).toBe(404);
  });
});

describe("an instance", () => {
  it("is made, changed and refused", async () => {
    const tenant = await newTenant();
    const made = await api("POST", "/instances", { tenant, id: "coder", name: "The coder" });
    expect(made).toMatchObject({ status: 201, json: { id: "coder", principal: "owner-only", wake_host: null } });
    expect((await api("POST", "/instances", { tenant, id: "coder" })).status).toBe(409);
    expect((await api("POST", "/instances", { tenant, id: "gw:coder" })).status).toBe(400);
    const patched = await api("PATCH", `/instances/coder?tenant=${tenant}`, {
      principal: "allow-list",
      allow: ["U1"],
      wake_url: "https://wake.example.com/k/very-secret-path",
    });
    expect(patched.json).toMatchObject({ principal: "allow-list", allow: ["U1"], wake_host: "wake.example.com" });
    expect(JSON.stringify(patched.json)).not.toContain("very-secret-path");
    const audit = await env.DB.prepare("SELECT details FROM audit WHERE details LIKE '%instance.changed%'").all();
    expect(JSON.stringify(audit.results)).toContain('\\"wake_url\\":\\"set\\"');
    expect(JSON.stringify(audit.results)).not.toContain("very-secret-path");
    for (const wake_url of ["http://wake.example.com", "https://169.254.169.254/", "ftp://x", "https://localhost/"])
      expect((await api("PATCH", `/instances/coder?tenant=${tenant}`, { wake_url })).status, wake_url).toBe(400);
    expect((await api("PATCH", `/instances/coder?tenant=${tenant}`, { wake_url: null })).json["wake_host"]).toBeNull();
    expect((await api("PATCH", `/instances/nobody?tenant=${tenant}`, { name: "x" })).status).toBe(404);
  });
});

describe("every route", () => {
  it("needs the operator, and is in the OpenAPI document", async () => {
    const doc = (await (
      await fetchJson("/api/openapi.json")
    ).json) as { paths: Record<string, Record<string, unknown>> };
    const paths = [
      "tenants",
      "instances",
      "gateways",
      "bindings",
      "scopes",
      "grants",
      "links",
      "enroll-tokens",
      "clients",
    ];
    for (const p of paths) {
      expect(Object.keys(doc.paths), p).toContain(`/${p}`);
      expect((await send(`/api/v1/${p}`)).status, p).toBe(401);
      expect((await send(`/api/v1/${p}`, { method: "POST", body: "{}" })).status, p).toBe(401);
    }
    expect(Object.keys(doc.paths["/gateways/{id}/rotate"] ?? {})).toEqual(["post"]);
  });
});

const fetchJson = (path: string) => send(path, { headers: { authorization: `Bearer ${OPERATOR}`, origin: BASE } });
