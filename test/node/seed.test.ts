import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { operatorApi } from "../../scripts/lib/api";
import { parseSeed } from "../../scripts/lib/seed";
import { applySeed } from "../../scripts/lib/seed-apply";

const GOOD = `- name: Checkout
  kind: http
  url: https://example.com/
  every: 5m
- id: nightly
  name: nightly backup
  kind: heartbeat
  config:
    period: 1d
    grace: 30m
`;

const problems = (text: string): string[] => parseSeed(text, []).problems.map((p) => `${p.line} ${p.message}`);

describe("parseSeed", () => {
  it("reads a list of targets with their ids and lines", () => {
    const seed = parseSeed(GOOD, []);
    expect(seed.problems).toEqual([]);
    expect(seed.entries.map((e) => [e.id, e.line, e.target.kind, e.target.every])).toEqual([
      ["checkout", 1, "http", 300],
      ["nightly", 5, "heartbeat", 60],
    ]);
  });

  it("reads JSON, and an empty file as no targets", () => {
    expect(parseSeed('[{"name":"a","kind":"http","url":"https://a.example/"}]', []).entries.map((e) => e.id)).toEqual([
      "a",
    ]);
    for (const text of ["", "# nothing yet\n", "[]"])
      expect(parseSeed(text, [])).toEqual({ entries: [], problems: [] });
  });

  it("names the line of an unknown key, of a bad value and of a missing one", () => {
    const text = GOOD.replace("    grace: 30m", "    grace: 30m\n    bogus: 1")
      .replace("every: 5m", "every: 5")
      .replace("  url: https://example.com/\n", "");
    const found = problems(text);
    expect(found).toHaveLength(3);
    expect(found[0]).toMatch(/^1 config/);
    expect(found[1]).toMatch(/^3 every/);
    expect(found[2]).toMatch(/^10 config\.bogus is not known/);
  });

  it("names the line of broken YAML", () => {
    const found = problems('- name: a\n  kind: http\n  url: "https://a.example/\n- name: b\n');
    expect(found.length).toBeGreaterThan(0);
    expect(Number(found[0]!.split(" ")[0])).toBeGreaterThanOrEqual(3);
  });

  it("finds duplicates, also when an id is made from the name", () => {
    const found = problems(`${GOOD}- name: checkout\n  kind: http\n  url: https://other.example/\n`);
    expect(found).toEqual(['11 "checkout" stands twice; the first is on line 1. Give one another id.']);
  });

  it("refuses what is no list", () => {
    expect(problems("name: a\nkind: http\n")).toEqual(['1 The file must be a list: each target starts with "- ".']);
  });

  it("refuses a private address with the line to add, unless it is allowed", () => {
    const text = "- name: a\n  kind: http\n  url: http://127.0.0.1:9000/\n";
    expect(problems(text)[0]).toMatch(/^3 .*REVEILLE_ALLOW_PRIVATE=127\.0\.0\.1:9000/);
    expect(parseSeed(text, [{ host: "127.0.0.1", port: "9000" }]).problems).toEqual([]);
  });

  it("refuses a credential that is one of Reveille's own secrets", () => {
    const text =
      "- name: a\n  kind: http\n  url: https://a.example/\n  credentials:\n    token: REVEILLE_OPERATOR_TOKEN\n";
    expect(problems(text)[0]).toMatch(/^5 .*REVEILLE_OPERATOR_TOKEN/);
  });
});

/** The operator API as an outside process shows it: targets by id, and what was asked. */
class FakeApi {
  readonly calls: string[] = [];
  readonly targets = new Map<string, Record<string, unknown>>();
  readonly sources = new Set<string | undefined>();
  #server!: Server;

  async start(): Promise<string> {
    this.#server = createServer((req, res) => {
      void this.#answer(req).then(({ status, body }) =>
        res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body)),
      );
    });
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(() => done()));
  }

  async #answer(req: IncomingMessage): Promise<{ status: number; body: unknown }> {
    let text = "";
    for await (const chunk of req) text += chunk;
    const id = req.url!.split("/")[4];
    if (req.method !== "GET") {
      this.calls.push(`${req.method} ${id ?? (JSON.parse(text) as { id: string }).id}`);
      this.sources.add(req.headers["x-reveille-source"] as string | undefined);
    }
    const found = id ? this.targets.get(id) : undefined;
    if (id && !found) return { status: 404, body: { error: { code: "not_found", message: `No target ${id}.` } } };
    if (req.method === "GET") return { status: 200, body: found };
    const body = JSON.parse(text) as Record<string, unknown>;
    if (body["name"] === "refuse me")
      return { status: 400, body: { error: { code: "bad", message: "name is not wanted." } } };
    if (req.method === "PATCH") Object.assign(found!, body);
    else this.targets.set(String(body["id"]), body);
    return { status: 200, body: found ?? body };
  }
}

describe("applySeed", () => {
  const api = new FakeApi();
  let dir: string;
  let client: ReturnType<typeof operatorApi>;
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "reveille-seed-"));
    api.calls.length = 0;
    api.targets.clear();
    client = operatorApi(await api.start(), "token", { "x-reveille-source": "seed" });
  });
  afterEach(async () => {
    await api.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const apply = (text: string): ReturnType<typeof applySeed> => applySeed(client, parseSeed(text, []).entries, dir);

  it("creates once; the same file again changes nothing, even what an operator changed since", async () => {
    expect(await apply(GOOD)).toMatchObject({ created: 2, changed: 0, unchanged: 0, failed: [] });
    expect([...api.sources]).toEqual(["seed"]);
    api.targets.get("checkout")!["paused"] = true;
    api.calls.length = 0;
    expect(await apply(GOOD)).toMatchObject({ created: 0, changed: 0, unchanged: 2 });
    expect(api.calls).toEqual([]);
    expect(api.targets.get("checkout")!["paused"]).toBe(true);
  });

  it("replaces only the target whose entry changed, and drops the keys that left", async () => {
    await apply(GOOD.replace("    grace: 30m\n", "    grace: 30m\n    max_runtime: 2h\n"));
    api.calls.length = 0;
    expect(await apply(GOOD)).toMatchObject({ created: 0, changed: 1, unchanged: 1 });
    expect(api.calls).toEqual(["PATCH nightly"]);
    expect(api.targets.get("nightly")!["config"]).toMatchObject({ max_runtime: null, period: 86_400 });
  });

  it("makes a target again that is gone", async () => {
    await apply(GOOD);
    api.targets.delete("nightly");
    expect(await apply(GOOD)).toMatchObject({ created: 1, unchanged: 1 });
  });

  it("reports a refusal with its entry and goes on; a refused entry is tried again", async () => {
    const text = `- name: refuse me\n  kind: http\n  url: https://a.example/\n${GOOD}`;
    for (const created of [2, 0]) {
      const outcome = await apply(text);
      expect(outcome.created).toBe(created);
      expect(outcome.failed.map((f) => [f.entry.line, f.message])).toEqual([[1, "name is not wanted."]]);
    }
  });

  it("does not turn one kind into another", async () => {
    await apply(GOOD);
    const outcome = await apply(
      GOOD.replace("kind: http", "kind: tcp").replace(
        "  url: https://example.com/\n",
        "  config: { host: example.com, port: 5432 }\n",
      ),
    );
    expect(outcome.failed.map((f) => f.message)[0]).toMatch(/checkout is stored as http; a kind can't be changed/);
  });
});
