import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { apiRoutes } from "../../src/edge/routes/api";

/** The operator API describes itself in full, in valid OpenAPI 3.1, and its routes read a request as the document says. */

const BASE = "http://reveille.test";
const TOKEN = "test-operator-token-4f1c9b7e2a";

interface Answer {
  status: number;
  body: { error?: { code: string; field?: string } } & Record<string, unknown>;
}
async function send(method: string, path: string, type?: string, body?: string): Promise<Answer> {
  const res = await exports.default.fetch(`${BASE}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(type === undefined ? {} : { "content-type": type }) },
    // Bytes: fetch itself would name a text's content type.
    ...(body === undefined ? {} : { body: new TextEncoder().encode(body) }),
  });
  return { status: res.status, body: (await res.json()) as Answer["body"] };
}

type Schema = { [key: string]: unknown };
interface Operation {
  summary: string;
  security: Record<string, string[]>[];
  parameters?: { name: string; in: string; required: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, { description: string; content: Record<string, { schema: Schema }> }>;
}
interface Doc {
  openapi: string;
  info: { title: string; version: string };
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, object> };
  paths: Record<string, Record<string, Operation>>;
}
const read = async (): Promise<Doc> => (await exports.default.fetch(`${BASE}/api/openapi.json`)).json<Doc>();
const operations = (doc: Doc): [string, string, Operation][] =>
  Object.entries(doc.paths).flatMap(([path, all]) =>
    Object.entries(all).map(([method, o]): [string, string, Operation] => [path, method, o]),
  );

const TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];
const isMap = (v: unknown): v is Schema => typeof v === "object" && v !== null && !Array.isArray(v);

/** What is wrong with a JSON Schema (2020-12) in this document: one line a fault. */
function faults(doc: Doc, schema: unknown, at: string): string[] {
  if (typeof schema === "boolean") return [];
  if (!isMap(schema)) return [`${at}: not a schema`];
  const found: string[] = [];
  const say = (text: string) => found.push(`${at}: ${text}`);
  const into = (s: unknown, name: string) => found.push(...faults(doc, s, `${at}/${name}`));
  for (const [key, value] of Object.entries(schema)) {
    if (key === "$ref") {
      const name = /^#\/components\/schemas\/([\w.-]+)$/.exec(String(value))?.[1];
      if (!name || !doc.components.schemas[name]) say(`$ref ${String(value)} leads nowhere`);
    } else if (key === "type") {
      const types = Array.isArray(value) ? value : [value];
      if (types.length === 0 || types.some((t) => !TYPES.includes(t as string))) say(`type ${JSON.stringify(value)}`);
    } else if (["properties", "patternProperties"].includes(key)) {
      if (isMap(value)) for (const [name, s] of Object.entries(value)) into(s, `${key}/${name}`);
      else say(`${key} is no map`);
    } else if (["allOf", "anyOf", "oneOf", "prefixItems"].includes(key)) {
      if (Array.isArray(value) && value.length > 0) value.forEach((s, i) => void into(s, `${key}/${i}`));
      else say(`${key} is no list`);
    } else if (["items", "additionalProperties", "propertyNames", "not"].includes(key)) into(value, key);
    else if (key === "required") {
      if (!Array.isArray(value) || new Set(value).size !== value.length) say("required is no list of different names");
      else
        for (const name of value)
          if (!Object.hasOwn((schema["properties"] ?? {}) as object, String(name))) say(`requires unknown ${name}`);
    } else if (key === "pattern") {
      try {
        new RegExp(String(value), "u");
      } catch {
        say(`pattern ${String(value)}`);
      }
    } else if (key === "enum") {
      if (!Array.isArray(value) || value.length === 0) say("enum is no list");
    } else if (["description", "format", "contentEncoding"].includes(key)) {
      if (typeof value !== "string") say(`${key} is no text`);
    } else if (/^(min|max|exclusive|multiple)/.test(key)) {
      if (typeof value !== "number") say(`${key} is no number`);
    } else if (!["const", "default"].includes(key)) say(`unknown word ${key}`);
  }
  return found;
}

/** Answers a file, not JSON (docs/slo.md). */
const FILES = ["get /slo/export.csv"];

describe("the OpenAPI document", () => {
  it("has every route of the operator API that answers JSON, and no other", async () => {
    // Middleware and the not-found answer are registered for all methods.
    const served = apiRoutes.routes
      .filter((r) => r.method !== "ALL")
      .map((r) => `${r.method.toLowerCase()} ${r.path.replaceAll(/:([^/]+)/g, "{$1}")}`);
    expect(new Set(served).size).toBeGreaterThan(100);
    expect(
      operations(await read())
        .map(([path, method]) => `${method} ${path}`)
        .sort(),
    ).toEqual([...new Set(served)].filter((r) => !FILES.includes(r)).sort());
  });

  it("is OpenAPI 3.1: all refs, path templates and security names resolve, all schemas are well formed", async () => {
    const doc = await read();
    expect(doc.openapi).toBe("3.1.0");
    expect(doc.info).toEqual({ title: expect.any(String), version: expect.any(String) });
    const wrong: string[] = [];
    for (const [name, s] of Object.entries(doc.components.schemas)) {
      if (!/^[\w.-]+$/.test(name)) wrong.push(`component name ${name}`);
      wrong.push(...faults(doc, s, name));
    }
    for (const [path, method, o] of operations(doc)) {
      const at = `${method} ${path}`;
      if (!o.summary) wrong.push(`${at}: no summary`);
      for (const name of o.security.flatMap((s) => Object.keys(s)))
        if (!doc.components.securitySchemes[name]) wrong.push(`${at}: security ${name}`);
      const inPath = [...path.matchAll(/{(.+?)}/g)].map((m) => m[1]);
      const params = o.parameters ?? [];
      const named = params.filter((p) => p.in === "path");
      expect(named.map((p) => p.name).sort(), at).toEqual(inPath.sort());
      expect(
        named.every((p) => p.required),
        at,
      ).toBe(true);
      for (const p of params) {
        if (!["path", "query"].includes(p.in)) wrong.push(`${at}: a parameter in ${p.in}`);
        wrong.push(...faults(doc, p.schema, `${at} ${p.name}`));
      }
      if (o.requestBody) {
        expect(typeof o.requestBody.required, at).toBe("boolean");
        wrong.push(...faults(doc, o.requestBody.content["application/json"]?.schema, `${at} body`));
      }
      if (!Object.keys(o.responses).some((s) => s.startsWith("2"))) wrong.push(`${at}: no good answer`);
      for (const [status, r] of Object.entries(o.responses)) {
        if (!/^[1-5]\d\d$/.test(status) || !r.description) wrong.push(`${at}: answer ${status}`);
        wrong.push(...faults(doc, r.content["application/json"]?.schema, `${at} ${status}`));
      }
    }
    expect(wrong).toEqual([]);
    // The check itself sees what is wrong.
    expect(faults(doc, { $ref: "#/$defs/Target" }, "x")).toHaveLength(1);
    expect(faults(doc, { properties: { a: { type: "text", required: ["b"] } } }, "x")).toHaveLength(2);
  });

  it("says what a client must know: names, defaults, limits, what may be left out", async () => {
    const doc = await read();
    const get = doc.paths["/targets"]?.["get"];
    expect(get?.parameters).toContainEqual({
      name: "limit",
      in: "query",
      required: false,
      schema: { type: "integer", minimum: 1, maximum: 200, default: 50 },
    });
    expect(get?.responses["200"]?.content["application/json"]?.schema).toMatchObject({
      properties: { items: { type: "array", items: { $ref: "#/components/schemas/Target" } } },
    });
    expect(get?.responses["401"]?.content["application/json"]?.schema).toEqual({ $ref: "#/components/schemas/Error" });
    expect(doc.components.schemas["Target"]).toMatchObject({
      properties: { every: { type: "number", description: "Seconds between looks" }, beat_url: { type: "string" } },
      required: expect.not.arrayContaining(["beat_url"]),
    });
    expect(doc.paths["/vault"]?.["get"]?.parameters?.map((p) => [p.name, p.required])).toEqual([
      ["tenant", false],
      ["instance", true],
      ["platform", false],
      ["chat", false],
    ]);
    expect(doc.paths["/trust/test"]?.["post"]?.requestBody?.required).toBe(true);
    expect(doc.paths["/enroll-tokens"]?.["post"]?.requestBody).toMatchObject({
      required: false,
      content: { "application/json": { schema: { additionalProperties: false } } },
    });
    const make = JSON.stringify(doc.paths["/targets"]?.["post"]?.requestBody);
    expect(make).toContain('"default":["2xx"]');
    expect(Object.keys(doc.components.schemas).length).toBeGreaterThan(40);
  });
});

describe("a request", () => {
  const asks = JSON.stringify({ client_id: `0x${"ab".repeat(32)}` });

  it.each(["application/json", "Application/JSON", "application/json; charset=utf-8", "application/vnd.api+json"])(
    "is read as JSON with content type %j",
    async (type) => {
      expect((await send("POST", "/trust/test", type, asks)).status).toBe(200);
      expect((await send("POST", "/enroll-tokens", type, '{"colour":1}')).body.error?.field).toBe("colour");
    },
  );

  it.each([["text/plain"], ["application/x-www-form-urlencoded"], ["application/jsonp"], [undefined]])(
    "with a body is refused with content type %j",
    async (type) => {
      for (const path of ["/trust/test", "/enroll-tokens"]) {
        const no = await send("POST", path, type, asks);
        expect([no.status, no.body.error?.code], path).toEqual([415, "http_error"]);
      }
    },
  );

  it("that is no JSON is refused, whether its body is needed or not", async () => {
    for (const path of ["/trust/test", "/enroll-tokens"]) {
      const no = await send("POST", path, "application/json", "{nope");
      expect([no.status, no.body.error?.code], path).toEqual([400, "malformed_body"]);
    }
  });

  it("without a body passes where it may be left out, and names the first field where not", async () => {
    for (const type of [undefined, "application/json"]) {
      expect((await send("POST", "/enroll-tokens", type)).status).toBe(201);
      const no = await send("POST", "/trust/test", type);
      expect([no.status, no.body.error?.field]).toEqual([400, "client_id"]);
    }
    expect((await send("POST", "/enroll-tokens", undefined, "")).status).toBe(201);
  });

  it("has its query coerced and its limits held", async () => {
    const one = await send("GET", "/trust/clients?limit=1");
    expect(one.status).toBe(200);
    for (const query of ["limit=0", "limit=501", "limit=x", "limit=1&limit=2", "level=friend&level=foe"]) {
      const no = await send("GET", `/trust/clients?${query}`);
      expect([no.status, no.body.error?.field], query).toEqual([400, query.slice(0, 5)]);
    }
    expect((await send("POST", "/trust/revert/zero")).body.error?.field).toBe("id");
  });

  it("with faults in two places is told of the query first, then the path, then the body", async () => {
    const fault = async (path: string, body: string) =>
      (await send("PATCH", path, "application/json", body)).body.error?.field;
    const long = "t".repeat(65);
    const bad = '{"colour":1}';
    expect(await fault(`/instances/${encodeURIComponent("no good")}?tenant=${long}`, bad)).toBe("tenant");
    expect(await fault(`/instances/${encodeURIComponent("no good")}`, bad)).toBe("id");
    expect(await fault("/instances/coder", bad)).toBe("colour");
  });
});
