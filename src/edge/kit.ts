import type { Context, MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import * as z from "zod";
import { readVar } from "../kernel/config";
import { sameSecret } from "../kernel/crypto";
import { describe, ReveilleError } from "../kernel/errors";
import { type Runtime, runtimeOf } from "../kernel/runtime";
import { schemaError } from "../watch";
import type { EdgeEnv } from "./env";
import { OpenAPIHono, type RouteConfig } from "./openapi";

/** What every route of the edge shares: the environment's type, errors as bodies, operator authentication, list shapes. */
export interface AppEnv {
  Bindings: EdgeEnv;
  Variables: { by: string };
}
export type Ctx = Context<AppEnv>;

export const runtime = (c: { env: EdgeEnv }): Runtime => runtimeOf(c.env, "edge");

/** Turns anything thrown into the error body of design §8. What is not ours is logged and told as "internal". */
export function onError(error: Error, c: Context<AppEnv>): Response {
  if (error instanceof ReveilleError) {
    if (error.status >= 500) runtime(c).log("error", "request.failed", { code: error.code, internal: error.internal });
    return c.json(error.toBody(), error.status as 400);
  }
  if (error instanceof HTTPException) {
    const malformed = error.status === 400;
    return c.json(
      {
        error: {
          code: malformed ? "malformed_body" : "http_error",
          message: malformed ? "The body is not valid JSON." : error.message,
          ...(malformed ? { hint: "Send a JSON object with content-type: application/json." } : {}),
        },
      },
      error.status,
    );
  }
  const store = /D1_ERROR|D1_EXEC_ERROR/.test(String(error));
  runtime(c).log("error", "request.failed", { path: new URL(c.req.url).pathname, error: describe(error) });
  return c.json(
    store
      ? {
          error: {
            code: "store_unavailable",
            message: "The store did not answer. Nothing was changed.",
            hint: "Try again.",
          },
        }
      : { error: { code: "internal", message: "Something failed on our side; it is in the log." } },
    store ? 503 : 500,
  );
}

/** An OpenAPI app whose schema errors read like all other errors. */
export function apiApp(): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>({
    defaultHook: ({ error, data }) => {
      throw schemaError(error, "request", data);
    },
  });
  app.onError(onError);
  return app;
}

const caller = (c: Ctx): string => c.req.header("cf-connecting-ip") ?? "local";

/**
 * Operator API: `Authorization: Bearer OPERATOR_TOKEN`, compared in constant time. Unset token refuses everything; wrong
 * ones are rate limited per address.
 */
export const operatorOnly: MiddlewareHandler<AppEnv> = async (c, next) => {
  const expected = readVar(c.env as unknown as Record<string, unknown>, "REVEILLE_OPERATOR_TOKEN");
  if (!expected)
    throw new ReveilleError({
      status: 503,
      code: "unconfigured",
      message: "REVEILLE_OPERATOR_TOKEN is not set, so nobody can be let in.",
    });
  const given = /^Bearer\s+(\S{1,512})$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  if (!(await sameSecret(given, expected))) {
    const { success } = await c.env.AUTH_LIMIT.limit({ key: `api:${caller(c)}` });
    if (!success)
      throw new ReveilleError({
        status: 429,
        code: "too_many_tries",
        message: "Too many wrong tokens; wait a minute.",
      });
    throw new ReveilleError({
      status: 401,
      code: "unauthorized",
      message: given ? "The operator token is wrong." : "This needs the operator token.",
      hint: "Send it as: Authorization: Bearer <OPERATOR_TOKEN>",
    });
  }
  c.set("by", "api");
  await next();
};

export const errorSchema = z
  .object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      field: z.string().optional(),
      hint: z.string().optional(),
    }),
  })
  .meta({ id: "Error" });

const problem = (description: string) => ({ description, content: { "application/json": { schema: errorSchema } } });

export const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next_cursor: z.string().nullable() });

/** A cursor page: `limit` 1-200 (default 50) and the `cursor` of the answer before. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(100).optional(),
});

export const idParam = z.object({ id: z.string().min(1).max(100) });

type Method = "get" | "post" | "put" | "patch" | "delete";

type Json<T> = { description: string; content: { "application/json": { schema: T } } };

/** A JSON request body; `required: false` lets a caller leave it out. */
export const json = <T extends z.ZodType, const R extends boolean = true>(schema: T, required?: R) => ({
  required: (required ?? true) as R,
  content: { "application/json": { schema } },
});

const errors = {
  400: problem("The request is wrong; `field` says where"),
  401: problem("No or wrong operator token"),
  404: problem("No such thing"),
  409: problem("It exists already, or its state does not allow this"),
  429: problem("Too many wrong tokens"),
};

/** A route of the operator API: one line of summary, schemas, and the errors every route can give. */
export function operatorRoute<
  const M extends Method,
  const P extends string,
  const Q extends NonNullable<RouteConfig["request"]>,
  T extends z.ZodType,
  const Status extends 200 | 201 | 202 = 200,
>(method: M, path: P, summary: string, request: Q, response: T, status?: Status) {
  const responses = {
    [status ?? 200]: { description: summary, content: { "application/json": { schema: response } } },
    ...errors,
  } as { [K in Status]: Json<T> } & typeof errors;
  return { method, path, summary, security: [{ operator: [] }], request, responses };
}
