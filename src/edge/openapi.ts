import {
  type Context,
  type Env,
  type Handler,
  Hono,
  type MiddlewareHandler,
  type Schema,
  type TypedResponse,
} from "hono";
import { HTTPException } from "hono/http-exception";
import type { StatusCode } from "hono/utils/http-status";
import type { JSONParsed } from "hono/utils/types";
import { mergePath } from "hono/utils/url";
import * as z from "zod";

/**
 * Routes that check their request by zod and describe themselves in OpenAPI 3.1 (design §8): JSON bodies, query and path; a
 * schema with `.meta({ id })` becomes a named component. Why no library: docs/decisions/018.
 */

type Content = { "application/json": { schema: z.ZodType } };

export interface RouteConfig {
  method: "get" | "post" | "put" | "patch" | "delete";
  /** As OpenAPI writes it: `/targets/{id}`. */
  path: string;
  summary: string;
  security?: Record<string, string[]>[];
  request?: { query?: z.ZodObject; params?: z.ZodObject; body?: { required: boolean; content: Content } };
  responses: Record<number, { description: string; content: Content }>;
}

type Out<T> = T extends z.ZodType ? z.output<T> : never;

/** What `c.req.valid(part)` gives. */
type Valid<Q> = {
  out: (Q extends { query: infer T } ? { query: Out<T> } : object) &
    (Q extends { params: infer T } ? { param: Out<T> } : object) &
    (Q extends { body: { content: { "application/json": { schema: infer T } } } } ? { json: Out<T> } : object);
};

type Answers<R> = {
  [S in keyof R & StatusCode]: R[S] extends { content: { "application/json": { schema: infer T } } }
    ? TypedResponse<JSONParsed<Out<T>>, S, "json">
    : never;
}[keyof R & StatusCode];

/** Throws the answer to a request that its schema refuses; `data` is what was given. */
export type DefaultHook = (refused: { error: z.ZodError; data: unknown }) => never;

export interface DocumentConfig {
  openapi: string;
  info: { title: string; version: string };
  servers?: { url: string }[];
  security?: Record<string, string[]>[];
  components?: { securitySchemes?: Record<string, object> };
}

type JsonObject = { properties?: Record<string, object>; required?: string[] };

const JSON_TYPE = /^application\/([a-z-.]+\+)?json(;\s*[a-zA-Z0-9-]+=([^;]+))*$/i;

/** The JSON body, {} when there is none. @throws HTTPException 415 for another content type or a body without one, 400. */
async function readJson(c: Context): Promise<unknown> {
  const type = c.req.header("content-type");
  if (type ? !JSON_TYPE.test(type) : (await c.req.arrayBuffer()).byteLength > 0)
    throw new HTTPException(415, { message: "Unsupported Media Type" });
  if (!type) return {};
  try {
    return await c.req.json();
  } catch {
    throw new HTTPException(400, { message: "Malformed JSON in request body" });
  }
}

/** A key given once is its text, given more often the list. */
const readQuery = (c: Context): Record<string, unknown> =>
  Object.fromEntries(Object.entries(c.req.queries()).map(([key, all]) => [key, all.length === 1 ? all[0] : all]));

export class OpenAPIHono<E extends Env> extends Hono<E> {
  /** The routes described so far, with the paths of what was mounted here. */
  readonly described: RouteConfig[] = [];
  readonly #defaultHook: DefaultHook;

  constructor(init: { defaultHook: DefaultHook }) {
    super();
    this.#defaultHook = init.defaultHook;
  }

  /** Adds a route: query, path and body are checked in this order, then the handler runs. */
  openapi<R extends RouteConfig>(
    route: R,
    handler: Handler<E, string, Valid<R["request"]>, Answers<R["responses"]> | Promise<Answers<R["responses"]>>>,
  ): this {
    this.described.push(route);
    const { query, params, body } = route.request ?? {};
    const check: MiddlewareHandler<E> = async (c, next) => {
      const take = async (part: "query" | "param" | "json", schema: z.ZodType, data: unknown): Promise<void> => {
        const read = await schema.safeParseAsync(data);
        if (!read.success) this.#defaultHook({ error: read.error, data });
        else c.req.addValidatedData(part, read.data as object);
      };
      if (query) await take("query", query, readQuery(c));
      if (params) await take("param", params, c.req.param());
      if (body) {
        const given = await readJson(c);
        // One that may be left out is no error then, and has no defaults: {} is what the handler gets.
        if (!body.required && !c.req.header("content-type")) c.req.addValidatedData("json", {});
        else await take("json", body.content["application/json"].schema, given);
      }
      await next();
    };
    this.on([route.method], [route.path.replaceAll(/\/{(.+?)}/g, "/:$1")], check, handler as Handler<E>);
    return this;
  }

  /** Mounts another app; its described routes come along. */
  override route<P extends string, E2 extends Env, S2 extends Schema, B2 extends string>(
    path: P,
    app: Hono<E2, S2, B2>,
  ): this {
    super.route(path, app);
    if (app instanceof OpenAPIHono)
      for (const r of app.described) this.described.push({ ...r, path: mergePath(path, r.path) });
    return this;
  }

  /** The document of all routes. Throws if two schemas have one name. */
  getOpenAPI31Document(config: DocumentConfig) {
    const schemas = new Set<z.ZodType>();
    const note = (content: Content) => schemas.add(content["application/json"].schema);
    for (const { request, responses } of this.described) {
      for (const s of [request?.query, request?.params]) if (s) schemas.add(s);
      if (request?.body) note(request.body.content);
      for (const r of Object.values(responses)) note(r.content);
    }
    // One conversion for all, as places of a tuple: zod collects the named ones in $defs. Nothing that is sent passes through
    // its schema, so answers too are described as what goes in.
    const whole = z.toJSONSchema(z.tuple([...schemas] as [z.ZodType]), {
      io: "input",
      unrepresentable: "any",
      // zod leaves out the default of what it transforms; ours can all be sent as they are.
      override: ({ zodSchema: { _zod }, jsonSchema }) => {
        if (_zod.def.type === "default") jsonSchema.default = _zod.def.defaultValue;
      },
    });
    const { prefixItems, $defs } = JSON.parse(
      JSON.stringify(whole).replaceAll('"$ref":"#/$defs/', '"$ref":"#/components/schemas/'),
    ) as { prefixItems: JsonObject[]; $defs?: Record<string, JsonObject> };
    const made = new Map([...schemas].map((s, i) => [s, prefixItems[i]!]));
    const content = (of: Content) => ({
      "application/json": { schema: made.get(of["application/json"].schema) },
    });
    const parameters = (place: "query" | "path", of: z.ZodObject | undefined) => {
      const { properties = {}, required = [] } = (of && made.get(of)) ?? {};
      return Object.entries(properties).map(([name, schema]) => ({
        schema,
        required: place === "path" || required.includes(name),
        name,
        in: place,
      }));
    };
    const paths: Record<string, Record<string, object>> = {};
    for (const { method, path, request: q, responses, ...rest } of this.described) {
      const given = [...parameters("path", q?.params), ...parameters("query", q?.query)];
      const operations = paths[path] ?? {};
      paths[path] = operations;
      operations[method] = {
        ...rest,
        ...(given.length > 0 ? { parameters: given } : {}),
        ...(q?.body ? { requestBody: { ...q.body, content: content(q.body.content) } } : {}),
        responses: Object.fromEntries(
          Object.entries(responses).map(([status, r]) => [status, { ...r, content: content(r.content) }]),
        ),
      };
    }
    return { ...config, components: { ...config.components, schemas: $defs ?? {} }, paths };
  }
}
