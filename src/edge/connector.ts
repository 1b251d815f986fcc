import type { Context } from "hono";
import * as z from "zod";
import { gatewayObject } from "../../durable-objects/gateway.stub";
import {
  type Drop,
  findGateway,
  type GatewayIdentity,
  type GatewayRow,
  type ManageDeps,
  verifyToken,
} from "../gateway";
import { describe, ReveilleError } from "../kernel/errors";
import { readCapped } from "../kernel/http";
import type { Runtime } from "../kernel/runtime";
import { type AppEnv, type Ctx, runtime } from "./kit";

/** What the routes that gateways and their tools call share: `{"error":"text"}`, proofs, bodies (hermes-relay §5). */

const MAX_BODY = 64 * 1024;

export const answer = (status: number, body: unknown, headers: Record<string, string> = {}): Response =>
  Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
export const no = (status: number, error: string, headers?: Record<string, string>): Response =>
  answer(status, { error }, headers);

/** Anything thrown, as these callers read it: the client shows the text. */
export function failed(error: Error, c: Context<AppEnv>): Response {
  if (error instanceof ReveilleError) return no(error.status, error.message);
  runtime(c).log("error", "connector.request_failed", { path: new URL(c.req.url).pathname, error: describe(error) });
  return no(503, "the store did not answer; try again");
}

const caller = (c: Ctx): string => c.req.header("cf-connecting-ip") ?? "local";

/** A refusal that counts against its address: ids, tokens and codes are not to be guessed. */
export async function refuse(c: Ctx, response: Response): Promise<Response> {
  const { success } = await c.env.AUTH_LIMIT.limit({ key: `connector:${caller(c)}` });
  return success ? response : no(429, "too many wrong tries; wait a minute");
}

/** The body as its schema has it. @throws ReveilleError 400, 413. */
export async function readBody<T extends z.ZodType>(c: Ctx, schema: T): Promise<z.infer<T>> {
  const { bytes, truncated } = await readCapped(c.req.raw.body, MAX_BODY);
  if (truncated)
    throw new ReveilleError({ status: 413, code: "too_large", message: `the body is over ${MAX_BODY} bytes` });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new ReveilleError({ status: 400, code: "malformed_body", message: "the body is not JSON" });
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  throw new ReveilleError({
    status: 400,
    code: "malformed_body",
    message: `malformed body: ${issue?.path.join(".") || "it"}: ${issue?.message ?? "has another form"}`,
  });
}

/**
 * The gateway behind an upgrade token, read now: what it asks for is written. A response is the refusal.
 * @throws ReveilleError 503 when its secret can't be read.
 */
export async function gatewayOf(c: Ctx): Promise<GatewayIdentity | Response> {
  const rt = runtime(c);
  const verdict = await verifyToken(c.req.header("authorization"), rt.clock.wall() / 1000, rt.clock.now(), (id) =>
    findGateway(c.env.DB, rt, id, { fresh: true }),
  );
  return verdict.ok ? verdict.identity : refuse(c, no(401, verdict.why));
}

export const manageDeps = (c: Ctx, by: string): ManageDeps => ({ db: c.env.DB, runtime: runtime(c), by });

/** How an object is told to close, refuse and purge. */
export const dropOf =
  (c: Ctx): Drop =>
  async (d, ask) => {
    await gatewayObject(c.env.GATEWAY, d).drop(ask);
  };

/** An optional text of a gateway: absent, null and "" all mean "leave as stored". */
export const leave = <T extends z.ZodType<string, string>>(schema: T) =>
  z
    .union([schema, z.literal(""), z.null()])
    .optional()
    .transform((v) => v || undefined);

/** The lines a stock gateway reads; a pinned secret makes it skip provisioning (hermes-relay §5.2). */
export function envLines(rt: Runtime, row: GatewayRow, secret: string): string {
  const platforms = [...new Set(row.identities.map(([p]) => p))];
  const bots = Object.fromEntries(row.identities.filter(([, b]) => b !== "").map(([p, b]) => [p, { botId: b }]));
  return [
    `GATEWAY_RELAY_URL=${rt.config.publicUrl}`,
    `GATEWAY_RELAY_ID=${row.id}`,
    `GATEWAY_RELAY_SECRET=${secret}`,
    `GATEWAY_RELAY_PLATFORMS=${platforms.join(",")}`,
    ...(Object.keys(bots).length > 0 ? [`GATEWAY_RELAY_BOT_IDS=${JSON.stringify(bots)}`] : []),
  ].join("\n");
}
