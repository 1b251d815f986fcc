import { hostAddress } from "../../../../durable-objects/host";
import { hasSignature, type Refusal, statusOf, verifyHeaders } from "../../../session";
import { type Ctx, runtime } from "../../kit";

/** What the ConnectOnion host's HTTP routes share: CORS, its error bodies, who signed a GET (`connectonion.md` (b)). */

export const CORS: Record<string, string> = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, OPTIONS",
  "access-control-allow-headers":
    "authorization, content-type, last-event-id, x-co-from, x-co-signature, x-co-timestamp, x-co-to, x-co-request-id",
};

export const NO_ADDRESS = "misconfigured: this host has no address (REVEILLE_AGENT_SEED)";

export const answer = (status: number, body: unknown): Response =>
  Response.json(body, { status, headers: { ...CORS, "cache-control": "no-store" } });

export const no = (error: string): Response => answer(statusOf(error), { error });

export const notFound = (): Response => answer(404, { error: "not found" });

export const TOO_MANY = { error: "rate limited: wait a minute" };

export const callerIp = (c: Ctx): string => c.req.header("cf-connecting-ip") ?? "local";

/** Room for one more request of this caller, or the answer that there is none. `what` keeps counters apart. */
export async function limited(c: Ctx, what: string): Promise<Response | null> {
  const { success } = await c.env.SESSION_LIMIT.limit({ key: `${what}:${callerIp(c)}` });
  return success ? null : answer(429, TOO_MANY);
}

/** Who signed this request's headers; null when nobody did. */
export async function signerOf(c: Ctx, legacy = false): Promise<string | null | Refusal> {
  const { headers, method, url } = c.req.raw;
  if (!hasSignature(headers, legacy)) return null;
  const now_s = runtime(c).clock.wall() / 1000;
  const verified = await verifyHeaders(headers, { method, path: new URL(url).pathname, now_s, legacy });
  return verified.ok ? verified.from : verified;
}

export const ownAddress = (c: Ctx): Promise<string | null> => hostAddress(runtime(c));
