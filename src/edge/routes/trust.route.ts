import { Hono } from "hono";
import { hostAddress, mayShowCode } from "../../../durable-objects/host";
import { describe, ReveilleError } from "../../kernel/errors";
import { readCapped } from "../../kernel/http";
import { hasSignature, LEDGER_DOWN, type Refusal, statusOf, USED, verifyEnvelope, verifyHeaders } from "../../session";
import { type AdminAction, claimTrustSignature, decide, readStanding, trustAct, trustDeps } from "../../trust";
import { type AppEnv, type Ctx, runtime } from "../kit";

/**
 * The fixed trust routes and their aliases (`connectonion.md` (b), `/trust/*`). Every request is a signed envelope that works
 * once; what a policy disables answers 409 with the reason. Error bodies are the protocol's: `{"error": "..."}`.
 */

const MAX_BODY = 64 * 1024;

/** CORS of every answer on these paths. */
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, OPTIONS",
  "access-control-allow-headers":
    "authorization, content-type, x-co-from, x-co-signature, x-co-timestamp, x-co-to, x-co-request-id",
};

const answer = (status: number, body: unknown): Response =>
  Response.json(body, { status, headers: { ...CORS, "cache-control": "no-store" } });
const refused = (r: Pick<Refusal, "status" | "error">): Response => answer(r.status, { error: r.error });
const no = (error: string): Response => refused({ status: statusOf(error), error });

const NO_ADDRESS = "misconfigured: this host has no address (REVEILLE_AGENT_SEED)";

/** Whose request it is, once it is proven. */
interface Signed {
  from: string;
  self: string;
  payload: Record<string, unknown>;
  signature_hash: string;
}

const caller = (c: Ctx): string => c.req.header("cf-connecting-ip") ?? "local";

/** Counts a request that proved nothing against its address: codes and signatures are not to be guessed. */
async function failed(c: Ctx, response: Response): Promise<Response> {
  const { success } = await c.env.AUTH_LIMIT.limit({ key: `trust:${caller(c)}` });
  return success ? response : answer(429, { error: "too many tries; wait a minute" });
}

/** Verifies and claims the envelope of a request. `to` must name us on our own routes; the aliases keep the 0.6.5 shape. */
async function signed(c: Ctx, requireTo: boolean): Promise<Signed | Response> {
  const { clock, log } = runtime(c);
  const self = await hostAddress(runtime(c));
  if (self === null) return answer(503, { error: NO_ADDRESS });
  const { bytes, truncated } = await readCapped(c.req.raw.body, MAX_BODY);
  if (truncated) return answer(413, { error: `body too large: at most ${MAX_BODY} bytes` });
  let raw: string;
  try {
    raw = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return answer(400, { error: "Invalid JSON" });
  }
  const now_s = clock.wall() / 1000;
  const v = await verifyEnvelope(raw, { now_s, address: self, requireTo, requireOneUse: true });
  if (!v.ok) return failed(c, refused(v));
  // Newer clients bind their signature to one request; then it must be this one.
  const path = new URL(c.req.url).pathname;
  const { method: forMethod, path: forPath } = v.payload;
  if ((forMethod !== undefined && forMethod !== c.req.method) || (forPath !== undefined && forPath !== path))
    return failed(c, no("unauthorized: signed for another request"));
  try {
    if (!(await claimTrustSignature(c.env.DB, v.signature_hash, v.expires_s))) return failed(c, no(USED.http));
  } catch (error) {
    log("error", "trust.ledger_down", { error: describe(error) });
    return no(LEDGER_DOWN);
  }
  return { from: v.from, self, payload: v.payload, signature_hash: v.signature_hash };
}

/** `/trust/verify/invite` and `/trust/verify/payment`: a stranger shows what lets it in. */
async function verify(c: Ctx, what: "invite" | "payment"): Promise<Response> {
  const s = await signed(c, true);
  if (s instanceof Response) return s;
  const { from, self, payload } = s;
  const deps = await trustDeps(c.env, runtime(c), self);
  if ((await readStanding(c.env.DB, from)).level === "blocked" && from !== self) return no("forbidden: blocked");
  if ("error" in deps.policy) return no("misconfigured: the trust policy can't be read");
  const { codes, price } = deps.policy.doors;
  if (what === "invite" ? codes.length === 0 : price === null)
    return answer(409, { error: `${what} onboarding is disabled` });
  const { invite_code, payment } = payload;
  if (what === "invite" && (typeof invite_code !== "string" || invite_code === "")) return no("invite_code required");
  if (what === "payment" && (payment === undefined || payment === null)) return no("payment required");
  // Counted before it is looked at: past the limit a right guess must look like a wrong one.
  if (!(await mayShowCode(c.env, caller(c)))) return answer(429, { error: "too many tries; wait a minute" });
  const proof = what === "invite" ? { invite_code: invite_code as string } : { payment_proof: payment };
  const d = await decide(deps, { client_id: from, situation: "onboard", ...proof });
  if (d.allow) return answer(200, { success: true, level: d.level, message: `Verified: you are a ${d.level}.` });
  if (d.by === "blocked") return no("forbidden: blocked");
  return failed(c, d.reason.startsWith("misconfigured") ? no(d.reason) : answer(403, { error: d.reason }));
}

async function adminAct(c: Ctx, action: AdminAction, requireTo: boolean): Promise<Response> {
  const s = await signed(c, requireTo);
  if (s instanceof Response) return s;
  const { client_id, admin_id, reason } = s.payload;
  const actor = { kind: "signed" as const, address: s.from, signature_hash: s.signature_hash, request: ray(c) };
  const id = action === "add_admin" || action === "remove_admin" ? (admin_id ?? client_id) : client_id;
  const deps = { db: c.env.DB, runtime: runtime(c), self: s.self };
  const { status, body } = await trustAct(deps, actor, { action, client_id: id, reason });
  return answer(status, body);
}

const ray = (c: Ctx): string | null => c.req.header("cf-ray") ?? null;

/** `GET .../level/{id}`: signed headers, those of 0.6.5 on the alias alone, or (there too) an envelope in the body. */
async function level(c: Ctx, id: string, alias: boolean): Promise<Response> {
  const rt = runtime(c);
  const self = await hostAddress(rt);
  if (self === null) return answer(503, { error: NO_ADDRESS });
  let from: string;
  let signature_hash: string;
  if (hasSignature(c.req.raw.headers, alias) || !alias) {
    const path = new URL(c.req.url).pathname;
    const now_s = rt.clock.wall() / 1000;
    const v = await verifyHeaders(c.req.raw.headers, { method: "GET", path, now_s, legacy: alias });
    if (!v.ok) return failed(c, refused(v));
    ({ from, signature_hash } = v);
  } else {
    const s = await signed(c, false);
    if (s instanceof Response) return s;
    ({ from, signature_hash } = s);
  }
  const actor = { kind: "signed" as const, address: from, signature_hash };
  const deps = { db: c.env.DB, runtime: rt, self };
  const { status, body } = await trustAct(deps, actor, { action: "get_level", client_id: id });
  return answer(status, body);
}

/** `/trust/*`, `/admin/trust/*` and `/superadmin/*`. */
export const trustRoutes = new Hono<AppEnv>();

trustRoutes.onError((error, c) => {
  if (error instanceof ReveilleError) return answer(error.status, { error: error.message });
  runtime(c).log("error", "trust.request_failed", { path: new URL(c.req.url).pathname, error: describe(error) });
  return answer(503, { error: "misconfigured: the trust store did not answer" });
});

for (const prefix of ["/trust/*", "/admin/trust/*", "/superadmin/*"])
  trustRoutes.options(prefix, () => new Response(null, { status: 204, headers: CORS }));

trustRoutes.post("/trust/verify/invite", (c) => verify(c, "invite"));
trustRoutes.post("/trust/verify/payment", (c) => verify(c, "payment"));
for (const action of ["promote", "demote", "block", "unblock"] as const) {
  trustRoutes.post(`/trust/${action}`, (c) => adminAct(c, action, true));
  trustRoutes.post(`/admin/trust/${action}`, (c) => adminAct(c, action, false));
}
trustRoutes.post("/trust/admin/set", (c) => adminAct(c, "add_admin", true));
trustRoutes.post("/trust/admin/remove", (c) => adminAct(c, "remove_admin", true));
trustRoutes.post("/superadmin/add", (c) => adminAct(c, "add_admin", false));
trustRoutes.post("/superadmin/remove", (c) => adminAct(c, "remove_admin", false));
trustRoutes.get("/trust/level/:id", (c) => level(c, c.req.param("id"), false));
trustRoutes.get("/admin/trust/level/:id", (c) => level(c, c.req.param("id"), true));
for (const prefix of ["/trust/*", "/admin/trust/*", "/superadmin/*"])
  trustRoutes.all(prefix, () => answer(404, { error: "not found" }));
