import { describe, expect, it } from "vitest";
import { ReveilleError } from "../../src/kernel/errors";
import { parseTarget } from "../../src/watch";

/** What an operator reads when a target's body lacks something: words, never the schema library's. */

const errorOf = (body: unknown): ReveilleError => {
  try {
    parseTarget(body);
  } catch (error) {
    if (error instanceof ReveilleError) return error;
  }
  throw new Error("it was accepted");
};

describe("a target's missing parts", () => {
  it.each([
    ["http", ["url"]],
    ["fly", ["apps"]],
    ["sentry", ["org"]],
    ["supabase", ["ref"]],
    ["tcp", ["host", "port"]],
  ])("%s without config names the keys it needs", (kind, keys) => {
    const e = errorOf({ kind, name: "x" });
    expect([e.message, e.field]).toEqual(["config is missing", "config"]);
    for (const key of keys) expect(e.hint).toContain(key);
  });

  it.each([
    [{ kind: "http", name: "x", config: {} }, "config.url is missing", "config.url"],
    [{ kind: "tcp", name: "x", config: { host: "a.example" } }, "config.port is missing", "config.port"],
    [{ kind: "http", config: { url: "https://a.example" } }, "name is missing", "name"],
    [{ kind: "tcp", name: "x", config: "a" }, "config must be an object", "config"],
    [
      { kind: "tcp", name: "x", config: { host: "a.example", port: "80" } },
      "config.port must be a number",
      "config.port",
    ],
    [[], "target must be an object", undefined],
  ])("%j → %s", (body, message, field) => {
    const e = errorOf(body);
    expect([e.message, e.field]).toEqual([message, field]);
  });
});
