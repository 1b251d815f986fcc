import { env, exports } from "cloudflare:workers";
import { inject } from "vitest";
import { hostAddress } from "../../durable-objects/host";
import type { EdgeEnv } from "../../src/edge/env";
import { runtimeOf } from "../../src/kernel/runtime";
import { type ByAdmin, savePolicy, setAdmin, type TrustTierPort, trustDeps } from "../../src/trust";
import type { Misbehaviour, Transfer } from "../support/payments.types";
import { formA, type Payload, type Signer, signer } from "../unit/session-kit";

/** What tests of trust share: signers, signed requests to the Worker's own fetch handler, the verifier's book. */

export const BASE = "http://reveille.test";
export const edge = env as unknown as EdgeEnv;
export const runtime = runtimeOf(edge, "trust-test");
export const OPERATOR: ByAdmin = { kind: "operator", name: "test" };

let serial = 40;
/** A client nobody has seen in this file. */
export const newSigner = (): Promise<Signer> => signer(serial++);

export const self = async (): Promise<string> => (await hostAddress(runtime))!;
/** The key of this host: `REVEILLE_AGENT_SEED` of the test variables is one byte group again and again. */
export async function hostSigner(): Promise<Signer> {
  const seed = String((env as unknown as Record<string, unknown>)["REVEILLE_AGENT_SEED"]);
  const bytes = Uint8Array.from(seed.match(/../g)!, (h) => Number.parseInt(h, 16));
  const pkcs8 = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20, ...bytes]);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  return {
    address: await self(),
    sign: async (text) =>
      [...new Uint8Array(await crypto.subtle.sign("Ed25519", key, new TextEncoder().encode(text)))]
        .map((b) => b.toString(16).padStart(2, "0"))
        .join(""),
  };
}

export async function newAdmin(): Promise<Signer> {
  const s = await newSigner();
  await setAdmin({ db: env.DB, runtime }, s.address, OPERATOR);
  return s;
}

let tick = 0;
/** Seconds that no other request of this file has, to the millisecond: Ed25519 signs equal texts equally. */
export const stamp = (): number => Math.floor(Date.now() / 1000) - 1 - tick++ / 1000;

export async function body(who: Signer, payload: Payload): Promise<string> {
  return JSON.stringify({ payload, from: who.address, signature: await who.sign(formA(payload)) });
}

export interface Said {
  status: number;
  json: Record<string, unknown>;
}

let caller = 0;
export async function send(path: string, init: RequestInit = {}): Promise<Said> {
  const headers = new Headers(init.headers);
  // Each its own address: wrong tries are counted by it.
  if (!headers.has("cf-connecting-ip")) headers.set("cf-connecting-ip", `10.0.${caller >> 8}.${caller++ & 255}`);
  const response = await exports.default.fetch(new Request(BASE + path, { ...init, headers }));
  return { status: response.status, json: JSON.parse((await response.text()) || "{}") as Record<string, unknown> };
}

/** A signed POST as our own routes want it. */
export async function post(path: string, who: Signer, payload: Payload, more: Payload = {}): Promise<Said> {
  const whole = { timestamp: stamp(), to: await self(), ...payload, ...more };
  return send(path, { method: "POST", body: await body(who, whole) });
}

export const api = (method: string, path: string, json?: unknown): Promise<Said> =>
  send(`/api/v1/trust${path}`, {
    method,
    headers: { authorization: "Bearer test-operator-token-4f1c9b7e2a", "content-type": "application/json" },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });

export const setPolicy = (text: string) => savePolicy(env.DB, runtime, text, "test");

/** Dependencies of `decide` with the policy in force and a tier two of the test's choice. */
export async function deps(reason?: TrustTierPort["judge"]) {
  const made = await trustDeps({ DB: env.DB }, runtime, await self());
  return { ...made, reason };
}

export const paymentsUrl = inject("paymentsUrl");
export async function payments(change: { transfers?: Transfer[]; mode?: Misbehaviour }): Promise<void> {
  await (await fetch(`${paymentsUrl}/_control`, { method: "POST", body: JSON.stringify(change) })).text();
}
export const askedOfVerifier = async (): Promise<{ client_id: string; claim: unknown; signed: boolean }[]> =>
  (await fetch(`${paymentsUrl}/_ledger`)).json();

/** Audit rows about a client, oldest first. */
export async function audited(target: string, seam = "trust.changed"): Promise<Record<string, unknown>[]> {
  const { results } = await env.DB.prepare(
    "SELECT id, details FROM audit WHERE seam = ? AND json_extract(details, '$.target') = ? ORDER BY id",
  )
    .bind(seam, target)
    .all<{ id: number; details: string }>();
  return results.map((r) => ({ id: r.id, ...(JSON.parse(r.details) as Record<string, unknown>) }));
}
