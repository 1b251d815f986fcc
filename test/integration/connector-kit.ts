import { env, exports } from "cloudflare:workers";
import type { EdgeEnv } from "../../src/edge/env";
import { mintToken } from "../../src/gateway";
import { runtimeOf } from "../../src/kernel/runtime";

/** What tests of the connector's management share: calls to the Worker's own fetch handler, as a gateway and as an operator. */

export const BASE = "http://reveille.test";
export const edge = env as unknown as EdgeEnv;
export const runtime = runtimeOf(edge, "connector-test");
export const OPERATOR = "test-operator-token-4f1c9b7e2a";

export interface Said {
  status: number;
  json: Record<string, unknown>;
  headers: Headers;
}

let caller = 0;
export async function send(path: string, init: RequestInit = {}): Promise<Said> {
  const headers = new Headers(init.headers);
  // Each its own address: wrong tries are counted by it.
  if (!headers.has("cf-connecting-ip")) headers.set("cf-connecting-ip", `10.9.${caller >> 8}.${caller++ & 255}`);
  const response = await exports.default.fetch(new Request(BASE + path, { ...init, headers, redirect: "manual" }));
  const text = await response.text();
  return {
    status: response.status,
    json: JSON.parse(text || "{}") as Record<string, unknown>,
    headers: response.headers,
  };
}

/** A POST with a JSON body and a bearer. */
export const post = (path: string, bearer: string | null, body: unknown, headers: Record<string, string> = {}) =>
  send(path, {
    method: "POST",
    headers: { ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }), ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

export async function api<T = Record<string, unknown>>(method: string, path: string, body?: unknown) {
  const said = await send(`/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${OPERATOR}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: said.status, json: said.json as T };
}

let serial = 0;
/** An id that no other test has. */
export const fresh = (what: string): string => `${what}-${++serial}-${crypto.randomUUID().slice(0, 8)}`;

/** A tenant of its own. With a second one about, nothing belongs to "the only tenant". */
export async function newTenant(id = fresh("tenant")): Promise<string> {
  const { status } = await api("POST", "/tenants", { id });
  if (status !== 201) throw new Error(`tenant: ${status}`);
  return id;
}

/** An access token of a tenant by client credentials, as a stock gateway asks for it. */
export async function tenantToken(tenant: string, scope = ""): Promise<string> {
  const made = await api<{ client: { client_id: string }; client_secret: string }>("POST", "/clients", {
    tenant,
    name: "test",
  });
  const said = await form({
    grant_type: "client_credentials",
    client_id: made.json.client.client_id,
    client_secret: made.json.client_secret,
    scope,
  });
  return String(said.json["access_token"]);
}

export const form = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
  send("/oauth/token", {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
    body: new URLSearchParams(fields).toString(),
  });

/** A gateway made by the operator, with what it needs to sign in. */
export async function newGateway(tenant: string, instance = fresh("inst"), more: Record<string, unknown> = {}) {
  const made = await api<{ gateway: { id: string }; secret: string; env: string }>("POST", "/gateways", {
    tenant,
    instance,
    ...more,
  });
  if (made.status !== 201) throw new Error(`gateway: ${JSON.stringify(made.json)}`);
  const { secret } = made.json;
  const { id } = made.json.gateway;
  return { id, secret, env: made.json.env, to: { tenant, instance }, token: () => upgradeToken(id, secret) };
}

export const upgradeToken = (id: string, secret: string, in_s = 300): Promise<string> =>
  mintToken(id, secret, Math.floor(Date.now() / 1000) + in_s);

/** Details of audit rows of a seam whose text holds `what`, oldest first. */
export async function audited(what: string, seam: string): Promise<Record<string, unknown>[]> {
  const { results } = await env.DB.prepare(
    "SELECT details FROM audit WHERE seam = ? AND instr(details, ?) > 0 ORDER BY id",
  )
    .bind(seam, what)
    .all<{ details: string }>();
  return results.map((r) => JSON.parse(r.details) as Record<string, unknown>);
}

/** Every row of a table as one text: to look for what must not be there. */
export async function dump(...tables: string[]): Promise<string> {
  const rows = await Promise.all(tables.map((t) => env.DB.prepare(`SELECT * FROM ${t}`).all()));
  return JSON.stringify(rows.map((r) => r.results));
}
