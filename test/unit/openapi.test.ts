import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { OpenAPIHono, type RouteConfig } from "../../src/edge/openapi";

/** Routes that describe themselves, apart from any route of ours: names, mounting, what a handler may answer. */

const config = { openapi: "3.1.0", info: { title: "t", version: "1" } };
const makeApp = () =>
  new OpenAPIHono<{ Bindings: object }>({
    defaultHook: ({ error, data }) => {
      throw new Error(`${error.issues[0]?.path.join(".")} of ${JSON.stringify(data)}`);
    },
  }).onError((e, c) => c.text(e.message, 400)) as OpenAPIHono<{ Bindings: object }>;
const json = <T extends z.ZodType>(schema: T) => ({ content: { "application/json": { schema } } });
const answer = <T extends z.ZodType>(schema: T) => ({ 200: { description: "ok", ...json(schema) } });
const plain = z.object({ ok: z.boolean() });

const get = <Q extends NonNullable<RouteConfig["request"]>>(path: string, request: Q) => ({
  method: "get" as const,
  path,
  summary: path,
  request,
  responses: answer(plain),
});

describe("a described route", () => {
  it("gives its handler what the schemas made of query, path and body", async () => {
    const app = makeApp().openapi(
      {
        method: "post",
        path: "/a/{id}/b/{n}",
        summary: "s",
        request: {
          query: z.object({ q: z.array(z.string()), limit: z.coerce.number().default(5) }),
          params: z.object({ id: z.string(), n: z.coerce.number() }),
          body: { required: true, ...json(z.object({ at: z.string().transform((t) => t.length) })) },
        },
        responses: answer(z.object({ id: z.string(), sum: z.number(), q: z.array(z.string()) })),
      },
      (c) => {
        const { q, limit } = c.req.valid("query");
        const { id, n } = c.req.valid("param");
        return c.json({ id, sum: limit + n + c.req.valid("json").at, q }, 200);
      },
    );
    const send = (body: string) =>
      app.request("/a/x%20y/b/7?q=1&q=2", { method: "POST", headers: { "content-type": "application/json" }, body });
    expect(await (await send('{"at":"four"}')).json()).toEqual({ id: "x y", sum: 16, q: ["1", "2"] });
    const no = await send('{"at":4}');
    expect([no.status, await no.text()]).toEqual([400, 'at of {"at":4}']);
  });

  it("can't answer what it does not describe: the compiler refuses", async () => {
    const app = makeApp();
    // @ts-expect-error: `ok` is a boolean.
    app.openapi(get("/wrong", {}), (c) => c.json({ ok: "yes" }, 200));
    // @ts-expect-error: 201 is not described.
    app.openapi(get("/other", {}), (c) => c.json({ ok: true }, 201));
    // @ts-expect-error: there is no query to read.
    app.openapi(get("/none", {}), (c) => c.json({ ok: Boolean(c.req.valid("query")) }, 200));
    app.openapi(get("/right", {}), (c) => c.json({ ok: true }, 200));
    expect(await (await app.request("/right")).json()).toEqual({ ok: true });
  });

  it("comes along when its app is mounted, under the path it is served at; plain apps bring none", async () => {
    const inner = makeApp().openapi(get("/deep/{id}", { params: z.object({ id: z.string() }) }), (c) =>
      c.json({ ok: c.req.valid("param").id === "7" }, 200),
    );
    const app = makeApp()
      .route("/v1", inner)
      .route(
        "/plain",
        new Hono().get("/x", (c) => c.text("x")),
      );
    expect(await (await app.request("/v1/deep/7")).json()).toEqual({ ok: true });
    expect(await (await app.request("/plain/x")).text()).toBe("x");
    expect(Object.keys(app.getOpenAPI31Document(config).paths)).toEqual(["/v1/deep/{id}"]);
  });
});

describe("the document", () => {
  it("names components once, refers to them from anywhere, and keeps a schema's own defaults", () => {
    const item = z.object({ id: z.string(), more: z.unknown().optional() }).meta({ id: "Item" });
    const list = z.object({ items: z.array(item), last: item.nullable() }).meta({ id: "List" });
    const wide = item.extend({ extra: z.int() }).meta({ id: "Wide" });
    const body = z.strictObject({ every: z.union([z.string(), z.number()]).transform(Number).default(60), item });
    const app = makeApp()
      .openapi({ method: "get", path: "/l", summary: "l", responses: answer(list) }, (c) =>
        c.json({ items: [], last: null }, 200),
      )
      .openapi(
        {
          method: "put",
          path: "/l",
          summary: "p",
          request: { body: { required: false, ...json(body) } },
          responses: answer(wide),
        },
        (c) => c.json({ id: "a", extra: 1 }, 200),
      );
    const doc = app.getOpenAPI31Document(config);
    expect(doc).toMatchObject({
      components: {
        schemas: {
          Item: { type: "object", required: ["id"] },
          List: {
            properties: {
              items: { items: { $ref: "#/components/schemas/Item" } },
              last: { anyOf: [{ $ref: "#/components/schemas/Item" }, { type: "null" }] },
            },
          },
          Wide: { properties: { id: { type: "string" }, extra: { type: "integer" } } },
        },
      },
      paths: {
        "/l": {
          get: { responses: { 200: json({ $ref: "#/components/schemas/List" } as never) } },
          put: {
            requestBody: {
              required: false,
              content: {
                "application/json": {
                  schema: {
                    additionalProperties: false,
                    properties: { every: { default: 60 }, item: { $ref: "#/components/schemas/Item" } },
                    required: ["item"],
                  },
                },
              },
            },
          },
        },
      },
    });
    expect(Object.keys(doc.components.schemas).sort()).toEqual(["Item", "List", "Wide"]);
    expect(JSON.stringify(doc)).not.toContain("$defs");
    // What is sent is not passed through its schema, so an answer is not said to be closed.
    expect(doc.components.schemas["Item"]).not.toHaveProperty("additionalProperties");
  });

  it("is refused when two different schemas have one name", () => {
    const app = makeApp();
    for (const path of ["/a", "/b"])
      app.openapi(
        { ...get(path, {}), responses: answer(z.object({ ok: z.boolean() }).meta({ id: "TwiceNamed" })) },
        (c) => c.json({ ok: true }, 200),
      );
    expect(() => app.getOpenAPI31Document(config)).toThrow("TwiceNamed");
  });
});
