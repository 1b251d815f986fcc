import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { operatorApi } from "../../scripts/lib/api";
import type { LogEvent } from "../../scripts/lib/log-event";
import { ROOT } from "../../scripts/lib/paths";
import { type LocalRuntime, startRuntime } from "../../scripts/lib/runtime";

/** The local runtime with the real Workers: what `npm start`, the demo and the drills stand on. */

const TOKEN = "node-test-operator-token-5d21";
const HEARTBEAT = { name: "nightly", kind: "heartbeat", config: { period: "1d", grace: "1h" } };

let dataDir: string;
let running: LocalRuntime | null = null;
const events: LogEvent[] = [];

beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), "reveille-runtime-"));
});
afterEach(async () => {
  await running?.stop();
  running = null;
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

async function start(): Promise<LocalRuntime> {
  running = await startRuntime({
    port: 0,
    dataDir,
    vars: { OPERATOR_TOKEN: TOKEN, REVEILLE_SESSION_KEY: "k".repeat(32), REVEILLE_BEAT_KEY: "b".repeat(32) },
    onLog: (event) => events.push(event),
  });
  return running;
}

it("starts both Workers, applies migrations once, ticks, and keeps data over a stop and over kill -9", {
  timeout: 60_000,
}, async () => {
  const first = await start();
  expect(first.migrated.names.length).toBeGreaterThan(1);
  expect((await first.fetch("/healthz")).status).toBe(200);
  const api = operatorApi(first.url, TOKEN);
  await api.call("POST", "/api/v1/targets", HEARTBEAT);
  await first.tick();
  await first.consumerTick();
  expect(events.map((e) => e.event)).toContain("cycle.done");
  await first.stop();
  await first.stop();
  await expect(first.fetch("/healthz")).rejects.toThrow();

  const second = await start();
  expect(second.migrated.names).toEqual([]);
  const row = await second.d1.prepare("SELECT name FROM target WHERE id = 'nightly'").first<{ name: string }>();
  expect(row?.name).toBe("nightly");
  expect(await operatorApi(second.url, TOKEN).call("GET", "/api/v1/targets/nightly")).toMatchObject({
    kind: "heartbeat",
  });

  process.kill(second.workerdPid, "SIGKILL");
  await second.stop();
  const third = await start();
  expect(await operatorApi(third.url, TOKEN).call("GET", "/api/v1/targets/nightly")).toMatchObject({ name: "nightly" });
});

it("agrees with wrangler about what is migrated", { timeout: 60_000 }, async () => {
  await start();
  await running!.stop();
  const args = ["d1", "migrations", "list", "reveille", "--local", "--persist-to", dataDir, "-c", "wrangler.toml"];
  const said = execFileSync(process.execPath, [join(ROOT, "node_modules/wrangler/bin/wrangler.js"), ...args], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true" },
  });
  expect(said).toContain("No migrations to apply");
});

it("refuses a wrong token", async () => {
  const runtime = await start();
  await expect(operatorApi(runtime.url, "wrong-token").call("GET", "/api/v1/targets")).rejects.toMatchObject({
    status: 401,
  });
});
